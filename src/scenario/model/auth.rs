//! The typed content of `auth`: keys, passwords and token settings. Part of `model`. It must not depend on TOML or JSON.

use crate::scenario::error::Place;
use crate::scenario::value::{Secret, Written};
use crate::units::Percent;
use std::path::PathBuf;
use std::time::Duration;

/// `auth`. Invalid parts are `None`; their errors have been reported.
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
    /// `kind = "sas"` without a source of keys. The run generates a group key for its devices and the built-in hub.
    SasGenerated {
        /// `ttl`, `renew`, `jitter`, `clock_skew`.
        token: TokenSpec,
    },
    /// `kind = "sas"` with `file`, which has a key for each device.
    SasFile {
        /// `file`.
        file: Option<Written<PathBuf>>,
        /// `ttl`, `renew`, `jitter`, `clock_skew`.
        token: TokenSpec,
    },
    /// `kind = "password"` with `file`, which has a user name and a password for each device.
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
    /// Present but invalid.
    Invalid,
}

/// Token settings of `kind = "sas"`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSpec {
    /// Place of `auth`.
    pub place: Place,
    /// `ttl`.
    pub ttl: Option<Duration>,
    /// `renew`.
    pub renew: Option<Written<RenewSpec>>,
    /// `jitter`.
    pub jitter: Option<Percent>,
    /// `clock_skew`, positive if the devices' clocks are ahead.
    pub clock_skew_us: Option<i64>,
}

/// `renew`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RenewSpec {
    /// `"85%"`: after this share of the token's lifetime.
    Share(Percent),
    /// `"-2m"`: this long before the token expires.
    Before(Duration),
    /// `"never"`.
    Never,
}
