//! The reason why an item of a checklist failed, and the fix, from the errors of its fleet. Used by `text`. Pure.

use super::super::preflight;
use super::checklist::{Checklist, FleetError};
use super::items::{Item, State, What};
use crate::measure::{Operation, Outcome};
use crate::plan::{Plan, TargetKind};
use crate::report::{self, Connecting};

/// The reason why an item failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The failure, with the error class.
    pub(super) what: String,
    /// The fix. `None` if `what` contains it.
    pub(super) fix: Option<String>,
}

/// Returns the reason why an item failed. `None` if it did not fail.
pub(super) fn reason(item: &Item, list: &Checklist, plan: &Plan) -> Option<Reason> {
    let outcome = match &item.state {
        State::Failed(what, fix) => return Some(Reason { what: what.clone(), fix: Some(fix.clone()) }),
        State::Ended(outcome) => *outcome,
        State::Open | State::Ok(_) | State::Skipped(_) => return None,
    };
    let error = error_of(item, outcome, list);
    let class = error.map_or_else(|| class_without_error(item.what, outcome), |error| error.class);
    let timeout = || plan.fleets.get(usize::from(item.fleet)).map(|fleet| fleet.connect_timeout);
    let what = match (item.what, outcome, error) {
        // The error names only the first of several refused filters.
        (What::Subscribe(..), Outcome::Refused, _) => {
            "the server refused this subscription (SUBACK 0x80)".to_owned()
        }
        (.., Some(error)) if class == "connack_timeout" => {
            timeout().map_or_else(|| without_prefix(&error.text).to_owned(), preflight::no_connack_within)
        }
        (.., Some(error)) => without_prefix(&error.text).to_owned(),
        (.., None) => format!("the outcome is {}, and no error was recorded", outcome.name()),
    };
    // The text of a failed handshake ends with the fix.
    let has_fix = error.is_some() && matches!(class, "tls" | "tls_certificate");
    let fix = (!has_fix).then(|| fix(class, item, list, plan));
    Some(Reason { what: format!("{what} ({class})"), fix })
}

/// Returns the error that ended an item: the last one before its end that can be its reason. Errors of subscriptions follow the end.
fn error_of<'e>(item: &Item, outcome: Outcome, list: &'e Checklist) -> Option<&'e FleetError> {
    let fits = |error: &&FleetError| error.fleet == item.fleet && explains(error.class, item.what, outcome);
    let (before, after) = list.errors.split_at_checked(item.errors_before)?;
    before.iter().rev().find(fits).or_else(|| after.iter().find(fits))
}

/// Returns true if an error of this class may be the reason for the outcome of an operation.
fn explains(class: &str, what: What, outcome: Outcome) -> bool {
    let of = |kind: &str| class.starts_with(kind);
    let connection =
        !["subscribe_", "twin_", "call_", "ack_timeout", "method_", "clock_ahead"].into_iter().any(of);
    match (what, outcome) {
        (What::Subscribe(..), Outcome::TimedOut) => class == "subscribe_timeout",
        (What::Subscribe(..), Outcome::Refused) => class == "subscribe_refused",
        (What::TwinGet | What::TwinReport { .. }, Outcome::TimedOut) => class == "twin_timeout",
        (What::TwinGet | What::TwinReport { .. }, Outcome::Refused | Outcome::Throttled) => {
            of("twin_") && class != "twin_timeout"
        }
        (What::Message { .. }, Outcome::TimedOut) => class == "ack_timeout",
        (What::Call { .. }, _) => of("call_"),
        _ => connection,
    }
}

/// Returns the class of an operation that ended without an error.
fn class_without_error(what: What, outcome: Outcome) -> &'static str {
    match (what, outcome) {
        (What::Subscribe(..), Outcome::TimedOut) => "subscribe_timeout",
        (What::Subscribe(..), Outcome::Refused) => "subscribe_refused",
        (What::TwinGet | What::TwinReport { .. }, Outcome::TimedOut) => "twin_timeout",
        (What::TwinGet | What::TwinReport { .. }, Outcome::Throttled) => "twin_429",
        (What::TwinGet | What::TwinReport { .. }, Outcome::Refused) => "twin_unknown",
        (What::Call { .. }, Outcome::TimedOut) => "call_timeout",
        (What::Call { .. }, Outcome::Throttled) => "call_throttled",
        (What::Call { .. }, Outcome::Refused) => "call_refused",
        (What::Call { .. }, _) => "call_failed",
        (What::Connect | What::Reconnect { .. }, Outcome::TimedOut) => "connack_timeout",
        (What::Connect | What::Reconnect { .. }, Outcome::Refused) => "connack_unknown",
        (_, Outcome::TimedOut) => "ack_timeout",
        _ => "closed_by_peer",
    }
}

/// Removes the device or the operation from the beginning of an error, because the item names them.
fn without_prefix(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, rest)| rest)
}

/// Returns the fix for an error class, for the step at which the operation failed.
fn fix(class: &str, item: &Item, list: &Checklist, plan: &Plan) -> String {
    let (kind, tls) = (plan.target.kind, plan.target.tls.is_some());
    let reached = |operation| {
        list.connect_steps
            .iter()
            .filter(|(fleet, step, _)| *fleet == item.fleet && *step == operation)
            .count()
    };
    // The connection of a reconnect is the second one of its device.
    let earlier = usize::from(matches!(item.what, What::Reconnect { .. }));
    let connecting = matches!(item.what, What::Connect | What::Reconnect { .. })
        && reached(Operation::ConnectMqtt) <= earlier;
    let dialed = if tls { Operation::ConnectTls } else { Operation::ConnectTcp };
    let others_connected = list.items.iter().any(|other| {
        other.fleet != item.fleet && other.what == What::Connect && matches!(other.state, State::Ok(_))
    });
    let fix = match class {
        _ if connecting && (class.starts_with("connack_") || reached(dialed) > earlier) => {
            report::connack_fix(class, Connecting { kind, tls, others_connected })
        }
        _ if connecting => report::dial_fix(class, tls),
        "closed_by_peer" | "reset" if kind == TargetKind::IotHub => {
            "an IoT hub closes the connection after an invalid packet: check the payload size, the property bag and the topic"
        }
        "closed_by_peer" | "reset" => {
            "check the log of the broker, and its access rules for the topics of this fleet"
        }
        _ => report::error_fix(class).unwrap_or("see docs/errors.md"),
    };
    fix.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_of_an_error_is_removed_once() {
        assert_eq!(without_prefix("meter-1: a: b"), "a: b");
        assert_eq!(without_prefix("plain"), "plain");
    }
}
