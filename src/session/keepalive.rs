//! Keep-alive (MQTT 3.1.1 §3.1.2.10): PINGREQ when nothing was sent for the keep-alive time, and a PINGRESP in time.
//!
//! One ping at a time: when the next would be due and the last is unanswered, it has timed out.

use super::timers::{Timer, Timers};
use super::types::{Event, SessionError, Settings};
use crate::wire::encode;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// When something was last sent, and how the ping stands.
#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    last_sent: Option<Instant>,
    ping: Ping,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Ping {
    #[default]
    None,
    /// To be written.
    Due,
    /// Written, unanswered.
    Sent(Instant),
}

impl KeepAlive {
    /// Something was written.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }

    pub(super) fn ping_sent(&self) -> Option<Instant> {
        match self.ping {
            Ping::Sent(sent) => Some(sent),
            Ping::None | Ping::Due => None,
        }
    }

    /// Online: the clock runs from what was last written, CONNECT included.
    pub(super) fn start(&mut self, now: Instant, settings: &Settings, timers: &mut Timers) {
        self.ping = Ping::None;
        if settings.keep_alive_s > 0 {
            timers.set(Timer::KeepAlive, self.last_sent.unwrap_or(now) + interval(settings));
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        settings: &Settings,
        timers: &mut Timers,
    ) -> Result<(), SessionError> {
        if timers.expired(Timer::Ping, now) {
            return Err(SessionError::PingTimeout);
        }
        if timers.expired(Timer::KeepAlive, now) {
            let due = self.last_sent.unwrap_or(now) + interval(settings);
            if due > now {
                timers.set(Timer::KeepAlive, due);
            } else if self.ping == Ping::None {
                self.ping = Ping::Due;
                // From here, not from the writing: a peer that reads nothing never lets us write it.
                timers.set(Timer::Ping, now + settings.ping_timeout);
                timers.set(Timer::KeepAlive, now + interval(settings));
            } else {
                return Err(SessionError::PingTimeout);
            }
        }
        Ok(())
    }

    /// Writes the PINGREQ that is due; true if it did.
    pub(super) fn poll_output(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        let due = self.ping == Ping::Due;
        if due {
            encode::pingreq(out);
            self.ping = Ping::Sent(now);
        }
        due
    }

    /// PINGRESP came.
    pub(super) fn pong<T>(&mut self, timers: &mut Timers) -> Result<Event<T>, SessionError> {
        let Ping::Sent(sent) = self.ping else {
            return Err(SessionError::Protocol("PINGRESP without PINGREQ"));
        };
        self.ping = Ping::None;
        timers.clear(Timer::Ping);
        Ok(Event::Pong { sent })
    }
}

fn interval(settings: &Settings) -> Duration {
    Duration::from_secs(u64::from(settings.keep_alive_s))
}
