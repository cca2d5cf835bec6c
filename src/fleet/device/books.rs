//! How what a device has open ends when its connection, its span or the run does: each thing once. A part of `device`.

use super::connect::Subscribe;
use super::{Account, Device, PING_TIMEOUT, Stage};
use crate::measure::{Operation, Outcome};
use crate::plan::Offline;
use std::time::{Duration, Instant};

impl Device {
    /// The plan's span is over: what is open in it will not be done any more.
    pub(crate) fn exit(&mut self, now: Instant) {
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        let now_ns = context.ns(now);
        self.end_attempt(Outcome::Unfinished, now);
        if let Some(due_ns) = self.online_due_ns.take() {
            account.ended(Operation::Online, Outcome::Unfinished, due_ns, now_ns);
            self.miss(due_ns, now_ns);
        }
        self.leave_renewal(account, now_ns);
        self.messages.close_books(account, self.off_ns(), now_ns);
    }

    /// The run is over: everything that is still open is counted as such.
    pub(crate) fn close_books(&mut self, now: Instant) {
        self.exit(now);
        self.close_open(now);
        self.fall_silent();
        if let Some(inbox) = self.inbox.take() {
            self.context.ledger.borrow_mut().keep(self.fleet, self.index, inbox);
        }
    }

    /// Counts what was sent and has no ack as unfinished; once.
    pub(super) fn close_open(&mut self, now: Instant) {
        if std::mem::replace(&mut self.books_closed, true) {
            return;
        }
        self.lose_answers(Outcome::Unfinished, now);
        let open: Vec<_> = self.session.open().map(|(tag, _)| tag).collect();
        for tag in open {
            self.not_acked(Outcome::Unfinished, tag, now);
        }
        let account = self.account();
        for (operation, sent) in self.asked() {
            account.ended(operation, Outcome::Unfinished, self.context.ns(sent), self.context.ns(now));
        }
    }

    /// Requests without their answers, and when they were sent.
    fn asked(&self) -> impl Iterator<Item = (Operation, Instant)> + use<> {
        let subscribe = match self.subscribe {
            Subscribe::Sent(sent) => Some((Operation::Subscribe, sent)),
            _ => None,
        };
        let unsubscribe = self.session.unsubscribe_sent().map(|sent| (Operation::Unsubscribe, sent));
        let ping = self.session.ping_sent().map(|sent| (Operation::Ping, sent));
        subscribe.into_iter().chain(unsubscribe).chain(ping)
    }

    /// Ends the attempt under way, if any.
    pub(super) fn end_attempt(&mut self, outcome: Outcome, now: Instant) {
        let Stage::Connecting(attempt) = self.stage else { return };
        self.stage = Stage::Offline;
        let account = self.account();
        let now_ns = self.context.ns(now);
        account.ended(Operation::Connect, outcome, attempt.due_ns, now_ns);
        let picked_ns = self.context.ns(attempt.picked).max(attempt.due_ns);
        account.picked(Operation::Connect, attempt.due_ns, picked_ns);
        if attempt.connect_sent.is_some() {
            account.step_failed(Operation::ConnectMqtt, outcome, attempt.due_ns, now);
        }
        // A renewal that fails leaves the device offline against the plan, from when it was due.
        self.online_due_ns.get_or_insert(attempt.due_ns);
        self.messages.block(attempt.due_ns);
    }

    /// The device was offline against the plan: whether it makes up for what fell due meanwhile is the fleet's policy.
    pub(super) fn miss(&mut self, from_ns: u64, to_ns: u64) {
        if self.plan().offline == Offline::Skip {
            self.messages.miss(from_ns, to_ns);
        }
    }

    /// Requests whose answers will not come any more. What the plan ends early is nobody's failure.
    pub(super) fn lose_asked(&mut self, meant: bool, now: Instant) {
        self.lose_answers(if meant { Outcome::Unfinished } else { Outcome::Lost }, now);
        // The session gives up on a ping when the next one would be due, if that is sooner.
        let patience = PING_TIMEOUT.min(Duration::from_secs(self.plan().keep_alive_s.into()));
        for (operation, sent) in self.asked() {
            let late = operation == Operation::Ping && now >= sent + patience;
            let outcome = match (meant, late) {
                (true, _) => Outcome::Unfinished,
                (false, true) => Outcome::TimedOut,
                (false, false) => Outcome::Lost,
            };
            self.account().ended(operation, outcome, self.context.ns(sent), self.context.ns(now));
        }
    }
}
