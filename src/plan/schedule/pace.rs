//! Paces the planned connects of a phase, so that no more than a number of devices per second connect. Used by `phases`. Pure.

use super::nanoseconds::{nanoseconds, ns, seconds};
use super::phases::{Schedule, bar, crossing};

/// The connects that a phase paces. The devices connect in the order of their ranks.
pub(super) struct Pace {
    rate_hz: f64,
    /// Rank of the first device that connects in the phase.
    first: u64,
    /// Rank of the first device that connects during the phase, not at its start.
    ramped: u64,
    start_ns: u64,
    /// When the first ramped device would connect without a pace, in seconds.
    ramp_s: f64,
}

impl Schedule {
    /// Returns the number of a fleet's devices that are planned to connect in a phase, not counting churn.
    #[must_use]
    pub fn connecting_in(&self, phase: usize, devices: u64) -> u64 {
        let [first, _, last] = self.ranks_connecting(phase, devices);
        last.saturating_sub(first)
    }

    /// Returns the rank of the first device that connects in a phase, of the first that connects after its start, and of the first that
    /// does not connect.
    fn ranks_connecting(&self, number: usize, devices: u64) -> [u64; 3] {
        let phases = self.phases();
        let online = |share: f64| count_first(devices, |rank| bar(rank, devices) <= share);
        let before = number.checked_sub(1).and_then(|before| phases.get(before));
        let before = online(before.map_or(0.0, |before| before.online[1]));
        let [from, to] = phases.get(number).map_or([0.0; 2], |phase| phase.online);
        let (start, most) = (online(from), online(from.max(to)));
        // Devices that disconnect at the start and connect again on the ramp count too.
        [before.min(start), start, most]
    }

    /// Returns how many of a fleet's devices have connected by `t_ns`, if the phase at that time paces connects.
    pub(super) fn connected_by(&self, t_ns: u64, devices: u64) -> Option<u64> {
        let number = usize::from(self.phase_at(t_ns));
        let (pace, phase) = (self.pace(number, devices)?, self.phases().get(number)?);
        let planned_ns = |rank| match rank < pace.ramped {
            true => pace.start_ns,
            false => crossing(phase, bar(rank, devices)),
        };
        Some(count_first(devices, |rank| {
            rank < pace.first || pace.connect_ns(rank, planned_ns(rank)) <= t_ns
        }))
    }

    /// Returns the pace of a phase, if it has one.
    pub(super) fn pace(&self, number: usize, devices: u64) -> Option<Pace> {
        let phase = self.phases().get(number)?;
        let rate_hz = phase.connect_rate_hz?;
        let [first, ramped, _] = self.ranks_connecting(number, devices);
        let start_ns = ns(phase.start);
        let ramp_s = seconds(crossing(phase, bar(ramped, devices)));
        Some(Pace { rate_hz, first, ramped, start_ns, ramp_s })
    }
}

impl Pace {
    /// Returns when a device connects whose connect is planned for `from_ns`.
    pub(super) fn connect_ns(&self, rank: u64, from_ns: u64) -> u64 {
        if rank < self.first {
            return from_ns;
        }
        let after = |begin_s: f64, begin: u64| begin_s + to_f64(rank - begin) / self.rate_hz;
        // The planned times are a jump at the start, then a line. So the queue begins with the first device of one of the two.
        let mut at_s = seconds(from_ns);
        if self.ramped > self.first {
            at_s = at_s.max(after(seconds(self.start_ns), self.first));
        }
        if rank >= self.ramped {
            at_s = at_s.max(after(self.ramp_s, self.ramped));
        }
        nanoseconds(at_s)
    }
}

#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Returns how many numbers from 0 to `count - 1` come before the first for which `holds` is false.
pub(super) fn count_first(count: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use crate::plan::schedule::{PhasePlan, Schedule};
    use proptest::prelude::*;
    use std::time::Duration;

    const S: u64 = 1_000_000_000;

    fn schedule(phases: &[(u64, [f64; 2], Option<f64>)]) -> Schedule {
        Schedule::of_phases(phases.iter().map(|(duration_s, online, connect_rate_hz)| {
            let phase = PhasePlan {
                online: *online,
                load: [1.0; 2],
                connect_rate_hz: *connect_rate_hz,
                ..PhasePlan::default()
            };
            (Duration::from_secs(*duration_s), phase)
        }))
    }

    fn connects(schedule: &Schedule, devices: u64) -> Vec<u64> {
        (0..devices).map(|rank| schedule.online_spans(rank, devices)[0].from_ns).collect()
    }

    #[test]
    fn a_jump_is_spread_and_a_slow_ramp_is_not_changed() {
        let jump = schedule(&[(10, [1.0; 2], Some(2.0))]);
        assert_eq!(connects(&jump, 8), (0..8).map(|rank| rank * S / 2).collect::<Vec<_>>());
        let ramp = |rate| schedule(&[(8, [0.0, 1.0], rate), (8, [1.0; 2], None)]);
        assert_eq!(connects(&ramp(Some(2.0)), 8), connects(&ramp(None), 8));
        let both = schedule(&[(10, [0.5, 1.0], Some(1.0))]);
        // Four at the start are spread over 4 s. The ramp's devices then wait only for the one before.
        assert_eq!(
            connects(&both, 8),
            [0, 100, 200, 300, 400, 500, 625, 875].map(|hundredths| hundredths * S / 100)
        );
        assert_eq!((jump.connecting_in(0, 8), both.connecting_in(0, 8)), (8, 8));
        assert_eq!([0, S / 2, 3 * S].map(|t_ns| jump.planned_online(t_ns, 8)), [1, 2, 7]);
    }

    proptest! {
        #[test]
        fn no_second_has_more_connects_and_the_plan_counts_them(
            before in 0.0..0.9, from in 0.0..=1.0, to in 0.0..=1.0, slack in 1.0..3.0, devices in 1..60_u64, t in 0.0..10.0,
        ) {
            let unpaced = schedule(&[(10, [before; 2], None), (10, [from, to], None)]);
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            let rate_hz = unpaced.connecting_in(1, devices).max(1) as f64 / 10.0 * slack;
            let paced = schedule(&[(10, [before; 2], None), (10, [from, to], Some(rate_hz))]);
            let spans: Vec<_> = (0..devices).map(|rank| paced.online_spans(rank, devices)).collect();
            let mut starts: Vec<f64> = spans.iter().flatten().filter(|span| span.from_ns >= 10 * S).map(|span| span.from_ns as f64 / 1e9).collect();
            starts.sort_by(f64::total_cmp);
            for pair in starts.windows(2) {
                prop_assert!(pair[1] - pair[0] > 1.0 / rate_hz - 1e-6, "{pair:?} at {rate_hz}/s");
            }
            prop_assert!(starts.iter().all(|start| *start < 20.0), "they fit");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
            let t_ns = 10 * S + (t * 1e9) as u64;
            let online = spans.iter().flatten().filter(|span| span.from_ns <= t_ns && t_ns < span.to_ns).count() as u64;
            if from <= to {
                prop_assert!(online.abs_diff(paced.planned_online(t_ns, devices)) <= 1);
            }
        }
    }
}
