//! The online spans of a fleet without a loop over its devices: devices with equal or similar spans form a group. Used by forecasts, whose
//! cost would otherwise grow with the fleet. Pure.

use super::pace::count_first;
use super::phases::{Schedule, Span, bar};

/// The number of groups on each stretch of a ramp. Up to this number of devices, each device is a group of its own.
const GROUPS: u64 = 4_096;

impl Schedule {
    /// Returns the planned spans of all devices of a fleet, each with the number of devices that have it. On a ramp of a large fleet, the
    /// device in the middle of a group represents the others.
    pub(in crate::plan) fn weighted_spans(&self, devices: u64) -> impl Iterator<Item = (Span, u64)> {
        self.rank_groups(devices).into_iter().flat_map(move |(rank, count)| {
            self.online_spans(rank, devices).into_iter().map(move |span| (span, count))
        })
    }

    /// Returns groups of devices: the rank of the device that represents the group, and the number of devices. Between two online shares of the
    /// phases, all devices connect and disconnect in the same phases.
    pub(in crate::plan) fn rank_groups(&self, devices: u64) -> Vec<(u64, u64)> {
        let shares = self.phases().iter().flat_map(|phase| phase.online);
        let below = shares.map(|share| count_first(devices, |rank| bar(rank, devices) <= share));
        let mut bounds: Vec<u64> = below.chain([0, devices]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut groups = Vec::new();
        for (from, to) in bounds.iter().zip(bounds.iter().skip(1)) {
            let size = (to - from).div_ceil(GROUPS).max(1);
            let mut first = *from;
            while first < *to {
                let count = size.min(to - first);
                groups.push((first + count / 2, count));
                first += count;
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::schedule::{PhasePlan, ns};
    use std::time::Duration;

    fn schedule(phases: &[(u64, [f64; 2], Option<f64>)]) -> Schedule {
        let phase = |(duration_s, online, connect_rate_hz): &(u64, [f64; 2], Option<f64>)| {
            let plan =
                PhasePlan { online: *online, connect_rate_hz: *connect_rate_hz, ..PhasePlan::default() };
            (Duration::from_secs(*duration_s), plan)
        };
        Schedule::of_phases(phases.iter().map(phase))
    }

    #[test]
    fn groups_have_the_same_spans_in_sum_as_single_devices() {
        for phases in [
            &[(60, [0.0, 1.0], None), (600, [1.0, 1.0], None)][..],
            &[(60, [0.0, 0.7], None), (30, [0.3, 1.0], None), (30, [0.9, 0.1], None)],
            &[(100, [1.0, 1.0], Some(500.0)), (60, [0.2, 0.2], None), (60, [1.0, 1.0], None)],
        ] {
            let (schedule, devices) = (schedule(phases), 30_000);
            let sums = |spans: &mut dyn Iterator<Item = (Span, u64)>| {
                let (mut count, mut seconds, mut starts) = (0, 0.0, [0; 3]);
                for (span, weight) in spans {
                    count += weight;
                    seconds += (span.to_ns - span.from_ns) as f64 * weight as f64 / 1e9;
                    let phase =
                        schedule.phases().iter().position(|phase| span.from_ns < ns(phase.end)).unwrap();
                    starts[phase] += weight;
                }
                (count, seconds, starts)
            };
            let single = (0..devices).flat_map(|rank| schedule.online_spans(rank, devices));
            let single = sums(&mut single.map(|span| (span, 1)));
            let grouped = sums(&mut schedule.weighted_spans(devices));
            assert_eq!((single.0, single.2), (grouped.0, grouped.2), "{phases:?}");
            // A group with an even number of devices has none in its middle.
            assert!((single.1 / grouped.1 - 1.0).abs() < 1e-4, "{phases:?}: {single:?} {grouped:?}");
        }
    }

    #[test]
    fn a_forecast_does_not_visit_each_of_a_million_devices() {
        let schedule = schedule(&[(60, [0.0, 0.5], None), (60, [0.5, 1.0], None), (60, [1.0, 1.0], None)]);
        let groups = schedule.rank_groups(1_000_000);
        assert_eq!(groups.iter().map(|(_, count)| count).sum::<u64>(), 1_000_000);
        assert!(groups.len() as u64 <= 2 * GROUPS, "{}", groups.len());
        assert_eq!(schedule.rank_groups(3), [(0, 1), (1, 1), (2, 1)]);
    }
}
