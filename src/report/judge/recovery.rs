//! Evaluates a `recovery(99%) < 60s` threshold on the disturbances of a measurement. Called by `judge` and `early`. Pure.
//!
//! The value lies between the bins of 100 ms before and after the recovery. Stalls of this machine may have delayed it, so the lower bound
//! excludes them. Of several disturbances, the slowest recovery counts.

use super::bounds::{Bound, Interval};
use super::numbers::float;
use super::threshold::Observation;
use super::undecided::LocalCause;
use crate::measure::{BIN_US, Compare, Disturbance, Measurement, Reached, RecoveryBins, Rule, Source};
use crate::units::{Percent, human_us, whole};

/// A threshold on recoveries.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecoveryTest {
    /// Share of the planned devices, as a fraction of 1.
    pub(super) share: f64,
    pub(super) compare: Compare,
    pub(super) limit_us: u64,
    /// False while the run is in progress, and after an interruption: the phase was to last longer.
    pub(super) is_over: bool,
    /// Whether the clocks diverged, so that nothing is a lower bound.
    pub(super) clocks_diverged: bool,
}

/// A recovery, or a search that ended without one.
#[derive(Clone, Copy, Debug)]
struct Found {
    low: Bound,
    high: Bound,
    /// Length of the search that ended without a recovery.
    searched_us: Option<u64>,
}

impl RecoveryTest {
    /// Evaluates the threshold on the disturbances in the phases that `covers` selects.
    pub(super) fn evaluate(
        &self,
        measurement: &Measurement,
        rule: &Rule,
        covers: impl Fn(&str) -> bool,
    ) -> Observation {
        let covered: Vec<&Disturbance> =
            measurement.disturbances.iter().filter(|one| covers(&one.phase)).collect();
        let found: Vec<Found> =
            covered.iter().filter_map(|one| self.found(measurement, one, rule.fleet.as_deref())).collect();
        let base = Observation::latency(self.limit_us, found.len() as u64);
        if found.is_empty() {
            let why = match covered.len() {
                0 => "no data (nothing disconnected the devices)".to_owned(),
                _ => format!("no data (never below {})", Percent::from_fraction(self.share)),
            };
            return Observation { text: why, ..base };
        }
        let number = |bound: Bound| bound.value().unwrap_or(f64::INFINITY);
        let worst = |of: fn(&Found) -> Bound| {
            let bounds = found.iter().map(of);
            bounds.max_by(|a, b| number(*a).total_cmp(&number(*b))).unwrap_or(Bound::AboveLimit)
        };
        let interval = Interval { low: worst(|one| one.low), high: worst(|one| one.high) };
        let observed = base.observed_latency(self.compare, self.limit_us, interval);
        match found.iter().filter_map(|one| one.searched_us).max() {
            Some(us) => Observation { text: format!("> {} (not reached)", human_us(us)), ..observed },
            None => observed,
        }
    }

    /// Returns the recovery from a disturbance. `None` if the devices were never disturbed.
    fn found(
        &self,
        measurement: &Measurement,
        disturbance: &Disturbance,
        fleet: Option<&str>,
    ) -> Option<Found> {
        let start_us = disturbance.start_us;
        let lower = |us: u64| {
            let stalled_us = stalled_us(measurement, start_us, start_us.saturating_add(us));
            if self.clocks_diverged { 0 } else { us.saturating_sub(stalled_us) }
        };
        match RecoveryBins::of(disturbance, fleet)?.reached(self.share) {
            Reached::NotDisturbed | Reached::NonePlanned => None,
            Reached::After { us } => Some(Found {
                low: Bound::At(float(lower(us).saturating_sub(BIN_US))),
                high: Bound::At(float(us)),
                searched_us: None,
            }),
            Reached::Never { searched_us, excluded_us } => {
                let excluded_us = lower(excluded_us);
                // Without stalls, devices would have returned earlier by at most the length of the stalls. A phase that is shorter
                // than the limit cannot show a recovery in time.
                let is_certain =
                    excluded_us >= self.limit_us || (self.is_over && searched_us < self.limit_us);
                let low = if is_certain { Bound::AboveLimit } else { Bound::At(float(excluded_us)) };
                Some(Found { low, high: Bound::AboveLimit, searched_us: Some(searched_us) })
            }
        }
    }
}

/// Returns the longest time that a worker and a shard of the built-in hub stalled in this interval.
fn stalled_us(measurement: &Measurement, from_us: u64, to_us: u64) -> u64 {
    let longest = |is_counted: fn(Source) -> bool| {
        let sources =
            measurement.health.iter().map(|health| health.source).filter(|source| is_counted(*source));
        let of = |source: Source| -> u64 {
            let health = measurement.health.iter().filter(|health| health.source == source);
            let entries = health.flat_map(|health| health.stalls.entries());
            entries
                .filter(|entry| entry.from_us < to_us && entry.to_us > from_us)
                .map(|entry| entry.at_most_us(from_us, to_us))
                .fold(0, u64::saturating_add)
        };
        sources.map(of).max().unwrap_or(0)
    };
    longest(|source| matches!(source, Source::Worker(_)))
        .saturating_add(longest(|source| matches!(source, Source::Emulator(_))))
}

/// Returns why a threshold on a recovery is undecided: the reason in words, and the causes.
pub(super) fn undecided(label: &str, observation: &Observation) -> (String, Vec<LocalCause>) {
    let interval = &observation.interval_text;
    let stalled_us = match (observation.best, observation.worst) {
        (Some(best), Some(worst)) => whole(worst - best).saturating_sub(BIN_US),
        _ => BIN_US,
    };
    if stalled_us == 0 {
        let text = format!(
            "{label} is undecided: {interval}, because recoveries are measured to {}",
            human_us(BIN_US)
        );
        return (text, vec![LocalCause::Bin]);
    }
    let text = format!("{label} is undecided: {interval}, because this machine stalled in between");
    (text, vec![LocalCause::Delay])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Cause, DisturbedFleet, Operation, Phase, Test};
    use crate::result::model::ThresholdStatus::{self, Failed, InsufficientSamples, Passed, Undecided};
    use crate::stalls::StallEntry;

    const S: u64 = 1_000_000;

    /// A phase of 60 s from 10 s on. All of 100 devices are away from its start, and back after each of these times.
    fn storms(back_s: &[f64]) -> Measurement {
        let phase = Phase { name: "storm".to_owned(), start_us: 10 * S, end_us: 70 * S, ..Phase::default() };
        let storm = |back_s: &f64| {
            let mut found = Disturbance::known(Cause::Disconnect, "storm", [10 * S, 10 * S, 70 * S]);
            let online = (0..600_u32).map(|bin| if f64::from(bin) * 0.1 >= *back_s { 100 } else { 0 });
            found.fleets.push(DisturbedFleet {
                fleet: "a".to_owned(),
                online_before: 100,
                online: online.collect(),
                planned: vec![100; 600],
                ..DisturbedFleet::default()
            });
            found
        };
        let disturbances = back_s.iter().map(storm).collect();
        Measurement { phases: vec![phase], disturbances, ..Measurement::default() }
    }

    fn seen(measurement: &Measurement, limit_s: f64, fleet: Option<&str>, is_over: bool) -> Observation {
        let limit_us = whole(limit_s * 1e6);
        let test =
            RecoveryTest { share: 0.99, compare: Compare::Less, limit_us, is_over, clocks_diverged: false };
        let rule = Rule {
            metric: Operation::Online,
            phase: Some("storm".to_owned()),
            fleet: fleet.map(str::to_owned),
            expression: "recovery(99%) < 60s".to_owned(),
            test: Test::Recovery { share: 0.99, compare: Compare::Less, limit_us },
            without_faults: false,
            abort_from_us: None,
            line: None,
        };
        test.evaluate(measurement, &rule, |phase| phase == "storm")
    }

    fn status(measurement: &Measurement, limit_s: f64) -> ThresholdStatus {
        seen(measurement, limit_s, None, true).status
    }

    #[test]
    fn the_whole_interval_decides() {
        // Back at 20 s: the bin ends 20.1 s after the start.
        let storm = storms(&[20.0]);
        let statuses = [21.0, 20.2, 20.1, 20.05, 19.9].map(|limit_s| status(&storm, limit_s));
        assert_eq!(statuses, [Passed, Passed, Undecided, Undecided, Failed]);
        let observed = seen(&storm, 21.0, None, true);
        assert_eq!(
            (observed.best, observed.worst, observed.text.as_str()),
            (Some(20e6), Some(20.1e6), "20.1 s")
        );
        let why = undecided("online recovery(99%) < 20.1s", &seen(&storm, 20.1, None, true));
        assert_eq!(why.1, [LocalCause::Bin], "{}", why.0);
    }

    #[test]
    fn stalls_in_between_widen_the_interval() {
        let mut storm = storms(&[20.0]);
        let stall = |from_us: u64, us: u64| StallEntry { from_us, to_us: from_us + us, stalled_us: us };
        storm.add_stall(Source::Worker(0), stall(5 * S, S));
        storm.add_stall(Source::Worker(0), stall(15 * S, S));
        storm.add_stall(Source::Worker(1), stall(20 * S, 2 * S));
        storm.add_stall(Source::Worker(0), stall(50 * S, 5 * S));
        assert_eq!([19.0, 17.9].map(|limit_s| status(&storm, limit_s)), [Undecided, Failed]);
        storm.add_stall(Source::Emulator(0), stall(20 * S, S));
        assert_eq!([17.5, 16.9].map(|limit_s| status(&storm, limit_s)), [Undecided, Failed]);
        let why = undecided("x", &seen(&storm, 17.5, None, true));
        assert_eq!(why.1, [LocalCause::Delay], "{}", why.0);
    }

    #[test]
    fn slowest_of_several_counts() {
        let two = storms(&[5.0, 20.0]);
        assert_eq!([21.0, 19.0].map(|limit_s| status(&two, limit_s)), [Passed, Failed]);
        assert_eq!(seen(&two, 21.0, None, true).samples, 2);
    }

    #[test]
    fn unreached_share_fails_with_the_length_of_the_search() {
        let never = storms(&[5.0, 1_000.0]);
        let observed = seen(&never, 30.0, None, true);
        assert_eq!((observed.status, observed.text.as_str()), (Failed, "> 60.0 s (not reached)"));
        assert_eq!(status(&never, 90.0), Failed, "the phase is too short");
        let mut stalled = storms(&[1_000.0]);
        stalled
            .add_stall(Source::Worker(0), StallEntry { from_us: 20 * S, to_us: 25 * S, stalled_us: 5 * S });
        assert_eq!([50.0, 58.0].map(|limit_s| status(&stalled, limit_s)), [Failed, Undecided]);
    }

    #[test]
    fn a_run_in_progress_fails_only_for_certain() {
        let mut never = storms(&[1_000.0]);
        never.disturbances[0].fleets[0].online.truncate(200);
        let in_progress = |limit_s: f64| seen(&never, limit_s, None, false).status;
        assert_eq!([17.0, 19.0, 90.0].map(in_progress), [Failed, Undecided, Undecided]);
    }

    #[test]
    fn nothing_to_recover_from_is_no_data() {
        let none = Measurement { disturbances: Vec::new(), ..storms(&[]) };
        let calm = storms(&[0.0]);
        for (measurement, fleet, text) in [
            (&none, None, "no data (nothing disconnected the devices)"),
            (&calm, None, "no data (never below 99%)"),
            (&calm, Some("b"), "no data (never below 99%)"),
        ] {
            let observed = seen(measurement, 30.0, fleet, true);
            assert_eq!((observed.status, observed.text.as_str()), (InsufficientSamples, text));
        }
        assert_eq!(seen(&storms(&[20.0]), 30.0, Some("a"), true).status, Passed);
    }
}
