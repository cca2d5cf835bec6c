//! The options of a comparison, with their defaults. Parsed by `cli`.

use super::metric::MetricSpec;
use super::{Aggregation, CompareError};
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
    /// Returns the default tolerance for ratios.
    pub(super) fn default_tolerance(&self) -> f64 {
        let default = self.tolerances.iter().rev().find(|tolerance| tolerance.metric.is_none());
        default.map_or(0.1, |tolerance| tolerance.share)
    }

    /// Returns the tolerance of a metric, without the floor.
    pub(super) fn tolerance(&self, spec: &MetricSpec) -> f64 {
        let own = self.tolerances.iter().rev().find(|tolerance| tolerance.metric.as_ref() == Some(spec));
        match (own, spec.aggregation) {
            (Some(own), _) => own.share,
            (None, Aggregation::Rate(_)) => self.error_tolerance,
            (None, _) => self.default_tolerance(),
        }
    }
}
