//! The client side of MQTT 3.1.1, without sockets and without a clock: getters, commands, `handle_*`, `poll_*`.
//!
//! `fleet::Device` drives one per device: it issues commands from inside `Machine::poll_output`, hands over what
//! the link read, and takes events. The session must not know what a message is for, when it was due, or that
//! there are other devices. One file per concern; this one only routes between them.

mod handshake;
mod incoming;
mod keepalive;
mod linked_list;
mod packet_id;
mod subscribe;
mod timers;
mod types;
mod window;

#[cfg(test)]
mod tests;

use crate::sansio::Close;
use crate::wire::{self, Packet, QoS, Strictness, encode};
use bytes::BytesMut;
use incoming::{Incoming, Reply};
use keepalive::KeepAlive;
use packet_id::{Ack, UnexpectedAck};
use std::time::Instant;
use subscribe::Subscriptions;
use timers::{Timer, Timers};
use window::Window;

pub use types::{
    Credentials, Event, Message, NotPublished, PublishError, SessionError, Settings, State, SubscribeError,
};

/// One device's MQTT session, over any number of connections in turn. `T` is what the caller gives with a message, and gets back
/// when the message ends.
#[derive(Debug)]
pub struct Session<T> {
    settings: Settings,
    state: State,
    close: Option<Close>,
    timers: Timers,
    keep_alive: KeepAlive,
    subscriptions: Subscriptions,
    incoming: Incoming,
    window: Option<Box<Window<T>>>,
    /// What the last frame meant.
    event: Option<Event<T>>,
}

/// Getters.
impl<T> Session<T> {
    /// A session that has not connected. It owns no memory beyond itself.
    #[must_use]
    pub fn new(settings: Settings) -> Session<T> {
        Session {
            settings: Settings { in_flight: settings.in_flight.max(1), ..settings },
            state: State::Idle,
            close: None,
            timers: Timers::default(),
            keep_alive: KeepAlive::default(),
            subscriptions: Subscriptions::default(),
            incoming: Incoming::default(),
            window: None,
            event: None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Online, the window is not full, and nothing kept waits to be sent again.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.state == State::Online && self.window.as_ref().is_none_or(|window| window.has_room())
    }

    /// Unacknowledged messages, kept ones included; timed-out ones only if they are kept to complete their exchange at
    /// QoS 2.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.in_flight())
    }

    /// Packet ids of messages that timed out on this connection and are still in use.
    #[cfg(test)]
    pub(crate) fn quarantined(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.quarantined())
    }

    /// False while more acknowledgements are owed than should be: write them before anything else is read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.incoming.has_room()
    }

    /// When the PINGREQ was sent that has no answer yet.
    #[must_use]
    pub fn ping_sent(&self) -> Option<Instant> {
        self.keep_alive.ping_sent()
    }

    /// What has not ended: unacknowledged or kept, and unflushed QoS 0, with the instant of its first sending.
    pub fn open(&self) -> impl Iterator<Item = (&T, Instant)> {
        self.window.iter().flat_map(|window| window.open())
    }
}

/// Commands: they write to `out`, and are called from inside `Machine::poll_output`. `connect` is with the handshake.
impl<T> Session<T> {
    /// Sends a message. It ends in exactly one of [`Event::Acked`], [`Event::TimedOut`] and [`Event::Lost`], which carries `tag`
    /// back, unless [`take_open`](Session::take_open) does.
    ///
    /// # Errors
    /// Not online, no room (QoS 1 and 2), or what MQTT cannot carry; nothing was written.
    pub fn publish(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        tag: T,
        out: &mut BytesMut,
    ) -> Result<(), NotPublished<T>> {
        if self.state != State::Online {
            return Err(NotPublished { error: PublishError::NotOnline, tag });
        }
        let Settings { in_flight, clean_session, ack_timeout, .. } = self.settings;
        let window = self.window.get_or_insert_with(|| Box::new(Window::new(in_flight, !clean_session)));
        window.publish(now, message, tag, out)?;
        self.keep_alive.sent(now);
        if message.qos != QoS::AtMostOnce {
            self.timers.set_if_clear(Timer::Ack, now + ack_timeout);
        }
        Ok(())
    }

    /// Subscribes; returns the packet id that [`Event::Subscribed`] will carry.
    ///
    /// # Errors
    /// Not online, too many at once, no filter, or one that MQTT cannot carry; nothing was written.
    pub fn subscribe(
        &mut self,
        now: Instant,
        filters: &[(&str, QoS)],
        out: &mut BytesMut,
    ) -> Result<u16, SubscribeError> {
        if self.state != State::Online {
            return Err(SubscribeError::NotOnline);
        }
        let pid = self.subscriptions.subscribe(now, filters, out)?;
        self.keep_alive.sent(now);
        Ok(pid)
    }

    /// Ends subscriptions; returns the packet id that [`Event::Unsubscribed`] will carry.
    ///
    /// # Errors
    /// As [`subscribe`](Session::subscribe).
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        filters: &[&str],
        out: &mut BytesMut,
    ) -> Result<u16, SubscribeError> {
        if self.state != State::Online {
            return Err(SubscribeError::NotOnline);
        }
        let pid = self.subscriptions.unsubscribe(now, filters, out)?;
        self.keep_alive.sent(now);
        Ok(pid)
    }

    /// Says DISCONNECT and wants the connection closed once that is flushed. Nothing is written after it
    /// (MQTT 3.1.1 §3.14.4); what is still open ends when the connection is gone.
    pub fn disconnect(&mut self, _now: Instant, out: &mut BytesMut) {
        if matches!(self.state, State::Connecting | State::Online) {
            encode::disconnect(out);
            self.timers.clear_all();
            self.state = State::Closed;
            self.close = Some(Close::AfterFlush);
        }
    }

    /// Takes the tags of all messages that have not ended, in the order of [`open`](Session::open): no event will tell how they
    /// end. Those that are kept are sent again all the same.
    pub fn take_open(&mut self) -> Vec<T> {
        self.window.as_mut().map_or_else(Vec::new, |window| window.take_open())
    }
}

/// What happened outside.
impl<T> Session<T> {
    /// Consumes at most one frame; true if it did: poll the events, then call again. While an event waits that a
    /// frame caused, nothing is consumed.
    ///
    /// # Errors
    /// The peer broke the protocol; the connection cannot go on.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<bool, SessionError> {
        if self.event.is_some() {
            return Ok(false);
        }
        if !input.is_empty() {
            self.keep_alive.received(now);
        }
        let Some(packet) =
            wire::decode(input, usize::from(self.settings.frame_mib_max) << 20, Strictness::Lenient)?
        else {
            return Ok(false);
        };
        // DISCONNECT may overtake the answer to CONNECT, which then means nothing any more.
        if self.state != State::Closed || !matches!(packet, Packet::ConnAck { .. }) {
            self.event = self.route(now, packet)?;
        }
        Ok(true)
    }

    /// What a packet means to the caller; those in the middle of an exchange at QoS 2 mean nothing.
    fn route(&mut self, now: Instant, packet: Packet) -> Result<Option<Event<T>>, SessionError> {
        match (packet, self.state) {
            (Packet::ConnAck { session_present, code }, State::Connecting) => {
                Ok(Some(self.connack(now, session_present, code)))
            }
            (_, State::Idle | State::Connecting) => {
                Err(SessionError::Protocol("another packet than CONNACK first"))
            }
            (Packet::ConnAck { .. }, _) => Err(SessionError::Protocol("a second CONNACK")),
            (Packet::PubAck(pid), _) => self.on_ack(Ack::Puback, pid),
            (Packet::PubRec(pid), _) => {
                let known = self.window.as_mut().is_some_and(|window| window.pubrec(pid).is_ok());
                if !known {
                    return Err(SessionError::Protocol("PUBREC for a packet id without a QoS 2 message"));
                }
                self.incoming.queue_reply(Reply::Rel, pid);
                Ok(None)
            }
            (Packet::PubComp(pid), _) => self.on_ack(Ack::Pubcomp, pid),
            (Packet::Publish(publish), _) => Ok(self.incoming.publish(publish)),
            (Packet::PubRel(pid), _) => {
                self.incoming.pubrel(pid);
                Ok(None)
            }
            (Packet::PingResp, _) => self.keep_alive.pong(&mut self.timers).map(Some),
            (Packet::SubAck { pid, granted }, _) => self.subscriptions.suback(pid, granted).map(Some),
            (Packet::UnsubAck(pid), _) => self.subscriptions.unsuback(pid).map(Some),
            (
                Packet::Connect(_)
                | Packet::Subscribe(_)
                | Packet::Unsubscribe { .. }
                | Packet::PingReq
                | Packet::Disconnect,
                _,
            ) => Err(SessionError::Protocol("a packet that only clients send")),
        }
    }

    fn on_ack(&mut self, ack: Ack, pid: u16) -> Result<Option<Event<T>>, SessionError> {
        let unknown = SessionError::Protocol(match ack {
            Ack::Puback => "PUBACK for a packet id that does not wait for it",
            Ack::Pubrec | Ack::Pubcomp => "PUBCOMP for a packet id that does not wait for it",
        });
        let Some(window) = &mut self.window else { return Err(unknown) };
        window.ack(ack, pid).map_err(|UnexpectedAck| unknown)
    }

    /// Runs the timers that are due. Early calls are harmless. Poll the events after an error, too.
    ///
    /// # Errors
    /// [`SessionError::ConnackTimeout`], [`SessionError::PingTimeout`], [`SessionError::AckStall`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        if self.timers.expired(Timer::Ack, now)
            && let Some(window) = &mut self.window
        {
            if let Some(next) = window.expire(now, self.settings.ack_timeout) {
                self.timers.set(Timer::Ack, next);
            }
            if window.is_stalled() {
                return Err(SessionError::AckStall);
            }
        }
        if self.timers.expired(Timer::Answer, now) {
            return Err(match self.state {
                State::Connecting => SessionError::ConnackTimeout,
                _ => SessionError::PingTimeout,
            });
        }
        if self.timers.expired(Timer::KeepAlive, now) {
            self.keep_alive.on_timer(now, &self.settings, &mut self.timers);
        }
        Ok(())
    }

    /// Everything written so far is with the kernel: QoS 0 messages among it have ended well.
    pub fn handle_flushed(&mut self, _now: Instant) {
        if let Some(window) = &mut self.window {
            window.handle_flushed();
        }
    }

    /// The connection is gone. Unacknowledged messages of a persistent session are kept; everything else that was open
    /// becomes [`Event::Lost`].
    pub fn handle_closed(&mut self, _now: Instant) {
        self.state = State::Closed;
        self.close = None;
        self.timers.clear_all();
        self.keep_alive = KeepAlive::default();
        self.subscriptions.clear();
        let keep = !self.settings.clean_session;
        self.incoming.handle_closed(keep);
        if let Some(window) = &mut self.window {
            window.handle_closed(keep);
        }
    }
}

/// What the session wants.
impl<T> Session<T> {
    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        self.event.take().or_else(|| self.window.as_mut()?.poll_event())
    }

    /// Writes what the session owes: acks, PINGREQ, messages to be sent again. Call it before publishing.
    pub fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        if self.state != State::Online {
            return;
        }
        let mut sent = self.incoming.poll_output(out);
        sent |= self.keep_alive.poll_output(now, out);
        if self.window.as_mut().is_some_and(|window| window.resend(now, out)) {
            self.timers.set_if_clear(Timer::Ack, now + self.settings.ack_timeout);
            sent = true;
        }
        if sent {
            self.keep_alive.sent(now);
        }
    }

    /// When `handle_timeout` wants to be called next: at the latest then, sometimes earlier than anything happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How the connection is to end, after `disconnect` and after a refusal.
    #[must_use]
    pub fn poll_close(&self) -> Option<Close> {
        self.close
    }
}
