//! The preflight check: what `run` tries before any load, so that a run that cannot work ends at once with a fix
//! instead of after minutes of failures. `check` and `doctor` use parts of it.

mod connection;
mod output_folder;
mod resources;
mod trial_device;

pub(super) use connection::{connections, dial_fix};
pub(super) use output_folder::output_folder;
pub(super) use resources::{more_descriptors, resources, shortfalls};
