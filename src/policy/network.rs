//! Slow networks as data: a delay, its jitter and two rates, and the profiles that scenarios name (`profile = "3g"`). `plan` puts them
//! into faults on the generator's side, and `link` applies them. Independent of clocks and sockets.
//!
//! The values of a profile are typical ones from the named source. hubstorm did not measure them, and real networks vary widely.

use std::time::Duration;

/// A slow network between a device and its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Delay of a round trip, half of it in each direction.
    pub round_trip: Duration,
    /// The largest deviation of a round trip from `round_trip`.
    pub jitter: Duration,
    /// Bits per second from the device; 0 for no limit.
    pub up_bits_per_s: u64,
    /// Bits per second to the device; 0 for no limit.
    pub down_bits_per_s: u64,
}

/// A network that scenarios choose by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name in scenarios and results.
    pub name: &'static str,
    /// The network.
    pub network: Network,
    /// Where the values come from.
    pub source: &'static str,
}

const fn network(round_trip_ms: u64, jitter_ms: u64, up_kbits_per_s: u64, down_kbits_per_s: u64) -> Network {
    Network {
        round_trip: Duration::from_millis(round_trip_ms),
        jitter: Duration::from_millis(jitter_ms),
        up_bits_per_s: up_kbits_per_s * 1_000,
        down_bits_per_s: down_kbits_per_s * 1_000,
    }
}

/// The profiles. Where a source has no jitter, it is our choice.
pub const PROFILES: [Profile; 4] = [
    Profile {
        name: "3g",
        network: network(150, 50, 750, 1_600),
        source: "Lighthouse, docs/throttling.md: 150 ms, 1.6 Mbit/s down, 750 kbit/s up, the same as WebPageTest's \"Mobile 3G - Fast\". \
                 Jitter: Loadero, \"Network Conditions\" (3G: 50 ms)",
    },
    Profile {
        name: "lte-m",
        network: network(100, 50, 375, 300),
        source: "RF Wireless World, \"LTE-M Device Categories\": Cat-M1, half duplex, 300 kbit/s down, 375 kbit/s up. Round trip: white paper \
                 \"Evaluation of LTE-M towards 5G IoT requirements\", 0.1 s at the edge of normal coverage. Jitter: our choice",
    },
    Profile {
        name: "nb-iot",
        network: network(1_600, 800, 62, 26),
        source: "mbedded.ninja, \"Cellular Communication Protocols\": LTE Cat NB1, 26 kbit/s down, 62 kbit/s up, 1.6 s to 10 s, of which \
                 this is the lower end. Jitter: our choice",
    },
    Profile {
        name: "satellite",
        network: network(600, 0, 256, 1_000),
        source: "Loadero, \"Network Conditions\": satellite phone, 600 ms, 1,000 kbit/s down, 256 kbit/s up. RFC 2488, section 2: at least \
                 558 ms for a round trip over a geostationary satellite",
    },
];

impl Profile {
    /// Returns the profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_is_slower_than_a_local_network() {
        for profile in &PROFILES {
            let Network { round_trip, jitter, up_bits_per_s, down_bits_per_s } = profile.network;
            assert!(round_trip >= Duration::from_millis(50) && jitter < round_trip, "{}", profile.name);
            assert!(up_bits_per_s > 0 && down_bits_per_s > 0, "{}", profile.name);
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("3G"), None);
    }

    #[test]
    fn the_documentation_lists_each_profile_with_its_values() {
        let docs = include_str!("../../docs/scenario.md");
        for profile in &PROFILES {
            let network = &profile.network;
            let row = format!(
                "| `{}` | {} ms | {} ms | {} kbit/s | {} kbit/s |",
                profile.name,
                network.round_trip.as_millis(),
                network.jitter.as_millis(),
                network.up_bits_per_s / 1_000,
                network.down_bits_per_s / 1_000,
            );
            assert!(docs.contains(&row), "docs/scenario.md lacks {row}");
        }
    }
}
