//! Finds the error that ended an operation, among the errors of its fleet. Used by `checklist`. Pure.

use super::items::{FleetError, Item, State, What};
use crate::measure::Outcome;

/// Returns the state of an item that ends now with an outcome other than ok. `errors` are the errors so far. The last one that can
/// explain the outcome does.
pub(super) fn ended(item: &Item, outcome: Outcome, errors: &[FleetError]) -> State {
    let explains = |error: &&FleetError| is_cause(error, item, outcome);
    State::Ended(outcome, errors.iter().rev().find(explains).cloned())
}

/// Adds the error to the items that ended without one, because the loss of a connection follows the ends of its operations.
pub(super) fn explain(items: &mut [Item], error: &FleetError) {
    for item in items {
        if let State::Ended(outcome, None) = item.state
            && is_cause(error, item, outcome)
        {
            item.state = State::Ended(outcome, Some(error.clone()));
        }
    }
}

fn is_cause(error: &FleetError, item: &Item, outcome: Outcome) -> bool {
    error.fleet == item.fleet && explains(error.class, item.what, outcome)
}

/// Returns true if an error of this class may be the reason for the outcome of an operation.
fn explains(class: &str, what: What, outcome: Outcome) -> bool {
    let of = |kind: &str| class.starts_with(kind);
    match (what, outcome) {
        (What::Subscribe(..), Outcome::TimedOut) => class == "subscribe_timeout",
        (What::Subscribe(..), Outcome::Refused) => class == "subscribe_refused",
        (What::TwinGet | What::TwinReport { .. }, Outcome::TimedOut) => class == "twin_timeout",
        (What::TwinGet | What::TwinReport { .. }, Outcome::Refused | Outcome::Throttled) => {
            of("twin_") && class != "twin_timeout"
        }
        (What::Message { .. }, Outcome::TimedOut) => class == "ack_timeout",
        (What::Call { .. }, _) => of("call_"),
        // The connection failed or was lost, or the message could not be sent.
        _ => !["subscribe_", "twin_", "call_", "ack_timeout", "method_", "clock_ahead"].into_iter().any(of),
    }
}
