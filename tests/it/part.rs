//! Runs of a part of a scenario: `--fleet` and `--duration`.

use crate::support::hubstorm::{Finished, WIDE_VALIDITY, Workplace, command, finish, totals};
use hubstorm::result::model::{RunResult, Status};

fn two_fleets() -> Workplace {
    Workplace::new(&format!(
        r#"
[fleet.meter]
devices = 4
[[fleet.meter.send]]
every = "100ms"
payload = "x"
[fleet.lock]
devices = 2
subscribe = ["c2d"]
[[drive]]
call = "c2d"
fleet = "lock"
rate = "10/s"
payload = "x"
[[phase]]
name = "ramp"
warmup = true
duration = "10s"
online = "0% -> 100%"
[[phase]]
name = "steady"
duration = "30s"
[thresholds]
"telemetry{{phase:steady}}" = ["rate(ok) > 50%"]
"c2d" = ["count(ok) >= 1"]
"connect{{fleet:lock}}" = ["count(ok) >= 2"]
{WIDE_VALIDITY}"#
    ))
}

/// Runs the scenario with these options. Returns the output and the result.
fn run(options: &[&str]) -> (Finished, RunResult) {
    let work = two_fleets();
    let mut command = work.run_command();
    let finished = finish({
        command.args(options);
        command
    });
    (finished, work.result())
}

#[test]
fn run_of_a_part_says_so_in_the_header_and_the_result() {
    let (finished, result) = run(&["--fleet", "meter", "--duration", "2s"]);
    finished.exits(0);
    assert_eq!(result.verdict.status, Status::Pass);
    let fleets: Vec<&str> = result.fleets.iter().map(|fleet| &*fleet.name).collect();
    let ends: Vec<u64> = result.phases.iter().map(|phase| phase.end_us).collect();
    assert_eq!((fleets, ends), (vec!["meter"], vec![500_000, 2_000_000]));
    assert_eq!(totals(&result, "service.c2d").0, 0, "no calls to the other fleet");
    let metrics: Vec<&str> = result.thresholds.iter().map(|threshold| &*threshold.metric).collect();
    assert_eq!(metrics, ["telemetry", "connect"], "the second is that of every fleet that runs");
    let changes = [
        "--duration 2s (all phases together; as written: 40.0 s)",
        "--fleet meter (leaves out fleet lock; drive service.c2d to fleet lock; thresholds c2d count(ok) >= 1, \
         connect{fleet:lock} count(ok) >= 2)",
    ];
    assert_eq!(result.run.overrides, changes);
    for change in changes {
        assert!(finished.stderr.contains(&format!("  with {change}\n")), "{}", finished.stderr);
    }
    assert!(finished.stderr.contains("2.00 s in 2 phases"), "{}", finished.stderr);
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed(&finished.stdout).contains(&changes.join(", ")), "{}", finished.stdout);
    let page = hubstorm::report::html(&result).unwrap_or_else(|error| panic!("{error}"));
    assert!(page.contains("--fleet meter (leaves out fleet lock;"), "the page");
}

#[test]
fn part_of_a_scenario_has_another_plan_hash() {
    let hash = |options: &[&str]| run(options).1.run.scenario.plan_sha256;
    let whole = hash(&["--duration", "2s"]);
    assert_ne!(hash(&["--duration", "1s"]), whole);
    assert_ne!(hash(&["--fleet", "lock", "--duration", "2s"]), whole);
    assert_eq!(hash(&["--fleet", "lock", "--fleet", "meter", "--duration", "2s"]), whole);
}

#[test]
fn check_shows_the_part_that_would_run() {
    let check = |options: &[&str]| {
        let work = two_fleets();
        let mut command = command(["check"]);
        command.arg(work.scenario()).args(options);
        finish(command)
    };
    let part = check(&["--fleet", "lock", "--duration", "4s"]);
    let text = &part.exits(0).stdout;
    assert!(text.contains("lock") && !text.contains("\n  meter"), "{text}");
    assert!(text.contains("4.00 s in total"), "{text}");
    assert!(text.contains("--fleet lock") && text.contains("--duration 4s"), "{text}");
    for (options, message) in [
        (["--fleet", "metre"], "--fleet metre: the scenario has no such fleet; did you mean meter?"),
        (["--duration", "2"], "--duration: \"2\" is not a duration"),
        (["--duration", "3ms"], "--duration 3ms: phase ramp would last only 750 µs; use at least 4ms"),
    ] {
        let wrong = check(&options);
        assert!(wrong.exits(2).stderr.contains(message), "{}", wrong.stderr);
    }
}
