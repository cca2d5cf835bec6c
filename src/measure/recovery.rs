//! The recovery from a disturbance: when the online devices reach a share of the planned ones again, and how many connection attempts
//! that took. A pure function of the bins in a result file. Used by `result` for `recoveries`, and by `report` for thresholds.

use super::disturbance::{BIN_US, Disturbance};
use super::latency::Latency;
use std::collections::BTreeMap;

/// How long the share must last.
pub const HOLD_US: u64 = 2_000_000;

/// Length of the interval in which attempts are counted for a rate, in bins.
const SECOND_BINS: usize = 10;

/// When the online devices reached a share of the planned ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Never below the share.
    NotDisturbed,
    /// No devices should have been online.
    NonePlanned,
    /// At this time after the start of the disturbance: between 100 ms earlier and this time, because a bin is 100 ms long.
    After {
        /// The end of the bin.
        us: u64,
    },
    /// Not before the search ended.
    Never {
        /// From the start of the disturbance to the end of the search.
        searched_us: u64,
        /// The time after the start before which the share was certainly not reached.
        excluded_us: u64,
    },
}

/// The bins of a disturbance for a fleet, or for all fleets together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveryBins {
    start_us: u64,
    settled_us: u64,
    until_us: u64,
    from_us: u64,
    online_before: u64,
    /// Number of devices online at the end of each bin.
    pub online: Vec<u64>,
    /// Planned number of devices online at the end of each bin.
    pub planned: Vec<u64>,
    disconnects: Vec<u64>,
    /// Number of connection attempts in each bin.
    pub attempts: Vec<u64>,
    /// Number of outages, by the number of attempts in them.
    pub attempts_per_device: BTreeMap<u32, u64>,
    /// Time without a connection.
    pub outage: Latency,
    /// Number of outages that did not end.
    pub not_back: u64,
}

impl RecoveryBins {
    /// Returns the bins of a fleet, or the sum over all fleets. `None` if there is no such fleet.
    #[must_use]
    pub fn of(disturbance: &Disturbance, fleet: Option<&str>) -> Option<RecoveryBins> {
        let mut sum = RecoveryBins {
            start_us: disturbance.start_us,
            settled_us: disturbance.settled_us,
            until_us: disturbance.until_us,
            from_us: disturbance.bins_from_us,
            ..RecoveryBins::default()
        };
        let mut is_known = false;
        let covered = disturbance.fleets.iter().filter(|one| fleet.is_none_or(|name| name == one.fleet));
        for one in covered {
            is_known = true;
            sum.online_before = sum.online_before.saturating_add(one.online_before);
            add(&mut sum.online, &one.online);
            add(&mut sum.planned, &one.planned);
            add(&mut sum.disconnects, &one.disconnects);
            add(&mut sum.attempts, &one.attempts);
            for (attempts, count) in &one.attempts_per_device {
                let known = sum.attempts_per_device.entry(*attempts).or_default();
                *known = known.saturating_add(*count);
            }
            sum.outage.add(&one.outage);
            sum.not_back = sum.not_back.saturating_add(one.not_back);
        }
        is_known.then_some(sum)
    }

    /// Returns the end of a bin, since the start of the run.
    #[must_use]
    pub fn end_us(&self, bin: usize) -> u64 {
        self.from_us.saturating_add((bin as u64 + 1).saturating_mul(BIN_US))
    }

    /// Returns the bins that end after the start of the disturbance and within the search.
    fn searched(&self) -> impl Iterator<Item = usize> + '_ {
        let ends = 0..self.online.len().min(self.planned.len());
        ends.filter(|bin| (self.start_us + 1..=self.until_us).contains(&self.end_us(*bin)))
    }

    /// Returns the smallest number of online devices in a bin: some may have disconnected before others connected.
    fn lowest(&self, bin: usize) -> u64 {
        let before = match bin.checked_sub(1) {
            Some(before) => self.online.get(before).copied().unwrap_or(0),
            None => self.online_before,
        };
        let disconnects = self.disconnects.get(bin).copied().unwrap_or(0);
        before.saturating_sub(disconnects).min(self.online.get(bin).copied().unwrap_or(0))
    }

    /// Returns the lowest number of online devices.
    #[must_use]
    pub fn lowest_online(&self) -> u64 {
        self.searched().map(|bin| self.lowest(bin)).min().unwrap_or(self.online_before)
    }

    /// Returns the planned number of online devices at the start.
    #[must_use]
    pub fn planned_at_start(&self) -> u64 {
        self.searched().next().and_then(|bin| self.planned.get(bin)).copied().unwrap_or(0)
    }

    /// Returns when the online devices reached `share` of the planned ones, and stayed there for 2 s.
    #[must_use]
    pub fn reached(&self, share: f64) -> Reached {
        if self.planned_at_start() == 0 {
            return Reached::NonePlanned;
        }
        let is_enough = |online: u64, bin: usize| {
            float(online) >= share * float(self.planned.get(bin).copied().unwrap_or(0)) - 1e-9
        };
        let Some(below) = self.searched().find(|bin| !is_enough(self.lowest(*bin), *bin)) else {
            return Reached::NotDisturbed;
        };
        let hold = usize::try_from(HOLD_US / BIN_US).unwrap_or(usize::MAX);
        let mut held = 0;
        for bin in self.searched().filter(|bin| *bin >= below && self.end_us(*bin) >= self.settled_us) {
            held = if is_enough(self.online[bin], bin) { held + 1 } else { 0 };
            if held > hold {
                return Reached::After { us: self.end_us(bin - hold) - self.start_us };
            }
        }
        let searched_us = self.until_us.saturating_sub(self.start_us);
        let last_us = self.searched().last().map_or(self.start_us, |bin| self.end_us(bin));
        let is_whole = last_us.saturating_add(BIN_US) > self.until_us;
        let excluded_us = last_us.saturating_sub(HOLD_US).saturating_sub(self.start_us);
        Reached::Never { searched_us, excluded_us: if is_whole { searched_us } else { excluded_us } }
    }

    /// Returns the largest number of connection attempts in one second.
    #[must_use]
    pub fn attempts_per_s_peak(&self) -> u64 {
        let sums = (0..self.attempts.len()).map(|first| {
            self.attempts
                .iter()
                .skip(first)
                .take(SECOND_BINS)
                .fold(0_u64, |sum, count| sum.saturating_add(*count))
        });
        sums.max().unwrap_or(0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn add(sum: &mut Vec<u64>, list: &[u64]) {
    sum.resize(sum.len().max(list.len()), 0);
    for (sum, number) in sum.iter_mut().zip(list) {
        *sum = sum.saturating_add(*number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::disturbance::{Cause, DisturbedFleet};
    use super::*;

    const S: u64 = 1_000_000;

    /// A storm at 10 s in a phase until 60 s with 100 planned devices. `changes` are the numbers of online devices from a time on.
    fn storm(settled_us: u64, until_us: u64, changes: &[(u64, u64)]) -> RecoveryBins {
        let mut found = Disturbance::known(Cause::Disconnect, "storm", [10 * S, settled_us, until_us]);
        let bins = (until_us - 10 * S) / BIN_US;
        let online = |bin: u64| {
            let end_us = 10 * S + (bin + 1) * BIN_US;
            changes.iter().rev().find(|(at, _)| *at < end_us).map_or(100, |(_, online)| *online)
        };
        let list: Vec<u64> = (0..bins).map(online).collect();
        let before = [vec![100], list.clone()].concat();
        found.fleets.push(DisturbedFleet {
            fleet: "a".to_owned(),
            online_before: 100,
            disconnects: before.windows(2).map(|two| two[0].saturating_sub(two[1])).collect(),
            planned: vec![100; list.len()],
            attempts: vec![1; list.len()],
            online: list,
            ..DisturbedFleet::default()
        });
        RecoveryBins::of(&found, None).unwrap()
    }

    fn after(us: u64) -> Reached {
        Reached::After { us }
    }

    fn never(searched_us: u64) -> Reached {
        Reached::Never { searched_us, excluded_us: searched_us }
    }

    #[test]
    fn recovery_is_exact_for_storms_computed_by_hand() {
        // All devices are away at 10.5 s. 60 return at 15 s, 95 at 20.05 s, all at 30.2 s.
        let usual =
            storm(10_500_000, 60 * S, &[(10 * S, 0), (15 * S, 60), (20_050_000, 95), (30_150_000, 100)]);
        let shares = [0.5, 0.9, 0.99, 1.0].map(|share| usual.reached(share));
        assert_eq!(shares, [after(5_100_000), after(10_100_000), after(20_200_000), after(20_200_000)]);
        assert_eq!((usual.lowest_online(), usual.planned_at_start()), (0, 100));
        assert_eq!(usual.attempts_per_s_peak(), 10);
        // Each case: last disconnect, end of the search, online devices, and when 99% was reached.
        type Case = (&'static str, u64, u64, &'static [(u64, u64)], Reached);
        let cases: [Case; 8] = [
            ("never below", 10 * S, 60 * S, &[], Reached::NotDisturbed),
            ("never below the share", 10 * S, 60 * S, &[(11 * S, 99)], Reached::NotDisturbed),
            ("not reached", 10 * S, 60 * S, &[(10 * S, 50)], never(50 * S)),
            ("not before the last disconnect", 20 * S, 60 * S, &[(11 * S, 50), (12 * S, 100)], after(10 * S)),
            (
                "1.9 s are too short",
                10 * S,
                60 * S,
                &[(10 * S, 0), (12 * S, 100), (13_900_000, 0)],
                never(50 * S),
            ),
            ("the 2 s fit exactly", 10 * S, 22_100_000, &[(10 * S, 0), (20 * S, 100)], after(10_100_000)),
            ("the 2 s do not fit", 10 * S, 22 * S, &[(10 * S, 0), (20 * S, 100)], never(12 * S)),
            ("a late dip counts", 10 * S, 60 * S, &[(30 * S, 10), (31 * S, 100)], after(21_100_000)),
        ];
        for (name, settled_us, until_us, changes, expected) in cases {
            assert_eq!(storm(settled_us, until_us, changes).reached(0.99), expected, "{name}");
        }
    }

    #[test]
    fn nothing_planned_is_no_data() {
        let mut bins = storm(10 * S, 60 * S, &[(10 * S, 0)]);
        bins.planned = vec![0; bins.planned.len()];
        assert_eq!(bins.reached(0.99), Reached::NonePlanned);
        assert_eq!(RecoveryBins::default().reached(0.5), Reached::NonePlanned);
    }

    #[test]
    fn dip_within_a_bin_counts() {
        let mut bins = storm(10 * S, 60 * S, &[]);
        assert_eq!(bins.reached(0.99), Reached::NotDisturbed);
        bins.disconnects[0] = 80;
        assert_eq!(bins.reached(0.99), after(100_000), "80 devices left and returned within 100 ms");
        assert_eq!(bins.lowest_online(), 20);
    }

    #[test]
    fn a_run_in_progress_excludes_only_the_time_so_far() {
        let mut bins = storm(10 * S, 60 * S, &[(10 * S, 0)]);
        bins.online.truncate(100);
        assert_eq!(bins.reached(0.99), Reached::Never { searched_us: 50 * S, excluded_us: 8 * S });
    }
}
