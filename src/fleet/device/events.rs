//! Handles the events of a device's session (acknowledgments, losses, CONNACK, SUBACK) and records them. Part of `device`.

use super::connect;
use super::state::SubscribeState;
use super::{Device, DeviceRecorder};
use crate::fleet::open::Outgoing;
use crate::measure::{Culprit, Operation, Outcome};
use crate::session::Event;
use std::time::Instant;

impl Device {
    fn on_event(&mut self, now: Instant, event: Event<Outgoing>) {
        let context = self.context.clone();
        let recorder = DeviceRecorder { context: &context, device: self.device, excuse: self.excuse };
        let fleet = self.device.fleet(&context.plan);
        match event {
            Event::Connected { session_present } => {
                // A client may continue in this case (MQTT 3.1.1 §3.2.2.2). This one does, in order to continue measuring.
                if session_present && fleet.clean_session {
                    recorder.count(|counts| counts.clean_sessions_present += 1);
                }
                self.on_connected(now);
            }
            Event::Refused { code, session_present } => {
                let stepped =
                    self.clock_step_behind_refusal(now).filter(|_| connect::is_about_credentials(code));
                if let Some(by_us) = stepped {
                    self.record_clock_step_failure(by_us, || format!("CONNACK return code {code}"), now);
                    self.refused = true;
                    return self.end_attempt(Outcome::Refused, now);
                }
                recorder.error(connect::connack_class(code), Culprit::Target, now, || {
                    // [MQTT-3.2.2-4]
                    let violation = if session_present {
                        "; the broker set Session Present to 1, which MQTT 3.1.1 (section 3.2.2.2) forbids with this code"
                    } else {
                        ""
                    };
                    let meaning = connect::connack_meaning(code);
                    format!("{}: CONNACK return code {code} ({meaning}){violation}", self.id())
                });
                self.refused = code != connect::CONNACK_UNAVAILABLE;
                self.end_attempt(Outcome::Refused, now);
            }
            Event::Acked { tag, sent, .. } => self.acked(tag, sent, now),
            Event::TimedOut { tag, .. } => {
                recorder.error("ack_timeout", Culprit::Target, now, || {
                    format!(
                        "{}: no acknowledgment within {}",
                        self.id(),
                        crate::units::human_duration(fleet.ack_timeout)
                    )
                });
                self.not_acked(Outcome::TimedOut, tag, now);
            }
            Event::Lost { tag, .. } => self.not_acked(Outcome::Lost, tag, now),
            Event::LateAck => recorder.count(|counts| counts.late_acks += 1),
            Event::Resent => recorder.count(|counts| counts.resent += 1),
            Event::Subscribed { granted, .. } => self.on_suback(&granted, now),
            Event::Pong { .. } => {
                if let Some(ping) = self.ping.take() {
                    recorder.done(*ping, now);
                }
            }
            Event::Message(publish) => self.on_message(now, &publish),
            Event::Unsubscribed { .. } => {
                if let SubscribeState::Unsubscribing(open) =
                    std::mem::replace(&mut self.subscribe, SubscribeState::Unsubscribed)
                {
                    recorder.done(*open, now);
                }
            }
        }
    }

    /// Handles the acknowledgment of a message. Ignores requests, which wait for their answer instead.
    fn acked(&mut self, outgoing: Outgoing, sent: Instant, now: Instant) {
        match outgoing {
            Outgoing::Request => {}
            Outgoing::MethodAnswer(open) => self.recorder().ok(open, sent, now),
            Outgoing::Message { open, send, .. } => {
                let due_ns = open.due_ns();
                if !open.operation().has_ack() {
                    self.qos0_unconfirmed = self.qos0_unconfirmed.saturating_add(1);
                }
                self.recorder().ok(open, sent, now);
                self.track_acked(send, due_ns);
                self.message_ended(send, now);
            }
        }
    }

    /// Handles a message that was not acknowledged. Ignores requests, whose outcome depends only on the answer.
    pub(super) fn not_acked(&mut self, outcome: Outcome, outgoing: Outgoing, now: Instant) {
        match outgoing {
            Outgoing::Request => {}
            Outgoing::MethodAnswer(open) => self.recorder().ended(open, outcome, now),
            Outgoing::Message { open, send, seq } => {
                let due_ns = open.due_ns();
                self.recorder().ended(open, outcome, now);
                self.track_unacked(send, (seq, due_ns));
                self.message_ended(send, now);
            }
        }
    }

    /// Starts an operation for a PINGREQ, if the session has written one.
    pub(super) fn record_ping(&mut self) {
        if self.ping.is_none()
            && let Some(sent) = self.session.ping_sent()
        {
            self.ping = Some(Box::new(self.recorder().due(Operation::Ping, self.context.ns(sent))));
        }
    }

    /// Schedules the next message of a closed loop.
    pub(super) fn message_ended(&mut self, send: u16, now: Instant) {
        if let Some(next_ns) = self.messages.ended(send, self.context.ns(now)) {
            let next = self.context.at(next_ns);
            self.wake_at = Some(self.wake_at.map_or(next, |wake| wake.min(next)));
        }
    }

    pub(super) fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            self.on_event(now, event);
        }
    }
}
