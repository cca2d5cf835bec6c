//! What a run will need and measure, computed from the plan alone: descriptors, ports, memory, samples. Read by `check`, and by `app`
//! before a run. Start with `needs`. It must not depend on `resolve`.

mod frames;
mod memory;
mod needs;
mod operation_use;
mod ports;
mod samples;
mod totals;

pub use needs::Needs;
pub use samples::samples_needed;
pub(super) use totals::{check_rate, packet_mib_max};
