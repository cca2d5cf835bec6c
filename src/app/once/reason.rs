//! The reason why an item of a checklist failed, and the fix, from the errors of its fleet. Used by `text`. Pure.

use super::super::preflight;
use super::checklist::{Checklist, FleetError};
use super::items::{Item, State, What};
use crate::measure::Outcome;
use crate::plan::{Plan, TargetKind};
use std::time::Duration;

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
    let mut errors = list.errors.iter().filter(|error| error.fleet == item.fleet);
    let Some(error) = errors.find(|error| explains(error, item, outcome)) else {
        let what = format!("the outcome is {}", outcome.name());
        return Some(Reason { what, fix: None });
    };
    let others = list.items.iter().any(|other| {
        other.fleet != item.fleet && other.what == What::Connect && matches!(other.state, State::Ok(_))
    });
    let what = match (item.what, outcome) {
        // The error names only the first of several refused filters.
        (What::Subscribe(..), Outcome::Refused) => "the server refused this subscription (SUBACK 0x80)",
        _ if error.class == "connack_timeout" => {
            let timeout = plan
                .fleets
                .get(usize::from(item.fleet))
                .map_or(Duration::ZERO, |fleet| fleet.connect_timeout);
            &preflight::no_connack_within(timeout)
        }
        _ => without_prefix(&error.text),
    };
    Some(Reason { what: format!("{what} ({})", error.class), fix: fix(error, item, (plan, others)) })
}

/// Returns true if an error may be the reason for the outcome of an item.
fn explains(error: &FleetError, item: &Item, outcome: Outcome) -> bool {
    let of = |kind: &str| error.class.starts_with(kind);
    let connection =
        !["subscribe_", "twin_", "call_", "ack_timeout", "method_", "clock_ahead"].into_iter().any(of);
    let named = error.text.contains(item.label.split(' ').next().unwrap_or_default());
    match (item.what, outcome) {
        (What::Subscribe(..), Outcome::TimedOut) => error.class == "subscribe_timeout",
        (What::Subscribe(..), Outcome::Refused) => error.class == "subscribe_refused",
        (What::TwinGet | What::TwinReport { .. }, Outcome::TimedOut) => {
            error.class == "twin_timeout" && named
        }
        (What::TwinGet | What::TwinReport { .. }, Outcome::Refused | Outcome::Throttled) => {
            of("twin_") && error.class != "twin_timeout" && named
        }
        (What::Message { .. }, Outcome::TimedOut) => error.class == "ack_timeout",
        (What::Call { .. }, _) => of("call_") && named,
        _ => connection,
    }
}

/// Removes the device or the operation from the beginning of an error, because the item names them.
fn without_prefix(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, rest)| rest)
}

/// Returns the fix for an error. `None` if the text of the error contains it.
fn fix(error: &FleetError, item: &Item, (plan, others_connected): (&Plan, bool)) -> Option<String> {
    let hub = plan.target.kind == TargetKind::IotHub;
    let tls = plan.target.tls.is_some();
    let before_connack = error.text.contains("before CONNACK");
    let connecting = is_connect(item) && !error.text.contains("after CONNACK");
    let fix = match error.class {
        // The text of a failed handshake ends with the fix.
        "tls" | "tls_certificate" => return None,
        "connack_timeout" if connecting => {
            preflight::connack_timeout_fix(plan.target.kind, tls, others_connected)
        }
        "protocol_error" | "closed_by_peer" | "reset" if connecting && before_connack => {
            preflight::no_connack_fix(plan.target.kind, tls, others_connected)
        }
        class if connecting && preflight::connack_code(class).is_some() => {
            preflight::refusal_fix(plan.target.kind, preflight::connack_code(class).unwrap_or_default())
        }
        class if connecting => preflight::class_fix(class, tls),
        "closed_by_peer" | "reset" if hub => {
            "an IoT hub closes the connection after an invalid packet: check the payload size, the property bag and the topic"
        }
        "closed_by_peer" | "reset" => {
            "check the log of the broker, and its access rules for the topics of this fleet"
        }
        "subscribe_refused" => "check the filter, and the access rules of the server",
        "ack_timeout" | "subscribe_timeout" => {
            "check the log of the server, and its access rules; if it is only slow, increase ack_timeout"
        }
        "twin_timeout" => "if the hub is only slow, increase `timeout` in the fleet's `twin`",
        "twin_400" | "twin_400004" | "twin_413" | "twin_413001" => {
            "check the payload of [[fleet.NAME.report]]"
        }
        "payload" | "call_payload" => "correct the payload in the scenario",
        "call_device_not_online" => "add \"methods\" to the fleet's `subscribe`",
        "call_no_answer" => "increase the call's response_timeout, or shorten the method's `after`",
        class => return Some(format!("docs/errors.md explains {class}")),
    };
    Some(fix.to_owned())
}

fn is_connect(item: &Item) -> bool {
    matches!(item.what, What::Connect | What::Reconnect { .. })
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
