//! The text and the evidence of each finding.

mod closings;
mod connecting;

use super::*;
use crate::measure::{Key, Recorder, Times};

const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
const S: u64 = 1_000_000_000;

fn of(record: impl FnOnce(&mut Recorder)) -> Vec<Finding> {
    let measurement = crate::report::testing::measured(1, 1, |recorder| {
        recorder.due(KEY, 0);
        recorder.ok(KEY, &Times::default());
        record(recorder);
    });
    findings(&measurement, TargetFacts::default())
}

#[test]
fn clean_run_has_no_findings() {
    assert_eq!(of(|_| ()), []);
}

/// A function that records a run, and the text and the evidence of the run's only finding.
type Case = (fn(&mut Recorder), &'static str, &'static str);

#[track_caller]
fn assert_each(severity: Severity, cases: &[Case]) {
    for (record, text, evidence) in cases {
        let findings = of(record);
        let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
        assert!(finding.text.contains(text), "{finding:?}");
        assert_eq!((finding.severity, finding.evidence.as_str()), (severity, *evidence));
    }
}

#[test]
fn each_warning_has_its_text_and_evidence() {
    assert_each(
        Severity::Warning,
        &[
            (
                |r| {
                    r.due(KEY, 0);
                    r.ended(KEY, Outcome::Throttled, 0, 0);
                },
                "throttled twin requests",
                "1 request answered with status 429",
            ),
            (
                |r| {
                    let hub = &mut r.counts(0).from_hub;
                    (hub.c2d_skipped, hub.c2d_reordered, hub.c2d_duplicates) = (5, 2, 1);
                },
                "at least once",
                "3 missing, 1 duplicate",
            ),
            (
                |r| r.counts(0).from_hub.unreadable = 1,
                "an IoT hub does not send",
                "1 unreadable message, 0 unknown answers",
            ),
            (
                |r| r.lost(Key { operation: Operation::Deliver, ..KEY }, 3, S, S),
                "did not reach every subscriber",
                "3 of 3 copies lost",
            ),
            (
                |r| r.ok(KEY, &Times { acked: 100 * S, ..Times::default() }),
                "exceeded the histogram range",
                "2 values above 67.1 s",
            ),
            (
                |r| r.error("fd_limit", Culprit::Generator, 0, || "too many open files".to_owned()),
                "fd_limit",
                "1 error, e.g. too many open files",
            ),
            (|r| r.error("connack_5", Culprit::Target, 0, String::new), "code 5", "1 refused connection"),
            (
                |r| r.error("tls_certificate", Culprit::Target, 0, String::new),
                "certificate was not accepted",
                "1 connection, e.g. ",
            ),
            (
                |r| {
                    let key = Key { operation: Operation::Online, ..KEY };
                    r.due(key, 0);
                    r.ended(key, Outcome::Unfinished, 0, S);
                },
                "never connected",
                "1 of 1 planned connection failed",
            ),
        ],
    );
}

#[test]
fn each_note_has_its_text_and_evidence() {
    assert_each(
        Severity::Note,
        &[
            (|r| r.counts(0).late_subacks = 5, "they count as timed out", "5 late SUBACKs"),
            (|r| r.counts(0).from_hub.late_answers = 2, "had timed out", "2 late answers"),
            (|r| r.counts(0).from_hub.desired_missed = 1, "desired properties", "1 version missed"),
            (
                |r| {
                    r.due(KEY, 0);
                    r.ended(KEY, Outcome::Expired, 0, S);
                },
                "send_by",
                "1 of 2 messages expired",
            ),
            (|r| r.counts(0).gave_up = 2, "gave up reconnecting", "2 times"),
            (|r| r.counts(0).late_acks = 3, "after their timeout", "3 late acknowledgments"),
            (
                |r| r.ended(KEY, Outcome::Unfinished, 0, 2 * S),
                "no device ever connected",
                "1 unfinished message, the oldest 2.00 s old",
            ),
            (|r| r.no_ack(KEY), "QoS 0", "QoS 0 in the scenario"),
        ],
    );
}

#[test]
fn unaccepted_c2d_messages_are_not_missing() {
    let sends = Key { operation: Operation::ServiceC2d, ..KEY };
    let skipped = |numbers: u64, sent: &[Outcome]| {
        of(|r| {
            r.counts(0).from_hub.c2d_skipped = numbers;
            for outcome in sent {
                r.due(sends, 0);
                match outcome {
                    Outcome::Ok => r.ok(sends, &Times::default()),
                    bad => r.ended(sends, *bad, 0, 0),
                }
            }
        })
    };
    use Outcome::{Ok, Refused, TimedOut};
    assert_eq!(skipped(2, &[Ok, Refused, TimedOut]), []);
    assert_eq!(skipped(1, &[Ok, Refused, TimedOut]), [], "one arrived anyway");
    let found = skipped(3, &[Ok, Refused, TimedOut]);
    assert_eq!(found[0].evidence, "1 missing, 0 duplicates");
}

#[test]
fn longer_drain_is_advised_only_if_devices_connected() {
    let connect = Key { operation: Operation::Connect, ..KEY };
    let findings = of(|r| {
        r.due(connect, 0);
        r.ok(connect, &Times::default());
        r.ended(KEY, Outcome::Unfinished, 0, 2 * S);
    });
    assert!(findings[0].text.contains("Increase drain"), "{findings:?}");
}

#[test]
fn warnings_come_first() {
    let findings = of(|r| {
        r.no_ack(KEY);
        r.error("connack_5", Culprit::Target, 0, String::new);
    });
    let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Note]);
}
