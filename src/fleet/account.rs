//! From what happened on the wire to what is counted: devices write to their recorder only here.
//! Called by `device`, `messages` and `life`. A message or a request is counted as due when it is handled, everything else when it
//! ends: so outcomes always add up in the end.

use super::{Context, nanos};
use crate::link::{DialError, Step, Steps};
use crate::measure::{Culprit, FleetCounts, Operation, Outcome, Times};
use crate::plan::{SendPlan, Spread};
use crate::session::Tag;
use std::time::{Duration, Instant};

/// A device's way to the recorder of its worker.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) context: &'a Context,
    pub(crate) fleet: u16,
}

impl Account<'_> {
    /// An operation that ended well.
    pub(crate) fn ok(&self, operation: Operation, times: &Times) {
        let key = self.context.key(operation, self.fleet, times.due);
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.due(key, times.due);
        recorder.ok(key, times);
    }

    /// An operation that ended otherwise.
    pub(crate) fn ended(&self, operation: Operation, outcome: Outcome, due_ns: u64, at_ns: u64) {
        let key = self.context.key(operation, self.fleet, due_ns);
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.due(key, due_ns);
        recorder.ended(key, outcome, due_ns, at_ns);
    }

    /// A message is due: counted at once, so that the offered load shows even while acks stall.
    pub(crate) fn message_due(&self, send: &SendPlan, due_ns: u64) {
        let key = self.context.key(send.operation, self.fleet, due_ns);
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.due(key, due_ns);
        if !send.operation.has_ack() {
            recorder.no_ack(key);
        }
        if let Spread::Closed { think_ns } = send.arrival.spread {
            recorder.closed_loop(key, think_ns);
        }
    }

    /// A request without a schedule is due.
    pub(crate) fn request_due(&self, operation: Operation, due_ns: u64) {
        let key = self.context.key(operation, self.fleet, due_ns);
        self.context.recorder.borrow_mut().due(key, due_ns);
    }

    /// The instants of a message that ended at `acked`.
    pub(crate) fn times(&self, tag: &Tag, sent: Instant, acked: Instant) -> Times {
        let context = self.context;
        Times {
            due: context.ns(tag.due),
            picked: context.ns(tag.picked),
            sent: context.ns(sent),
            acked: context.ns(acked),
        }
    }

    /// A message that was counted as due got its ack.
    pub(crate) fn message_ok(&self, operation: Operation, tag: &Tag, sent: Instant, acked: Instant) {
        let times = self.times(tag, sent, acked);
        let key = self.context.key(operation, self.fleet, times.due);
        self.context.recorder.borrow_mut().ok(key, &times);
    }

    /// A message that was counted as due and sent ended otherwise.
    pub(crate) fn sent_ended(&self, operation: Operation, outcome: Outcome, tag: &Tag, at: Instant) {
        let due_ns = self.context.ns(tag.due);
        self.picked(operation, due_ns, self.context.ns(tag.picked));
        self.message_ended(operation, outcome, due_ns, self.context.ns(at));
    }

    /// When a message that did not end well was handled.
    pub(crate) fn picked(&self, operation: Operation, due_ns: u64, picked_ns: u64) {
        let key = self.context.key(operation, self.fleet, due_ns);
        self.context.recorder.borrow_mut().picked(key, due_ns, picked_ns);
    }

    /// A message that was counted as due ended otherwise.
    pub(crate) fn message_ended(&self, operation: Operation, outcome: Outcome, due_ns: u64, at_ns: u64) {
        let key = self.context.key(operation, self.fleet, due_ns);
        self.context.recorder.borrow_mut().ended(key, outcome, due_ns, at_ns);
    }

    /// Something timed that has no plan of its own: from `sent` to `acked`.
    pub(crate) fn took(&self, operation: Operation, sent: Instant, acked: Instant) {
        let sent_ns = self.context.ns(sent);
        let key = self.context.key(operation, self.fleet, sent_ns);
        let took = nanos(acked.saturating_duration_since(sent));
        self.context.recorder.borrow_mut().duration(key, self.context.ns(acked), took);
    }

    /// Something that came at `at` and whose age is known. What is older than the run has no due instant in it.
    pub(crate) fn aged(&self, operation: Operation, at: Instant, age: Duration) {
        let (at_ns, age_ns) = (self.context.ns(at), nanos(age));
        match at_ns.checked_sub(age_ns) {
            Some(due) => self.ok(operation, &Times { due, picked: due, sent: due, acked: at_ns }),
            None => {
                let key = self.context.key(operation, self.fleet, 0);
                self.context.recorder.borrow_mut().duration(key, at_ns, age_ns);
            }
        }
    }

    /// The steps of a dial that were completed.
    pub(crate) fn steps(&self, steps: &Steps, due_ns: u64, at: Instant) {
        for (step, took) in [(Step::Dns, steps.dns), (Step::Tcp, steps.tcp), (Step::Tls, steps.tls)] {
            if let Some(took) = took {
                self.step_ok(step.into(), due_ns, at, took);
            }
        }
    }

    /// A step of the attempt that was due at `due_ns`, completed by `at`.
    pub(crate) fn step_ok(&self, step: Operation, due_ns: u64, at: Instant, took: Duration) {
        let key = self.context.key(step, self.fleet, due_ns);
        self.context.recorder.borrow_mut().duration(key, self.context.ns(at), nanos(took));
    }

    /// The step that the attempt did not get beyond. The age of what is unfinished is that of the attempt.
    pub(crate) fn step_failed(&self, step: Operation, outcome: Outcome, due_ns: u64, at: Instant) {
        self.ended(step, outcome, due_ns, self.context.ns(at));
    }

    /// A connection that could not be made.
    pub(crate) fn dial_failed(&self, error: &DialError, device: impl FnOnce() -> String, at: Instant) {
        let culprit = match error.culprit() {
            crate::link::Culprit::Peer => Culprit::Peer,
            crate::link::Culprit::Network => Culprit::Network,
            crate::link::Culprit::Us => Culprit::Us,
        };
        self.error(error.class, culprit, at, || format!("{}: {error}", device()));
    }

    /// An error of some class, with one example in words.
    pub(crate) fn error(
        &self,
        class: &'static str,
        culprit: Culprit,
        at: Instant,
        example: impl FnOnce() -> String,
    ) {
        let at_ns = self.context.ns(at);
        self.context.recorder.borrow_mut().error(class, culprit, at_ns, example);
    }

    /// Changes the fleet's counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut FleetCounts)) {
        change(self.context.recorder.borrow_mut().counts(self.fleet));
    }

    /// A device came online (1) or went (-1).
    pub(crate) fn online(&self, delta: i64) {
        self.context.recorder.borrow_mut().online(self.fleet, delta);
    }
}

impl From<Step> for Operation {
    fn from(step: Step) -> Operation {
        match step {
            Step::Dns => Operation::ConnectDns,
            Step::Tcp => Operation::ConnectTcp,
            Step::Tls => Operation::ConnectTls,
        }
    }
}
