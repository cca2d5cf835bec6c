//! The reason why an item of a checklist failed, and the fix, from the error that ended it. Used by `text`. Pure.

use super::super::preflight;
use super::checklist::Checklist;
use super::items::{FleetError, Item, State, What};
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
    let fleet = plan.fleets.get(usize::from(item.fleet))?;
    let (outcome, error) = match &item.state {
        State::Failed(what, fix) => return Some(Reason { what: what.clone(), fix: Some(fix.clone()) }),
        State::Ended(outcome, error) => (*outcome, error),
        State::Open | State::Ok(_) | State::Skipped(_) => return None,
    };
    let refused_filter = matches!(item.what, What::Subscribe(..)) && outcome == Outcome::Refused;
    let (class, what) = match error {
        // SUBACK precedes its error, which names only the first of several refused filters.
        _ if refused_filter => {
            ("subscribe_refused", "the server refused this subscription (SUBACK 0x80)".to_owned())
        }
        Some(FleetError { class: class @ "connack_timeout", .. }) => {
            (*class, preflight::no_connack_within(fleet.connect_timeout))
        }
        Some(error) => (error.class, without_prefix(&error.text).to_owned()),
        None => {
            let what = format!("the outcome is {}, and no error was recorded", outcome.name());
            let fix = format!("use --trace {} to see the packets of this device", fleet.device_id(0));
            return Some(Reason { what, fix: Some(fix) });
        }
    };
    // The text of a failed handshake ends with the fix.
    let has_fix = matches!(class, "tls" | "tls_certificate");
    let fix = (!has_fix).then(|| plan.source.advice(fix(class, item, list, plan)));
    Some(Reason { what: format!("{what} ({class})"), fix })
}

/// Removes the device or the operation from the beginning of an error, because the item names them.
fn without_prefix(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, rest)| rest)
}

/// Returns the fix for an error class, for the step at which the operation failed.
fn fix(class: &str, item: &Item, list: &Checklist, plan: &Plan) -> &'static str {
    let (kind, tls) = (plan.target.kind, plan.target.tls.is_some());
    // The connection of a reconnect is the second one of its device.
    let earlier = usize::from(matches!(item.what, What::Reconnect { .. }));
    let reached = |step| {
        let steps = list.connect_steps.iter();
        steps.filter(|(fleet, reached, _)| (*fleet, *reached) == (item.fleet, step)).count() > earlier
    };
    let connecting = matches!(item.what, What::Connect | What::Reconnect { .. });
    match class {
        _ if connecting && !reached(Operation::ConnectMqtt) => {
            if class.starts_with("connack_")
                || reached(if tls { Operation::ConnectTls } else { Operation::ConnectTcp })
            {
                let others_connected = list.items.iter().any(|other| {
                    other.fleet != item.fleet
                        && other.what == What::Connect
                        && matches!(other.state, State::Ok(_))
                });
                report::connack_fix(class, Connecting { kind, tls, others_connected })
            } else {
                report::dial_fix(class, tls)
            }
        }
        // The device is online in a checklist.
        "call_device_not_online" => "add \"methods\" to the fleet's `subscribe`",
        "closed_by_peer" | "reset" if kind == TargetKind::IotHub => {
            "an IoT hub closes the connection after an invalid packet: check the payload size, the property bag and the topic"
        }
        "closed_by_peer" | "reset" => {
            "check the log of the broker, and its access rules for the topics of this fleet"
        }
        _ => report::error_fix(class).unwrap_or("see docs/errors.md"),
    }
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
