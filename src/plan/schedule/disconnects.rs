//! Planned disconnects: which devices of a fleet a `disconnect` takes offline, and when. A pure function of the seed and the phases.
//! Read by devices, by the forecast and by the measurement of recoveries.

use super::nanoseconds::ns;
use super::phases::Schedule;
use super::random_order::RandomOrder;
use crate::policy::disconnect::Disconnect;
use crate::rng::{Purpose, generator};

/// A device, as the seed and the schedule of its fleet see it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSeed {
    /// Seed of the plan.
    pub seed: u64,
    /// Index of the fleet's first device among the devices of all fleets.
    pub first: u64,
    /// Index of the device within its fleet.
    pub rank: u64,
    /// Number of devices in the fleet.
    pub devices: u64,
}

impl Schedule {
    /// Returns the number of a fleet's devices that are planned to be online before and after the start of a phase.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a device count, far below 2^52"
    )]
    pub fn online_at_start(&self, phase: usize, devices: u64) -> u64 {
        let phases = self.phases();
        let before =
            phase.checked_sub(1).and_then(|before| phases.get(before)).map_or(0.0, |before| before.online[1]);
        let share = phases.get(phase).map_or(0.0, |phase| phase.online[0].min(before));
        (share * devices as f64 + 0.5).floor() as u64
    }

    /// Returns the number of a fleet's devices that the `disconnect` of a phase takes offline.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a device count, far below 2^52"
    )]
    pub fn disconnected_in(&self, phase: usize, devices: u64) -> u64 {
        let plan = self.phases().get(phase).and_then(|phase| phase.disconnect);
        plan.map_or(0, |plan| (plan.share * self.online_at_start(phase, devices) as f64).round() as u64)
    }

    /// Returns when a device is next disconnected after `after_ns`, and how.
    #[must_use]
    pub fn next_disconnect(&self, device: &DeviceSeed, after_ns: u64) -> Option<(u64, Disconnect)> {
        // Disconnects do not outlast their phase, so the first one is the earliest.
        self.phases().iter().enumerate().find_map(|(number, phase)| {
            let plan = phase.disconnect.filter(|_| ns(phase.end) > after_ns)?;
            let online = self.online_at_start(number, device.devices);
            if device.rank >= online {
                return None;
            }
            let purpose = Purpose::Disconnect(u16::try_from(number).unwrap_or(u16::MAX));
            let order = RandomOrder::new(online, &mut generator(device.seed, device.first, purpose));
            let (place, count) = (order.place(device.rank), self.disconnected_in(number, device.devices));
            let into_ns = u128::from(ns(plan.over)) * u128::from(place) / u128::from(count.max(1));
            let at_ns = ns(phase.start) + u64::try_from(into_ns).unwrap_or(u64::MAX);
            (place < count && at_ns > after_ns).then_some((at_ns, plan.how))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::schedule::{DisconnectPlan, PhasePlan};
    use std::collections::BTreeSet;
    use std::time::Duration;

    const S: u64 = 1_000_000_000;

    /// A phase of 10 s with half of the devices online, and a storm of 10 s.
    fn schedule(share: f64, over: Duration) -> Schedule {
        let phase = |online, disconnect| {
            (
                Duration::from_secs(10),
                PhasePlan { online, load: [1.0; 2], disconnect, ..PhasePlan::default() },
            )
        };
        let plan = DisconnectPlan { share, how: Disconnect::Reset, over };
        Schedule::of_phases([phase([0.5; 2], None), phase([1.0; 2], Some(plan))])
    }

    fn all(schedule: &Schedule, seed: u64, after_ns: u64) -> Vec<Option<u64>> {
        let device = |rank| DeviceSeed { seed, first: 7, rank, devices: 100 };
        (0..100).map(|rank| schedule.next_disconnect(&device(rank), after_ns).map(|(at, _)| at)).collect()
    }

    #[test]
    fn the_share_of_the_online_devices_is_drawn_and_spread_evenly() {
        let schedule = schedule(0.4, Duration::from_secs(2));
        assert_eq!((schedule.online_at_start(1, 100), schedule.disconnected_in(1, 100)), (50, 20));
        let found = all(&schedule, 1, 0);
        assert!(found[50..].iter().all(Option::is_none), "they are not online before the storm");
        let mut times: Vec<u64> = found.iter().flatten().copied().collect();
        times.sort_unstable();
        assert_eq!(times, (0..20).map(|place| 10 * S + place * S / 10).collect::<Vec<_>>());
        let chosen = |found: &[Option<u64>]| -> BTreeSet<usize> {
            (0..100).filter(|rank| found[*rank].is_some()).collect()
        };
        assert_eq!(found, all(&schedule, 1, 0));
        assert_ne!(chosen(&found), chosen(&all(&schedule, 2, 0)), "the seed chooses");
        let later = all(&schedule, 1, 11 * S);
        assert_eq!(later.iter().flatten().count(), 9, "those after 11 s");
    }

    #[test]
    fn a_disconnect_without_a_spread_takes_all_at_once() {
        let found = all(&schedule(1.0, Duration::ZERO), 1, 0);
        assert_eq!(found.iter().flatten().filter(|at| **at == 10 * S).count(), 50);
        assert!(all(&schedule(1.0, Duration::ZERO), 1, 10 * S).iter().all(Option::is_none));
    }
}
