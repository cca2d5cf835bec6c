//! The findings of a run: observations in addition to the verdict, each with evidence and advice. The input is a measurement and facts
//! about the target; the output is a list of findings. Most findings are in this file; the others are in `connecting`, `closings`,
//! `storms`, `targets` and `clock_steps`. Called by `judge`. Pure.
//!
//! If the traffic does not show the cause, a finding describes the symptoms and does not claim a cause.

pub(super) mod clock_steps;
mod closings;
mod connecting;
mod finding;
mod limits;
mod resumption;
mod storms;
pub(super) mod target_facts;
mod targets;

pub(super) use limits::limits;
pub use target_facts::TargetFacts;

use super::format::instant;
use crate::measure::{Culprit, FromHub, Measurement, Operation, Outcome, Source, Totals};
use crate::result::model::{Emulator, Finding, Recovery, Severity};
use crate::units::{human_count, human_us, plural};
use closings::{closings, qos_0_on_dead_connections};
use connecting::{connecting, unexpected_sessions};
pub(super) use finding::finding;

/// Returns the findings of a measurement, warnings first.
pub(super) fn findings(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let messages = measurement.sum(|part| part.operation.is_message());
    let mut findings = clipped(measurement);
    findings.extend(clock_steps::finding_of_steps(measurement));
    findings.extend(stalled(measurement));
    findings.extend(local_errors(measurement));
    findings.extend(closings(measurement, target, &messages));
    findings.extend(connecting(measurement, target));
    findings.extend(targets::targets(measurement));
    findings.extend(resumption::resumption(measurement, target));
    findings.extend(qos_0_on_dead_connections(measurement));
    findings.extend(unexpected_sessions(measurement));
    findings.extend(storms::storms(measurement, target.size));
    findings.extend(never_online(measurement));
    findings.extend(gave_up(measurement));
    findings.extend(expired(&messages));
    findings.extend(late_acks(measurement));
    findings.extend(late_subacks(measurement));
    findings.extend(throttled(&messages).filter(|_| !target.reached_limit));
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

/// Latencies above the histogram range.
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
            format!("Some latencies of {name} exceeded the histogram range. They are recorded as {top}");
        finding(Severity::Warning, text, format!("{} above {top}", plural(clipped, "value", "values")))
    });
    findings.collect()
}

/// A single stall of this length is a finding, whether or not it affected a threshold.
const LONG_STALL_US: u64 = 50_000;

/// Stalls of the load generator and of the built-in hub.
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
            "{name} stalled: it had work to do but did not run. It was suspended, or other programs used this machine's CPUs. The \
             lower bounds of latencies exclude this delay"
        );
        let evidence = format!(
            "longest {} at {}, total {}",
            human_us(longest.stalled_us),
            instant(longest.from_us),
            human_us(total_us)
        );
        Some(finding(Severity::Warning, text, evidence))
    });
    findings.collect()
}

/// A result that was recovered from a journal, and its missing parts.
pub(super) fn recovered(recovery: &Recovery) -> Finding {
    let text = format!(
        "The result was recovered from the journal of a run that wrote no result. Operations that had no outcome by then count as \
         unfinished. Missing: {}",
        recovery.missing.join("; ")
    );
    let ignored = match recovery.ignored_bytes {
        0 => String::new(),
        bytes => format!(", {} after it could not be used", plural(bytes, "byte", "bytes")),
    };
    finding(Severity::Warning, text, format!("journal until {}{ignored}", human_us(recovery.until_us)))
}

/// Passwords that devices sent over plain TCP.
pub(super) fn cleartext_password(is_sent: bool) -> Option<Finding> {
    is_sent.then(|| {
        let text =
            "Devices sent passwords unencrypted, because [target] sets tls = false. Remove tls = false";
        finding(Severity::Warning, text, "password over plain TCP")
    })
}

/// Thresholds that are not those of the run. `file` is the scenario that they are from.
pub(super) fn other_thresholds(file: &str) -> Finding {
    let text = "The run was judged again with the thresholds of another scenario file";
    finding(Severity::Note, text, file)
}

/// A built-in hub that counted fewer messages than the devices. If it counted more, that is not an error, because acknowledgments can be
/// lost.
pub(super) fn counts_disagree(hub: &Emulator, measurement: &Measurement) -> Option<Finding> {
    let acked = measurement.of(Operation::Telemetry).outcome(Outcome::Ok);
    (hub.telemetry < acked).then(|| {
        let text = "The built-in hub counted fewer messages than it acknowledged";
        finding(Severity::Warning, text, format!("{} received, {acked} acknowledged", hub.telemetry))
    })
}

/// Errors that this machine caused.
fn local_errors(measurement: &Measurement) -> Vec<Finding> {
    let ours = measurement.errors.iter().filter(|error| error.culprit == Culprit::Generator);
    let findings = ours.map(|error| {
        let text = format!("This machine, not the hub, caused the errors of class {}", error.class);
        finding(
            Severity::Warning,
            text,
            format!("{}, e.g. {}", plural(error.count, "error", "errors"), error.example),
        )
    });
    findings.collect()
}

/// Planned connections and reconnects that failed.
fn never_online(measurement: &Measurement) -> Option<Finding> {
    let online = measurement.of(Operation::Online);
    let missing = online.due.saturating_sub(online.outcome(Outcome::Ok));
    (missing > 0).then(|| {
        let text = "Some devices never connected, or did not reconnect before the end of the run. Their messages count as failed";
        let due = plural(online.due, "planned connection", "planned connections");
        finding(Severity::Warning, text, format!("{} of {due} failed", human_count(missing)))
    })
}

/// Devices that stopped reconnecting.
fn gave_up(measurement: &Measurement) -> Option<Finding> {
    let gave_up = measurement.count(|counts| counts.gave_up);
    (gave_up > 0).then(|| {
        let text = "Devices gave up reconnecting, as their reconnect policy or sdk preset specifies. They stayed offline, and their \
                    due messages expired or were skipped";
        finding(Severity::Note, text, plural(gave_up, "time", "times"))
    })
}

/// Messages that were not sent within `send_by`.
fn expired(messages: &Totals) -> Option<Finding> {
    let expired = messages.outcome(Outcome::Expired);
    (expired > 0).then(|| {
        let text = "Some messages expired, because devices could not send them within send_by: the in-flight window was full, the \
                    connection accepted no more data, the device was offline unexpectedly, or a twin request had no subscription for \
                    its answer";
        let due = plural(messages.due, "message", "messages");
        finding(Severity::Note, text, format!("{} of {due} expired", human_count(expired)))
    })
}

/// Acknowledgments that arrived after the timeout.
fn late_acks(measurement: &Measurement) -> Option<Finding> {
    let late = measurement.count(|counts| counts.late_acks);
    (late > 0).then(|| {
        let text = "Some acknowledgments arrived after their timeout. The hub received these messages, but they count as timed out";
        finding(Severity::Note, text, plural(late, "late acknowledgment", "late acknowledgments"))
    })
}

/// SUBACKs that arrived after the timeout. The subscription is in effect, but the operation timed out.
fn late_subacks(measurement: &Measurement) -> Option<Finding> {
    let late = measurement.count(|counts| counts.late_subacks);
    (late > 0).then(|| {
        let text =
            "Some SUBACKs arrived after their timeout. These subscriptions are in effect, but they count as timed out";
        finding(Severity::Note, text, plural(late, "late SUBACK", "late SUBACKs"))
    })
}

/// Returns a count of messages from the hub, over all fleets.
fn from_hub(measurement: &Measurement, count: fn(&FromHub) -> u64) -> u64 {
    measurement.count(|counts| count(&counts.from_hub))
}

/// Azure, "IoT Hub quotas and throttling": twin reads and twin updates have separate limits.
fn throttled(messages: &Totals) -> Option<Finding> {
    let throttled = messages.outcome(Outcome::Throttled);
    (throttled > 0).then(|| {
        let text = "The hub throttled twin requests. It limits twin reads and updates per second, across all devices. Compare the load with the \
                    limits of its tier and units";
        finding(Severity::Warning, text, format!("{} answered with status 429", plural(throttled, "request", "requests")))
    })
}

/// Answers to twin requests that were no longer open.
fn late_answers(measurement: &Measurement) -> Option<Finding> {
    let late = from_hub(measurement, |hub| hub.late_answers);
    (late > 0).then(|| {
        let text = "Some answers to twin requests arrived after the request had timed out, or after its connection had ended";
        finding(Severity::Note, text, plural(late, "late answer", "late answers"))
    })
}

/// Azure, "Understand and use device twins in IoT Hub": only connected and subscribed devices receive changes.
fn missed_desired_versions(measurement: &Measurement) -> Option<Finding> {
    let missed = from_hub(measurement, |hub| hub.desired_missed);
    (missed > 0).then(|| {
        let text = "Devices missed changes to their desired properties. A hub sends a change only to connected devices that have subscribed";
        finding(Severity::Note, text, plural(missed, "version missed", "versions missed"))
    })
}

/// Missing and duplicate cloud-to-device messages.
fn c2d_deliveries(measurement: &Measurement) -> Option<Finding> {
    let [skipped, later, twice]: [fn(&FromHub) -> u64; 3] =
        [|hub| hub.c2d_skipped, |hub| hub.c2d_reordered, |hub| hub.c2d_duplicates];
    let [skipped, later, twice] = [skipped, later, twice].map(|count| from_hub(measurement, count));
    // Messages are numbered before the call to the hub, so a message that the hub did not accept leaves a gap.
    let sends = measurement.of(Operation::ServiceC2d);
    let unconfirmed = sends.due.saturating_sub(sends.outcome(Outcome::Ok));
    let missing = skipped.saturating_sub(later).saturating_sub(unconfirmed);
    (missing > 0 || twice > 0).then(|| {
        let text = "Some cloud-to-device messages arrived more than once or not at all. A hub delivers a message at least once, and drops \
                    expired messages";
        finding(
            Severity::Warning,
            text,
            format!("{} missing, {}", human_count(missing), plural(twice, "duplicate", "duplicates")),
        )
    })
}

/// Messages that a real IoT hub does not send.
fn unexpected_messages(measurement: &Measurement) -> Option<Finding> {
    let unreadable = from_hub(measurement, |hub| hub.unreadable);
    let unknown = from_hub(measurement, |hub| hub.unknown_answers);
    (unreadable > 0 || unknown > 0).then(|| {
        let text =
            "The hub sent messages that an IoT hub does not send, or answers that do not match any request";
        let evidence = format!(
            "{}, {}",
            plural(unreadable, "unreadable message", "unreadable messages"),
            plural(unknown, "unknown answer", "unknown answers")
        );
        finding(Severity::Warning, text, evidence)
    })
}

/// Messages without an outcome at the end of the run.
fn unfinished(measurement: &Measurement, messages: &Totals) -> Option<Finding> {
    let oldest = messages.unfinished_age.max()?;
    let outcome = |operation, outcome| measurement.of(operation).outcome(outcome);
    let text = if outcome(Operation::Connect, Outcome::Ok) == 0 {
        "Messages were still unsent when the run ended, because no device ever connected"
    } else if outcome(Operation::Online, Outcome::Unfinished) > 0 {
        "Messages were still unsent or unacknowledged when the run ended, and some of their devices were offline. Increase drain to see \
         their outcome"
    } else {
        "Messages were still unacknowledged when the run ended. Increase drain to see their outcome"
    };
    let open = plural(messages.outcome(Outcome::Unfinished), "unfinished message", "unfinished messages");
    Some(finding(Severity::Note, text, format!("{open}, the oldest {} old", human_us(oldest))))
}

/// Messages that did not reach a subscriber.
fn undelivered(measurement: &Measurement) -> Option<Finding> {
    let deliveries = measurement.of(Operation::Deliver);
    let lost = deliveries.outcome(Outcome::Lost);
    (lost > 0).then(|| {
        let text =
            "Some messages that the broker acknowledged, or that devices sent with QoS 0, did not reach every subscriber";
        let due = plural(deliveries.due, "copy", "copies");
        finding(Severity::Warning, text, format!("{} of {due} lost", human_count(lost)))
    })
}

/// The meaning of ok at QoS 0.
fn qos_0(messages: &Totals) -> Option<Finding> {
    messages.no_ack.then(|| {
        let text =
            "Messages with QoS 0 are not acknowledged. For them, ok means sent to the network, not received by the hub";
        finding(Severity::Note, text, "QoS 0 in the scenario")
    })
}

#[cfg(test)]
mod tests;
