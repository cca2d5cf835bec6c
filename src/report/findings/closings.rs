//! What it looks like when a peer closes connections: MQTT 3.1.1 does not say why, so that each finding here names its signs and what
//! to do, and none is a class of error. A part of `findings`; pure over what was measured.

use super::TargetFacts;
use super::finding::finding;
use crate::measure::{FleetCounts, Measurement, Outcome, Totals};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, human_us, plural};

/// So many connections at least, and this share of the devices that were online, before closings are those of many.
const MANY_MIN: u64 = 3;
const MANY_DIVISOR: u64 = 100;

/// An ack that is outstanding for this long, and for so many times the usual, is kept waiting.
const LONG_US: u64 = 1_000_000;
const LONG_FACTOR: u64 = 4;

/// The findings about closed connections.
pub(super) fn closings(measurement: &Measurement, target: TargetFacts, messages: &Totals) -> Vec<Finding> {
    let devices = measurement.devices();
    let (mut counts, mut online) = (FleetCounts::default(), 0);
    for fleet in &measurement.fleets {
        counts.add(&fleet.counts);
        online += fleet.connected_peak;
    }
    let closed = throttled(&counts, online, target, messages)
        .or_else(|| closed_with_unacknowledged(measurement, &counts, messages));
    [closed, token_expired(measurement), shared_id(&counts, devices)].into_iter().flatten().collect()
}

/// Azure, "IoT Hub quotas and throttling": traffic is shaped first, and MQTT 3.1.1 has no code for a throttle.
fn throttled(counts: &FleetCounts, online: u64, target: TargetFacts, messages: &Totals) -> Option<Finding> {
    let waited_us = counts.closed_waiting_us.checked_div(counts.closed_waiting)?;
    let usual_us = messages.service.quantile(0.5);
    let many = counts.closed_waiting >= MANY_MIN.max(online / MANY_DIVISOR);
    let long = waited_us >= LONG_US && waited_us >= LONG_FACTOR * usual_us.unwrap_or(0);
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
fn closed_with_unacknowledged(
    measurement: &Measurement,
    counts: &FleetCounts,
    messages: &Totals,
) -> Option<Finding> {
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
fn token_expired(measurement: &Measurement) -> Option<Finding> {
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

/// A QoS 0 message is ok when the kernel takes it. On a dead connection nothing more is known about it.
pub(super) fn qos_0_on_dead_connections(measurement: &Measurement) -> Option<Finding> {
    let unconfirmed = measurement.count(|counts| counts.qos0_on_dead_connections);
    (unconfirmed > 0).then(|| {
        let text = "QoS 0 messages count as ok although their connection turned out to be dead: nothing was received after they were \
                    sent. They may not have arrived. Use QoS 1 to be sure, or a shorter keep_alive to find dead connections sooner";
        let ok = measurement.sum(|part| part.operation.is_message() && !part.operation.has_ack()).ok();
        let ok = plural(ok, "ok message", "ok messages");
        finding(Severity::Warning, text, format!("{} of {ok} with QoS 0", human_count(unconfirmed)))
    })
}
