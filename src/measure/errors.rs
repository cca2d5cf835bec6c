//! Errors by class. Counted by the recorder, merged by the collector.

use super::operation::Culprit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The errors of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorTotals {
    /// Stable name, such as `connack_5`, `closed_by_peer` or `ack_stall`.
    pub class: String,
    /// Probable cause: `peer` (the target), `network` or `us` (the load generator).
    pub culprit: Culprit,
    /// Number of errors.
    pub count: u64,
    /// Time of the first error, since the start of the run.
    pub first_us: u64,
    /// Time of the last error, since the start of the run.
    pub last_us: u64,
    /// The message of one of these errors.
    pub example: String,
}

/// Adds errors to a list with one entry per class and culprit. Keeps the earliest example.
pub(super) fn merge(list: &mut Vec<ErrorTotals>, error: &ErrorTotals) {
    match list.iter_mut().find(|known| known.class == error.class && known.culprit == error.culprit) {
        Some(known) => {
            if (error.first_us, &error.example) < (known.first_us, &known.example)
                && !error.example.is_empty()
            {
                known.example.clone_from(&error.example);
            }
            known.count = known.count.saturating_add(error.count);
            known.first_us = known.first_us.min(error.first_us);
            known.last_us = known.last_us.max(error.last_us);
        }
        None => list.push(error.clone()),
    }
}
