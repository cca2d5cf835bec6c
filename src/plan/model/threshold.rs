//! A threshold. Data only.

use crate::measure::{Operation, Test};
use std::time::Duration;

/// A threshold with its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Operation that the threshold checks.
    pub metric: Operation,
    /// Index of the phase that the threshold names, if any.
    pub phase: Option<u16>,
    /// Index of the fleet that the threshold names, if any.
    pub fleet: Option<u16>,
    /// True for `fault:none`: the threshold covers only operations that no fault on the generator's side affected.
    pub without_faults: bool,
    /// Expression as written.
    pub expression: String,
    /// Parsed expression.
    pub test: Test,
    /// The earliest time, since the start of the threshold's phase, at which a failed threshold may end the run. Its phase is the
    /// one that it names, or the first one that is not a warm-up. `None`: the threshold never ends the run. See
    /// [`Plan::abort_from`](super::Plan::abort_from).
    pub abort_after: Option<Duration>,
    /// Line of the expression in the scenario file. `None` if it is from the command line.
    pub line: Option<u64>,
}
