//! What a reader should know besides the verdict: each finding in words, with the number it rests on. Called by
//! [`judge`](super::judge). What the wire does not say is not guessed: a finding says what it looks like.

use super::clock_steps;
use super::closings::closings;
use super::connecting::connecting;
use super::sessions::sessions;
use crate::measure::{Culprit, FromHub, Measurement, Operation, Outcome, Source, Totals};
use crate::result::model::{self, Emulator, Finding, Severity};
use crate::units::{human_count, human_us, plural};

/// What findings need to know about the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// It is an IoT hub, not a plain broker.
    pub is_hub: bool,
    /// Devices use TLS.
    pub tls_wanted: bool,
    /// Devices sent a password over plain TCP.
    pub cleartext_password: bool,
    /// A device of each fleet connected before the load.
    pub preflight_passed: bool,
}

impl TargetFacts {
    /// Reads them from a result file's target.
    #[must_use]
    pub fn of(target: &model::Target) -> TargetFacts {
        TargetFacts {
            is_hub: target.kind == "iot-hub",
            tls_wanted: target.tls_wanted,
            cleartext_password: target.cleartext_password,
            preflight_passed: target.preflight_passed,
        }
    }
}

pub(super) fn finding(severity: Severity, text: impl Into<String>, evidence: impl Into<String>) -> Finding {
    Finding { severity, text: text.into(), evidence: evidence.into() }
}

/// Findings of the measurement itself, warnings first.
pub(super) fn findings(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let messages = measurement.sum(|part| part.operation.is_message());
    let mut findings = clipped(measurement);
    findings.extend(clock_steps::stepped(measurement));
    findings.extend(stalled(measurement));
    findings.extend(our_errors(measurement));
    findings.extend(closings(measurement, target, &messages));
    findings.extend(connecting(measurement, target));
    findings.extend(sessions(measurement));
    findings.extend(absent(measurement));
    findings.extend(gave_up(measurement));
    findings.extend(expired(&messages));
    findings.extend(late_acks(measurement));
    findings.extend(late_subacks(measurement));
    findings.extend(throttled(&messages));
    findings.extend(late_answers(measurement));
    findings.extend(desired_missed(measurement));
    findings.extend(commands(measurement));
    findings.extend(unreadable(measurement));
    findings.extend(unfinished(measurement, &messages));
    findings.extend(undelivered(measurement));
    findings.extend(no_ack(&messages));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Nothing is clipped silently.
fn clipped(measurement: &Measurement) -> Vec<Finding> {
    let top = human_us(measurement.highest_us);
    let by_operation = measurement.operations.iter().map(|part| (part.operation, part.totals.clipped));
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for (operation, clipped) in by_operation.filter(|(_, clipped)| *clipped > 0) {
        match sums.iter_mut().find(|(name, _)| *name == operation.name()) {
            Some((_, sum)) => *sum += clipped,
            None => sums.push((operation.name(), clipped)),
        }
    }
    let findings = sums.into_iter().map(|(name, clipped)| {
        let text =
            format!("Some times of {name} exceeded the range of the histograms. They are recorded as {top}");
        finding(Severity::Warning, text, format!("{} above {top}", plural(clipped, "value", "values")))
    });
    findings.collect()
}

/// A load generator that stalls for this long in one go is told, whether or not that decided anything.
const STALL_US: u64 = 50_000;

/// When parts of this machine did not run although they had something to do.
fn stalled(measurement: &Measurement) -> Vec<Finding> {
    let parts = [("The load generator", false), ("The built-in hub", true)];
    let findings = parts.into_iter().filter_map(|(name, is_hub)| {
        let stalls = || {
            let is_of = move |source| matches!(source, Source::Emulator(_)) == is_hub;
            let health = measurement.health.iter().filter(move |health| is_of(health.source));
            health.flat_map(|health| health.stalls.entries())
        };
        let longest = stalls().max_by_key(|stretch| stretch.stalled_us).filter(|s| s.stalled_us >= STALL_US)?;
        let total_us: u64 = stalls().map(|stretch| stretch.stalled_us).sum();
        let text = format!(
            "{name} stalled: it had work to do and did not run. It was stopped, or other programs used this machine's processors. \
             Lower bounds exclude this delay"
        );
        let evidence = format!(
            "longest {} at {}, {} in all",
            human_us(longest.stalled_us),
            super::format::instant(longest.from_us),
            human_us(total_us)
        );
        Some(finding(Severity::Warning, text, evidence))
    });
    findings.collect()
}

/// Passwords over plain TCP can be read by anybody on the way.
pub(super) fn clear_password(is_sent: bool) -> Option<Finding> {
    is_sent.then(|| {
        let text = "Passwords were sent unencrypted, because [target] sets tls = false. Remove it";
        finding(Severity::Warning, text, "password over plain TCP")
    })
}

/// Two processes counted the same messages: when they disagree, a reader has to know. The hub may hold messages whose ack never
/// arrived, but never fewer than were acked.
pub(super) fn counts_disagree(hub: &Emulator, measurement: &Measurement) -> Option<Finding> {
    let acked = measurement.of(Operation::Telemetry).outcome(Outcome::Ok);
    (hub.telemetry < acked).then(|| {
        let text = "The built-in hub counted fewer messages than it acknowledged";
        finding(Severity::Warning, text, format!("{} at the hub, {acked} acked", hub.telemetry))
    })
}

fn our_errors(measurement: &Measurement) -> Vec<Finding> {
    let ours = measurement.errors.iter().filter(|error| error.culprit == Culprit::Us);
    let findings = ours.map(|error| {
        let text = format!("Errors of class {} come from this machine, not from the hub", error.class);
        finding(
            Severity::Warning,
            text,
            format!("{} counted, e.g. {}", human_count(error.count), error.example),
        )
    });
    findings.collect()
}

/// Each planned connection is one, and each reconnect.
fn absent(measurement: &Measurement) -> Option<Finding> {
    let online = measurement.of(Operation::Online);
    let missing = online.due.saturating_sub(online.outcome(Outcome::Ok));
    (missing > 0).then(|| {
        let text = "Some devices never connected, or did not reconnect before the end of the run. Their messages count as failed";
        let due = plural(online.due, "planned connection", "planned connections");
        finding(Severity::Warning, text, format!("{} of {due} failed", human_count(missing)))
    })
}

fn gave_up(measurement: &Measurement) -> Option<Finding> {
    let gave_up = measurement.count(|counts| counts.gave_up);
    (gave_up > 0).then(|| {
        let text = "Devices gave up reconnecting, as their reconnect policy or sdk preset specifies. They stayed offline";
        finding(Severity::Note, text, plural(gave_up, "time", "times"))
    })
}

fn expired(messages: &Totals) -> Option<Finding> {
    let expired = messages.outcome(Outcome::Expired);
    (expired > 0).then(|| {
        let text = "Messages were not sent before their send_by: the in-flight window was full, the connection accepted no more data, the \
                    device was offline unexpectedly, or a twin request had no subscription for its answer";
        let due = plural(messages.due, "message", "messages");
        finding(Severity::Note, text, format!("{} of {due} expired", human_count(expired)))
    })
}

fn late_acks(measurement: &Measurement) -> Option<Finding> {
    let late = measurement.count(|counts| counts.late_acks);
    (late > 0).then(|| {
        let text = "Acknowledgments arrived after their timeout. Those messages reached the hub and count as timed out";
        finding(Severity::Note, text, plural(late, "late acknowledgment", "late acknowledgments"))
    })
}

/// A late SUBACK counts for the connection, but not for the operation.
fn late_subacks(measurement: &Measurement) -> Option<Finding> {
    let late = measurement.count(|counts| counts.late_subacks);
    (late > 0).then(|| {
        let text =
            "SUBACKs arrived after their timeout. Those subscriptions count as timed out, but are in effect";
        finding(Severity::Note, text, plural(late, "late SUBACK", "late SUBACKs"))
    })
}

/// A count of what hubs sent, over all fleets.
fn from_hub(measurement: &Measurement, count: fn(&FromHub) -> u64) -> u64 {
    measurement.count(|counts| count(&counts.from_hub))
}

/// Azure, "IoT Hub quotas and throttling": reads and updates of twins have limits of their own.
fn throttled(messages: &Totals) -> Option<Finding> {
    let throttled = messages.outcome(Outcome::Throttled);
    (throttled > 0).then(|| {
        let text = "The hub throttled twin requests. It limits twin reads and updates per second, over all of its devices";
        finding(Severity::Warning, text, format!("{} answered 429", human_count(throttled)))
    })
}

fn late_answers(measurement: &Measurement) -> Option<Finding> {
    let late = from_hub(measurement, |hub| hub.late_answers);
    (late > 0).then(|| {
        let text = "Answers to twin requests arrived after their requests had timed out, or had been lost with an earlier connection";
        finding(Severity::Note, text, plural(late, "late answer", "late answers"))
    })
}

/// Azure, "Understand and use device twins in IoT Hub": changes reach devices that are connected and subscribed.
fn desired_missed(measurement: &Measurement) -> Option<Finding> {
    let missed = from_hub(measurement, |hub| hub.desired_missed);
    (missed > 0).then(|| {
        let text = "Devices missed changes of desired properties. A hub sends them only to devices that are connected and subscribed";
        finding(Severity::Note, text, plural(missed, "version missed", "versions missed"))
    })
}

fn commands(measurement: &Measurement) -> Option<Finding> {
    let [skipped, later, twice]: [fn(&FromHub) -> u64; 3] =
        [|hub| hub.c2d_skipped, |hub| hub.c2d_reordered, |hub| hub.c2d_duplicates];
    let [skipped, later, twice] = [skipped, later, twice].map(|count| from_hub(measurement, count));
    // Each message takes a number before the hub is asked: one that the hub did not confirm may be a gap of our own.
    let sends = measurement.of(Operation::ServiceC2d);
    let unconfirmed = sends.due.saturating_sub(sends.outcome(Outcome::Ok));
    let missing = skipped.saturating_sub(later).saturating_sub(unconfirmed);
    (missing > 0 || twice > 0).then(|| {
        let text = "Some cloud-to-device messages arrived more than once or not at all. A hub delivers them at least once, and drops those \
                    that expired";
        finding(
            Severity::Warning,
            text,
            format!("{} missing, {}", human_count(missing), plural(twice, "duplicate", "duplicates")),
        )
    })
}

fn unreadable(measurement: &Measurement) -> Option<Finding> {
    let unreadable = from_hub(measurement, |hub| hub.unreadable);
    let unknown = from_hub(measurement, |hub| hub.unknown_answers);
    (unreadable > 0 || unknown > 0).then(|| {
        let text = "The hub sent messages that an IoT hub does not send, or answers without a request";
        let evidence = format!(
            "{}, {}",
            plural(unreadable, "unreadable message", "unreadable messages"),
            plural(unknown, "unknown answer", "unknown answers")
        );
        finding(Severity::Warning, text, evidence)
    })
}

fn unfinished(measurement: &Measurement, messages: &Totals) -> Option<Finding> {
    let oldest = messages.unfinished_age.max()?;
    let outcome = |operation, outcome| measurement.of(operation).outcome(outcome);
    let text = if outcome(Operation::Connect, Outcome::Ok) == 0 {
        "Messages were still unsent when the run ended: no device ever connected"
    } else if outcome(Operation::Online, Outcome::Unfinished) > 0 {
        "Messages were still unsent or unacknowledged when the run ended, some of them of devices that were not online. Increase drain \
         to see their outcome"
    } else {
        "Messages were still unacknowledged when the run ended. Increase drain to see their outcome"
    };
    let open = human_count(messages.outcome(Outcome::Unfinished));
    Some(finding(Severity::Note, text, format!("{open} open, the oldest for {}", human_us(oldest))))
}

fn undelivered(measurement: &Measurement) -> Option<Finding> {
    let deliveries = measurement.of(Operation::Deliver);
    let lost = deliveries.outcome(Outcome::Lost);
    (lost > 0).then(|| {
        let text =
            "Messages that the broker acknowledged, or that were sent with QoS 0, did not reach every subscriber";
        let due = plural(deliveries.due, "copy", "copies");
        finding(Severity::Warning, text, format!("{} of {due} lost", human_count(lost)))
    })
}

fn no_ack(messages: &Totals) -> Option<Finding> {
    messages.no_ack.then(|| {
        let text =
            "Messages with QoS 0 are not acknowledged. Their ok means sent to the network, not accepted by the hub";
        finding(Severity::Note, text, "QoS 0 in the scenario")
    })
}

#[cfg(test)]
mod tests {
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
    fn a_clean_run_has_none() {
        assert_eq!(of(|_| ()), []);
    }

    #[test]
    fn each_finding_has_its_cause_and_its_number() {
        type Record = fn(&mut Recorder);
        let causes: [(Record, Severity, &str, &str); 17] = [
            (
                |r| r.counts(0).late_subacks = 5,
                Severity::Note,
                "Those subscriptions count as timed out",
                "5 late SUBACKs",
            ),
            (
                |r| {
                    r.due(KEY, 0);
                    r.ended(KEY, Outcome::Throttled, 0, 0);
                },
                Severity::Warning,
                "throttled twin requests",
                "1 answered 429",
            ),
            (|r| r.counts(0).from_hub.late_answers = 2, Severity::Note, "had timed out", "2 late answers"),
            (
                |r| r.counts(0).from_hub.desired_missed = 1,
                Severity::Note,
                "desired properties",
                "1 version missed",
            ),
            (
                |r| {
                    let hub = &mut r.counts(0).from_hub;
                    (hub.c2d_skipped, hub.c2d_reordered, hub.c2d_duplicates) = (5, 2, 1);
                },
                Severity::Warning,
                "at least once",
                "3 missing, 1 duplicate",
            ),
            (
                |r| r.counts(0).from_hub.unreadable = 1,
                Severity::Warning,
                "an IoT hub does not send",
                "1 unreadable message, 0 unknown answers",
            ),
            (
                |r| r.lost(Key { operation: Operation::Deliver, ..KEY }, 3, S),
                Severity::Warning,
                "did not reach every subscriber",
                "3 of 3 copies lost",
            ),
            (
                |r| r.ok(KEY, &Times { acked: 100 * S, ..Times::default() }),
                Severity::Warning,
                "exceeded the range of the histograms",
                "2 values above 67.1 s",
            ),
            (
                |r| r.error("fd_limit", Culprit::Us, 0, || "too many open files".to_owned()),
                Severity::Warning,
                "fd_limit",
                "1 counted, e.g. too many open files",
            ),
            (
                |r| r.error("connack_5", Culprit::Peer, 0, String::new),
                Severity::Warning,
                "code 5",
                "1 refused",
            ),
            (
                |r| r.error("tls_certificate", Culprit::Peer, 0, String::new),
                Severity::Warning,
                "certificate was not accepted",
                "1 connection, e.g. ",
            ),
            (
                |r| {
                    r.due(KEY, 0);
                    r.ended(KEY, Outcome::Expired, 0, S);
                },
                Severity::Note,
                "send_by",
                "1 of 2 messages expired",
            ),
            (
                |r| {
                    let key = Key { operation: Operation::Online, ..KEY };
                    r.due(key, 0);
                    r.ended(key, Outcome::Unfinished, 0, S);
                },
                Severity::Warning,
                "never connected",
                "1 of 1 planned connection failed",
            ),
            (|r| r.counts(0).gave_up = 2, Severity::Note, "gave up reconnecting", "2 times"),
            (|r| r.counts(0).late_acks = 3, Severity::Note, "after their timeout", "3 late acknowledgments"),
            (
                |r| r.ended(KEY, Outcome::Unfinished, 0, 2 * S),
                Severity::Note,
                "no device ever connected",
                "1 open, the oldest for 2.00 s",
            ),
            (|r| r.no_ack(KEY), Severity::Note, "QoS 0", "QoS 0 in the scenario"),
        ];
        for (record, severity, text, evidence) in causes {
            let findings = of(record);
            let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
            assert!(finding.text.contains(text), "{finding:?}");
            assert_eq!((finding.severity, finding.evidence.as_str()), (severity, evidence));
        }
    }

    #[test]
    fn numbers_of_messages_that_the_hub_did_not_take_are_not_missing() {
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
        assert_eq!(skipped(1, &[Ok, Refused, TimedOut]), [], "one came after all");
        let found = skipped(3, &[Ok, Refused, TimedOut]);
        assert_eq!(found[0].evidence, "1 missing, 0 duplicates");
    }

    #[test]
    fn a_longer_drain_is_advised_only_to_who_connected() {
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
            r.error("connack_5", Culprit::Peer, 0, String::new);
        });
        let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Note]);
    }
}
