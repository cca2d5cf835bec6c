//! Keep-alive (MQTT 3.1.1 §3.1.2.10): sends PINGREQ as the [`PingPolicy`](crate::policy::ping::PingPolicy) specifies, and expects
//! PINGRESP in time. At most one ping is open at a time. Used by `Session`.

use super::timers::{Timer, Timers};
use super::types::{Event, SessionError, Settings};
use crate::policy::ping::Silence;
use crate::wire::encode;
use bytes::BytesMut;
use std::time::Instant;

/// Times of the last sent and received bytes, and the state of the ping.
#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    ping: Ping,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Ping {
    #[default]
    None,
    /// PINGREQ must be written.
    Due,
    /// PINGREQ was written; PINGRESP has not arrived.
    Sent(Instant),
}

impl KeepAlive {
    /// Records that bytes were sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }

    /// Records that bytes were received.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = Some(now);
    }

    pub(super) fn ping_sent(&self) -> Option<Instant> {
        match self.ping {
            Ping::Sent(sent) => Some(sent),
            Ping::None | Ping::Due => None,
        }
    }

    /// Starts the keep-alive timer. It counts from the last sent and received bytes, including CONNECT and CONNACK.
    pub(super) fn start(&mut self, now: Instant, settings: &Settings, timers: &mut Timers) {
        self.ping = Ping::None;
        if let Some(interval) = settings.pings.interval(settings.keep_alive_s) {
            timers.set(Timer::KeepAlive, self.silent_since(now, settings) + interval);
        }
    }

    /// Returns the start of the current silence.
    fn silent_since(&self, now: Instant, settings: &Settings) -> Instant {
        let sent = self.last_sent.unwrap_or(now);
        let received = self.last_received.unwrap_or(now);
        match settings.pings.after {
            Silence::SentOrReceived => sent.min(received),
            Silence::Sent => sent,
            Silence::Received => received,
            Silence::Any => now,
        }
    }

    /// Handles the expired timer. PINGREQ becomes due once the silence has lasted long enough.
    #[cold]
    pub(super) fn on_timer(&mut self, now: Instant, settings: &Settings, timers: &mut Timers) {
        let Some(interval) = settings.pings.interval(settings.keep_alive_s) else { return };
        let due = match settings.pings.after {
            Silence::Any => now,
            _ => self.silent_since(now, settings) + interval,
        };
        if due > now {
            timers.set(Timer::KeepAlive, due);
            return;
        }
        if self.ping == Ping::None {
            self.ping = Ping::Due;
            // The timeout starts when the ping is due, not when it is written: a peer that does not read may block the write
            // forever.
            timers.set(Timer::Answer, now + settings.pings.timeout(settings.keep_alive_s));
        }
        timers.set(Timer::KeepAlive, now + interval);
    }

    /// Writes PINGREQ if it is due. Returns true if it was.
    pub(super) fn poll_output(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        let due = self.ping == Ping::Due;
        if due {
            encode::pingreq(out);
            self.ping = Ping::Sent(now);
        }
        due
    }

    /// Handles PINGRESP.
    pub(super) fn pong<T>(&mut self, timers: &mut Timers) -> Result<Event<T>, SessionError> {
        let Ping::Sent(sent) = self.ping else {
            return Err(SessionError::Protocol("PINGRESP without PINGREQ"));
        };
        self.ping = Ping::None;
        timers.clear(Timer::Answer);
        Ok(Event::Pong { sent })
    }
}
