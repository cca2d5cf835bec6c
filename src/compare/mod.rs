//! Compares results: is the new side worse than the base by more than the tolerance? Pure functions of result files. `app` reads
//! the files and prints; `report` may render. Read `model` first, then `comparison`.
//!
//! `sample` extracts the numbers of a metric from a result, `judge` chooses the statistical method in `stats`,
//! and `comparison` combines the metrics. This room must not depend on plans, workers or MQTT.

mod comparison;
mod error;
mod judge;
pub mod model;
mod options;
mod sample;
mod stats;

#[cfg(test)]
mod tests;

pub use comparison::{Input, compare};
pub use error::CompareError;
pub use model::schema;
pub use options::{Options, Tolerance};
