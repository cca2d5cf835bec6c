//! What a scenario says of who devices are: `auth` with its tokens, and whose habits they have. A part of `model`.

use crate::scenario::error::Place;
use crate::scenario::value::{Secret, Written};
use crate::units::Percent;
use std::path::PathBuf;
use std::time::Duration;

/// `auth`. A part that was wrong is `None`: the error is already noted.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthSpec {
    /// `kind = "sas"`: a group key, or the key of a shared access policy.
    Sas {
        /// `group_key`.
        group_key: Option<Written<Secret>>,
        /// `policy`.
        policy: Option<Written<String>>,
        /// `key`.
        key: Option<Written<Secret>>,
        /// `ttl`, `renew`, `jitter`, `clock_skew`.
        token: TokenSpec,
    },
    /// `kind = "sas"` without a source of keys: the run makes a group key for itself and the built-in hub.
    SasOwn {
        /// `ttl`, `renew`, `jitter`, `clock_skew`.
        token: TokenSpec,
    },
    /// `kind = "sas"` with `file`: a key for each device.
    SasFile {
        /// `file`.
        file: Option<Written<PathBuf>>,
        /// `ttl`, `renew`, `jitter`, `clock_skew`.
        token: TokenSpec,
    },
    /// `kind = "password"` with `file`: a user name and a password for each device.
    PasswordFile {
        /// `file`.
        file: Option<Written<PathBuf>>,
    },
    /// `kind = "password"`.
    Password {
        /// `username`.
        username: Option<Written<String>>,
        /// `password`.
        password: Option<Written<Secret>>,
    },
    /// `kind = "none"`.
    None,
    /// It was given, and is wrong.
    Unreadable,
}

/// What `kind = "sas"` says of its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSpec {
    /// The place of `auth`.
    pub place: Place,
    /// `ttl`.
    pub ttl: Option<Duration>,
    /// `renew`.
    pub renew: Option<Written<RenewSpec>>,
    /// `jitter`.
    pub jitter: Option<Percent>,
    /// `clock_skew`, positive when the device's clock is ahead.
    pub clock_skew_us: Option<i64>,
}

/// `renew`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RenewSpec {
    /// `"85%"`: at that share of the token's life.
    Share(Percent),
    /// `"-2m"`: that long before it expires.
    Before(Duration),
    /// `"never"`.
    Never,
}
