//! The result file: its contents, and how it is written and read. `app` fills a [`RunResult`](model::RunResult) and
//! writes it; `report` renders everything else from it. Read `model` first.
//!
//! `model` is the shape, with the run's [`Measurement`](crate::measure::Measurement) as its body; `file` reads and
//! writes it, with `checks` against damaged files; `disk` keeps files complete. This room must not depend on MQTT,
//! plans or workers: it imports `measure` and `units` only.

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
