//! The cause of a failed run, such as an unreachable hub. It is the first reason of the verdict, before the failed thresholds. Called by
//! `judge`. Pure.

use super::reason::{Code, reason};
use crate::measure::{Culprit, ErrorTotals, Measurement, Operation, Outcome};
use crate::report::findings::clock_steps;
use crate::report::format::instant;
use crate::result::model::Detail;
use crate::units::{human_count, plural};

/// An event counts as the cause if it affects at least this fraction (1/n) of the connections or messages: 10%.
const CAUSE_DIVISOR: u64 = 10;

/// Returns why a run failed. `None` if the failed thresholds have no common cause.
pub(super) fn failure_cause(measurement: &Measurement) -> Option<Detail> {
    let cause = never_connected(measurement);
    if cause.is_some() || is_mostly_excused(measurement) {
        return cause;
    }
    let clock_explains = clock_steps::step_after_refusals(measurement).is_some();
    unreachable(measurement)
        .or_else(|| refused(measurement).filter(|_| !clock_explains))
        .or_else(|| connections_ended(measurement))
        .or_else(|| acks_missing(measurement))
}

/// Returns true if the load generator may have caused most failures. Then the cause must not name the hub.
fn is_mostly_excused(measurement: &Measurement) -> bool {
    let all = measurement.sum(|_| true);
    let failed = all.ended().saturating_sub(all.ok());
    failed > 0 && all.excused.sum() > failed / 2
}

/// Returns a cause if no device in any fleet ever connected. The text contains the most frequent error.
fn never_connected(measurement: &Measurement) -> Option<Detail> {
    let connects = measurement.of(Operation::Connect);
    if connects.outcome(Outcome::Ok) > 0 {
        return None;
    }
    let text = match measurement.errors.iter().max_by_key(|error| error.count) {
        Some(error) => {
            let errors = plural(error.count, "error", "errors");
            format!("No device ever connected: {errors} of class {}, e.g. {}", error.class, error.example)
        }
        None if connects.due == 0 => "No device ever connected: no connection attempt was due".to_owned(),
        None => {
            let open =
                plural(connects.outcome(Outcome::Unfinished), "connection attempt", "connection attempts");
            format!("No device ever connected: {open} remained unanswered until the run ended")
        }
    };
    Some(reason(Code::NeverConnected, text))
}

/// Returns the sum of the peak numbers of connected devices in each fleet.
fn online_peak(measurement: &Measurement) -> u64 {
    measurement.fleets.iter().map(|fleet| fleet.connected_peak).sum()
}

/// Returns the number of matching errors that the load generator did not cause, the time of the first error, and the most frequent
/// class.
fn matching_errors(
    measurement: &Measurement,
    is_match: impl Fn(&ErrorTotals) -> bool,
) -> Option<(u64, u64, &ErrorTotals)> {
    let matching =
        || measurement.errors.iter().filter(|error| error.culprit != Culprit::Generator && is_match(error));
    let count = matching().map(|error| error.count).sum();
    let first_us = matching().map(|error| error.first_us).min()?;
    Some((count, first_us, matching().max_by_key(|error| error.count)?))
}

/// Returns true if a count is large enough to be a cause.
fn is_large_share(count: u64, whole: u64) -> bool {
    count > 0 && count >= whole / CAUSE_DIVISOR
}

/// Returns a cause if devices were online, and later connection attempts failed during the name resolution or the TCP handshake.
fn unreachable(measurement: &Measurement) -> Option<Detail> {
    let dial = |error: &ErrorTotals| error.class.starts_with("tcp_") || error.class.starts_with("dns");
    let (count, first_us, most) = matching_errors(measurement, dial)?;
    is_large_share(count, online_peak(measurement)).then(|| {
        let attempts = plural(count, "connection attempt", "connection attempts");
        let failed = if most.class == "tcp_refused" { "refused" } else { "failed" };
        let was = if count == 1 { "was" } else { "were" };
        let how = if failed == "failed" {
            format!("{attempts} failed ({})", most.class)
        } else {
            format!("{attempts} {was} refused")
        };
        reason(Code::HubUnreachable, format!("The hub became unreachable at {}: {how}", instant(first_us)))
    })
}

/// Returns a cause if the hub answered CONNECT with a code other than 0.
fn refused(measurement: &Measurement) -> Option<Detail> {
    let (count, first_us, most) = matching_errors(measurement, |error| error.class.starts_with("connack_"))?;
    let attempts = measurement.of(Operation::Connect).due;
    is_large_share(count, attempts).then(|| {
        let text = format!(
            "The hub refused {} of {}, the first at {}: {}",
            human_count(count),
            plural(attempts, "connection attempt", "connection attempts"),
            instant(first_us),
            most.example
        );
        reason(Code::ConnectionsRefused, text)
    })
}

/// How connections ended, by error class.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Closed,
    Expired,
    Reset,
    Silent,
}

impl Ending {
    fn of(class: &str) -> Option<Ending> {
        match class {
            "closed_by_peer" => Some(Ending::Closed),
            "closed_after_expiry" => Some(Ending::Expired),
            "reset" => Some(Ending::Reset),
            "ping_timeout" | "ack_stall" => Some(Ending::Silent),
            _ => None,
        }
    }

    /// Returns the number of errors of these classes that occurred in connection attempts, before CONNACK.
    fn attempts(self, measurement: &Measurement) -> u64 {
        match self {
            Ending::Closed => measurement.count(|counts| counts.closed_before_connack),
            Ending::Reset => measurement.count(|counts| counts.reset_before_connack),
            Ending::Expired | Ending::Silent => 0,
        }
    }

    fn describe(self, count: u64, connections: &str) -> String {
        match (self, count) {
            (Ending::Closed, _) => format!("The hub closed {connections}"),
            (Ending::Expired, 1) => format!("{connections} ended after its token expired"),
            (Ending::Expired, _) => format!("{connections} ended after their tokens expired"),
            // The traffic does not show whether the hub or the network reset a connection.
            (Ending::Reset, 1) => format!("{connections} was reset"),
            (Ending::Reset, _) => format!("{connections} were reset"),
            // Here the devices closed the connections.
            (Ending::Silent, _) => format!("The hub stopped responding on {connections}"),
        }
    }
}

/// Returns a cause if many connections ended. It describes the most common way in which they ended.
fn connections_ended(measurement: &Measurement) -> Option<Detail> {
    let (all, _, most) = matching_errors(measurement, |error| Ending::of(&error.class).is_some())?;
    let ending = Ending::of(&most.class)?;
    let (count, first_us, most) =
        matching_errors(measurement, |error| Ending::of(&error.class) == Some(ending))?;
    is_large_share(all, online_peak(measurement)).then(|| {
        let attempts = ending.attempts(measurement).min(count);
        let parts = [
            (count - attempts, "connection", "connections"),
            (attempts, "connection attempt", "connection attempts"),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, one, many)| plural(count, one, many)).collect();
        let happened = ending.describe(count, &parts.join(" and "));
        let text = format!("{happened}, the first at {}: {}", instant(first_us), most.example);
        let code = if ending == Ending::Silent { Code::HubSilent } else { Code::ConnectionsClosed };
        reason(code, text)
    })
}

/// Returns a cause if the hub left many messages unacknowledged.
fn acks_missing(measurement: &Measurement) -> Option<Detail> {
    let messages = measurement.sum(|part| part.operation.is_message());
    let timed_out = messages.outcome(Outcome::TimedOut)
        - messages.excused[Outcome::TimedOut].min(messages.outcome(Outcome::TimedOut));
    is_large_share(timed_out, messages.due).then(|| {
        let due = plural(messages.due, "message", "messages");
        let text = format!("The hub did not acknowledge {} of {due} in time", human_count(timed_out));
        let excused = match messages.outcome(Outcome::TimedOut) - timed_out {
            0 => String::new(),
            count => {
                let count = human_count(count);
                format!(". {count} more timed out, but a delay of the load generator may be the cause")
            }
        };
        reason(Code::AcksMissing, text + &excused)
    })
}
