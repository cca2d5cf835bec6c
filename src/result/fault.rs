//! A fault in the result file: its plan and what it did. Part of `model`, which re-exports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The side on which a fault acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaultSide {
    /// The built-in hub.
    #[default]
    Hub,
    /// The devices of a fleet, or their network.
    Fleet,
}

/// A fault that the scenario asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Side on which the fault acts. `hub` in files from earlier versions.
    #[serde(default)]
    pub side: FaultSide,
    /// Kind, such as `hold-acks`; `profile` for a network that the scenario chose by name.
    pub kind: String,
    /// Name of the network; left out for other kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Planned start.
    pub from_us: u64,
    /// Planned end; equal to `from_us` for a fault that happens once.
    pub to_us: u64,
    /// Share of the devices of the fleet, or of all fleets, as a fraction of 1.
    pub share: f64,
    /// Fleet; null for all fleets.
    pub fleet: Option<String>,
    /// Number of devices that the fault could affect.
    pub devices: u64,
    /// Return code with which CONNECT was refused; null for other kinds.
    pub code: Option<u8>,
    /// Delay; null for kinds without one.
    pub by_us: Option<u64>,
    /// Largest deviation from `by_us`; left out without jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_us: Option<u64>,
    /// Limit in bits per second from the devices; left out without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_bits_per_s: Option<u64>,
    /// Limit in bits per second to the devices; left out without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_bits_per_s: Option<u64>,
    /// True if the fault was generated at random (`chaos`).
    pub random: bool,
    /// Number of connections or packets that the fault affected. Null if it was not reported.
    pub applied: Option<u64>,
}
