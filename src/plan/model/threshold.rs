//! A threshold. Data only.

use crate::measure::{Operation, Test};
use std::time::Duration;

/// A threshold with its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Operation that it reads.
    pub metric: Operation,
    /// Index of the phase that it names, if any.
    pub phase: Option<u16>,
    /// Index of the fleet that it names, if any.
    pub fleet: Option<u16>,
    /// Expression as written.
    pub expression: String,
    /// Parsed expression.
    pub test: Test,
    /// Delay after which a failure ends the run early, counted from the start of the phase that the threshold names, or of the first
    /// phase that is not a warm-up. `None`: it never ends the run. See [`Plan::abort_from`](super::Plan::abort_from).
    pub abort_after: Option<Duration>,
}
