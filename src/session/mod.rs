//! The client side of MQTT 3.1.1, without sockets and without a clock. In: commands such as `publish`, and the bytes that the
//! link received. Out: bytes to send, [`Event`]s, and the next timeout. Read [`Session`] first, then `window.rs`.
//!
//! `fleet::Device` owns one session per device and calls it from its `Machine` methods. The session must not know the purpose of
//! a message, its due time, or other devices. Each file handles one part of MQTT; this one routes packets between them.

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

/// One device's MQTT session, over any number of successive connections. `T` is a tag that the caller passes with a message and
/// gets back when the message ends.
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
    /// Event of the last frame, if it has not been polled.
    event: Option<Event<T>>,
}

/// Getters.
impl<T> Session<T> {
    /// Returns a session that has not connected. It allocates nothing.
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

    /// Returns the connection state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns true if the session is online, the window is not full, and no kept message is waiting to be resent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.state == State::Online && self.window.as_ref().is_none_or(|window| window.has_room())
    }

    /// Returns the number of unacknowledged messages, including kept ones. Timed-out messages count only if they are kept to
    /// complete their QoS 2 exchange.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.in_flight())
    }

    /// Returns the number of packet ids in use by messages that timed out on this connection.
    #[cfg(test)]
    pub(crate) fn quarantined(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.quarantined())
    }

    /// Returns false while too many acknowledgments wait to be written: call `poll_output` before reading more.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.incoming.has_room()
    }

    /// Returns when the unanswered PINGREQ was sent, if there is one.
    #[must_use]
    pub fn ping_sent(&self) -> Option<Instant> {
        self.keep_alive.ping_sent()
    }

    /// Returns the tags of all messages that have not ended (unacknowledged, kept, or unflushed QoS 0), each with the time when
    /// it was first sent.
    pub fn open(&self) -> impl Iterator<Item = (&T, Instant)> {
        self.window.iter().flat_map(|window| window.open())
    }
}

/// Commands. They write to `out` and are called from inside `Machine::poll_output`. `connect` is in `handshake.rs`.
impl<T> Session<T> {
    /// Sends a message. It ends in exactly one of [`Event::Acked`], [`Event::TimedOut`] and [`Event::Lost`], which return `tag`,
    /// unless [`take_open`](Session::take_open) takes the tag first.
    ///
    /// # Errors
    /// The session is not online, the window is full (QoS 1 and 2), or MQTT cannot encode the message. Nothing was written.
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

    /// Sends SUBSCRIBE. Returns the packet id that [`Event::Subscribed`] will carry.
    ///
    /// # Errors
    /// The session is not online, too many subscriptions are pending, there is no filter, or MQTT cannot encode one. Nothing was
    /// written.
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

    /// Sends UNSUBSCRIBE. Returns the packet id that [`Event::Unsubscribed`] will carry.
    ///
    /// # Errors
    /// As for [`subscribe`](Session::subscribe).
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

    /// Sends DISCONNECT and requests that the connection be closed after the flush. Nothing is written after it (MQTT 3.1.1
    /// §3.14.4). Open messages end in `handle_closed`.
    pub fn disconnect(&mut self, _now: Instant, out: &mut BytesMut) {
        if matches!(self.state, State::Connecting | State::Online) {
            encode::disconnect(out);
            self.timers.clear_all();
            self.state = State::Closed;
            self.close = Some(Close::AfterFlush);
        }
    }

    /// Takes the tags of all messages that have not ended, in the order of [`open`](Session::open). No event will report the end
    /// of these messages. Kept messages are still resent.
    pub fn take_open(&mut self) -> Vec<T> {
        self.window.as_mut().map_or_else(Vec::new, |window| window.take_open())
    }
}

/// Input from outside.
impl<T> Session<T> {
    /// Consumes at most one frame and returns true if it did: then poll the events and call again. Consumes nothing while the
    /// event of the previous frame has not been polled.
    ///
    /// # Errors
    /// The peer violated the protocol. The connection must be closed.
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
        // The client may have sent DISCONNECT before CONNACK arrived. CONNACK is ignored in that case.
        if self.state != State::Closed || !matches!(packet, Packet::ConnAck { .. }) {
            self.event = self.route(now, packet)?;
        }
        Ok(true)
    }

    /// Handles a packet and returns its event. Packets in the middle of a QoS 2 exchange have no event.
    fn route(&mut self, now: Instant, packet: Packet) -> Result<Option<Event<T>>, SessionError> {
        match (packet, self.state) {
            (Packet::ConnAck { session_present, code }, State::Connecting) => {
                Ok(Some(self.connack(now, session_present, code)))
            }
            (_, State::Idle | State::Connecting) => {
                Err(SessionError::Protocol("first packet is not CONNACK"))
            }
            (Packet::ConnAck { .. }, _) => Err(SessionError::Protocol("a second CONNACK")),
            (Packet::PubAck(pid), _) => self.on_ack(Ack::Puback, pid),
            (Packet::PubRec(pid), _) => {
                let known = self.window.as_mut().is_some_and(|window| window.pubrec(pid).is_ok());
                if !known {
                    return Err(SessionError::Protocol(
                        "PUBREC for a packet id that no QoS 2 message has used",
                    ));
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
            ) => Err(SessionError::Protocol("a packet that only a client may send")),
        }
    }

    fn on_ack(&mut self, ack: Ack, pid: u16) -> Result<Option<Event<T>>, SessionError> {
        let unknown = SessionError::Protocol(match ack {
            Ack::Puback => "unexpected PUBACK for this packet id",
            Ack::Pubrec | Ack::Pubcomp => "unexpected PUBCOMP for this packet id",
        });
        let Some(window) = &mut self.window else { return Err(unknown) };
        window.ack(ack, pid).map_err(|UnexpectedAck| unknown)
    }

    /// Runs the expired timers. Early calls are harmless. After an error, poll the events too.
    ///
    /// # Errors
    /// Returns [`SessionError::ConnackTimeout`], [`SessionError::PingTimeout`] or [`SessionError::AckStall`].
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

    /// Handles a flush: the kernel has accepted all bytes written so far, so QoS 0 messages have succeeded.
    pub fn handle_flushed(&mut self, _now: Instant) {
        if let Some(window) = &mut self.window {
            window.handle_flushed();
        }
    }

    /// Handles the end of the connection. A persistent session keeps its unacknowledged messages. All other open messages end as
    /// [`Event::Lost`].
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

/// Output of the session.
impl<T> Session<T> {
    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        self.event.take().or_else(|| self.window.as_mut()?.poll_event())
    }

    /// Writes pending acknowledgments, PINGREQ and messages to resend. Call it before publishing.
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

    /// Returns the time by which `handle_timeout` must be called. This may be earlier than the next timeout.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns how to close the connection, after `disconnect` and after a refusal.
    #[must_use]
    pub fn poll_close(&self) -> Option<Close> {
        self.close
    }
}
