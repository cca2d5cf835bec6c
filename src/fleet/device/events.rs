//! What the session tells a device: acks, losses, CONNACK, SUBACK, and what each means for the books. A part of `device`.

use super::connect::{self, Subscribe};
use super::{Account, Device};
use crate::measure::{Culprit, Operation, Outcome};
use crate::session::{Event, Tag};
use std::time::Instant;

impl Device {
    fn on_event(&mut self, now: Instant, event: Event) {
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        match event {
            Event::Connected { .. } => self.on_connected(now),
            Event::Refused { code } => {
                account.error(connect::connack_class(code), Culprit::Peer, now, || {
                    format!("{}: CONNACK return code {code} ({})", self.id(), connect::connack_meaning(code))
                });
                self.refused = code != connect::CONNACK_UNAVAILABLE;
                self.end_attempt(Outcome::Refused, now);
            }
            Event::Acked { tag, sent, .. } => self.acked(tag, sent, now),
            Event::TimedOut { tag, .. } => {
                account.error("ack_timeout", Culprit::Peer, now, || {
                    format!(
                        "{}: no ack within {}",
                        self.id(),
                        crate::units::human_duration(fleet.ack_timeout)
                    )
                });
                self.not_acked(Outcome::TimedOut, tag, now);
            }
            Event::Lost { .. } if self.books_closed => {}
            Event::Lost { tag, .. } => self.not_acked(Outcome::Lost, tag, now),
            Event::LateAck => account.count(|counts| counts.late_acks += 1),
            Event::Resent => account.count(|counts| counts.resent += 1),
            Event::Subscribed { sent, granted, .. } => self.on_suback(sent, &granted, now),
            Event::Pong { sent } => account.took(Operation::Ping, sent, now),
            Event::Message(publish) => self.on_message(now, &publish),
            Event::Unsubscribed { sent, .. } => {
                self.subscribe = Subscribe::Ended;
                account.took(Operation::Unsubscribe, sent, now);
            }
        }
    }

    /// A message got its ack. A request has not ended with that: it waits for its answer.
    fn acked(&mut self, tag: Tag, sent: Instant, now: Instant) {
        let operation = self.plan().operation(tag.stream);
        if operation.is_request() {
            return;
        }
        let account = self.account();
        if operation == Operation::Method {
            account.ok(operation, &account.times(&tag, sent, now));
        } else {
            account.message_ok(operation, &tag, sent, now);
            self.track_acked(&tag);
            self.message_ended(tag.stream, now);
        }
    }

    /// A message did not get its ack, or will not. For a request only its answer counts.
    pub(super) fn not_acked(&mut self, outcome: Outcome, tag: Tag, now: Instant) {
        let operation = self.plan().operation(tag.stream);
        if operation.is_request() {
            return;
        }
        let account = self.account();
        if operation == Operation::Method {
            account.ended(operation, outcome, self.context.ns(tag.due), self.context.ns(now));
        } else {
            account.sent_ended(operation, outcome, &tag, now);
            self.track_unacked(&tag);
            self.message_ended(tag.stream, now);
        }
    }

    /// In a closed loop it was what the next message waits for.
    pub(super) fn message_ended(&mut self, stream: u16, now: Instant) {
        if let Some(next_ns) = self.messages.ended(stream, self.context.ns(now)) {
            let next = self.context.at(next_ns);
            self.wake = Some(self.wake.map_or(next, |wake| wake.min(next)));
        }
    }

    pub(super) fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            self.on_event(now, event);
        }
    }
}
