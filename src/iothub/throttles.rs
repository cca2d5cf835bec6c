//! The throttles of each tier of IoT Hub (Azure: "IoT Hub quotas and throttling"). Used by `plan`, by the emulator, which enforces them, and
//! by `report`, which compares a load with them. This file must not depend on clocks, or on how a throttle is enforced.

use super::limits::Tier;
use std::fmt;

/// A class of operations with a throttle of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// New connections.
    Connections,
    /// Device-to-cloud messages.
    D2c,
    /// Cloud-to-device messages, as a service client sends them.
    C2d,
    /// Twin reads, by devices and service clients.
    TwinReads,
    /// Twin updates, by devices and service clients.
    TwinUpdates,
    /// Direct method calls, in KiB of their payloads.
    Methods,
    /// Operations on the identity registry. Nothing in this version performs them.
    Registry,
    /// Queries. Nothing in this version performs them.
    Queries,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 8] = [
        Class::Connections,
        Class::D2c,
        Class::C2d,
        Class::TwinReads,
        Class::TwinUpdates,
        Class::Methods,
        Class::Registry,
        Class::Queries,
    ];

    /// Returns the name in results and control lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Connections => "connections",
            Class::D2c => "d2c",
            Class::C2d => "c2d",
            Class::TwinReads => "twin_reads",
            Class::TwinUpdates => "twin_updates",
            Class::Methods => "methods",
            Class::Registry => "registry",
            Class::Queries => "queries",
        }
    }

    /// Returns the class with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Returns true if only Free and Standard tiers have these operations (Azure: "Choose the right IoT Hub tier and size for your solution").
    #[must_use]
    pub fn needs_standard(self) -> bool {
        matches!(self, Class::C2d | Class::TwinReads | Class::TwinUpdates | Class::Methods)
    }
}

/// The size of a hub: its tier and the number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubSize {
    /// Tier.
    pub tier: Tier,
    /// Number of units: 1 to [`Tier::units_max`].
    pub units: u32,
}

impl fmt::Display for HubSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.tier.name(), self.units)
    }
}

/// The size of a payload counts in full blocks of this many KiB for the throttle of method calls (Azure: "IoT Hub quotas and throttling").
const METHOD_BLOCK_KIB: u64 = 4;

/// Returns the number of KiB that a method call with a payload of `bytes` bytes uses of its throttle.
#[must_use]
pub fn method_kib(bytes: u64) -> u64 {
    bytes.div_ceil(METHOD_BLOCK_KIB * 1024).max(1) * METHOD_BLOCK_KIB
}

impl HubSize {
    /// Returns the throttle of a class, in operations per minute (KiB per minute for methods). `None` if the tier does not have the class.
    #[must_use]
    pub fn per_minute(self, class: Class) -> Option<u64> {
        let units = u64::from(self.units);
        let row = match self.tier {
            Tier::F1 | Tier::B1 | Tier::S1 => 0,
            Tier::B2 | Tier::S2 => 1,
            Tier::B3 | Tier::S3 => 2,
        };
        let is_basic = matches!(self.tier, Tier::B1 | Tier::B2 | Tier::B3);
        if is_basic && class.needs_standard() {
            return None;
        }
        // A minimum for the hub, and a number for each unit.
        let [least, each] = match class {
            Class::Connections | Class::D2c => [[100 * 60, 12 * 60], [0, 120 * 60], [0, 6_000 * 60]][row],
            Class::C2d | Class::Registry => [[0, 100], [0, 100], [0, 5_000]][row],
            Class::TwinReads => [[100 * 60, 0], [100 * 60, 10 * 60], [0, 500 * 60]][row],
            Class::TwinUpdates => [[50 * 60, 0], [50 * 60, 5 * 60], [0, 250 * 60]][row],
            Class::Methods => [[0, 160 * 60], [0, 480 * 60], [0, 24 * 1024 * 60]][row],
            Class::Queries => [[0, 20], [0, 20], [0, 1_000]][row],
        };
        Some((each * units).max(least))
    }

    /// Returns the daily quota of billed messages.
    #[must_use]
    pub fn messages_per_day(self) -> u64 {
        self.tier.messages_per_day() * u64::from(self.units)
    }
}

impl Tier {
    /// Returns the maximum number of units of a hub (Azure: "IoT Hub quotas and throttling").
    #[must_use]
    pub fn units_max(self) -> u32 {
        match self {
            Tier::F1 => 1,
            Tier::B1 | Tier::B2 | Tier::S1 | Tier::S2 => 200,
            Tier::B3 | Tier::S3 => 10,
        }
    }

    /// Returns the maximum number of devices of a hub (Azure: "IoT Hub quotas and throttling", "Other limits": devices plus modules). For the
    /// tier F1, it is the number that others quote from Azure's pricing page, which we could not read.
    #[must_use]
    pub fn devices_max(self) -> u64 {
        if self == Tier::F1 { 500 } else { 1_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_are_those_of_azures_page() {
        use Class::{C2d, Connections, D2c, Methods, Queries, Registry, TwinReads, TwinUpdates};
        let classes = [Connections, D2c, C2d, TwinReads, TwinUpdates, Methods, Registry, Queries];
        let none = 0;
        for (tier, units, per_minute) in [
            (Tier::F1, 1, [6_000, 6_000, 100, 6_000, 3_000, 9_600, 100, 20]),
            (Tier::B1, 1, [6_000, 6_000, none, none, none, none, 100, 20]),
            (Tier::B1, 10, [7_200, 7_200, none, none, none, none, 1_000, 200]),
            (Tier::B2, 1, [7_200, 7_200, none, none, none, none, 100, 20]),
            (Tier::B2, 3, [21_600, 21_600, none, none, none, none, 300, 60]),
            (Tier::B3, 1, [360_000, 360_000, none, none, none, none, 5_000, 1_000]),
            (Tier::B3, 10, [3_600_000, 3_600_000, none, none, none, none, 50_000, 10_000]),
            (Tier::S1, 1, [6_000, 6_000, 100, 6_000, 3_000, 9_600, 100, 20]),
            (Tier::S1, 8, [6_000, 6_000, 800, 6_000, 3_000, 76_800, 800, 160]),
            (Tier::S1, 9, [6_480, 6_480, 900, 6_000, 3_000, 86_400, 900, 180]),
            (Tier::S2, 1, [7_200, 7_200, 100, 6_000, 3_000, 28_800, 100, 20]),
            (Tier::S2, 20, [144_000, 144_000, 2_000, 12_000, 6_000, 576_000, 2_000, 400]),
            (Tier::S3, 1, [360_000, 360_000, 5_000, 30_000, 15_000, 1_474_560, 5_000, 1_000]),
            (Tier::S3, 2, [720_000, 720_000, 10_000, 60_000, 30_000, 2_949_120, 10_000, 2_000]),
        ] {
            let size = HubSize { tier, units };
            let found = classes.map(|class| size.per_minute(class).unwrap_or(none));
            assert_eq!(found, per_minute, "{size}");
        }
        assert_eq!(HubSize { tier: Tier::S2, units: 3 }.messages_per_day(), 18_000_000);
    }

    #[test]
    fn a_method_call_counts_in_blocks_of_4_kib() {
        assert_eq!([0, 1, 4096, 4097, 131_072].map(method_kib), [4, 4, 4, 8, 128]);
        assert!(Class::ALL.into_iter().all(|class| Class::from_name(class.name()) == Some(class)));
    }
}
