//! The options of a comparison, with their defaults. Parsed by `cli`.

use super::CompareError;
use crate::result::metric::{Aggregate, MetricSpec, WHOLE_RUN};
use crate::result::model::RunResult;
use crate::units::Percent;

/// The options of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Metrics; empty for those of the thresholds or, without thresholds, of the headline.
    pub metrics: Vec<MetricSpec>,
    /// Tolerances: at most one default, and tolerances of metrics.
    pub tolerances: Vec<Tolerance>,
    /// Changes of a latency by up to this are within the tolerance.
    pub floor_us: u64,
    /// Tolerance for the difference of two shares, as a fraction of 1.
    pub error_tolerance: f64,
    /// Assumed standard deviation between two runs of one each, as a fraction of the latency.
    pub noise: f64,
    /// Decide even if the results are of different machines or versions.
    pub force: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            metrics: Vec::new(),
            tolerances: Vec::new(),
            floor_us: 1_000,
            error_tolerance: 0.001,
            noise: 0.1,
            force: false,
        }
    }
}

/// A tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// The metric; `None` for all metrics without their own tolerance, except shares.
    pub metric: Option<MetricSpec>,
    /// The tolerance, as a fraction of 1.
    pub share: f64,
}

impl std::str::FromStr for Tolerance {
    type Err = CompareError;

    fn from_str(text: &str) -> Result<Tolerance, CompareError> {
        let trimmed = text.trim();
        let (metric, share) = match trimmed.rsplit_once(char::is_whitespace) {
            Some((metric, share)) => (Some(metric.parse()?), share),
            None => (None, trimmed),
        };
        let share: Percent = share.parse().map_err(|_| CompareError::Tolerance(text.to_owned()))?;
        Ok(Tolerance { metric, share: share.as_fraction() })
    }
}

impl Options {
    /// Checks that a result has the phases and the fleets of the metrics.
    ///
    /// # Errors
    /// Returns the first name that is not in the result.
    pub(super) fn check(&self, result: &RunResult) -> Result<(), CompareError> {
        let own = self.tolerances.iter().filter_map(|tolerance| tolerance.metric.as_ref());
        for spec in self.metrics.iter().chain(own) {
            let known = |what: &'static str, name: &Option<String>, all: Vec<&str>| match name {
                Some(name) if name != WHOLE_RUN && !all.contains(&name.as_str()) => {
                    Err(CompareError::Selector { what, name: name.clone(), allowed: all.join(", ") })
                }
                _ => Ok(()),
            };
            known("phase", &spec.phase, result.phases.iter().map(|phase| phase.name.as_str()).collect())?;
            known("fleet", &spec.fleet, result.fleets.iter().map(|fleet| fleet.name.as_str()).collect())?;
        }
        Ok(())
    }

    /// Returns the default tolerance for ratios.
    pub(super) fn default_tolerance(&self) -> f64 {
        let default = self.tolerances.iter().rev().find(|tolerance| tolerance.metric.is_none());
        default.map_or(0.1, |tolerance| tolerance.share)
    }

    /// Returns the tolerance of a metric, without the floor.
    pub(super) fn tolerance(&self, spec: &MetricSpec) -> f64 {
        let own = self.tolerances.iter().rev().find(|tolerance| tolerance.metric.as_ref() == Some(spec));
        match (own, spec.aggregate) {
            (Some(own), _) => own.share,
            (None, Aggregate::Rate(_)) => self.error_tolerance,
            (None, _) => self.default_tolerance(),
        }
    }
}
