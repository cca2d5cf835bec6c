//! Describes, as data, when a client sends PINGREQ and how long it waits for PINGRESP. `plan` chooses a [`PingPolicy`] per fleet, and
//! `session` follows it. Independent of clocks and packets.
//!
//! MQTT 3.1.1 §3.1.2.10 requires a client to send something within the keep-alive, and allows PINGREQ at any time. A client that pings
//! only when it sends nothing else never detects a dead peer while it publishes with QoS 0.

use std::time::Duration;

/// A client's policy for keeping a connection alive and detecting a dead one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPolicy {
    /// Kind of silence after which PINGREQ is sent.
    pub after: Silence,
    /// Divisor of the keep-alive, at least 1. The result is the length of the silence.
    pub divisor: u8,
    /// Timeout from PINGREQ to PINGRESP.
    pub timeout: PingTimeout,
}

/// The kind of silence that makes a PINGREQ due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The client sent nothing, or received nothing.
    SentOrReceived,
    /// The client sent nothing.
    Sent,
    /// The client received nothing.
    Received,
    /// No silence is required: a PINGREQ is due after every interval.
    Any,
}

/// The timeout for PINGRESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingTimeout {
    /// As long as the keep-alive.
    KeepAlive,
    /// One and a half times the keep-alive.
    KeepAliveAndHalf,
    /// A fixed time, independent of the keep-alive.
    Fixed {
        /// Timeout in seconds.
        s: u16,
    },
    /// The keep-alive divided by `divisor`, but at most `max_s` seconds.
    AtMost {
        /// Divisor of the keep-alive, at least 1.
        divisor: u8,
        /// Upper limit in seconds.
        max_s: u16,
    },
}

impl PingPolicy {
    /// hubstorm's default policy (our choice). It also sends PINGREQ if nothing was received, so that a device that only sends detects a
    /// dead peer. The timeout is 30 s, or the keep-alive if that is shorter.
    pub const OWN: PingPolicy = PingPolicy {
        after: Silence::SentOrReceived,
        divisor: 1,
        timeout: PingTimeout::AtMost { divisor: 1, max_s: 30 },
    };

    /// Returns the length of the silence before PINGREQ, or `None` if the keep-alive is 0, which turns pings off.
    #[must_use]
    pub fn interval(&self, keep_alive_s: u16) -> Option<Duration> {
        (keep_alive_s > 0).then(|| part(keep_alive_s, self.divisor))
    }

    /// Returns the time without PINGRESP after which the connection counts as dead.
    #[must_use]
    pub fn timeout(&self, keep_alive_s: u16) -> Duration {
        let seconds = |s: u16| Duration::from_secs(s.into());
        match self.timeout {
            PingTimeout::KeepAlive => seconds(keep_alive_s),
            PingTimeout::KeepAliveAndHalf => seconds(keep_alive_s) * 3 / 2,
            PingTimeout::Fixed { s } => seconds(s),
            PingTimeout::AtMost { divisor, max_s } => part(keep_alive_s, divisor).min(seconds(max_s)),
        }
    }
}

fn part(keep_alive_s: u16, divisor: u8) -> Duration {
    Duration::from_secs(keep_alive_s.into()) / u32::from(divisor.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_and_timeout_follow_the_keep_alive() {
        let seconds = Duration::from_secs;
        let own = PingPolicy::OWN;
        assert_eq!((own.interval(240), own.timeout(240)), (Some(seconds(240)), seconds(30)));
        assert_eq!((own.interval(2), own.timeout(2)), (Some(seconds(2)), seconds(2)));
        assert_eq!(own.interval(0), None, "0 turns pings off");
        let quarter = PingPolicy { divisor: 4, timeout: PingTimeout::Fixed { s: 30 }, ..own };
        assert_eq!((quarter.interval(10), quarter.timeout(10)), (Some(seconds(10) / 4), seconds(30)));
        let half = PingPolicy { timeout: PingTimeout::AtMost { divisor: 2, max_s: 80 }, ..own };
        assert_eq!([half.timeout(240), half.timeout(60)], [seconds(80), seconds(30)]);
        let equal = PingPolicy { timeout: PingTimeout::KeepAlive, ..own };
        assert_eq!(equal.timeout(180), seconds(180));
        let longer = PingPolicy { timeout: PingTimeout::KeepAliveAndHalf, ..own };
        assert_eq!(longer.timeout(30), seconds(45));
    }
}
