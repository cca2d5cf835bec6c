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
    /// What the will contains.
    Will,
    /// What answers to a method call contain; one stream per method of a fleet.
    MethodAnswer(u16),
    /// When calls of the service client are due; one stream per drive. They belong to no device.
    ServiceArrivals(u16),
    /// What those calls contain.
    ServicePayload(u16),
    /// Which device each of those calls is for.
    ServiceDevice(u16),
}

/// The numbers of all purposes that are not a fleet's sends are multiples of this, or follow one: no send has so high a number.
const SINGLE: u64 = 1 << 20;

/// The generator of one device (global index over all fleets) for one purpose. What belongs to no device is of device 0.
#[must_use]
pub fn generator(seed: u64, device: u64, purpose: Purpose) -> Rng {
    // The numbers of `Arrivals`, `Payload` and `Connection` stay as they are: a seed gives the load that it always gave.
    let purpose = match purpose {
        Purpose::Arrivals(send) => u64::from(send) * 4 + 1,
        Purpose::Payload(send) => u64::from(send) * 4 + 2,
        Purpose::Connection => 3,
        Purpose::Will => SINGLE,
        Purpose::MethodAnswer(method) => 2 * SINGLE + u64::from(method),
        Purpose::ServiceArrivals(drive) => 3 * SINGLE + u64::from(drive),
        Purpose::ServicePayload(drive) => 4 * SINGLE + u64::from(drive),
        Purpose::ServiceDevice(drive) => 5 * SINGLE + u64::from(drive),
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
            first(7, 1, Purpose::Will),
            first(7, 1, Purpose::MethodAnswer(0)),
            first(7, 1, Purpose::ServiceArrivals(0)),
            first(7, 1, Purpose::ServicePayload(0)),
            first(7, 1, Purpose::ServiceDevice(0)),
        ] {
            assert_ne!(base, other);
        }
    }
    /// If this fails, a scenario's seed no longer repeats the load of an older result.
    #[test]
    fn a_seed_gives_the_same_load_in_every_version() {
        let streams = [
            Purpose::Arrivals(0),
            Purpose::Arrivals(3),
            Purpose::Payload(0),
            Purpose::Payload(3),
            Purpose::Connection,
        ];
        let numbers = [
            12_381_586_148_432_560_636,
            15_055_003_629_258_338_572,
            13_737_101_408_286_097_893,
            18_359_372_105_590_960_158,
            10_642_715_910_769_803_665,
        ];
        assert_eq!(streams.map(|purpose| first(7, 1, purpose)), numbers);
    }
}
