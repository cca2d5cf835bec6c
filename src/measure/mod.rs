//! Operations, outcomes and recorders: what is counted and how long it took. Written by `fleet`, read by
//! `result`. It knows nanoseconds since the run's zero, and neither MQTT nor the clock.

mod kinds;

pub use kinds::{Culprit, Key, Operation, Outcome, Times};
