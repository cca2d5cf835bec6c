//! The result file: everything else is rendered from it. Assembled by `app`, read by `report`.
//! It imports `measure` and `units` only: it knows nothing of MQTT, plans or workers.
//!
//! [`model`] is the shape; `build` maps what was measured to it; `histogram` keeps distributions lossless;
//! `file` reads, writes and describes it; `disk` keeps files complete.

pub mod build;
pub mod disk;
pub mod file;
pub mod histogram;
pub mod model;

pub use build::{Names, errors, fleets, meters, operations, series};
pub use disk::replace;
pub use file::{FileError, parse, read, read_from, schema, to_json, write_new};
pub use histogram::{DecodeError, decode, histogram, latency};
