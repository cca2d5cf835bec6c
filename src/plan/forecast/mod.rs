//! Forecasts of a run: descriptors, ports, memory and samples. A plan comes in; numbers go out. Read by `check`, and by `app`
//! before a run. Start with `needs`.
//!
//! Must not depend on `resolve` or on this machine: everything is computed from the plan alone.

mod frames;
mod memory;
mod needs;
mod operation_use;
mod ports;
mod remedy;
mod samples;
mod totals;

pub use needs::Needs;
pub use remedy::Remedy;
pub use samples::samples_needed;
pub(super) use totals::{check_rate, packet_mib_max};
