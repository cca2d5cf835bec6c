//! The ratio of two counts: a test that is exact given their sum. Used by `compare` for `count(lost)` and the like.

use super::{ALPHA, Estimate};
use statrs::distribution::{Beta, ContinuousCDF};

/// Events of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::compare) struct Counted {
    /// Number of events.
    pub(in crate::compare) events: f64,
    /// Opportunities: the number of due operations.
    pub(in crate::compare) exposure: f64,
}

/// Estimates the logarithm of the ratio of two rates. Given the sum of the events, the events of the new side are binomial. Both counts are
/// divided by the dispersion (at least 1), which widens the interval. `tolerance` is a logarithm. A base of 0 has no finite ratio, but a
/// lower bound.
pub(in crate::compare) fn ratio_of_counts(
    base: Counted,
    new: Counted,
    dispersion: f64,
    tolerance: f64,
) -> Estimate {
    let (a, b) = (base.events / dispersion, new.events / dispersion);
    let exposures = new.exposure / base.exposure;
    let to_log_ratio = |share: f64| (share / (1.0 - share) / exposures).ln();
    let bound = |x: f64, y: f64, p: f64| Beta::new(x, y).map_or(f64::NAN, |beta| beta.inverse_cdf(p));
    let low = if b > 0.0 { to_log_ratio(bound(b, a + 1.0, ALPHA)) } else { f64::NEG_INFINITY };
    let high = if a > 0.0 { to_log_ratio(bound(b + 1.0, a, 1.0 - ALPHA)) } else { f64::INFINITY };
    let ratio = tolerance.exp() * exposures;
    let p = match Beta::new(b, a + 1.0) {
        Ok(beta) => beta.cdf(ratio / (1.0 + ratio)),
        // No events on the new side.
        Err(_) => 1.0,
    };
    let change = if a > 0.0 || b > 0.0 { (b / a / exposures).ln() } else { 0.0 };
    Estimate { change, low, high, p }
}
