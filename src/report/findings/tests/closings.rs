//! Findings about closed, expired and dead connections.

use super::super::{TargetFacts, findings};
use crate::measure::{Culprit, Key, Operation, Outcome, Recorder, Times};
use crate::result::model::{Fault, FaultSide, Finding, Severity};

const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
const MS: u64 = 1_000_000;

/// Returns the findings of a run with 100 devices, of which `online` are online, with acknowledgments after 20 ms and
/// the events that `record` adds.
fn of(online: i64, record: impl FnOnce(&mut Recorder)) -> Vec<Finding> {
    of_target(TargetFacts { is_hub: true, ..TargetFacts::default() }, online, record)
}

/// Like [`of`], for another target.
fn of_target(target: TargetFacts, online: i64, record: impl FnOnce(&mut Recorder)) -> Vec<Finding> {
    let mut measurement = crate::report::testing::measured(1, 1, |recorder| {
        for _ in 0..100 {
            recorder.due(KEY, 0);
            recorder.ok(KEY, &Times { due: 0, picked: 0, sent: 0, acked: 20 * MS });
        }
        recorder.online(0, online);
        record(recorder);
    });
    measurement.fleets[0].devices = 100;
    findings(&measurement, target)
}

fn closed(recorder: &mut Recorder, times: u64, waited_us: u64) {
    for _ in 0..times {
        recorder.error("closed_by_peer", Culprit::Target, 0, String::new);
        recorder.due(KEY, 0);
        recorder.ended(KEY, Outcome::Lost, 0, MS);
        recorder.counts(0).closed_waiting += 1;
        recorder.counts(0).closed_waiting_us += waited_us;
    }
}

#[track_caller]
fn only(findings: &[Finding], text: &str, evidence: &str) {
    let [finding] = findings else { panic!("one finding: {findings:?}") };
    assert!(finding.text.contains(text), "{finding:?}");
    assert_eq!((finding.severity, finding.evidence.as_str()), (Severity::Warning, evidence));
}

#[test]
fn healthy_run_has_no_findings_about_closings() {
    assert_eq!(of(100, |_| ()), []);
    assert_eq!(
        of(100, |r| r.error("closed_by_peer", Culprit::Target, 0, String::new)),
        [],
        "an idle connection"
    );
}

#[test]
fn late_acks_then_many_closings_indicate_throttling() {
    let evidence = "4 connections closed or reset; the oldest message was unacknowledged for 8.00 s on average; the median acknowledgment took 20.0 ms";
    only(&of(100, |r| closed(r, 4, 8_000_000)), "throttles", evidence);
}

#[test]
fn closings_without_late_acks_are_not_throttling() {
    let evidence = |n| format!("{n} closed connections, {n} lost messages");
    for (online, times, waited_us) in [(100, 4, 900_000), (100, 2, 8_000_000), (1_000, 9, 8_000_000)] {
        only(&of(online, |r| closed(r, times, waited_us)), "a restart, a failover", &evidence(times));
    }
}

/// Connections with unacknowledged messages were reset, and connection attempts were closed.
#[test]
fn closed_attempts_are_not_closed_connections() {
    let findings = of(100, |r| {
        closed(r, 2, 0);
        r.counts(0).closed_before_connack = 2;
    });
    assert_eq!(findings.iter().filter(|finding| finding.text.contains("unacknowledged")).count(), 0);
}

#[test]
fn constantly_late_acks_are_not_throttling() {
    let findings = of(100, |r| {
        for _ in 0..1_000 {
            r.due(KEY, 0);
            r.ok(KEY, &Times { due: 0, picked: 0, sent: 0, acked: 2_500 * MS });
        }
        closed(r, 4, 8_000_000);
    });
    only(&findings, "a restart, a failover", "4 closed connections, 4 lost messages");
}

#[test]
fn close_after_token_expiry_shows_its_first_time() {
    let findings = of(100, |r| {
        for at in [300_000 * MS, 400_000 * MS] {
            r.error("closed_after_expiry", Culprit::Target, at, String::new);
        }
    });
    only(&findings, "token expired", "2 connections, the first 5m into the run");
}

#[test]
fn repeated_short_connections_indicate_a_shared_id() {
    // More devices than were ever online at the same time.
    let findings = of(2, |r| r.counts(0).closed_soon_devices = 3);
    only(&findings, "closed or reset within a minute", "3 of 100 devices");
}

#[test]
fn known_reasons_of_closings_replace_guesses() {
    let hub = TargetFacts { is_hub: true, preflight_passed: true, ..TargetFacts::default() };
    for target in [TargetFacts { reached_limit: true, ..hub }, TargetFacts { faults_closed: true, ..hub }] {
        let findings = of_target(target, 100, |r| {
            r.counts(0).closed_soon_devices = 3;
            r.counts(0).closed_before_connack = 3;
            closed(r, 4, 8_000_000);
        });
        assert_eq!(findings, [], "{target:?}");
    }
}

#[test]
fn faults_that_closed_connections_are_facts_of_the_target() {
    let closed = |kind: &str, applied| {
        let mut result = crate::result::testing::result();
        let fault = Fault { kind: kind.to_owned(), applied, ..fault() };
        result.faults.push(fault);
        TargetFacts::of(&result).faults_closed
    };
    assert!(closed("close", Some(1)) && closed("disable-device", Some(1)) && closed("reset", None));
    assert!(!closed("close", Some(0)) && !closed("delay", Some(1)));
}

fn fault() -> Fault {
    Fault {
        side: FaultSide::Hub,
        kind: String::new(),
        profile: None,
        from_us: 0,
        to_us: 0,
        share: 1.0,
        fleet: None,
        devices: 1,
        code: None,
        by_us: None,
        jitter_us: None,
        up_bits_per_s: None,
        down_bits_per_s: None,
        random: false,
        applied: None,
    }
}

#[test]
fn qos_0_messages_on_dead_connections_are_counted() {
    let measured = |unconfirmed| {
        crate::report::testing::measured(1, 1, |recorder| {
            for operation in [Operation::PublishQos0, Operation::Publish] {
                let key = Key { operation, fleet: 0, phase: 0 };
                recorder.due(key, 0);
                recorder.ok(key, &Times::default());
            }
            recorder.counts(0).qos0_on_dead_connections = unconfirmed;
        })
    };
    assert_eq!(findings(&measured(0), TargetFacts::default()), []);
    let findings = findings(&measured(1), TargetFacts::default());
    let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
    assert_eq!(
        (finding.severity, finding.evidence.as_str()),
        (Severity::Warning, "1 of 1 ok message with QoS 0")
    );
    assert!(finding.text.contains("QoS 1"), "{finding:?}");
}
