//! The result file: everything else is rendered from it. Assembled by `app`, read by `report`.
//! It imports `measure` and `units` only: it knows nothing of MQTT, plans or workers.
//!
//! [`model`] is the shape, with the run's [`Measurement`](crate::measure::Measurement) as its body; `file` reads, writes and
//! describes it.

pub mod file;
pub mod model;

pub use file::{FileError, read, replace, schema, write};
