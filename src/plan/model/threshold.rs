//! A threshold. Data only.

use crate::measure::{Operation, Test};
use std::time::Duration;

/// A threshold with its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Which operation it reads.
    pub metric: Operation,
    /// Index of the phase it names.
    pub phase: Option<u16>,
    /// Index of the fleet it names.
    pub fleet: Option<u16>,
    /// As written.
    pub expression: String,
    /// What is compared.
    pub test: Test,
    /// A decisive fail ends the run from this long after the start of the phase that it names, or of the first phase that is no
    /// warm-up; `None`: it never ends the run. See [`Plan::abort_from`].
    pub abort_after: Option<Duration>,
}
