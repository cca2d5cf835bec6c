//! The preflight check of `run`: this machine's resources, the output folder, and one connection per fleet. The input is a plan; the output
//! is an error with a fix, before the load starts. `check` and `doctor` use parts of it. Read `connection.rs` first.

mod connection;
mod output_folder;
mod resources;
mod trial_device;

pub(super) use connection::{connections, dial_fix, no_connack_within};
pub(super) use output_folder::output_folder;
pub(super) use resources::{more_descriptors, resources, shortfalls};
