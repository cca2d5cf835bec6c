//! Delay on this machine that cannot be attributed to an operation: stalls of the built-in hub's shards and of other workers, and
//! seconds in which a worker was saturated. Lower bounds of latencies exclude the longest such delay in any window that is twice as
//! long as the limit. Used by `judge` and `early`. Pure.

use super::numbers::ratio;
use crate::measure::{EXCUSE_SHARE, Measurement, Phase, Rules, Source};
use crate::report::findings::clock_steps;
use crate::stalls::{StallEntry, StallList};

/// If the wall clock and the monotonic clock diverge by more than this in a phase, the phase has no meaningful lower bounds.
const DRIFT_MAX_US: u64 = 100_000;

/// The unattributed delay in some phases.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UnattributedDelay {
    stalls: Vec<StallEntry>,
    /// Whether the clocks diverged, so that timestamps are unreliable.
    pub(super) clocks_diverged: bool,
    /// Share of the time in these phases that was stalled.
    pub(super) share: f64,
    /// Whether these delays, or a wrong clock on this machine, may have caused failures.
    pub(super) may_cause_failures: bool,
    /// Whether stalls of the built-in hub may have caused failures.
    pub(super) hub_may_cause_failures: bool,
    /// Whether this machine's slow clock may have caused failures.
    pub(super) clock_may_cause_failures: bool,
}

impl UnattributedDelay {
    /// Adds up the delay in the phases that `covers` selects.
    pub(super) fn of(
        measurement: &Measurement,
        rules: &Rules,
        covers: impl Fn(&str) -> bool,
    ) -> UnattributedDelay {
        let Rules { shortest_timeout_us, shortest_keep_alive_us, .. } = *rules;
        let workers = measurement.health.iter().filter(|health| matches!(health.source, Source::Worker(_)));
        let several = workers.clone().any(|health| health.source != Source::Worker(0));
        let (mut all, mut hub) = (StallList::default(), StallList::default());
        let mut clocks_diverged = false;
        // Include the following phase: a stall there may delay operations that were due at the end of a covered phase.
        let follows = |name: &str| {
            measurement.phases.windows(2).any(|pair| pair[1].name == name && covers(&pair[0].name))
        };
        let counts = |name: &str| covers(name) || follows(name);
        for health in measurement.health.iter().filter(|health| counts(&health.phase)) {
            clocks_diverged |= health.clock_drift_us > DRIFT_MAX_US;
            match health.source {
                Source::Emulator(_) => hub.merge(&health.stalls),
                Source::Worker(_) if several => all.merge(&health.stalls),
                Source::Worker(_) | Source::Service | Source::Collector => {}
            }
            all.merge(&health.saturated);
        }
        // The clock may have been wrong in every phase before the step.
        let by_clock = clock_steps::step_after_refusals(measurement).is_some_and(|step| {
            measurement.phases.iter().any(|phase| phase.start_us < step.at_us && counts(&phase.name))
        });
        let hub_at_once_us = max_in_window(hub.entries(), shortest_timeout_us);
        let longest_us = hub.entries().iter().map(|entry| entry.stalled_us).max().unwrap_or(0);
        let by_timeout = hub_at_once_us > 0 && hub_at_once_us >= shortest_timeout_us / EXCUSE_SHARE;
        let by_silence = shortest_keep_alive_us > 0 && longest_us >= shortest_keep_alive_us / 2;
        all.merge(&hub);
        let share = ratio(
            all.entries().iter().map(|entry| entry.stalled_us).sum(),
            measurement.phases.iter().filter(|phase| counts(&phase.name)).map(length_us).sum(),
        );
        UnattributedDelay {
            stalls: all.entries().to_vec(),
            clocks_diverged,
            share,
            may_cause_failures: clocks_diverged || by_clock || by_timeout || by_silence,
            hub_may_cause_failures: by_timeout || by_silence,
            clock_may_cause_failures: by_clock,
        }
    }

    /// Returns the upper bound of this delay within a latency near `limit_us`. `None` if the whole latency may be delay.
    pub(super) fn max_us(&self, limit_us: u64) -> Option<u64> {
        let max_us = max_in_window(&self.stalls, limit_us.saturating_mul(2));
        (!self.clocks_diverged && max_us <= limit_us).then_some(max_us)
    }
}

fn length_us(phase: &Phase) -> u64 {
    phase.end_us.saturating_sub(phase.start_us)
}

/// Returns the maximum stalled time in any window of this length. The worst window begins at the start of a stall or ends at the
/// end of one.
fn max_in_window(stalls: &[StallEntry], window_us: u64) -> u64 {
    let begins = stalls.iter().map(|entry| entry.from_us);
    let ends = stalls.iter().map(|entry| entry.to_us.saturating_sub(window_us));
    let windows =
        begins.chain(ends).map(|from_us| stalled_in(stalls, from_us, from_us.saturating_add(window_us)));
    windows.max().unwrap_or(0)
}

fn stalled_in(stalls: &[StallEntry], from_us: u64, to_us: u64) -> u64 {
    let first = stalls.partition_point(|entry| entry.to_us <= from_us);
    let inside = stalls.iter().skip(first).take_while(|entry| entry.from_us < to_us);
    let parts = inside.map(|entry| entry.at_most_us(from_us, to_us));
    parts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(from_us: u64, to_us: u64) -> StallEntry {
        StallEntry { from_us, to_us, stalled_us: to_us - from_us }
    }

    fn rules() -> Rules {
        Rules { shortest_timeout_us: 300_000, ..Rules::default() }
    }

    #[test]
    fn worst_window_counts() {
        let stalls = [entry(100, 110), entry(150, 190), entry(200, 205), entry(900, 930)];
        for (window, most) in [(10, 10), (40, 40), (55, 45), (105, 55), (1_000, 85), (0, 0)] {
            assert_eq!(max_in_window(&stalls, window), most, "{window}");
        }
        assert_eq!(max_in_window(&[], 100), 0);
        let merged = [StallEntry { from_us: 0, to_us: 1_000, stalled_us: 30 }];
        assert_eq!(max_in_window(&merged, 100), 30, "the stall may be anywhere in the entry");
        assert_eq!(max_in_window(&merged, 20), 20);
    }

    #[test]
    fn stalls_longer_than_the_limit_leave_no_lower_bound() {
        let unattributed = UnattributedDelay { stalls: vec![entry(0, 300)], ..UnattributedDelay::default() };
        assert_eq!(unattributed.max_us(300), Some(300));
        assert_eq!(unattributed.max_us(299), None);
        assert_eq!(
            UnattributedDelay { clocks_diverged: true, ..UnattributedDelay::default() }.max_us(1_000_000),
            None
        );
    }

    #[test]
    fn diverging_clocks_may_cause_failures() {
        let mut measurement = Measurement::default();
        measurement.health_mut(Source::Worker(0), "p").clock_drift_us = DRIFT_MAX_US + 1;
        assert!(UnattributedDelay::of(&measurement, &rules(), |_| true).may_cause_failures);
    }

    #[test]
    fn hub_stalls_count_but_stalls_of_a_single_worker_do_not() {
        let mut measurement = Measurement {
            phases: vec![crate::measure::Phase {
                name: "p".to_owned(),
                end_us: 1_000_000,
                ..Default::default()
            }],
            ..Measurement::default()
        };
        measurement.add_stall(Source::Worker(0), entry(10_000, 90_000));
        let unattributed = |measurement: &Measurement| UnattributedDelay::of(measurement, &rules(), |_| true);
        assert_eq!(
            unattributed(&measurement),
            UnattributedDelay::default(),
            "its operations already account for its own stalls"
        );
        measurement.add_stall(Source::Emulator(0), entry(200_000, 220_000));
        assert_eq!(unattributed(&measurement).max_us(500_000), Some(20_000));
        assert!(!unattributed(&measurement).may_cause_failures);
        measurement.add_stall(Source::Emulator(1), entry(210_000, 240_000));
        assert_eq!(unattributed(&measurement).max_us(500_000), Some(40_000), "overlapping stalls count once");
        assert!(unattributed(&measurement).may_cause_failures, "a tenth of the timeout");
        measurement.add_stall(Source::Worker(1), entry(500_000, 510_000));
        assert_eq!(
            unattributed(&measurement).max_us(500_000),
            Some(130_000),
            "each of several workers may slow the others"
        );
    }
}
