//! Reports each operation of a staged run to `app` as soon as it ends. A staged run has one device per fleet, and holds its messages and
//! calls until `app` releases them. Used by `device_recorder`, `device` and `service_driver`. Other runs have no observer.

use crate::measure::{Key, Outcome};
use std::time::Duration;
use tokio::sync::mpsc;

/// A sender of [`Observed`] events from a staged run. With an observer, messages and calls wait for
/// [`Command::Release`](super::Command::Release).
#[derive(Clone, Debug)]
pub struct Observer(mpsc::UnboundedSender<Observed>);

/// An event of a staged run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// An operation ended.
    Ended {
        /// The operation, its fleet, and the phase in which it was due.
        key: Key,
        /// Its outcome.
        outcome: Outcome,
        /// Time from sending to the end of the operation.
        took: Duration,
        /// The status with which the device answered a method call.
        status: Option<i32>,
    },
    /// An error occurred. It comes right before the end of the operation that it explains; the loss of a connection comes right
    /// after the ends of its operations.
    Failed {
        /// Index of the fleet.
        fleet: u16,
        /// Error class.
        class: &'static str,
        /// The text of the error.
        text: String,
    },
    /// SUBACK arrived.
    Subscribed {
        /// Index of the fleet.
        fleet: u16,
        /// The return codes, in the order of the filters.
        granted: Vec<u8>,
    },
    /// A change to desired properties arrived.
    DesiredReceived {
        /// Index of the fleet.
        fleet: u16,
    },
    /// The device is offline and does not try to connect again.
    GaveUp {
        /// Index of the fleet.
        fleet: u16,
    },
}

impl Observer {
    /// Returns an observer, and the receiver of its events.
    #[must_use]
    pub fn new() -> (Observer, mpsc::UnboundedReceiver<Observed>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Observer(sender), receiver)
    }

    /// Sends an event.
    pub(crate) fn send(&self, observed: Observed) {
        // Ignore the error: the receiver is gone only when the run is ending.
        drop(self.0.send(observed));
    }

    /// Reports the end of an operation, given when it was sent and when it ended.
    #[cold]
    pub(crate) fn ended(&self, key: Key, outcome: Outcome, [sent_ns, ended_ns]: [u64; 2]) {
        let took = Duration::from_nanos(ended_ns.saturating_sub(sent_ns));
        self.send(Observed::Ended { key, outcome, took, status: None });
    }
}
