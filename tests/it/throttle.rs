//! A built-in hub with a tier, in real time: the shipped scenarios of throttles and quotas, and the options of `hubstorm emulator`. The unit
//! tests of `emulator::throttle` cover each limit in virtual time.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, finish, hubstorm};
use hubstorm::measure::{Operation, Outcome};
use hubstorm::result::model::{LimitUse, RunResult, Status};

/// Runs a shipped scenario with these values. A busy machine may start messages late, so the verdict ignores that.
fn run(name: &str, values: &[&str], code: i32) -> RunResult {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
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
    let result = run("throttled-s1", &TENTH, 99);
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
    let result = run("throttled-s1", &[&TENTH[..], &["emulator.tier=S3"]].concat(), 0);
    assert_eq!(result.verdict.status, Status::Pass);
    let d2c = limit(&result, "d2c");
    assert_eq!((d2c.limit, d2c.delayed, d2c.rejected), (6_000.0, Some(0), Some(0)));
    assert!(!has_finding(&result, "throttled"), "{:?}", result.findings);
}

#[test]
fn quota_ends_after_its_last_message() {
    let result = run("quota", &["phase.steady.duration=10s"], 99);
    assert_eq!(result.emulator.as_ref().unwrap().telemetry, 100);
    let quota = limit(&result, "messages_per_day");
    assert!(quota.rejected > Some(0) && quota.first_us.is_some(), "{quota:?}");
    assert!(has_finding(&result, "The daily message quota of the hub was used up"), "{:?}", result.findings);
    let accepted = result.emulator.as_ref().unwrap().accepted;
    assert!(accepted > 10, "devices reconnect, and the hub accepts them: {accepted}");
}

#[test]
fn twin_throttle_answers_429() {
    let result = run("twin-throttle", &[], 99);
    let reads = result.measurement.of(Operation::TwinGet);
    let (ok, throttled) = (reads.outcome(Outcome::Ok), reads.outcome(Outcome::Throttled));
    assert!(ok > 0 && throttled > 0, "{ok} ok, {throttled} throttled");
    let limit = limit(&result, "twin_reads");
    assert!(limit.rejected >= Some(throttled) && limit.delayed == Some(0), "{limit:?}");
    assert!(has_finding(&result, "the limit for twin reads of S1 x 1"), "{:?}", result.findings);
}

#[test]
fn emulator_refuses_wrong_tiers_with_a_fix() {
    for (arguments, text) in [
        (&["--tier", "S9"][..], "unknown tier: set F1, B1, B2, B3, S1, S2, S3 or unlimited"),
        (&["--tier", "F1", "--units", "2"], "units is 2: tier F1 has 1 to 1 units"),
        (&["--units", "2"], "units has no effect without a tier"),
    ] {
        let arguments = [&["emulator", "--listen", "127.0.0.1:0"], arguments].concat();
        let finished = hubstorm(&arguments);
        finished.exits(2);
        assert!(finished.stderr.contains(text), "{}", finished.stderr);
    }
}
