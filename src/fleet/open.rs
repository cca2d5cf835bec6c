//! Open operations, from their due time to their end. Created by `device_recorder` and `service_driver`.
//!
//! Only this file counts due operations and outcomes, so the two cannot diverge: creating an [`Open`] counts a due operation, and
//! ending it counts the outcome and consumes the [`Open`]. An operation's phase is determined once, by its due time.

use crate::measure::{Key, Operation, Outcome, Recorder, Times};
use std::mem::ManuallyDrop;

/// An operation that was counted as due and has not ended.
#[must_use = "every due operation must end"]
#[derive(Debug)]
pub(crate) struct Open {
    due_ns: u64,
    picked_ns: u64,
    key: Key,
    /// Whether `picked_ns` is set. Until then, it equals the due time.
    is_picked: bool,
}

impl Open {
    /// Counts an operation as due.
    pub(crate) fn due(recorder: &mut Recorder, key: Key, due_ns: u64) -> Open {
        recorder.due(key, due_ns);
        Open { due_ns, picked_ns: due_ns, key, is_picked: false }
    }

    /// Notes that the worker started the operation at `picked_ns`. From then on, its lag is recorded with any outcome.
    pub(crate) fn picked(mut self, picked_ns: u64) -> Open {
        (self.picked_ns, self.is_picked) = (picked_ns, true);
        self
    }

    /// Returns the operation, its fleet and its phase.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Returns the kind of operation.
    pub(crate) fn operation(&self) -> Operation {
        self.key.operation
    }

    /// Returns the due time.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Returns when the worker started the operation, or the due time if it has not started yet.
    pub(crate) fn picked_ns(&self) -> u64 {
        self.picked_ns
    }

    /// Returns whether the worker has started the operation.
    pub(crate) fn is_picked(&self) -> bool {
        self.is_picked
    }

    /// Ends the operation with success.
    pub(crate) fn ok(self, recorder: &mut Recorder, sent_ns: u64, acked_ns: u64) {
        let open = ManuallyDrop::new(self);
        let times = Times { due: open.due_ns, picked: open.picked_ns, sent: sent_ns, acked: acked_ns };
        recorder.ok(open.key, &times);
    }

    /// Ends the operation with another outcome. `excused` is true if the load generator may have caused that outcome.
    pub(crate) fn ended(self, recorder: &mut Recorder, outcome: Outcome, at_ns: u64, excused: bool) {
        let open = ManuallyDrop::new(self);
        if open.is_picked {
            recorder.picked(open.key, open.due_ns, open.picked_ns);
        }
        if excused {
            recorder.ended_excused(open.key, outcome, open.due_ns, at_ns);
        } else {
            recorder.ended(open.key, outcome, open.due_ns, at_ns);
        }
    }
}

/// Panics if a code path drops an operation without ending it; only in debug builds. A failing worker drops its devices with
/// their open operations: that is allowed while it panics, and tokio catches panics of tasks that it drops.
#[cfg(debug_assertions)]
impl Drop for Open {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("an operation was dropped without an outcome: {:?}, due at {} ns", self.key, self.due_ns);
        }
    }
}

/// The tag of a message in a device's session.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message of one of the fleet's sends.
    Message {
        /// The operation. It ends with the acknowledgment.
        open: Open,
        /// Index of the send in its fleet.
        send: u16,
        /// Sequence number of the message in its stream.
        seq: u64,
    },
    /// A message that carries no operation: a twin request, which ends with its answer, or the answer to a method call that has
    /// already failed.
    Request,
    /// The answer to a method call. The call's operation ends when this message ends.
    MethodAnswer(Open),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Collector, Layout, Source, Totals};
    use std::rc::Rc;
    use std::time::Duration;

    const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };

    fn layout() -> Layout {
        Layout::new(1, 1, Duration::from_secs(60))
    }

    fn recorder() -> Recorder {
        Recorder::new(layout(), Rc::new(crate::stalls::Stalls::new(crate::clock::now())))
    }

    fn totals(recorder: &mut Recorder) -> Totals {
        let mut collector = Collector::unnamed(layout());
        collector.add(&recorder.swap(), Source::Worker(0));
        collector.measurement().of(KEY.operation)
    }

    #[test]
    fn open_operations_are_due_and_have_no_outcome() {
        let mut recorder = recorder();
        let (first, second) = (Open::due(&mut recorder, KEY, 1), Open::due(&mut recorder, KEY, 2));
        assert_eq!(recorder.open(), 2);
        first.ok(&mut recorder, 3, 4);
        assert_eq!(recorder.open(), 1);
        second.ended(&mut recorder, Outcome::Lost, 5, false);
        assert_eq!(recorder.open(), 0);
        let totals = totals(&mut recorder);
        assert_eq!((totals.due, totals.outcome(Outcome::Ok), totals.outcome(Outcome::Lost)), (2, 1, 1));
    }

    #[test]
    fn lag_is_recorded_once_an_operation_is_picked() {
        let mut recorder = recorder();
        Open::due(&mut recorder, KEY, 0).ended(&mut recorder, Outcome::Offline, 9, false);
        assert!(totals(&mut recorder).lag.is_empty(), "it was never picked");
        Open::due(&mut recorder, KEY, 0).picked(7_000).ended(&mut recorder, Outcome::Expired, 9_000, false);
        assert_eq!(totals(&mut recorder).lag.max(), Some(7));
    }

    #[test]
    fn in_flight_message_stays_small() {
        assert!(size_of::<Open>() <= 24, "{} bytes", size_of::<Open>());
        assert!(size_of::<Option<Outgoing>>() <= 40, "{} bytes", size_of::<Option<Outgoing>>());
    }

    #[test]
    #[should_panic(expected = "without an outcome")]
    fn forgotten_operation_panics_in_debug_builds() {
        drop(Open::due(&mut recorder(), KEY, 0));
    }
}
