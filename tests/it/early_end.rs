//! Runs that end before their plan: a threshold has failed for certain, or every device was offline for too long. The phases here last an
//! hour, so that a run that does not end early times out.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::Workplace;
use hubstorm::result::model::{EndedBy, RunResult, Status};
use std::net::Ipv4Addr;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn scenario(top: &str, head: &str, threshold: &str) -> String {
    format!(
        r#"
seed = 7
{top}
{head}
[[fleet.meter.send]]
rate = "200/s"
qos = 1
payload = "x"
[[phase]]
name = "steady"
duration = "1h"
[thresholds]
"telemetry" = [{threshold}]
"#
    )
}

fn codes(result: &RunResult) -> Vec<&str> {
    result.verdict.details.iter().map(|detail| detail.code.as_str()).collect()
}

#[track_caller]
fn assert_failed(result: &RunResult, ended_by: EndedBy) {
    assert_eq!(
        (result.verdict.status, result.verdict.exit_code),
        (Status::Fail, 99),
        "{:#?}",
        result.verdict
    );
    assert_eq!(result.run.ended_by, Some(ended_by));
    assert!(
        result.measurement.operations.iter().all(|part| part.outcomes.sum() == part.due),
        "every operation has an outcome"
    );
}

#[test]
fn failed_threshold_with_abort_ends_the_run() {
    let threshold = r#"{ expr = "count(ok) < 100", abort = true, after = "2s" }"#;
    let work = Workplace::new(&scenario("", "[fleet.meter]\ndevices = 50", threshold));
    work.run().exits(99);
    let result = work.result();
    assert_failed(&result, EndedBy::Abort);
    // A busy machine may add other reasons between these two.
    let codes = codes(&result);
    assert_eq!((codes.first(), codes.last()), (Some(&"threshold_failed"), Some(&"aborted")), "{codes:?}");
    let text = &result.verdict.reasons[0];
    assert!(text.starts_with("telemetry count(ok) < 100: "), "{text}");
    let rows = &result.measurement.series.rows;
    assert!(rows.len() >= 2 && rows.len() < 600, "not before `after`: {}", rows.len());
}

/// No device connects, so no message is sent: the messages expire while the devices wait for their next attempts.
#[test]
fn refused_devices_fail_a_threshold_on_messages() {
    let hub =
        Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", KEY)]);
    for (offline, code) in [("queue", "expired"), ("skip", "offline")] {
        let head = format!("{}\nsend_by = \"2s\"\noffline = \"{offline}\"", hub.meters());
        let threshold = r#"{ expr = "rate(ok) > 99%", abort = true }"#;
        let other_key = "HBscGBUUExIREA8ODQwLCgkIBwYFBAMCAQAfHh0cGxo=";
        let work =
            Workplace::new(&scenario("", &head, threshold)).without_preflight().env("HUB_KEY", other_key);
        work.run().exits(99);
        let result = work.result();
        assert_failed(&result, EndedBy::Abort);
        let telemetry = result.measurement.of(hubstorm::measure::Operation::Telemetry);
        let outcome = hubstorm::measure::Outcome::from_name(code).unwrap();
        assert!(telemetry.outcome(outcome) > 0, "{offline}: {:?}", telemetry.outcomes);
    }
}

#[test]
fn unreachable_hub_ends_the_run_with_its_time() {
    let hub =
        Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", KEY)]);
    let top = "abort_when_unreachable = \"2s\"";
    let work = Workplace::new(&scenario(top, &hub.meters(), "\"count(ok) >= 1\"")).env("HUB_KEY", KEY);
    let mut running = work.start();
    running.says("5s/");
    hub.stop();
    running.wait().exits(99);
    let result = work.result();
    assert_failed(&result, EndedBy::Unreachable);
    let all = result.measurement.sum(|_| true);
    if all.excused.sum() > (all.ended() - all.ok()) / 2 {
        return; // A busy machine may have caused most failures, so there is no finding about the hub.
    }
    assert_eq!(codes(&result)[..2], ["hub_unreachable", "unreachable"]);
    let text = &result.verdict.reasons[0];
    assert!(
        text.starts_with("The hub became unreachable at 0:0")
            && text.ends_with("connection attempts were refused"),
        "{text}"
    );
}
