//! One simulated device as a `Machine`: it puts the plan's messages into a session, reads what came of them, and
//! decides when this connection should end. Driven by `link`, which `life` starts; it touches neither socket
//! nor clock, so a whole fleet of them runs in virtual time in tests.

mod connect;
mod leave;

use super::Context;
use super::account::Account;
use super::messages::Messages;
use crate::measure::{Culprit, Operation, Outcome};
use crate::plan::Span;
use crate::policy::backoff::BackOff;
use crate::rng::{Purpose, Rng, generator};
use crate::sansio::{Close, Closed, Machine};
use crate::session::{Event, Session, SessionError, Settings, State};
use bytes::BytesMut;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A lost PINGRESP ends a connection after this long.
const PING_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) use leave::Leave;

/// The connection attempt under way.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    due_ns: u64,
    picked: Instant,
    connect_sent: Option<Instant>,
}

/// One simulated device.
pub struct Device {
    context: Rc<Context>,
    fleet: u16,
    index: u32,
    id: Box<str>,
    session: Session,
    messages: Messages,
    rng: Rng,
    span: Span,
    attempt: Option<Attempt>,
    /// Since when it ought to be online and is not.
    online_due_ns: Option<u64>,
    renew_at: Option<Instant>,
    leave: Option<(Leave, Instant)>,
    said_goodbye: bool,
    connected: bool,
    /// Whether this connection has ever been online: back-off starts afresh after it.
    was_online: bool,
    subscribed: bool,
    /// A SUBSCRIBE without its answer.
    subscribe_sent: Option<Instant>,
    /// Open messages have been counted as unfinished: that the session then loses them is not news.
    books_closed: bool,
    /// When `messages` wants to be asked again.
    wake: Option<Instant>,
}

impl Device {
    /// The device of that index within its fleet; offline.
    #[must_use]
    pub fn new(context: Rc<Context>, fleet: u16, index: u32) -> Device {
        let plan = context.plan.clone();
        let fleet_plan = &plan.fleets[usize::from(fleet)];
        let id = fleet_plan.device_id(index).into_boxed_str();
        let session = Session::new(Settings {
            keep_alive_s: fleet_plan.keep_alive_s,
            clean_session: fleet_plan.clean_session,
            in_flight: fleet_plan.in_flight,
            ack_timeout: fleet_plan.ack_timeout,
            connack_timeout: fleet_plan.connect_timeout,
            ping_timeout: PING_TIMEOUT,
        });
        let messages = Messages::new(Account { context: &context, fleet }, index, &id);
        let rng = generator(plan.seed, fleet_plan.first + u64::from(index), Purpose::Connection);
        Device {
            context,
            fleet,
            index,
            id,
            session,
            messages,
            rng,
            span: Span { from_ns: 0, to_ns: 0 },
            attempt: None,
            online_due_ns: None,
            renew_at: None,
            leave: None,
            said_goodbye: false,
            connected: false,
            was_online: false,
            subscribed: false,
            subscribe_sent: None,
            books_closed: false,
            wake: None,
        }
    }

    // What `life` asks and says between connections.

    /// The plan has the device online for this span.
    pub(crate) fn enter(&mut self, span: Span) {
        self.span = span;
        self.online_due_ns = Some(span.from_ns);
        self.messages.enter(span);
    }

    /// When the device has to be gone: the plan's span or the load is over.
    pub(crate) fn off_ns(&self) -> u64 {
        self.span.to_ns.min(self.context.load_end_ns())
    }

    /// An attempt to connect begins; it was due at `due_ns`.
    pub(crate) fn begin_attempt(&mut self, due_ns: u64, now: Instant) {
        self.attempt = Some(Attempt { due_ns, picked: now, connect_sent: None });
        self.leave = None;
        (self.said_goodbye, self.was_online) = (false, false);
    }

    /// The attempt did not get as far as MQTT.
    pub(crate) fn dial_failed(&mut self, error: &crate::link::DialError, now: Instant) {
        let Some(attempt) = self.attempt else { return };
        let account = Account { context: &self.context, fleet: self.fleet };
        account.steps(&error.steps, attempt.due_ns);
        account.dial_failed(error, &self.id, now);
        let outcome = match error.class {
            "tcp_refused" => Outcome::Refused,
            "tcp_timeout" | "tls_timeout" => Outcome::TimedOut,
            _ => Outcome::Lost,
        };
        self.end_attempt(outcome, now);
    }

    /// The attempt got as far as MQTT.
    pub(crate) fn dialled(&mut self, dialled: &crate::link::Dialled) {
        let Some(attempt) = self.attempt else { return };
        Account { context: &self.context, fleet: self.fleet }.steps(&dialled.steps, attempt.due_ns);
        if let Some(facts) = &dialled.tls {
            self.context.tell_tls(*facts);
        }
    }

    /// Ends the attempt under way, if any.
    pub(crate) fn end_attempt(&mut self, outcome: Outcome, now: Instant) {
        if let Some(attempt) = self.attempt.take() {
            let account = Account { context: &self.context, fleet: self.fleet };
            account.ended(Operation::Connect, outcome, attempt.due_ns, self.context.ns(now));
            // A renewal that fails leaves the device offline against the plan, from when it was due.
            self.online_due_ns.get_or_insert(attempt.due_ns);
            self.messages.block(attempt.due_ns);
        }
    }

    /// How long to wait before attempt `failures + 1`; `None` means never.
    pub(crate) fn back_off(&mut self, policy: &BackOff, failures: u32) -> Option<Duration> {
        policy.delay(failures, &mut self.rng)
    }

    /// How the connection that has just ended was meant to end.
    pub(crate) fn left(&self) -> Option<Leave> {
        self.leave.map(|(leave, _)| leave)
    }

    /// Whether the connection that has just ended was ever online.
    pub(crate) fn was_online(&self) -> bool {
        self.was_online
    }

    /// The run is cut short: what is open stays open, and is counted by `close_books`.
    pub(crate) fn abort(&mut self) {
        if std::mem::take(&mut self.connected) {
            Account { context: &self.context, fleet: self.fleet }.online(-1);
        }
    }

    /// What went over the wire.
    pub(crate) fn count_bytes(&self, sent: u64, received: u64) {
        Account { context: &self.context, fleet: self.fleet }.count(|counts| {
            counts.bytes_sent += sent;
            counts.bytes_received += received;
        });
    }

    /// The connection failed in a way that only the session could see.
    pub(crate) fn failed(&self, error: &SessionError, now: Instant) {
        let account = Account { context: &self.context, fleet: self.fleet };
        account.error(error.class(), Culprit::Peer, now, || format!("{}: {error}", self.id));
    }

    /// The plan's span is over: what was due in it and could not be sent will not be.
    pub(crate) fn exit(&mut self, now: Instant) {
        let account = Account { context: &self.context, fleet: self.fleet };
        if self.context.ns(now) < self.context.load_end_ns() {
            if let Some(due_ns) = self.online_due_ns.take() {
                account.ended(Operation::Online, Outcome::Lost, due_ns, self.context.ns(now));
            }
            self.messages.skip(account, self.span.to_ns, Outcome::Expired);
        }
    }

    /// The run is over: everything that is still open is counted as such.
    pub(crate) fn close_books(&mut self, now: Instant) {
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        let now_ns = context.ns(now);
        self.end_attempt(Outcome::Unfinished, now);
        if let Some(due_ns) = self.online_due_ns.take() {
            account.ended(Operation::Online, Outcome::Unfinished, due_ns, now_ns);
        }
        if let Some(sent) = self.subscribe_sent.take() {
            account.ended(Operation::Subscribe, Outcome::Unfinished, context.ns(sent), now_ns);
        }
        self.close_open(now);
        self.messages.close_books(account, fleet, now_ns);
    }

    /// Counts what was sent and has no ack as unfinished; once.
    fn close_open(&mut self, now: Instant) {
        if std::mem::replace(&mut self.books_closed, true) {
            return;
        }
        let context = &self.context;
        let account = Account { context, fleet: self.fleet };
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        for (tag, _) in self.session.open() {
            let send = &fleet.sends[usize::from(tag.stream)];
            account.sent_ended(send, Outcome::Unfinished, &tag, now);
        }
    }

    // What happens on a connection.

    fn on_event(&mut self, now: Instant, event: Event) {
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        match event {
            Event::Connected { .. } => self.on_connected(now),
            Event::Refused { code } => {
                account.error(connect::connack_class(code), Culprit::Peer, now, || {
                    format!("{}: CONNACK return code {code} ({})", self.id, connect::connack_meaning(code))
                });
                self.end_attempt(Outcome::Refused, now);
            }
            Event::Acked { tag, sent, .. } => {
                account.message_ok(&fleet.sends[usize::from(tag.stream)], &tag, sent, now);
            }
            Event::TimedOut { tag, .. } => {
                let send = &fleet.sends[usize::from(tag.stream)];
                account.sent_ended(send, Outcome::TimedOut, &tag, now);
                account.error("ack_timeout", Culprit::Peer, now, || {
                    format!(
                        "{}: no PUBACK within {}",
                        self.id,
                        crate::units::human_duration(fleet.ack_timeout)
                    )
                });
            }
            Event::Lost { .. } if self.books_closed => {}
            Event::Lost { tag, .. } => {
                let send = &fleet.sends[usize::from(tag.stream)];
                account.sent_ended(send, Outcome::Lost, &tag, now);
            }
            Event::LateAck => account.count(|counts| counts.late_acks += 1),
            Event::Resent => account.count(|counts| counts.resent += 1),
            Event::Subscribed { sent, granted_all, .. } => {
                self.subscribe_sent = None;
                if granted_all {
                    account.took(Operation::Subscribe, sent, now);
                } else {
                    let (due_ns, at_ns) = (context.ns(sent), context.ns(now));
                    account.ended(Operation::Subscribe, Outcome::Refused, due_ns, at_ns);
                    account.error("subscribe_refused", Culprit::Peer, now, || self.id.to_string());
                }
            }
            Event::Pong { sent } => account.took(Operation::Ping, sent, now),
            // Bytes are counted by the link; what a message says does not matter to a load.
            Event::Message(_) => {}
        }
    }

    fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            self.on_event(now, event);
        }
    }
}

impl Machine for Device {
    type Error = SessionError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), SessionError> {
        while self.session.handle_input(now, input)? {
            self.drain_events(now);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        let result = self.session.handle_timeout(now);
        self.drain_events(now);
        result?;
        let fleet = &self.context.plan.fleets[usize::from(self.fleet)];
        let late = |attempt: Attempt| now >= attempt.picked + fleet.connect_timeout;
        if self.attempt.is_some_and(late) {
            return Err(SessionError::ConnackTimeout);
        }
        Ok(())
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.session.handle_flushed(now);
        self.drain_events(now);
    }

    fn handle_closed(&mut self, now: Instant, why: Closed) {
        // After DISCONNECT the peer may be faster to close than we are (MQTT 3.1.1 §3.14.4).
        let meant = self.leave.is_some() && (why == Closed::Local || self.said_goodbye);
        if meant && self.context.ns(now) >= self.context.load_end_ns() {
            self.close_open(now);
        }
        self.session.handle_closed(now);
        self.drain_events(now);
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        if !meant {
            let (class, culprit) = match why {
                Closed::Eof => ("closed_by_peer", Culprit::Peer),
                Closed::Reset => ("reset", Culprit::Network),
                Closed::TlsAlert => ("tls_alert", Culprit::Peer),
                Closed::Local => ("", Culprit::Us),
            };
            // A peer that closes after it refused has already been counted.
            let asked = self.attempt.is_some_and(|attempt| attempt.connect_sent.is_some());
            if !class.is_empty() && (self.connected || asked) {
                account.error(class, culprit, now, || self.id.to_string());
            }
            self.leave = None;
        }
        if let Some(sent) = self.subscribe_sent.take_if(|_| !self.books_closed) {
            account.ended(Operation::Subscribe, Outcome::Lost, context.ns(sent), context.ns(now));
        }
        if self.connected {
            self.connected = false;
            account.online(-1);
            if !meant {
                self.online_due_ns = Some(context.ns(now));
                account.count(|counts| counts.reconnects += 1);
            } else if self.left() == Some(Leave::Renew) {
                account.count(|counts| counts.renewals += 1);
            }
            self.messages.block(context.ns(now));
        }
        let timed_out = self.attempt.is_some_and(|attempt| {
            let fleet = &context.plan.fleets[usize::from(self.fleet)];
            now >= attempt.picked + fleet.connect_timeout
        });
        if !(self.context.ns(now) >= self.off_ns() && why == Closed::Local) {
            self.end_attempt(if timed_out { Outcome::TimedOut } else { Outcome::Lost }, now);
        }
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        if self.attempt.is_some_and(|attempt| attempt.connect_sent.is_none()) {
            self.connect(now, out);
        }
        self.session.poll_output(now, out);
        self.wake = None;
        if self.session.state() != State::Online {
            if self.attempt.is_some() && self.context.ns(now) >= self.off_ns() {
                self.leave = Some((Leave::Finish, now));
            }
            return;
        }
        if !self.subscribed {
            self.subscribe(now, out);
        }
        if self.left() != Some(Leave::Renew) {
            let context = self.context.clone();
            let account = Account { context: &context, fleet: self.fleet };
            let device = (&*self.id, self.index);
            let wake = self.messages.pump(account, device, &mut self.session, now, out);
            self.wake = wake.map(|ns| context.at(ns));
        }
        self.consider_leaving(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let connect = self.attempt.map(|attempt| {
            attempt.picked + self.context.plan.fleets[usize::from(self.fleet)].connect_timeout
        });
        [self.session.poll_timeout(), self.wake, connect, self.next_boundary()].into_iter().flatten().min()
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn poll_close(&self) -> Option<Close> {
        let gives_up = self.attempt.is_some() && self.left() == Some(Leave::Finish);
        self.session.poll_close().or(gives_up.then_some(Close::AfterFlush))
    }
}
