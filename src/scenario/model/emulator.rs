//! `[emulator]`: the behavior of the built-in hub, and its faults. Independent of TOML and JSON, like the rest of the model.

use super::SizeSpec;
use crate::policy::fault::FaultKind;
use crate::policy::network::Profile;
use crate::scenario::error::Place;
use crate::scenario::value::Written;
use crate::units::{Percent, Rate};
use std::time::Duration;

/// `[emulator]`.
#[derive(Clone, Debug, Default)]
pub struct EmulatorSpec {
    /// `expiry_grace`.
    pub expiry_grace: Option<Duration>,
    /// `lenient_properties`.
    pub lenient_properties: Option<bool>,
    /// `tls`: true for `{ resumption = "on" }`.
    pub resumption: bool,
    /// `tier` and `units`.
    pub size: SizeSpec,
    /// `quota_used`.
    pub quota_used: Option<Written<u64>>,
    /// `throttle`.
    pub throttle: Option<ThrottleSpec>,
    /// `[[emulator.fault]]`.
    pub faults: Vec<FaultSpec>,
    /// `chaos`.
    pub chaos: Option<ChaosSpec>,
}

/// `[emulator.throttle]`.
#[derive(Clone, Debug)]
pub struct ThrottleSpec {
    /// Place of the table.
    pub place: Place,
    /// `burst`.
    pub burst: Option<Duration>,
    /// `queue`.
    pub queue: Option<Duration>,
    /// `connect_wait`.
    pub connect_wait: Option<Duration>,
}

/// `[[emulator.fault]]` or `[[fleet.NAME.fault]]`. Each of them reads a part of the keys.
#[derive(Clone, Debug)]
pub struct FaultSpec {
    /// Place of the table.
    pub place: Place,
    /// `kind`; `None` if missing or invalid.
    pub kind: Option<Written<FaultKind>>,
    /// `profile`.
    pub profile: Option<Written<&'static Profile>>,
    /// `phase`.
    pub phase: Option<Written<String>>,
    /// `at`.
    pub at: Option<Written<Duration>>,
    /// `for`.
    pub length: Option<Written<Duration>>,
    /// `share`.
    pub share: Option<Written<Percent>>,
    /// `fleet`.
    pub fleet: Option<Written<String>>,
    /// `code`.
    pub code: Option<Written<u8>>,
    /// `by`.
    pub by: Option<Written<Duration>>,
    /// `jitter`.
    pub jitter: Option<Written<Duration>>,
    /// `rate`, in bits per second.
    pub rate: Option<Written<u64>>,
    /// True if the table has a `kind`, `profile`, `by` or `rate` that is invalid, so that it must not be reported as missing.
    pub is_wrong: bool,
}

/// `chaos`.
#[derive(Clone, Debug)]
pub struct ChaosSpec {
    /// Place of the table.
    pub place: Place,
    /// `rate`; `None` if invalid.
    pub rate: Option<Written<Rate>>,
    /// `kinds`.
    pub kinds: Option<Vec<FaultKind>>,
    /// `for`.
    pub length: Option<Duration>,
    /// `share`.
    pub share: Option<Written<Percent>>,
}
