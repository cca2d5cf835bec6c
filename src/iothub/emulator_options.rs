//! Options for the emulator's behavior, shared by scenarios, control lines and the command line. Plain data: the plan and the
//! emulator's configuration contain it.

use super::limits;
use super::throttles::HubSize;
use std::time::Duration;

/// Options for the emulator's behavior toward devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// Time from a token's expiry until the emulator closes the connection that the token opened.
    pub expiry_grace: Duration,
    /// True to accept unescaped `#`, `+` and `/` in property bags. If false, they end the connection.
    pub lenient_properties: bool,
    /// True to issue TLS session tickets, so that devices can resume their TLS sessions.
    pub tls_resumption: bool,
    /// The tier whose throttles and quota apply. `None` means no throttles and no quota.
    pub tier: Option<TierOptions>,
}

impl Default for EmulatorOptions {
    /// Returns the options that match Azure's behavior, without throttles and quota.
    fn default() -> EmulatorOptions {
        EmulatorOptions {
            expiry_grace: limits::EXPIRY_GRACE,
            lenient_properties: false,
            tls_resumption: false,
            tier: None,
        }
    }
}

/// The tier of the emulator, and how it throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierOptions {
    /// Tier and units.
    pub size: HubSize,
    /// Number of billed messages of the current day that are used up at the start.
    pub quota_used: u64,
    /// A throttle that was not used for this long lets this much traffic pass at once, in addition to its rate.
    pub burst: Duration,
    /// The longest time that the emulator delays something because of a throttle. Above it, it refuses.
    pub queue: Duration,
    /// The longest time that the emulator delays CONNACK because of the throttle of new connections.
    pub connect_wait: Duration,
}

impl TierOptions {
    /// The default of `burst`, `queue` and `connect_wait`. Our choice: Azure publishes no numbers. Its page "IoT Hub quotas and throttling" says
    /// that at twice the limit, an S1 hub processes everything for the first minute or two.
    pub const SHAPING: Duration = Duration::from_secs(60);

    /// Returns the default options of a tier.
    #[must_use]
    pub fn of(size: HubSize) -> TierOptions {
        let wait = TierOptions::SHAPING;
        TierOptions { size, quota_used: 0, burst: wait, queue: wait, connect_wait: wait }
    }
}
