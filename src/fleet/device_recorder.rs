//! Records the operations of one device in its worker's recorder. Called by `device` and `messages`.
//!
//! An operation gets its [`Open`] token at its due time. Dial steps, ages and deliveries are known only afterwards, so they are
//! started and ended in one call.

use super::observer::Observed;
use super::open::Open;
use super::{Context, DeviceRef, nanos};
use crate::link::{DialError, Step, Steps};
use crate::measure::{
    Culprit, FleetCounts, Key, Offline, Operation, Outage, Outcome, Recorder, TargetRecorder, Times,
};
use crate::plan::{SendPlan, Spread};
use std::time::{Duration, Instant};

/// Records the operations of one device.
#[derive(Clone, Copy)]
pub(crate) struct DeviceRecorder<'a> {
    pub(crate) context: &'a Context,
    pub(crate) device: DeviceRef,
    /// Why the load generator may have caused failures of this device.
    pub(crate) excuse: Excuse,
}

/// Why the load generator may have caused failures of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// No excuse: the load generator did not cause the failures.
    None,
    /// The connection was lost soon after a long stall of the worker. The excuse ends at [`Context::stall_excuse_ns`].
    Stall,
    /// This machine lacked a resource for a connection, or its clock stepped.
    Machine,
}

impl DeviceRecorder<'_> {
    /// Counts an operation as due.
    pub(crate) fn due(&self, operation: Operation, due_ns: u64) -> Open {
        let key = self.context.key(operation, self.device.fleet, due_ns);
        self.open(&mut self.context.recorder.borrow_mut(), key, due_ns)
    }

    fn open(&self, recorder: &mut Recorder, key: Key, due_ns: u64) -> Open {
        if recorder.open() == 0 {
            self.context.heartbeat_timer.bring_forward();
        }
        Open::due(recorder, key, due_ns)
    }

    /// Counts a message as due.
    pub(crate) fn message_due(&self, send: &SendPlan, due_ns: u64) -> Open {
        let key = self.context.key(send.operation, self.device.fleet, due_ns);
        let mut recorder = self.context.recorder.borrow_mut();
        if !send.operation.has_ack() {
            recorder.no_ack(key);
        }
        if let Spread::Closed { think_ns } = send.arrival.spread {
            recorder.closed_loop(key, think_ns);
        }
        self.open(&mut recorder, key, due_ns)
    }

    /// Ends an operation with success.
    pub(crate) fn ok(&self, open: Open, sent: Instant, acked: Instant) {
        let (sent_ns, acked_ns) = (self.context.ns(sent), self.context.ns(acked));
        self.note_end(&open, Outcome::Ok, [sent_ns, acked_ns]);
        open.ok(&mut self.context.recorder.borrow_mut(), sent_ns, acked_ns);
    }

    /// Records the success of an operation that was sent as soon as it was picked.
    pub(crate) fn done(&self, open: Open, at: Instant) {
        let (picked_ns, at_ns) = (open.picked_ns(), self.context.ns(at));
        self.note_end(&open, Outcome::Ok, [picked_ns, at_ns]);
        open.ok(&mut self.context.recorder.borrow_mut(), picked_ns, at_ns);
    }

    /// Ends an operation with another outcome.
    pub(crate) fn ended(&self, open: Open, outcome: Outcome, at: Instant) {
        let at_ns = self.context.ns(at);
        let excused = match self.excuse {
            _ if outcome == Outcome::Throttled => false,
            Excuse::None => false,
            Excuse::Stall => at_ns < self.context.stall_excuse_ns.get(),
            Excuse::Machine => true,
        };
        if self.context.watches_ends {
            self.note_other_end(&open, outcome, at_ns, excused);
        }
        open.ended(&mut self.context.recorder.borrow_mut(), outcome, at_ns, excused);
    }

    /// Reports the end of an operation to the observer, to the faults of the device and to the numbers by host, if the run has them.
    #[inline]
    fn note_end(&self, open: &Open, outcome: Outcome, sent_and_ended_ns: [u64; 2]) {
        if self.context.watches_ends {
            let [sent_ns, ended_ns] = sent_and_ended_ns;
            self.observe(open.key(), outcome, [open.due_ns(), sent_ns, ended_ns]);
            self.note_ok_under_fault(open, sent_and_ended_ns);
        }
    }

    #[cold]
    fn note_ok_under_fault(&self, open: &Open, [sent, acked]: [u64; 2]) {
        let Some(faults) = self.context.faults_of(self.device) else { return };
        let times = Times { due: open.due_ns(), picked: open.picked_ns(), sent, acked };
        if faults.note_end(open.operation(), Outcome::Ok, &times) {
            self.context.recorder.borrow_mut().ok_under_fault(open.key(), &times);
        }
    }

    #[cold]
    fn note_other_end(&self, open: &Open, outcome: Outcome, at_ns: u64, excused: bool) {
        let (due, picked) = (open.due_ns(), open.picked_ns());
        self.observe(open.key(), outcome, [due, picked, at_ns]);
        let Some(faults) = self.context.faults_of(self.device) else { return };
        let times = Times { due, picked, sent: picked, acked: at_ns };
        if faults.note_end(open.operation(), outcome, &times) {
            let times_ns = (due, open.is_picked().then_some(picked), at_ns);
            let mut recorder = self.context.recorder.borrow_mut();
            recorder.ended_under_fault(open.key(), outcome, times_ns, excused);
        }
    }

    /// Returns whether a failure at this time is the effect of a fault of the device on the generator's side: nothing passes its network, or
    /// its connection has become silent.
    fn is_cut_off(&self, at: Instant) -> bool {
        self.context.watches_ends
            && self.context.faults_of(self.device).is_some_and(|faults| faults.link.is_cut_off(at))
    }

    /// Reports the end of an operation to the observer, and to the numbers by host, if the run has them.
    #[cold]
    fn observe(&self, key: Key, outcome: Outcome, [due_ns, sent_ns, ended_ns]: [u64; 3]) {
        if let Some(observer) = &self.context.observer {
            observer.ended(key, outcome, [sent_ns, ended_ns]);
        }
        let response_ns = ended_ns.saturating_sub(due_ns);
        self.by_host(|targets, host| {
            if key.operation == Operation::Connect {
                targets.connect(host, outcome, response_ns);
            } else if key.operation.is_message() && outcome == Outcome::Ok {
                targets.message(host, response_ns);
            }
        });
    }

    /// Records something for the device's host, if the target has several.
    fn by_host(&self, record: impl FnOnce(&mut TargetRecorder, u16)) {
        if self.context.hosts.are_several() {
            let host = self.context.hosts.index(self.device.global(&self.context.plan));
            record(self.context.recorder.borrow_mut().targets(), host);
        }
    }

    /// Reports another event to the observer, if the run has one.
    pub(crate) fn report(&self, observed: impl FnOnce(u16) -> Observed) {
        if let Some(observer) = &self.context.observer {
            observer.send(observed(self.device.fleet));
        }
    }

    /// Records a message that arrived at `at` with a known age. If it was sent before the run started, there is no due time to
    /// record, so only the latency is recorded.
    pub(crate) fn ok_with_age(&self, operation: Operation, at: Instant, age: Duration) {
        let (at_ns, age_ns) = (self.context.ns(at), nanos(age));
        match at_ns.checked_sub(age_ns) {
            Some(due_ns) => self.done(self.due(operation, due_ns), at),
            None => {
                let key = self.context.key(operation, self.device.fleet, 0);
                self.context.recorder.borrow_mut().duration(key, at_ns, age_ns);
            }
        }
    }

    /// Records the completed steps of a dial.
    pub(crate) fn steps(&self, steps: &Steps, due_ns: u64, at: Instant) {
        for (step, took) in [(Step::Dns, steps.dns), (Step::Tcp, steps.tcp), (Step::Tls, steps.tls)] {
            if let Some(took) = took {
                self.step_ok(step.into(), due_ns, at, took);
            }
        }
    }

    /// Records a completed step of the attempt that was due at `due_ns`.
    pub(crate) fn step_ok(&self, step: Operation, due_ns: u64, at: Instant, took: Duration) {
        let key = self.context.key(step, self.device.fleet, due_ns);
        let (at_ns, took_ns) = (self.context.ns(at), nanos(took));
        if self.context.watches_ends {
            let began_ns = at_ns.saturating_sub(took_ns);
            self.observe(key, Outcome::Ok, [began_ns, began_ns, at_ns]);
            let faults = self.context.faults_of(self.device);
            if faults.is_some_and(|faults| faults.affects(due_ns, at_ns)) {
                let times = Times { due: began_ns, picked: began_ns, sent: began_ns, acked: at_ns };
                self.context.recorder.borrow_mut().ok_under_fault(key, &times);
            }
        }
        self.context.recorder.borrow_mut().duration(key, at_ns, took_ns);
    }

    /// Records the failed step of an attempt. An unfinished step counts from the due time of the attempt.
    pub(crate) fn step_failed(&self, step: Operation, outcome: Outcome, due_ns: u64, at: Instant) {
        self.ended(self.due(step, due_ns), outcome, at);
    }

    /// Records a failed dial.
    pub(crate) fn dial_failed(&self, error: &DialError, device: impl FnOnce() -> String, at: Instant) {
        let culprit = match error.culprit() {
            crate::link::Culprit::Target => Culprit::Target,
            crate::link::Culprit::Network => Culprit::Network,
            crate::link::Culprit::Generator => Culprit::Generator,
        };
        self.error(error.class, culprit, at, || {
            let fix =
                error.tls_fix(self.context.hosts.endpoint(self.device.global(&self.context.plan)).own_roots);
            let fix = fix.map_or_else(String::new, |fix| format!("; {fix}"));
            format!("{}: {error}{fix}", device())
        });
        self.ended_before_connack(error.class);
    }

    /// Counts attempts that the peer closed, separately from closed connections, which have the same error classes.
    pub(crate) fn ended_before_connack(&self, class: &str) {
        match class {
            "closed_by_peer" => self.count(|counts| counts.closed_before_connack += 1),
            "reset" => self.count(|counts| counts.reset_before_connack += 1),
            _ => {}
        }
    }

    /// Records an error with an example. While a fault of the scenario cuts the device off, the fault is the cause, not the target.
    pub(crate) fn error(
        &self,
        class: &'static str,
        culprit: Culprit,
        at: Instant,
        example: impl FnOnce() -> String,
    ) {
        let at_ns = self.context.ns(at);
        let (class, culprit) = match culprit {
            Culprit::Target | Culprit::Network if self.is_cut_off(at) => ("fault", Culprit::Network),
            culprit => (class, culprit),
        };
        self.by_host(|targets, host| targets.error(host, class, culprit));
        let mut recorder = self.context.recorder.borrow_mut();
        if self.context.observer.is_none() {
            return recorder.error(class, culprit, at_ns, example);
        }
        let text = example();
        self.report(|fleet| Observed::Failed { fleet, class, text: text.clone() });
        recorder.error(class, culprit, at_ns, || text);
    }

    /// Changes the fleet's counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut FleetCounts)) {
        change(self.context.recorder.borrow_mut().counts(self.device.fleet));
    }

    /// Counts the device as moved, if it was at another host before it went online.
    pub(crate) fn connected_to_host(&self) {
        let moved = self.context.hosts.connected(self.device.global(&self.context.plan));
        if let Some([from, to]) = moved {
            self.context.recorder.borrow_mut().targets().moved(from, to);
        }
    }

    /// Records that the device went online.
    pub(crate) fn went_online(&self, now: Instant) {
        self.context.recorder.borrow_mut().went_online(self.device.fleet, self.context.ns(now));
    }

    /// Records that the device went offline.
    pub(crate) fn went_offline(&self, now: Instant, how: Offline) {
        self.context.recorder.borrow_mut().went_offline(self.device.fleet, self.context.ns(now), how);
    }

    /// Records the end of the time without a connection that started at `from_ns`.
    pub(crate) fn outage(&self, from_ns: u64, to_ns: u64, attempts: u32, is_back: bool) {
        let outage = Outage { fleet: self.device.fleet, from_ns, to_ns, attempts, is_back };
        self.context.recorder.borrow_mut().outage(outage);
    }
}

impl From<Step> for Operation {
    fn from(step: Step) -> Operation {
        match step {
            Step::Dns => Operation::ConnectDns,
            Step::Tcp => Operation::ConnectTcp,
            Step::Tls => Operation::ConnectTls,
            Step::AfterTcp => Operation::ConnectMqtt,
        }
    }
}
