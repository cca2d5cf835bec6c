//! The closed loop with the binary: `plan` names a size, a run on a hub of this size passes, and a run on a hub with one unit less is
//! throttled in the class that `plan` named. And the whole path as a job of a CI system. `src/app/closed_loop_tests` has more loads, in
//! virtual time.

use crate::support::hubstorm::{Finished, Running, WIDE_VALIDITY, Workplace, command, finish};
use hubstorm::capacity::model::{CapacityPlan, QUOTA};
use hubstorm::result::model::RunResult;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The time of full load, which is a small part of the day, so that a throttle binds and not the quota.
const PEAK: &str = r#"
[[phase]]
name = "ramp"
duration = "1s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "quiet"
duration = "1s"
load = "0% -> 0%"
[[phase]]
name = "peak"
duration = "6s"
[[day.part]]
phase = "quiet"
hours = 23.99
[[day.part]]
phase = "peak"
hours = 0.01
"#;

/// 10 s of the day, which is the same at all times.
const TEN_SECONDS: &str = r#"
[[phase]]
name = "ramp"
duration = "1s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "steady"
duration = "10s"
"#;

fn scenario(load: &str, phases: &str, metric: &str) -> String {
    format!(
        "seed = 7\n[fleet.meter]\n{load}\n{phases}\n[thresholds]\n\"{metric}\" = [\"rate(ok) > 99%\"]\n{WIDE_VALIDITY}"
    )
}

fn plan(work: &Workplace) -> CapacityPlan {
    let scenario = work.scenario();
    let finished =
        finish(command(["plan".as_ref(), scenario.as_os_str(), "--format".as_ref(), "json".as_ref()]));
    serde_json::from_str(&finished.exits(0).stdout).expect("a capacity plan")
}

/// Starts a run on a hub of this size. The burst is as long as a stall of this machine may be: the messages of a stall arrive together.
fn start(work: &Workplace, tier: &str, units: u64, quota_used: u64) -> Running {
    let mut command = work.run_command();
    command.arg("--set").arg(format!("emulator.tier={tier}"));
    command.arg("--set").arg(format!("emulator.units={units}"));
    command.arg("--set").arg(format!("emulator.quota_used={quota_used}"));
    command.args(["--set", "emulator.throttle.burst=1500ms"]);
    work.start_command(command)
}

/// Returns the limits at which the hub delayed or refused something.
fn throttled(result: &RunResult) -> Vec<&str> {
    let rows = result.limits.iter().filter(|row| row.delayed > Some(0) || row.rejected > Some(0));
    rows.map(|row| row.class.as_str()).collect()
}

/// Plans a load, and runs it on a hub of the planned size and on a smaller one at the same time. `part` is the part of the daily quota that
/// is left for a run.
fn check(text: &str, tier: &str, class: &str, part: Option<f64>) {
    let works = [Workplace::new(text), Workplace::new(text)];
    let plan = plan(&works[0]);
    let option = plan.option(tier).expect("every tier has an option");
    assert!(option.fits && option.units > 1 && option.bound_by == class, "{option:?}");
    let units = [option.units, option.units - 1];
    let row = option.limits.iter().find(|row| row.class == QUOTA).expect("a quota");
    let quota = row.limit.expect("a limit") / units[0] as f64;
    let used = |units: u64| part.map_or(0, |part| (quota * units as f64 * (1.0 - part)) as u64);
    let [enough, small] = [0, 1].map(|n| start(&works[n], tier, units[n], used(units[n])));
    enough.wait().exits(0);
    let small = small.wait();
    let [enough, result] = works.each_ref().map(Workplace::result);
    assert_eq!(throttled(&enough), [""; 0], "{:?}", enough.limits);
    assert_eq!(throttled(&result), [class], "{:?}\n{}", result.limits, small.stdout);
    let limits = |text: &&str| text.starts_with("The hub throttled") || text.starts_with("The daily message");
    let count = |result: &RunResult| result.findings.iter().filter(|one| limits(&one.text.as_str())).count();
    assert_eq!([count(&enough), count(&result)], [0, 1], "{:?}", result.findings);
}

#[test]
fn planned_units_hold_messages_to_devices() {
    let load = "devices = 20\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"meter\"\nrate = \"4.9/s\"\npayload = \"x\"";
    let text = scenario(load, PEAK, "service.c2d");
    check(&text, "S1", "c2d", None);
}

#[test]
fn planned_units_hold_telemetry() {
    let load = "devices = 20\n[[fleet.meter.send]]\nrate = \"228/s\"\npayload = { size = 300 }";
    check(&scenario(load, PEAK, "telemetry"), "B2", "d2c", None);
}

#[test]
fn planned_units_hold_method_calls() {
    let load = "devices = 20\nsubscribe = [\"methods\"]\n[fleet.meter.methods.read]\nstatus = 200\n\
                [[drive]]\ncall = \"method\"\nname = \"read\"\nfleet = \"meter\"\nrate = \"76/s\"";
    check(&scenario(load, PEAK, "service.method"), "S1", "methods", None);
}

#[test]
fn planned_units_hold_the_messages_of_a_day() {
    let load = "devices = 20\n[[fleet.meter.send]]\nrate = \"8.5/s\"\npayload = { size = 300 }";
    check(&scenario(load, TEN_SECONDS, "telemetry"), "S1", QUOTA, Some(10.0 / 86_400.0));
}

/// A job: it ends at the first command that fails.
const JOB: &str = r#"
mkdir -p out baseline
hubstorm plan load-test.toml --assert "units(S1) <= $UNITS_MAX" --assert "share(d2c, S1) < 75%" --export plan.json
hubstorm run load-test.toml --set emulator.units=3 --export out/result.json --export out/report.html --export out/junit.xml
hubstorm report out/result.json --export out/summary.md
hubstorm compare baseline out/result.json --update-baseline --inconclusive pass
hubstorm capacity load-test.toml --phase steady --from 100% --to 100% --hold 3s --width 50% --confirm 1 \
  --assert "capacity >= 10/s" --out out --export out/capacity.json --export out/capacity.html
"#;

fn job(folder: &Path, units_max: u64) -> Finished {
    let load = "devices = 20\n[[fleet.meter.send]]\nrate = \"11/s\"\npayload = { size = 300 }";
    let phases = TEN_SECONDS.replace("10s", "2s");
    let metric = "telemetry{phase:steady}";
    let text = scenario(load, &phases, metric) + "[emulator]\ntier = \"S1\"\nunits = 3\n";
    fs::write(folder.join("load-test.toml"), text).expect("the folder is writable");
    let hubstorm = command([""; 0]);
    let program = Path::new(hubstorm.get_program()).parent().expect("a folder").display().to_string();
    let mut shell = Command::new("bash");
    for (name, value) in hubstorm.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["-e", "-c", JOB]).current_dir(folder);
    shell.env("PATH", format!("{program}:{path}")).env("UNITS_MAX", units_max.to_string());
    finish(shell)
}

#[test]
fn a_ci_job_plans_runs_compares_and_searches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = job(folder.path(), 3);
    finished.exits(0);
    for file in [
        "plan.json",
        "out/result.json",
        "out/report.html",
        "out/junit.xml",
        "out/summary.md",
        "out/capacity.json",
    ] {
        assert!(folder.path().join(file).exists(), "{file}: {finished:?}");
    }
    assert_eq!(fs::read_dir(folder.path().join("baseline")).expect("a folder").count(), 1);
}

#[test]
fn a_ci_job_ends_at_the_first_false_assertion() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = job(folder.path(), 2);
    finished.exits(99);
    assert!(finished.stderr.contains("assertion failed: units(S1) <= 2"), "{}", finished.stderr);
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|file| file.expect("a file").file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["baseline", "load-test.toml", "out", "plan.json"]);
    let is_empty = fs::read_dir(folder.path().join("out")).expect("a folder").next().is_none();
    assert!(is_empty, "the run did not start");
}
