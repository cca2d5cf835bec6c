//! The order in which the devices of a fleet take turns. Used by `arrival` and for the calls of the service client. Pure.

use std::fmt;

/// Who comes when in a round: each of a fleet's slots is taken once, so the whole fleet is exactly regular;
/// neighbours in index are far apart, so that half a fleet (low indices) is nearly so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RoundRobin {
    devices: u64,
    step: u64,
}

/// `Plan::fingerprint` contains this text, so it keeps the name that the type had in earlier versions.
impl fmt::Debug for RoundRobin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("devices", &self.devices).field("step", &self.step).finish()
    }
}

impl RoundRobin {
    /// The turns of a fleet of so many. Finding them takes a while: once for a fleet, not for each device.
    #[must_use]
    pub fn new(devices: u32) -> RoundRobin {
        /// Among so many steps from the golden section on there is a good one.
        const STEPS_TRIED: u64 = 64;
        let devices = u64::from(devices.max(1));
        let golden = devices * 618 / 1000;
        let steps = golden..golden + STEPS_TRIED;
        let step = steps.min_by_key(|step| unevenness(*step % devices, devices)).unwrap_or(1);
        RoundRobin { devices, step }
    }

    /// The index of the device whose turn is the n-th.
    #[must_use]
    pub fn nth(self, n: u64) -> u32 {
        let index = (n % self.devices) * self.step % self.devices;
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Where in a round, from 0 to 1, the turn of the device with that index is.
    #[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
    pub(super) fn phase(self, index: u32) -> f64 {
        let slot = u64::from(index) * self.step % self.devices;
        (slot as f64 + 0.5) / self.devices as f64
    }
}

/// How unevenly the multiples of `step` modulo `devices` fill the round: the largest partial quotient of their
/// ratio (the golden section has ones only); the most for a step that does not visit every slot.
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
    fn turns_fill_the_round_and_every_prefix_is_spread() {
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
