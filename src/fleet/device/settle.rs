//! Ends the open operations of a device when its connection, its span or the run ends. Part of `device`.

use super::state::{Attempt, Reached, SubscribeState};
use super::{ConnectionEnd, ConnectionState, Device, DeviceRecorder, Open};
use crate::measure::{Operation, Outcome};
use crate::plan::Offline;
use std::time::Instant;

impl Device {
    /// Ends the span. Its open operations are unfinished.
    pub(crate) fn end_span(&mut self, now: Instant) {
        let context = self.context.clone();
        let recorder = DeviceRecorder { context: &context, device: self.device, excuse: self.excuse };
        let now_ns = context.ns(now);
        self.end_attempt(Outcome::Unfinished, now);
        if let Some(open) = self.online_operation.take() {
            let due_ns = open.due_ns();
            self.end_outage(due_ns, now, false);
            recorder.ended(open, Outcome::Unfinished, now);
            self.skip_due(due_ns, now_ns);
        }
        if let Some(open) = self.renewal.take() {
            recorder.ended(*open, Outcome::Unfinished, now);
        }
        self.messages.settle(recorder, self.offline_at_ns(), now);
    }

    /// Records the end of the time without a connection after a disconnect. The time before the first connection of a span does not count.
    pub(super) fn end_outage(&self, from_ns: u64, now: Instant, is_back: bool) {
        if matches!(self.connect_reason, ConnectionEnd::Lost | ConnectionEnd::Disconnected) {
            self.recorder().outage(from_ns, self.context.ns(now), self.attempts.into(), is_back);
        }
    }

    /// Ends the run for this device. All open operations are unfinished.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.end_span(now);
        self.settle_open(now);
        self.stop_sending();
        if let Some(inbox) = self.inbox.take() {
            self.context.delivery_tracker.borrow_mut().add_inbox(self.device, inbox);
        }
    }

    /// Ends the operations that are waiting for the peer. They are unfinished.
    pub(super) fn settle_open(&mut self, now: Instant) {
        for outgoing in self.session.take_open() {
            self.not_acked(Outcome::Unfinished, outgoing, now);
        }
        self.end_pending(true, now);
    }

    /// Ends the current attempt, if any.
    pub(super) fn end_attempt(&mut self, outcome: Outcome, now: Instant) {
        let Some(Attempt { open, reached, .. }) = self.take_attempt() else { return };
        let recorder = self.recorder();
        let due_ns = open.due_ns();
        recorder.ended(open, outcome, now);
        if reached != Reached::Nothing {
            recorder.step_failed(Operation::ConnectMqtt, outcome, due_ns, now);
        }
        // If the attempt belonged to a renewal, the device counts as offline from the time when the attempt was due.
        if self.online_operation.is_none() {
            self.online_operation = Some(self.recorder().due(Operation::Online, due_ns));
        }
        self.messages.block(due_ns);
    }

    /// Takes the current attempt, if any. The device is offline afterwards.
    pub(super) fn take_attempt(&mut self) -> Option<Attempt> {
        match std::mem::replace(&mut self.connection, ConnectionState::Offline) {
            ConnectionState::Connecting(attempt) => Some(attempt),
            connection => {
                self.connection = connection;
                None
            }
        }
    }

    /// Skips the messages that were due while the device was offline, if that is the fleet's policy.
    pub(super) fn skip_due(&mut self, from_ns: u64, to_ns: u64) {
        if self.plan().offline == Offline::Skip {
            self.messages.skip_due(from_ns, to_ns);
        }
    }

    /// Ends the messages that will certainly not be sent, while the device is not connected. Returns when to call it again.
    pub(crate) fn end_messages_while_offline(&mut self, now: Instant) -> Option<u64> {
        let recorder = DeviceRecorder { context: &self.context, device: self.device, excuse: self.excuse };
        let skips = self.device.fleet(&self.context.plan).offline == Offline::Skip;
        let skip_from_ns = self.online_operation.as_ref().filter(|_| skips).map(Open::due_ns);
        self.messages.end_while_offline(recorder, skip_from_ns, now)
    }

    /// Ends requests whose answers can no longer arrive. If the end was planned, they are unfinished, not lost.
    pub(super) fn end_pending(&mut self, planned: bool, now: Instant) {
        let outcome = if planned { Outcome::Unfinished } else { Outcome::Lost };
        self.end_pending_answers(outcome, now);
        if let SubscribeState::Sent(open) | SubscribeState::Unsubscribing(open) =
            std::mem::replace(&mut self.subscribe, SubscribeState::Done)
        {
            self.recorder().ended(*open, outcome, now);
        }
        if let Some(ping) = self.ping.take() {
            let timeout = self.plan().pings.timeout(self.plan().keep_alive_s);
            let late = now >= self.context.at(ping.due_ns()) + timeout;
            let outcome = if late && !planned { Outcome::TimedOut } else { outcome };
            self.recorder().ended(*ping, outcome, now);
        }
    }
}
