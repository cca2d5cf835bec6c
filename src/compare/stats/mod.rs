//! The statistical methods of a comparison, each a pure function of numbers. The distributions come from `statrs`. Independent of results.
//!
//! A change is positive if the new side is worse: the logarithm of a ratio, or a difference of shares.

mod bootstrap;
mod counts;
mod holm;
mod ranks;
mod runs;
mod shares;

pub(super) use bootstrap::{BLOCKS_MIN, block_bootstrap_sd, blocks};
pub(super) use counts::{Counted, ratio_of_counts};
pub(super) use holm::holm;
pub(super) use ranks::{least_p, mann_whitney};
pub(super) use runs::{more_runs, prediction};
pub(super) use shares::{Share, difference_of_shares, dispersion};

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The probability of an error of each one-sided bound, and of a false `regressed` over all metrics together.
pub(super) const ALPHA: f64 = 0.05;

/// The estimate of a change, and a test of whether the change exceeds the tolerance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// Observed change.
    pub(super) change: f64,
    /// One-sided lower bound of the change.
    pub(super) low: f64,
    /// One-sided upper bound of the change.
    pub(super) high: f64,
    /// Probability of an observation at least as bad if the change were exactly the tolerance.
    pub(super) p: f64,
}

/// Returns the estimate of a change with a normal distribution.
pub(super) fn normal_estimate(change: f64, sd: f64, tolerance: f64) -> Estimate {
    let half = normal_quantile(1.0 - ALPHA) * sd;
    Estimate {
        change,
        low: change - half,
        high: change + half,
        p: tail(change - tolerance, sd, &Normal::standard()),
    }
}

/// Returns the estimate of a change with Student's t distribution.
fn t_estimate(change: f64, sd: f64, freedom: f64, tolerance: f64) -> Estimate {
    let t = StudentsT::new(0.0, 1.0, freedom).expect("there is at least one degree of freedom");
    let half = t.inverse_cdf(1.0 - ALPHA) * sd;
    Estimate { change, low: change - half, high: change + half, p: tail(change - tolerance, sd, &t) }
}

/// Returns the probability of an excess of at least this size.
fn tail(excess: f64, sd: f64, distribution: &impl ContinuousCDF<f64, f64>) -> f64 {
    if sd > 0.0 {
        return distribution.sf(excess / sd);
    }
    // Without any deviation, the observation decides.
    if excess > 0.0 { 0.0 } else { 1.0 }
}

/// Returns the quantile of the standard normal distribution.
pub(super) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Converts a count. Counts stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
