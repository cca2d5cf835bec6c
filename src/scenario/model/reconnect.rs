//! `reconnect` of a fleet. Part of `model`.

use crate::policy::backoff::Jitter;
use std::time::Duration;

/// `reconnect`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReconnectSpec {
    /// `kind = "never"`.
    Never,
    /// The other kinds.
    Retry {
        /// `kind`, with the keys that only one kind has.
        back_off: BackOffSpec,
        /// `jitter`.
        jitter: Option<Jitter>,
        /// `start_delay`.
        start_delay: Option<Duration>,
        /// `give_up`.
        give_up: Option<GiveUpSpec>,
    },
}

/// `kind` of `reconnect`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BackOffSpec {
    /// `"fixed"`.
    Fixed {
        /// `delay`.
        delay: Option<Duration>,
    },
    /// `"exponential"`.
    Exponential {
        /// `base`.
        base: Option<Duration>,
        /// `max`.
        max: Option<Duration>,
    },
}

/// `give_up` of `reconnect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpSpec {
    /// A duration: the time offline.
    After(Duration),
    /// A number of failed attempts in a row.
    Attempts(u16),
}
