//! The result file: everything else is rendered from it. Assembled by `app`, read by `report`.
//! It imports `measure` and `units` only: it knows nothing of MQTT, plans or workers.
//!
//! [`model`] is the shape, with the run's [`Measurement`](crate::measure::Measurement) as its body; `file` reads, writes and
//! describes it; `disk` keeps files complete.

mod checks;
pub mod disk;
pub mod file;
mod file_error;
pub mod model;

#[cfg(test)]
pub(crate) mod testing;

pub use disk::replace;
pub use file::{parse, read, read_from, schema, to_json, write_new};
pub use file_error::FileError;
