//! The result file: its contents, and how it is written and read. `app` fills a [`RunResult`](model::RunResult) and
//! writes it; `report` renders everything else from it. Read `model` first.
//!
//! `model` defines the contents, which include the run's [`Measurement`](crate::measure::Measurement); `file` reads and
//! writes result files, `json_layout` keeps them small and readable, and `checks` detects damaged ones; `disk` writes files atomically.
//! `recoveries` computes when devices returned after each disturbance; `metric` names a value of a result. This room must not depend on
//! MQTT, plans or workers.

mod checks;
pub mod disk;
mod fault;
pub mod file;
mod file_error;
pub mod journal;
mod journal_head;
mod json_layout;
pub mod metric;
pub mod model;
mod recoveries;

#[cfg(test)]
mod size_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use disk::{folder_of, replace};
pub use file::{parse, read, read_bytes, read_from, schema, to_compact_json, to_json, write_new};
pub use file_error::FileError;
pub use recoveries::{AttemptsPerDevice, ReachedShares, StormRecovery, recoveries};
