//! The order in which the devices of a fleet take turns. Used by `arrival` and for service calls. Pure.

use std::fmt;

/// The order of a fleet's devices in one round. Each device has one slot, so the turns of the whole fleet are evenly
/// spaced. Devices with neighboring indices get distant slots, so the turns stay almost evenly spaced when only part of the fleet
/// (the low indices) is online.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RoundRobin {
    devices: u64,
    step: u64,
}

/// The text is part of `Plan::fingerprint`, so it keeps the name that the type had in earlier versions.
impl fmt::Debug for RoundRobin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("devices", &self.devices).field("step", &self.step).finish()
    }
}

impl RoundRobin {
    /// Creates the order for a number of devices. Expensive: call it once per fleet, not per device.
    #[must_use]
    pub fn new(devices: u32) -> RoundRobin {
        /// Number of steps to try, starting at the golden section. At least one of them spreads the turns well.
        const STEPS_TRIED: u64 = 64;
        let devices = u64::from(devices.max(1));
        let golden = devices * 618 / 1000;
        let steps = golden..golden + STEPS_TRIED;
        let step = steps.min_by_key(|step| unevenness(*step % devices, devices)).unwrap_or(1);
        RoundRobin { devices, step }
    }

    /// Returns the index of the device that has turn `n`, counted from 0.
    #[must_use]
    pub fn nth(self, n: u64) -> u32 {
        let index = (n % self.devices) * self.step % self.devices;
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Returns the position of a device's turn within a round, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
    pub(super) fn phase(self, index: u32) -> f64 {
        let slot = u64::from(index) * self.step % self.devices;
        (slot as f64 + 0.5) / self.devices as f64
    }
}

/// Returns how unevenly the multiples of `step` modulo `devices` fill a round: the largest partial quotient in the continued
/// fraction of `step / devices`. For the golden section, all of them are 1. Returns `u64::MAX` for a step that misses slots.
fn unevenness(step: u64, devices: u64) -> u64 {
    let (mut a, mut b, mut worst) = (devices, step, 0);
    while b != 0 {
        worst = worst.max(a / b);
        (a, b) = (b, a % b);
    }
    if a == 1 { worst } else { u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_fill_the_round_and_prefixes_are_spread() {
        for devices in [1, 2, 3, 10, 100, 997, 1000] {
            let mut turns: Vec<f64> =
                (0..devices).map(|index| RoundRobin::new(devices).phase(index)).collect();
            for online in [devices / 2, devices / 10].into_iter().filter(|online| *online > 1) {
                let mut prefix = turns[..online as usize].to_vec();
                prefix.sort_by(f64::total_cmp);
                let gaps = prefix.windows(2).map(|pair| pair[1] - pair[0]);
                let widest = gaps.fold(prefix[0] + 1.0 - prefix[online as usize - 1], f64::max);
                assert!(widest < 4.0 / f64::from(online), "{online} of {devices}: {widest}");
            }
            turns.sort_by(f64::total_cmp);
            assert!(
                (0..devices).zip(&turns).all(|(slot, turn)| {
                    (turn - (f64::from(slot) + 0.5) / f64::from(devices)).abs() < 1e-12
                })
            );
        }
    }
}
