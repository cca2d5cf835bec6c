//! (seed, device, purpose) to a generator: the same seed gives the same arrivals and payloads on any worker.

use rand::SeedableRng;

/// A device's generator: 16 bytes of state, because there are tens of thousands of them.
pub type Rng = rand_pcg::Pcg32;

/// What a stream of random numbers is for, so that adding a payload field does not move the arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// When messages are due; one stream per `send` of a fleet.
    Arrivals(u16),
    /// What messages contain; one stream per `send` of a fleet.
    Payload(u16),
    /// Back-off jitter and renewal jitter.
    Connection,
    /// Which device a stream of the service side calls next.
    Calls,
}

/// The generator of one device (global index over all fleets) for one purpose.
#[must_use]
pub fn generator(seed: u64, device: u64, purpose: Purpose) -> Rng {
    let purpose = match purpose {
        Purpose::Arrivals(send) => u64::from(send) * 4 + 1,
        Purpose::Payload(send) => u64::from(send) * 4 + 2,
        Purpose::Connection => 3,
        Purpose::Calls => 4,
    };
    Rng::seed_from_u64(mix(seed ^ mix(device ^ mix(purpose))))
}

/// `SplitMix64`'s finaliser: neighbouring device indices must not give neighbouring streams.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn first(seed: u64, device: u64, purpose: Purpose) -> u64 {
        generator(seed, device, purpose).random()
    }

    #[test]
    fn the_same_seed_gives_the_same_stream_and_every_input_changes_it() {
        let base = first(7, 1, Purpose::Arrivals(0));
        assert_eq!(base, first(7, 1, Purpose::Arrivals(0)));
        for other in [
            first(8, 1, Purpose::Arrivals(0)),
            first(7, 2, Purpose::Arrivals(0)),
            first(7, 1, Purpose::Arrivals(1)),
            first(7, 1, Purpose::Payload(0)),
            first(7, 1, Purpose::Connection),
            first(7, 1, Purpose::Calls),
        ] {
            assert_ne!(base, other);
        }
    }
}
