//! The plan's thresholds and validity limits in the form that the result file stores: with names instead of indices. Called by
//! `app`.

use super::model::{Plan, Threshold};
use super::schedule::PhasePlan;
use crate::measure::{Rule, Rules};
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

/// Converts to microseconds, the unit of the result file.
pub(super) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
