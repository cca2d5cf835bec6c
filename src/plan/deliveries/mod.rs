//! Expected deliveries: the messages of a run that its own subscribers should receive. The fleets' sends and subscriptions come
//! in; `fleet` asks how many copies of a message should arrive, and where. Start with `expected`.
//!
//! A send is tracked if its payload carries a stamp and its topic matches a subscription of the run. One copy is expected for
//! each device with a matching filter, while the plan has the device online. With a kept session and QoS above 0 on both sides,
//! copies are also expected in between. Messages that are due within one second of a planned connect or disconnect are measured
//! if they arrive, and do not count as missing otherwise: subscribing takes time, which `online` measures.
//!
//! Must not count anything: that is `fleet`'s task.

mod expected;
mod matching;
mod presence;
mod topic_index;

pub use expected::{Deliveries, ExpectedStream};

#[cfg(test)]
mod tests;
