//! Random number generators, each determined by a seed, a device and a purpose. The same seed gives the same arrivals and payloads on any
//! worker. Used by `plan`, `policy`, `link`, `fleet` and the emulator. This file must not depend on threads or clocks.

use rand::SeedableRng;

/// A random number generator. Its state is only 16 bytes, because a run has tens of thousands of generators.
pub type Rng = rand_pcg::Pcg32;

/// The purpose of a stream of random numbers. Each purpose has its own stream, so a new payload field does not change arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Due times of messages, with one stream per `send` of a fleet.
    Arrivals(u16),
    /// Payloads of messages, with one stream per `send` of a fleet.
    Payload(u16),
    /// Jitter of back-off and token renewal.
    Connection,
    /// Payload of the will.
    Will,
    /// Payloads of method answers, with one stream per method of a fleet.
    MethodAnswer(u16),
    /// Due times of service calls, with one stream per `[[drive]]`, not per device.
    ServiceArrivals(u16),
    /// Payloads of service calls.
    ServicePayload(u16),
    /// Choice of the device for each service call.
    ServiceDevice(u16),
    /// Choice of the devices that a planned disconnect takes offline, with one stream per phase and fleet. Its device is the first of the
    /// fleet.
    Disconnect(u16),
    /// Times at which a device leaves because of churn.
    Churn,
    /// Resamples of a comparison, with one stream per figure, not per device.
    Bootstrap,
    /// Choice of the devices of a fault, with one stream per fault. The device is a hash of its id.
    Fault(u16),
    /// Random faults.
    Chaos,
    /// Jitter of a slow network.
    Jitter,
}

/// Except for `Connection`, the streams for purposes other than sends start at multiples of this number, which the streams for sends never
/// reach.
const PURPOSE_STEP: u64 = 1 << 20;

/// Returns the generator for a device (its index among the devices of all fleets) and a purpose. Purposes without a device use device 0.
#[must_use]
pub fn generator(seed: u64, device: u64, purpose: Purpose) -> Rng {
    // These numbers must never change, so that a seed gives the same load in every version.
    let purpose = match purpose {
        Purpose::Arrivals(send) => u64::from(send) * 4 + 1,
        Purpose::Payload(send) => u64::from(send) * 4 + 2,
        Purpose::Connection => 3,
        Purpose::Will => PURPOSE_STEP,
        Purpose::MethodAnswer(method) => 2 * PURPOSE_STEP + u64::from(method),
        Purpose::ServiceArrivals(drive) => 3 * PURPOSE_STEP + u64::from(drive),
        Purpose::ServicePayload(drive) => 4 * PURPOSE_STEP + u64::from(drive),
        Purpose::ServiceDevice(drive) => 5 * PURPOSE_STEP + u64::from(drive),
        Purpose::Bootstrap => 6 * PURPOSE_STEP,
        Purpose::Fault(fault) => 7 * PURPOSE_STEP + u64::from(fault),
        Purpose::Chaos => 8 * PURPOSE_STEP,
        Purpose::Disconnect(phase) => 9 * PURPOSE_STEP + u64::from(phase),
        Purpose::Churn => 10 * PURPOSE_STEP,
        Purpose::Jitter => 11 * PURPOSE_STEP,
    };
    Rng::seed_from_u64(mix(seed ^ mix(device ^ mix(purpose))))
}

/// The finalizer of `SplitMix64`. Neighboring device indices must not give similar streams.
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
    fn stream_depends_on_seed_device_and_purpose() {
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
            first(7, 1, Purpose::Disconnect(0)),
            first(7, 1, Purpose::Disconnect(1)),
            first(7, 1, Purpose::Churn),
            first(7, 1, Purpose::Fault(0)),
            first(7, 1, Purpose::Chaos),
            first(7, 1, Purpose::Jitter),
        ] {
            assert_ne!(base, other);
        }
    }

    /// If this test fails, a seed no longer reproduces the load of older results.
    #[test]
    fn seed_gives_the_same_load_in_every_version() {
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
