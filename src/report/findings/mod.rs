//! What a reader should know besides the verdict: each finding in words, with the number it rests on. Called by
//! [`judge`](super::judge). What the wire does not say is not guessed: a finding says what it looks like.

pub(super) mod clock_steps;
mod closings;
mod connecting;
mod finding;
mod target_facts;

pub use target_facts::TargetFacts;

use super::format::instant;
use crate::measure::{Culprit, FromHub, Measurement, Operation, Outcome, Source, Totals};
use crate::result::model::{Emulator, Finding, Severity};
use crate::units::{human_count, human_us, plural};
use closings::{closings, qos_0_on_dead_connections};
use connecting::{connecting, unexpected_sessions};
use finding::finding;

/// Findings of the measurement itself, warnings first.
pub(super) fn findings(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let messages = measurement.sum(|part| part.operation.is_message());
    let mut findings = clipped(measurement);
    findings.extend(clock_steps::finding_of_steps(measurement));
    findings.extend(stalled(measurement));
    findings.extend(local_errors(measurement));
    findings.extend(closings(measurement, target, &messages));
    findings.extend(connecting(measurement, target));
    findings.extend(qos_0_on_dead_connections(measurement));
    findings.extend(unexpected_sessions(measurement));
    findings.extend(never_online(measurement));
    findings.extend(gave_up(measurement));
    findings.extend(expired(&messages));
    findings.extend(late_acks(measurement));
    findings.extend(late_subacks(measurement));
    findings.extend(throttled(&messages));
    findings.extend(late_answers(measurement));
    findings.extend(missed_desired_versions(measurement));
    findings.extend(c2d_deliveries(measurement));
    findings.extend(unexpected_messages(measurement));
    findings.extend(unfinished(measurement, &messages));
    findings.extend(undelivered(measurement));
    findings.extend(qos_0(&messages));
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
const LONG_STALL_US: u64 = 50_000;

/// When parts of this machine did not run although they had something to do.
fn stalled(measurement: &Measurement) -> Vec<Finding> {
    let parts = [("The load generator", false), ("The built-in hub", true)];
    let findings = parts.into_iter().filter_map(|(name, is_hub)| {
        let stalls = || {
            let is_of = move |source| matches!(source, Source::Emulator(_)) == is_hub;
            let health = measurement.health.iter().filter(move |health| is_of(health.source));
            health.flat_map(|health| health.stalls.entries())
        };
        let longest = stalls().max_by_key(|stretch| stretch.stalled_us).filter(|s| s.stalled_us >= LONG_STALL_US)?;
        let total_us: u64 = stalls().map(|stretch| stretch.stalled_us).sum();
        let text = format!(
            "{name} stalled: it had work to do and did not run. It was stopped, or other programs used this machine's processors. \
             Lower bounds exclude this delay"
        );
        let evidence = format!(
            "longest {} at {}, {} in all",
            human_us(longest.stalled_us),
            instant(longest.from_us),
            human_us(total_us)
        );
        Some(finding(Severity::Warning, text, evidence))
    });
    findings.collect()
}

/// Passwords over plain TCP can be read by anybody on the way.
pub(super) fn cleartext_password(is_sent: bool) -> Option<Finding> {
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

fn local_errors(measurement: &Measurement) -> Vec<Finding> {
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
fn never_online(measurement: &Measurement) -> Option<Finding> {
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
fn missed_desired_versions(measurement: &Measurement) -> Option<Finding> {
    let missed = from_hub(measurement, |hub| hub.desired_missed);
    (missed > 0).then(|| {
        let text = "Devices missed changes of desired properties. A hub sends them only to devices that are connected and subscribed";
        finding(Severity::Note, text, plural(missed, "version missed", "versions missed"))
    })
}

fn c2d_deliveries(measurement: &Measurement) -> Option<Finding> {
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

fn unexpected_messages(measurement: &Measurement) -> Option<Finding> {
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

fn qos_0(messages: &Totals) -> Option<Finding> {
    messages.no_ack.then(|| {
        let text =
            "Messages with QoS 0 are not acknowledged. Their ok means sent to the network, not accepted by the hub";
        finding(Severity::Note, text, "QoS 0 in the scenario")
    })
}

#[cfg(test)]
mod tests;
