//! Findings about closed, expired and dead connections. In MQTT 3.1.1, a server cannot say why it closes a connection, so each finding
//! describes the symptoms, and none of them is an error class. Called by `findings`. Pure.

use super::TargetFacts;
use super::finding::finding;
use crate::measure::{FleetCounts, Measurement, Outcome, Totals};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, human_us, plural};

/// The number of closed connections is large if it is at least `MANY_MIN` and at least 1/`MANY_DIVISOR` of the online devices.
const MANY_MIN: u64 = 3;
const MANY_DIVISOR: u64 = 100;

/// An acknowledgment is delayed if it is outstanding for at least `LONG_US`, and for at least `LONG_FACTOR` times the median.
const LONG_US: u64 = 1_000_000;
const LONG_FACTOR: u64 = 4;

/// Returns the findings about closed connections.
pub(super) fn closings(measurement: &Measurement, target: TargetFacts, messages: &Totals) -> Vec<Finding> {
    let devices = measurement.devices();
    let (mut counts, mut online) = (FleetCounts::default(), 0);
    for fleet in &measurement.fleets {
        counts.add(&fleet.counts);
        online += fleet.connected_peak;
    }
    let closed = throttled(&counts, online, target, messages)
        .or_else(|| closed_with_unacknowledged(measurement, &counts, messages));
    // The counts of the hub's limits and faults say why it closed connections.
    let is_explained = target.reached_limit || target.faults_closed;
    let guesses = [closed, shared_id(&counts, devices)].into_iter().flatten().filter(|_| !is_explained);
    guesses.chain(token_expired(measurement)).collect()
}

/// Azure, "IoT Hub quotas and throttling": a hub delays traffic before it throttles. MQTT 3.1.1 has no code for throttling.
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
        let usual = match usual_us {
            Some(us) => format!("the median acknowledgment took {}", human_us(us)),
            None => "no acknowledgment arrived".to_owned(),
        };
        let closed = plural(counts.closed_waiting, "connection", "connections");
        let waited = format!("the oldest message was unacknowledged for {} on average", human_us(waited_us));
        finding(Severity::Warning, text, format!("{closed} closed or reset; {waited}; {usual}"))
    })
}

/// Closed connections with unacknowledged messages. Connections that ended before CONNACK are excluded, because they had no messages.
fn closed_with_unacknowledged(
    measurement: &Measurement,
    counts: &FleetCounts,
    messages: &Totals,
) -> Option<Finding> {
    let closed = measurement.errors_of("closed_by_peer").saturating_sub(counts.closed_before_connack);
    let closed = closed.min(counts.closed_waiting);
    let lost = messages.outcome(Outcome::Lost);
    (closed > 0 && lost > 0).then(|| {
        let text = "The hub closed connections that had unacknowledged messages. Possible causes are a restart, a failover, a limit of the \
                    hub, or another client with the same id. Check the hub's log";
        let closed = plural(closed, "closed connection", "closed connections");
        let lost = plural(lost, "lost message", "lost messages");
        finding(Severity::Warning, text, format!("{closed}, {lost}"))
    })
}

/// Azure, "Monitor, diagnose, and troubleshoot Azure IoT Hub device connectivity": a hub closes a connection minutes after its token expires.
fn token_expired(measurement: &Measurement) -> Option<Finding> {
    let error = measurement.errors.iter().find(|error| error.class == "closed_after_expiry")?;
    let text = "Connections ended within ten minutes after their token expired, which is how an IoT hub enforces expiry. The devices had \
                not renewed their tokens. Check renew, ttl and clock_skew in auth";
    let (count, first) = (plural(error.count, "connection", "connections"), human_us(error.first_us));
    Some(finding(Severity::Warning, text, format!("{count}, the first {first} into the run")))
}

/// Two clients that share an id: each new connection ends the other client's connection (MQTT 3.1.1 §3.1.4).
fn shared_id(counts: &FleetCounts, devices: u64) -> Option<Finding> {
    let ended = counts.closed_soon_devices;
    (ended > 0).then(|| {
        let text = "Connections of some devices were closed or reset within a minute, at least three times in a row. Two clients may share \
                    an id, so that each ends the other's connection. Look for another run, or for the real devices. Alternatively, the \
                    server may be rejecting a packet after CONNECT. Check subscriptions and topics";
        let evidence = format!("{} of {}", human_count(ended), plural(devices, "device", "devices"));
        finding(Severity::Warning, text, evidence)
    })
}

/// QoS 0 messages on dead connections. They count as ok as soon as the kernel accepts them, but may not have arrived.
pub(super) fn qos_0_on_dead_connections(measurement: &Measurement) -> Option<Finding> {
    let unconfirmed = measurement.count(|counts| counts.qos0_on_dead_connections);
    (unconfirmed > 0).then(|| {
        let text = "Some QoS 0 messages count as ok, but their connection was dead: devices received nothing after they had sent them. The \
                    messages may not have arrived. Use QoS 1 to be sure, or a shorter keep_alive to detect dead connections sooner";
        let ok = measurement.sum(|part| part.operation.is_message() && !part.operation.has_ack()).ok();
        let ok = plural(ok, "ok message", "ok messages");
        finding(Severity::Warning, text, format!("{} of {ok} with QoS 0", human_count(unconfirmed)))
    })
}
