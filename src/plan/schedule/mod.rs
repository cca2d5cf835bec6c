//! What happens when: phases, the planned online share, the load in operational time, and the arrivals of messages. Pure functions
//! of nanoseconds since the run's zero, made from the scenario's phases and a seed. Read by devices, by the report and by `forecast`.
//! Start with `phases`, then `load` and `arrival`. It must not depend on the rest of `plan`.

mod arrival;
mod load;
mod nanoseconds;
mod phases;
mod round_robin;

pub use arrival::{Arrival, Cursor, Due, Spread};
pub use load::{Load, RunLoad, Segment};
pub use nanoseconds::ns;
pub use phases::{PhasePlan, Schedule, Span};
pub use round_robin::RoundRobin;
