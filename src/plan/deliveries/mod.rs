//! Which messages of a run come back to it: the sends whose payloads carry a stamp, matched with the filters that other
//! devices of the run subscribe to. Made by `resolve`; asked by `fleet` how many copies of a message are to arrive, and
//! where. It counts nothing.
//!
//! A copy is expected for each device whose filters match, once, while the plan has it online; with a kept session and QoS
//! above 0 on both sides also in between. What is due within [`SETTLE`] of a device's planned coming or going is measured if it
//! arrives and not missed if it does not: a subscription takes its time, and that is measured as `online`.

mod expected;
mod matching;
mod presence;
mod topic_index;

pub use expected::{Deliveries, ExpectedStream};

#[cfg(test)]
mod tests;
