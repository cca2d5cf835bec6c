//! The plan's thresholds and validity limits in the form that the result file stores: with names instead of indices. Called by
//! `app`.

use super::model::{Plan, Threshold};
use super::resolve::thresholds::{self, KnownNames};
use super::schedule::PhasePlan;
use crate::measure::{Measurement, Rule, Rules};
use crate::scenario::{Errors, ThresholdSpec};
use std::time::Duration;

impl Plan {
    /// Returns the rules that the run is judged by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let phase =
            |index: u16| self.schedule.phases().get(usize::from(index)).map(|phase| phase.name.clone());
        let fleet = |index: u16| self.fleets.get(usize::from(index)).map(|fleet| fleet.name.clone());
        let thresholds = self.thresholds.iter().map(|threshold| Rule {
            metric: threshold.metric,
            phase: threshold.phase.and_then(phase),
            fleet: threshold.fleet.and_then(fleet),
            without_faults: threshold.without_faults,
            expression: threshold.expression.clone(),
            test: threshold.test,
            abort_from_us: self.abort_from(threshold).map(us),
            line: threshold.line,
        });
        let timeouts =
            self.fleets.iter().flat_map(|fleet| [fleet.ack_timeout, fleet.send_by, fleet.connect_timeout]);
        let keep_alives = self.fleets.iter().map(|fleet| u64::from(fleet.keep_alive_s) * 1_000_000);
        Rules {
            thresholds: thresholds.collect(),
            thresholds_from: None,
            validity: self.validity,
            shortest_timeout_us: timeouts.min().map_or(0, us),
            shortest_keep_alive_us: keep_alives.filter(|us| *us > 0).min().unwrap_or(0),
        }
    }

    /// Returns the earliest time, since the start of the run, at which a threshold may end the run. `None` if it never ends the run.
    #[must_use]
    pub fn abort_from(&self, threshold: &Threshold) -> Option<Duration> {
        let after = threshold.abort_after?;
        self.first_judged(threshold).map(|phase| phase.start + after)
    }

    /// Returns the phase that a threshold names, or the first one that is not a warm-up.
    #[must_use]
    pub fn first_judged(&self, threshold: &Threshold) -> Option<&PhasePlan> {
        let phases = self.schedule.phases();
        match threshold.phase {
            Some(index) => phases.get(usize::from(index)),
            None => phases.iter().find(|phase| !phase.warmup),
        }
    }
}

/// Resolves thresholds against the phases and fleets of a run that has ended, so that it can be judged by them. They have no line,
/// because it would be a line of another file than the run's. `left_out` are the fleets that did not run. Also returns, as written, the
/// thresholds that need them.
pub fn rules_for_run(
    specs: &[ThresholdSpec],
    run: &Measurement,
    left_out: &[String],
    errors: &mut Errors,
) -> (Vec<Rule>, Vec<String>) {
    let phases: Vec<String> = run.phases.iter().map(|phase| phase.name.clone()).collect();
    let fleets: Vec<String> = run.fleets.iter().map(|fleet| fleet.name.clone()).collect();
    let known = KnownNames { phases: &phases, fleets: &fleets, left_out, unmeasured: &[] };
    let (found, without) = thresholds::resolve(specs, &known, errors);
    let name = |names: &[String], index: u16| names.get(usize::from(index)).cloned();
    let rule = |threshold: Threshold| {
        let phase = threshold.phase.and_then(|index| name(&phases, index));
        let starts = |known: &&crate::measure::Phase| match &phase {
            Some(phase) => *phase == known.name,
            None => !known.warmup,
        };
        let first_us = run.phases.iter().find(starts).map(|phase| phase.start_us);
        Rule {
            metric: threshold.metric,
            fleet: threshold.fleet.and_then(|index| name(&fleets, index)),
            without_faults: threshold.without_faults,
            expression: threshold.expression,
            test: threshold.test,
            abort_from_us: threshold.abort_after.zip(first_us).map(|(after, first_us)| first_us + us(after)),
            line: None,
            phase,
        }
    };
    (found.into_iter().map(rule).collect(), without)
}

/// Converts to microseconds, the unit of the result file.
pub(super) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
