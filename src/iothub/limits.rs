//! The limits of an IoT hub, each with its source. Used by `plan` and the emulator. Where Azure does not publish a limit, the doc comment
//! says that the value is our choice. This file must not depend on sockets or clocks.

use std::time::Duration;

/// The largest CONNECT that the emulator accepts, including its header. This limits the memory that clients can use before they are
/// authenticated. Our choice: Azure publishes no limit.
pub const CONNECT_BYTES_MAX: usize = 48 * 1024;

/// The maximum size of a device-to-cloud message, as [`message_bytes`](super::message_size::message_bytes) counts it
/// (Azure: "Create and read IoT Hub messages").
pub const TELEMETRY_BYTES_MAX: usize = 256 * 1024;

/// The maximum size of a cloud-to-device message, counted in the same way (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_BYTES_MAX: usize = 64 * 1024;

/// The maximum size of a direct method's payload, in each direction (Azure: "Understand and invoke direct methods from IoT Hub").
pub const METHOD_BYTES_MAX: usize = 128 * 1024;

/// The maximum size of the desired properties of a twin, and of its reported properties. Azure counts the UTF-8 bytes of keys and strings
/// without control characters, 8 bytes for a number, and 4 for a boolean (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_SECTION_BYTES_MAX: usize = 32 * 1024;

/// The maximum size of the tags of a twin, counted in the same way (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_TAGS_BYTES_MAX: usize = 8 * 1024;

/// With control characters included, a section of a twin may be this many times as large as its limit. Our choice: Azure publishes no such
/// limit, but without one, a device could store thousands of 4 KiB strings of control characters, which do not count.
pub const TWIN_STORED_FACTOR: usize = 8;

/// The maximum depth of nested objects in a section of a twin. The section itself does not count: Azure's example has the objects "one" to
/// "ten" in "tags" (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_DEPTH_MAX: usize = 10;

/// The maximum size of a string in a twin, including control characters (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_STRING_BYTES_MAX: usize = 4 * 1024;

/// The maximum size of a key in a twin (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_KEY_BYTES_MAX: usize = 1024;

/// The range of integers in a twin (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_INTEGERS: std::ops::RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;

/// The maximum number of cloud-to-device messages in the queue of a device (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_QUEUE_MAX: usize = 50;

/// The default lifetime of a cloud-to-device message in the queue (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_TTL: Duration = Duration::from_secs(3600);

/// The time without PUBACK after which a cloud-to-device message is delivered again (Azure: "Send cloud-to-device messages from an IoT
/// hub").
pub const C2D_LOCK: Duration = Duration::from_secs(60);

/// The maximum number of delivered but unacknowledged cloud-to-device messages per device. Our choice: Azure publishes no limit.
pub const C2D_WINDOW: usize = 10;

/// The maximum number of unanswered method calls to a device, including calls that wait for it to connect. Azure has such a limit (403800
/// `DeviceMaximumInflightMethodExceeded` in "Troubleshoot Azure IoT Hub error codes") but does not publish its value. Our choice: the
/// limit for cloud-to-device messages.
pub const METHODS_IN_FLIGHT_MAX: usize = 50;

/// The maximum number of changes to desired properties that wait to be sent to a device. Azure does not document such a limit. Our choice:
/// the limit and the error code for cloud-to-device messages.
pub const DESIRED_QUEUE_MAX: usize = 50;

/// The default response timeout of a method call (Azure: "Understand and invoke direct methods from IoT Hub").
pub const METHOD_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of subscriptions per device (Azure: "Communicate with an IoT hub using the MQTT protocol").
pub const SUBSCRIPTIONS_MAX: usize = 5;

/// The longest time without a packet from the device before a hub closes the connection: 29.45 minutes
/// (Azure: "Communicate with an IoT hub using the MQTT protocol").
pub const KEEP_ALIVE_TIMEOUT_MAX: Duration = Duration::from_secs(1767);

/// The allowed difference between the clocks of device and hub when a token's expiry is checked (`MaxClockSkew` of Azure's .NET service
/// library).
pub const CLOCK_SKEW_S: u64 = 300;

/// The default time from a token's expiry until the emulator closes the connection. Our choice: Azure's documents mention 5 minutes and up
/// to 10 minutes.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(300);

/// The longest time that Azure's documentation mentions from a token's expiry until the hub closes the connection (Azure: "Monitor,
/// diagnose, and troubleshoot Azure IoT Hub device connectivity").
pub const EXPIRY_GRACE_MAX: Duration = Duration::from_secs(600);

/// How long the hub waits for CONNECT after accepting a connection (`ConnectArrivalTimeout` of Azure IoT Edge's hub; Azure publishes no
/// value for IoT Hub).
pub const CONNECT_ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns how long a hub waits for the next packet from a device with this keep-alive: one and a half times the keep-alive, at most
/// [`KEEP_ALIVE_TIMEOUT_MAX`]. For a keep-alive of 0, it waits for the maximum time: our choice, as in Azure's protocol gateway.
#[must_use]
pub fn keep_alive_timeout(keep_alive_s: u16) -> Duration {
    match keep_alive_s {
        0 => KEEP_ALIVE_TIMEOUT_MAX,
        _ => Duration::from_millis(u64::from(keep_alive_s) * 1500).min(KEEP_ALIVE_TIMEOUT_MAX),
    }
}

/// The name of the emulator's tier without throttles or quotas. Azure has no such tier.
pub const UNLIMITED: &str = "unlimited";

/// A tier of IoT Hub (Azure: "Choose the right IoT Hub tier and size for your solution").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Free.
    F1,
    /// Basic 1.
    B1,
    /// Basic 2.
    B2,
    /// Basic 3.
    B3,
    /// Standard 1.
    S1,
    /// Standard 2.
    S2,
    /// Standard 3.
    S3,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Tier; 7] = [Tier::F1, Tier::B1, Tier::B2, Tier::B3, Tier::S1, Tier::S2, Tier::S3];

    /// Returns the name in scenarios and on Azure's price list.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::F1 => "F1",
            Tier::B1 => "B1",
            Tier::B2 => "B2",
            Tier::B3 => "B3",
            Tier::S1 => "S1",
            Tier::S2 => "S2",
            Tier::S3 => "S3",
        }
    }

    /// Returns the tier with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Returns the larger tiers with the same functions, smallest first.
    #[must_use]
    pub fn larger(self) -> &'static [Tier] {
        match self {
            Tier::F1 => &[Tier::S1, Tier::S2, Tier::S3],
            Tier::S1 => &[Tier::S2, Tier::S3],
            Tier::S2 => &[Tier::S3],
            Tier::B1 => &[Tier::B2, Tier::B3],
            Tier::B2 => &[Tier::B3],
            Tier::S3 | Tier::B3 => &[],
        }
    }

    /// Returns the daily quota of billed messages per unit (Azure: "IoT Hub quotas and throttling").
    #[must_use]
    pub fn messages_per_day(self) -> u64 {
        match self {
            Tier::F1 => 8_000,
            Tier::B1 | Tier::S1 => 400_000,
            Tier::B2 | Tier::S2 => 6_000_000,
            Tier::B3 | Tier::S3 => 300_000_000,
        }
    }

    /// Returns how many messages are billed for a message of `bytes` bytes: one per full or partial block of 4 KiB (512 bytes on the free
    /// tier) (Azure: "IoT Hub quotas and throttling").
    #[must_use]
    pub fn billed(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block_bytes()).max(1)
    }

    /// Returns the maximum size of a message that is billed once.
    #[inline]
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        if self == Tier::F1 { 512 } else { 4096 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_timeout_is_one_and_a_half_keep_alives() {
        for (keep_alive_s, wait_ms) in [
            (1, 1_500),
            (60, 90_000),
            (1177, 1_765_500),
            (1178, 1_767_000),
            (u16::MAX, 1_767_000),
            (0, 1_767_000),
        ] {
            assert_eq!(keep_alive_timeout(keep_alive_s), Duration::from_millis(wait_ms), "{keep_alive_s}");
        }
    }

    #[test]
    fn partial_blocks_are_billed_as_whole_messages() {
        for (bytes, standard, free) in [(0, 1, 1), (1, 1, 1), (4096, 1, 8), (4097, 2, 9)] {
            assert_eq!((Tier::S1.billed(bytes), Tier::F1.billed(bytes)), (standard, free), "{bytes}");
        }
        assert_eq!(Tier::from_name("S2"), Some(Tier::S2));
        assert_eq!(Tier::from_name("s2"), None);
        assert_eq!(Tier::from_name("S4"), None);
    }
}
