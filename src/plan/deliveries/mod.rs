//! Expected deliveries: the messages that the run's subscribers should receive. The fleets' sends and subscriptions come in;
//! `fleet` asks how many copies of a message should arrive, and at which devices. Start with `expected`.
//!
//! A send is tracked if its payload carries a stamp and its topic matches a subscription in the run. One copy is expected for
//! each device with a matching filter while the device is planned to be online. If the session is kept and the QoS of both the
//! message and the subscription is above 0, copies are also expected while the device is offline between online spans.
//!
//! Messages that are due within one second after a planned connect or before a planned disconnect are measured if they arrive,
//! but do not count as missing if they do not: subscribing takes time, and `online` measures that.
//!
//! Must not count messages that arrive: that is `fleet`'s task.

mod expected;
mod matching;
mod presence;
mod topic_index;

pub use expected::{Deliveries, ExpectedStream};

#[cfg(test)]
mod tests;
