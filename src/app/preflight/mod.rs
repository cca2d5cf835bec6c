//! The preflight check: what `run` tries before any load, so that a run that cannot work ends at once with a fix
//! instead of after minutes of failures. `check` and `doctor` use parts of it.

mod connection;
mod machine;
mod output;

pub(super) use connection::{connections, dial_fix};
pub(super) use machine::{machine, more_descriptors, shortfalls};
pub(super) use output::output;
