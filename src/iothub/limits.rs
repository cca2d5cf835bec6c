//! A hub's limits as constants, each with its source. Where Azure publishes nothing the doc comment says that the
//! figure is our choice.

use std::time::Duration;

/// A CONNECT, its header included, of the built-in hub: a bound for what clients can make it hold that are not admitted yet. Our choice:
/// Azure publishes none.
pub const CONNECT_BYTES_MAX: usize = 48 * 1024;

/// One device-to-cloud message, as [`message_bytes`](super::message_size::message_bytes) counts it
/// (Azure: "Create and read IoT Hub messages").
pub const TELEMETRY_BYTES_MAX: usize = 256 * 1024;

/// A cloud-to-device message, counted in the same way ("Send cloud-to-device messages from IoT Hub").
pub const C2D_BYTES_MAX: usize = 64 * 1024;

/// A direct method's payload, each way ("Understand and invoke direct methods from IoT Hub").
pub const METHOD_BYTES_MAX: usize = 128 * 1024;

/// Desired properties of one twin, and reported ones, counted in a way of its own: the UTF-8 bytes of keys
/// and strings without control characters, 8 for a number, 4 for a boolean (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_SECTION_BYTES_MAX: usize = 32 * 1024;

/// The tags of one twin, counted in the same way (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_TAGS_BYTES_MAX: usize = 8 * 1024;

/// A section of a twin may have this many times its limit, if control characters are counted too. Our choice: Azure publishes no such
/// limit, and without one a device could store thousands of strings of 4 KiB that count nothing.
pub const TWIN_STORED_FACTOR: usize = 8;

/// Levels of nested objects in a section of a twin. The section itself does not count: the page's example has the objects "one" to "ten"
/// within "tags" (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_DEPTH_MAX: usize = 10;

/// A string in a twin, control characters included (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_STRING_BYTES_MAX: usize = 4 * 1024;

/// A key in a twin (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_KEY_BYTES_MAX: usize = 1024;

/// Integers in a twin (Azure: "Understand and use device twins in IoT Hub").
pub const TWIN_INTEGERS: std::ops::RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;

/// Cloud-to-device messages that wait for one device (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_QUEUE_MAX: usize = 50;

/// How long a cloud-to-device message waits unless its sender says otherwise (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_TTL: Duration = Duration::from_secs(3600);

/// How long a delivered cloud-to-device message waits for its PUBACK before it is delivered again
/// (Azure: "Send cloud-to-device messages from an IoT hub").
pub const C2D_LOCK: Duration = Duration::from_secs(60);

/// Cloud-to-device messages that are delivered and not yet acknowledged. Our choice: Azure publishes none.
pub const C2D_WINDOW: usize = 10;

/// Unanswered method calls of one device, including calls that wait for it to connect. The service has such a limit (403800
/// `DeviceMaximumInflightMethodExceeded` of "Troubleshoot Azure IoT Hub error codes") but publishes no figure. This one, the limit of
/// cloud-to-device messages, is our choice.
pub const METHODS_IN_FLIGHT_MAX: usize = 50;

/// Changes of desired properties that wait to be sent to one device. Azure documents no such limit. The limit and its code, those of
/// cloud-to-device messages, are our choice.
pub const DESIRED_QUEUE_MAX: usize = 50;

/// How long a method's answer is waited for unless its caller says otherwise
/// (Azure: "Understand and invoke direct methods from IoT Hub").
pub const METHOD_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Subscriptions of one device (Azure: "Communicate with an IoT hub using the MQTT protocol").
pub const SUBSCRIPTIONS_MAX: usize = 5;

/// A connection is closed after this at the latest when nothing comes from the device: 29.45 minutes
/// (Azure: "Communicate with an IoT hub using the MQTT protocol").
pub const KEEP_ALIVE_TIMEOUT_MAX: Duration = Duration::from_secs(1767);

/// How far the clocks of device and hub may be apart when a token's expiry is checked
/// (`MaxClockSkew` of Azure's .NET service library).
pub const CLOCK_SKEW_S: u64 = 300;

/// From a token's expiry to the end of the connection that it opened. Our choice: Azure's documents name 5 and up to 10
/// minutes.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(300);

/// The most that Azure's documents name for it ("Monitor, diagnose, and troubleshoot Azure IoT Hub device connectivity").
pub const EXPIRY_GRACE_MAX: Duration = Duration::from_secs(600);

/// From accepting a connection to CONNECT (`ConnectArrivalTimeout` of Azure IoT Edge's hub; Azure publishes none for
/// the cloud).
pub const CONNECT_ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a hub waits for the next packet of a device that announced `keep_alive_s`: one and a half times that, and
/// [`KEEP_ALIVE_TIMEOUT_MAX`] at most. For 0 it is the maximum: our choice, as in Azure's protocol gateway.
#[must_use]
pub fn keep_alive_timeout(keep_alive_s: u16) -> Duration {
    match keep_alive_s {
        0 => KEEP_ALIVE_TIMEOUT_MAX,
        _ => Duration::from_millis(u64::from(keep_alive_s) * 1500).min(KEEP_ALIVE_TIMEOUT_MAX),
    }
}

/// The emulator's tier without throttles and quotas. Azure has no such tier.
pub const UNLIMITED: &str = "unlimited";

/// An IoT hub's tier (Azure: "Choose the right IoT Hub tier and size for your solution").
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
    /// Every tier.
    pub const ALL: [Tier; 7] = [Tier::F1, Tier::B1, Tier::B2, Tier::B3, Tier::S1, Tier::S2, Tier::S3];

    /// The name in scenarios and on Azure's price list.
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

    /// The tier of that name, in either case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(name))
    }

    /// Billed messages a day and unit (Azure: "IoT Hub quotas and throttling").
    #[must_use]
    pub fn messages_per_day(self) -> u64 {
        match self {
            Tier::F1 => 8_000,
            Tier::B1 | Tier::S1 => 400_000,
            Tier::B2 | Tier::S2 => 6_000_000,
            Tier::B3 | Tier::S3 => 300_000_000,
        }
    }

    /// How many messages are billed for one of `bytes`: one for each begun 4 KiB, on the free tier for each
    /// begun 512 bytes (Azure: "IoT Hub quotas and throttling").
    #[must_use]
    pub fn billed(self, bytes: u64) -> u64 {
        bytes.div_ceil(if self == Tier::F1 { 512 } else { 4096 }).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_waited_for_one_and_a_half_times_up_to_the_cap() {
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
    fn messages_are_billed_by_begun_blocks() {
        for (bytes, standard, free) in [(0, 1, 1), (1, 1, 1), (4096, 1, 8), (4097, 2, 9)] {
            assert_eq!((Tier::S1.billed(bytes), Tier::F1.billed(bytes)), (standard, free), "{bytes}");
        }
        assert_eq!(Tier::from_name("s2"), Some(Tier::S2));
        assert_eq!(Tier::from_name("S4"), None);
    }
}
