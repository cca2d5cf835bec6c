//! The difference of two shares, such as failure shares, and the dispersion of a share. Used by `compare` for `rate(ok)` and the like.

use super::{ALPHA, Estimate, float, normal_quantile};
use statrs::distribution::{ContinuousCDF, Normal};

/// A share of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::compare) struct Share {
    /// Number of events.
    pub(in crate::compare) events: f64,
    /// Number of operations, above 0.
    pub(in crate::compare) of: f64,
}

impl Share {
    fn value(self) -> f64 {
        self.events / self.of
    }

    /// Returns Wilson's interval for this standard score.
    fn wilson(self, z: f64, dispersion: f64) -> (f64, f64) {
        let (p, n) = (self.value(), self.of / dispersion);
        let center = p + z * z / (2.0 * n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        ((center - half) / scale, (center + half) / scale)
    }
}

/// Estimates the difference `new - base` with Newcombe's interval, which combines the Wilson intervals of both sides. The dispersion (at
/// least 1) reduces the effective number of operations.
pub(in crate::compare) fn difference_of_shares(
    base: Share,
    new: Share,
    dispersion: f64,
    tolerance: f64,
) -> Estimate {
    let change = new.value() - base.value();
    let bounds = |z: f64| {
        let ((base_low, base_high), (new_low, new_high)) =
            (base.wilson(z, dispersion), new.wilson(z, dispersion));
        let below = (new.value() - new_low).hypot(base_high - base.value());
        let above = (new_high - new.value()).hypot(base.value() - base_low);
        (change - below, change + above)
    };
    let (low, high) = bounds(normal_quantile(1.0 - ALPHA));
    // The probability for which a bound lies exactly at the tolerance. Bounds move away from the change as z grows.
    let (mut inside, mut outside) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(inside, outside);
        let (low, high) = bounds(middle);
        let contains = if change > tolerance { low <= tolerance } else { high >= tolerance };
        if contains { outside = middle } else { inside = middle }
    }
    let beyond = Normal::standard().sf(outside);
    Estimate { change, low, high, p: if change > tolerance { beyond } else { 1.0 - beyond } }
}

/// Returns the dispersion of a share between parts of a run, or between runs: Pearson's statistic divided by the degrees of freedom, at
/// least 1. `parts` are pairs of events and operations.
pub(in crate::compare) fn dispersion(parts: &[(u64, u64)]) -> f64 {
    let (events, of) = parts.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    let parts: Vec<_> = parts.iter().filter(|(_, of)| *of > 0).collect();
    if events == 0 || events >= of || parts.len() < 2 {
        return 1.0;
    }
    let share = float(events) / float(of);
    let squares = parts.iter().map(|(events, of)| {
        let expected = float(*of) * share;
        (float(*events) - expected).powi(2) / (expected * (1.0 - share))
    });
    (squares.sum::<f64>() / float(parts.len() as u64 - 1)).max(1.0)
}
