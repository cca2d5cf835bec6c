//! What it looks like when a peer closes connections: MQTT 3.1.1 does not say why, so that each finding here names its signs and what
//! to do, and none is a class of error. A part of `findings`; pure over what was measured.

use super::findings::{TargetFacts, finding};
use crate::measure::{FleetCounts, Measurement, Outcome, Totals};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, human_us, plural};

/// So many connections at least, and this share of the devices that were online, before closings are those of many.
const MANY: u64 = 3;
const MANY_SHARE: u64 = 100;

/// An ack that is outstanding for this long, and for so many times the usual, is kept waiting.
const LONG_US: u64 = 1_000_000;
const TIMES_USUAL: u64 = 4;

/// The findings about closed connections.
pub(super) fn closings(measurement: &Measurement, target: TargetFacts, messages: &Totals) -> Vec<Finding> {
    let devices = measurement.devices();
    let (mut counts, mut online) = (FleetCounts::default(), 0);
    for fleet in &measurement.fleets {
        counts.add(&fleet.counts);
        online += fleet.connected_peak;
    }
    let closed =
        throttled(&counts, online, target, messages).or_else(|| under_way(measurement, &counts, messages));
    [closed, expired(measurement), shared_id(&counts, devices)].into_iter().flatten().collect()
}

/// Azure, "IoT Hub quotas and throttling": traffic is shaped first, and MQTT 3.1.1 has no code for a throttle.
fn throttled(counts: &FleetCounts, online: u64, target: TargetFacts, messages: &Totals) -> Option<Finding> {
    let waited_us = counts.closed_waiting_us.checked_div(counts.closed_waiting)?;
    let usual_us = messages.service.quantile(0.5);
    let many = counts.closed_waiting >= MANY.max(online / MANY_SHARE);
    let long = waited_us >= LONG_US && waited_us >= TIMES_USUAL * usual_us.unwrap_or(0);
    (many && long).then(|| {
        let hub = "The hub delayed acknowledgments and then closed or reset the connections of many devices. This is how an IoT hub \
                   throttles MQTT 3.1.1, which has no code for it. Compare the load with the limits of the hub's tier and units, and \
                   check its metrics for throttling errors";
        let broker = "The broker delayed acknowledgments and then closed or reset the connections of many devices. It may be overloaded. \
                      Compare the load with its limits, and check its log";
        let text = if target.is_hub { hub } else { broker };
        let usual = usual_us.map_or_else(|| "none arrived".to_owned(), |us| format!("the median was {}", human_us(us)));
        let closed = plural(counts.closed_waiting, "connection", "connections");
        let waited = human_us(waited_us);
        finding(Severity::Warning, text, format!("{closed} closed or reset, the oldest acknowledgment was delayed by {waited} on average; {usual}"))
    })
}

/// Connections that ended before CONNACK do not count: they had no messages.
fn under_way(measurement: &Measurement, counts: &FleetCounts, messages: &Totals) -> Option<Finding> {
    let closed = measurement.errors_of("closed_by_peer").saturating_sub(counts.closed_before_connack);
    let closed = closed.min(counts.closed_waiting);
    let lost = messages.outcome(Outcome::Lost);
    (closed > 0 && lost > 0).then(|| {
        let text = "The hub closed connections that had unacknowledged messages: because of a restart, a failover, one of its limits, or \
                    another client with the same id. Its log may say which";
        let (closed, lost) = (human_count(closed), human_count(lost));
        finding(Severity::Warning, text, format!("connections closed by the hub: {closed}; messages lost: {lost}"))
    })
}

/// Azure, "Monitor, diagnose, and troubleshoot Azure IoT Hub device connectivity": a connection outlives its token by minutes.
fn expired(measurement: &Measurement) -> Option<Finding> {
    let error = measurement.errors.iter().find(|error| error.class == "closed_after_expiry")?;
    let text = "Connections ended within ten minutes after their token expired, as an IoT hub ends them. The devices had not renewed \
                it: check renew, ttl and clock_skew in their auth";
    let (count, first) = (plural(error.count, "connection", "connections"), human_us(error.first_us));
    Some(finding(Severity::Warning, text, format!("{count}, the first {first} into the run")))
}

/// A new connection of an id ends the one before (MQTT 3.1.1 §3.1.4), and then the two take turns.
fn shared_id(counts: &FleetCounts, devices: u64) -> Option<Finding> {
    let ended = counts.closed_soon_devices;
    (ended > 0).then(|| {
        let text = "Devices connected and were closed or reset within a minute, at least three times in a row. One cause is two clients \
                    that share an id: each ends the other's connection. Look for another run, or for the real devices. Another is a \
                    server that does not accept what follows CONNECT: a subscription, a topic, or a further message";
        let evidence = format!("{} of {}", human_count(ended), plural(devices, "device", "devices"));
        finding(Severity::Warning, text, evidence)
    })
}

#[cfg(test)]
mod tests {
    use super::super::findings::findings;
    use super::*;
    use crate::measure::{Culprit, Key, Operation, Recorder, Times};

    const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    const MS: u64 = 1_000_000;

    /// Of 100 devices so many online, acks that take 20 ms, and what else is recorded.
    fn of(online: i64, record: impl FnOnce(&mut Recorder)) -> Vec<Finding> {
        let mut measurement = crate::report::testing::measured(1, 1, |recorder| {
            for _ in 0..100 {
                recorder.due(KEY, 0);
                recorder.ok(KEY, &Times { due: 0, picked: 0, sent: 0, acked: 20 * MS });
            }
            recorder.online(0, online);
            record(recorder);
        });
        measurement.fleets[0].devices = 100;
        findings(&measurement, TargetFacts { is_hub: true, ..TargetFacts::default() })
    }

    fn closed(recorder: &mut Recorder, times: u64, waited_us: u64) {
        for _ in 0..times {
            recorder.error("closed_by_peer", Culprit::Peer, 0, String::new);
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
    fn a_healthy_run_looks_like_nothing() {
        assert_eq!(of(100, |_| ()), []);
        assert_eq!(
            of(100, |r| r.error("closed_by_peer", Culprit::Peer, 0, String::new)),
            [],
            "an idle connection"
        );
    }

    #[test]
    fn late_acks_and_then_the_end_of_many_look_like_a_throttle() {
        let evidence = "4 connections closed or reset, the oldest acknowledgment was delayed by 8.00 s on average; the median was 20.0 ms";
        only(&of(100, |r| closed(r, 4, 8_000_000)), "throttles", evidence);
    }

    #[test]
    fn a_hub_that_closes_without_being_late_and_one_device_alone_do_not() {
        let evidence = |n| format!("connections closed by the hub: {n}; messages lost: {n}");
        for (online, times, waited_us) in [(100, 4, 900_000), (100, 2, 8_000_000), (1_000, 9, 8_000_000)] {
            only(&of(online, |r| closed(r, times, waited_us)), "a restart, a failover", &evidence(times));
        }
    }

    /// Connections with messages were reset, and attempts to reconnect were closed.
    #[test]
    fn closed_attempts_are_no_closed_connections_with_messages() {
        let findings = of(100, |r| {
            closed(r, 2, 0);
            r.counts(0).closed_before_connack = 2;
        });
        assert_eq!(findings.iter().filter(|finding| finding.text.contains("unacknowledged")).count(), 0);
    }

    #[test]
    fn a_hub_that_always_answers_late_does_not() {
        let findings = of(100, |r| {
            for _ in 0..1_000 {
                r.due(KEY, 0);
                r.ok(KEY, &Times { due: 0, picked: 0, sent: 0, acked: 2_500 * MS });
            }
            closed(r, 4, 8_000_000);
        });
        only(&findings, "a restart, a failover", "connections closed by the hub: 4; messages lost: 4");
    }

    #[test]
    fn the_end_after_a_tokens_end_is_told_with_its_first_instant() {
        let findings = of(100, |r| {
            for at in [300_000 * MS, 400_000 * MS] {
                r.error("closed_after_expiry", Culprit::Peer, at, String::new);
            }
        });
        only(&findings, "token expired", "2 connections, the first 5m into the run");
    }

    #[test]
    fn a_loop_of_short_connections_looks_like_a_shared_id() {
        // More of them than were ever online at once.
        let findings = of(2, |r| r.counts(0).closed_soon_devices = 3);
        only(&findings, "closed or reset within a minute", "3 of 100 devices");
    }
}
