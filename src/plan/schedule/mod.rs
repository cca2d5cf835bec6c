//! The timing of a plan: phases, the planned online share, the load, and the due times of messages. Phases and a seed come in;
//! due times go out, in nanoseconds since the start of the run. Read by devices, by the report and by `forecast`. Start with
//! `phases`, then `load` and `arrival`.
//!
//! Pure functions, except that a cursor reads the rows of a recording. Must not depend on the rest of `plan` or on clocks.

mod arrival;
mod churn;
mod disconnects;
mod load;
mod nanoseconds;
mod online_devices;
mod pace;
mod phases;
mod random_order;
mod round_robin;
mod run_load;
mod span_groups;
mod storms;

pub use arrival::{Arrival, Cursor, Due, Spread};
pub use churn::{Stay, Stays};
pub use disconnects::DeviceSeed;
pub use load::{Load, Segment};
pub use nanoseconds::ns;
pub use online_devices::{OnlineChange, OnlineDevices};
pub use phases::{PhasePlan, Schedule, Span};
pub use round_robin::RoundRobin;
pub use run_load::{RunLoad, RunLoads};
pub use storms::{ChurnPlan, DisconnectPlan};
