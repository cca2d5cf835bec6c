//! A built-in hub with a tier, in real time: the shipped scenarios of throttles and quotas, and the options of `hubstorm emulator`. The unit
//! tests of `emulator::throttle` cover each limit in virtual time.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, finish, hubstorm};
use hubstorm::measure::{Operation, Outcome};
use hubstorm::result::model::{LimitUse, RunResult, Status};
use std::net::Ipv4Addr;

/// Runs a shipped scenario with these values. A busy machine may start messages late, so the verdict ignores that. With long timeouts, stalls
/// of the built-in hub explain no failure.
fn run(name: &str, fleet: &str, values: &[&str], code: i32) -> RunResult {
    let path = format!("{}/scenarios/{name}", env!("CARGO_MANIFEST_DIR"));
    let timeouts =
        ["ack_timeout", "send_by", "connect_timeout"].map(|key| format!("fleet.{fleet}.{key}=300s"));
    let values = timeouts.iter().map(String::as_str).chain(values.iter().copied());
    let arguments: Vec<&str> = values.flat_map(|value| ["--set", value]).collect();
    let work = Workplace::new(&(std::fs::read_to_string(path).unwrap() + WIDE_VALIDITY));
    let mut command = work.run_command();
    command.args(arguments);
    finish(command).exits(code);
    work.result()
}

fn limit<'r>(result: &'r RunResult, class: &str) -> &'r LimitUse {
    result.limits.iter().find(|row| row.class == class).unwrap_or_else(|| panic!("{:?}", result.limits))
}

fn has_finding(result: &RunResult, text: &str) -> bool {
    result.findings.iter().any(|finding| finding.text.contains(text))
}

/// A debug build cannot send 4,000 messages a second, so everything is a tenth, with a shorter burst and queue.
const TENTH: [&str; 4] = [
    "fleet.meter.send.0.rate=400/s",
    "emulator.throttle.burst=1s",
    "emulator.throttle.queue=1s",
    "phase.steady.duration=6s",
];

#[test]
fn throttled_s1_fails_and_names_the_throttle() {
    let result = run("throttled-s1.toml", "meter", &TENTH, 99);
    assert_eq!(result.verdict.status, Status::Fail);
    assert_eq!((result.run.target.tier.as_deref(), result.run.target.units), (Some("S1"), Some(1)));
    let d2c = limit(&result, "d2c");
    assert_eq!((d2c.limit, d2c.unit.as_str()), (100.0, "msg/s"));
    assert!(
        d2c.share > 1.0 && d2c.delayed > Some(0) && d2c.rejected > Some(0) && d2c.first_us.is_some(),
        "{d2c:?}"
    );
    assert!(
        has_finding(&result, "The hub throttled: the load exceeded the D2C limit of S1 x 1"),
        "{:?}",
        result.findings
    );
    // The throttle is the hub's: the hub did not count it as a violation of the protocol.
    assert_eq!(result.emulator.unwrap().protocol_errors, 0);
}

#[test]
fn the_same_load_passes_on_s3() {
    let result = run("throttled-s1.toml", "meter", &[&TENTH[..], &["emulator.tier=S3"]].concat(), 0);
    assert_eq!(result.verdict.status, Status::Pass);
    let d2c = limit(&result, "d2c");
    assert_eq!((d2c.limit, d2c.delayed, d2c.rejected), (6_000.0, Some(0), Some(0)));
    assert!(!has_finding(&result, "throttled"), "{:?}", result.findings);
}

#[test]
fn quota_ends_after_its_last_message() {
    let result = run("quota.toml", "meter", &["phase.steady.duration=10s"], 99);
    assert_eq!(result.emulator.as_ref().unwrap().telemetry, 100);
    let quota = limit(&result, "messages_per_day");
    assert!(quota.rejected > Some(0) && quota.first_us.is_some(), "{quota:?}");
    assert!(has_finding(&result, "The daily message quota of the hub was used up"), "{:?}", result.findings);
    let accepted = result.emulator.as_ref().unwrap().accepted;
    assert!(accepted > 10, "devices reconnect, and the hub accepts them: {accepted}");
}

#[test]
fn twin_throttle_answers_429() {
    let result = run("twin-throttle.toml", "thermostat", &[], 99);
    let reads = result.measurement.of(Operation::TwinGet);
    let (ok, throttled) = (reads.outcome(Outcome::Ok), reads.outcome(Outcome::Throttled));
    assert!(ok > 0 && throttled > 0, "{ok} ok, {throttled} throttled");
    let limit = limit(&result, "twin_reads");
    assert!(limit.rejected >= Some(throttled) && limit.delayed == Some(0), "{limit:?}");
    assert!(has_finding(&result, "the limit for twin reads of S1 x 1"), "{:?}", result.findings);
}

/// A hub in Azure: hubstorm knows its tier from the scenario, and what it does only from its own counts.
#[test]
fn another_hub_has_no_delayed_and_rejected_counts() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:KEY"], &[("KEY", key)]);
    let meters = hub.meters().replace("[fleet.meter]", "tier = \"S1\"\nunits = 10\n[fleet.meter]");
    let load = "[[fleet.meter.send]]\nevery = \"500ms\"\npayload = { size = 5000 }\n[[phase]]\nname = \"steady\"\nduration = \"3s\"\n";
    let work = Workplace::new(&format!("{meters}\n{load}{WIDE_VALIDITY}")).env("HUB_KEY", key);
    let finished = work.run();
    finished.exits(0);
    let result = work.result();
    for row in &result.limits {
        assert_eq!((row.delayed, row.rejected, row.first_us), (None, None, None), "{row:?}");
    }
    // 12 messages a second for each unit. The load is 100 a second, of two billed blocks each.
    assert_eq!((limit(&result, "d2c").limit, limit(&result, "d2c").offered_peak), (120.0, 100.0));
    let quota = limit(&result, "messages_per_day");
    assert!(
        (quota.offered_peak / 17_280_000.0 - 1.0).abs() < 0.01 && quota.limit == 4_000_000.0,
        "{quota:?}"
    );
    let used = "used 83% of the D2C limit of S1 x 10 (100 of 120 msg/s)";
    let summary = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(summary.contains(used), "{}", finished.stdout);
    let pages = std::fs::read_dir(work.out()).unwrap().map(|file| file.unwrap().path());
    let page = pages.into_iter().find(|path| path.extension().is_some_and(|it| it == "html")).unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains(used), "the page has the same line");
    hub.stop();
}

#[test]
fn emulator_refuses_wrong_tiers_with_a_fix() {
    for (arguments, text) in [
        (&["--tier", "S9"][..], "unknown tier: set F1, B1, B2, B3, S1, S2, S3 or unlimited"),
        (&["--tier", "s1"], "unknown tier: did you mean S1?"),
        (&["--tier", "F1", "--units", "2"], "units is 2: a hub of tier F1 has only 1 unit"),
        (&["--units", "2"], "units has no effect without a tier"),
    ] {
        let arguments = [&["emulator", "--listen", "127.0.0.1:0"], arguments].concat();
        let finished = hubstorm(&arguments);
        finished.exits(2);
        assert!(finished.stderr.contains(text), "{}", finished.stderr);
    }
}
