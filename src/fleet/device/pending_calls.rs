//! Unanswered direct method calls, in the order in which their answers are due. Used by `methods`.

use crate::fleet::open::Open;
use crate::plan::PayloadState;
use std::time::Instant;

/// Unanswered calls, and the payload states of the answers.
#[derive(Debug, Default)]
pub(super) struct PendingCalls {
    /// In the order of their due times.
    pub(super) waiting: Vec<PendingCall>,
    /// Indexed by the method's index in the plan. Allocated for the first answer.
    pub(super) states: Box<[(PayloadState, u64)]>,
}

/// One unanswered call.
#[derive(Debug)]
pub(super) struct PendingCall {
    /// The operation, due when the call arrived. `None` if the device must not answer.
    pub(super) open: Option<Open>,
    /// When to answer.
    pub(super) at: Instant,
    /// When the worker noticed that the answer was due.
    pub(super) picked: Option<Instant>,
    /// Index of the method in the plan. `None` if the plan does not define it.
    pub(super) method: Option<usize>,
    pub(super) rid: Box<str>,
}

impl PendingCalls {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, call: PendingCall) {
        let place = self.waiting.partition_point(|other| other.at <= call.at);
        self.waiting.insert(place, call);
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        for call in self.waiting.iter_mut().take_while(|call| call.at <= now) {
            call.picked.get_or_insert(now);
        }
    }

    /// Returns when the next answer will be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().find(|call| call.picked.is_none()).map(|call| call.at)
    }

    /// Returns the first call whose answer is due.
    pub(super) fn due(&self) -> Option<&PendingCall> {
        self.waiting.first().filter(|call| call.picked.is_some())
    }
}
