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
    /// Dispersion of the events, at least 1. It reduces the effective number of operations.
    pub(in crate::compare) dispersion: f64,
}

impl Share {
    fn value(self) -> f64 {
        self.events / self.of
    }

    /// Returns Wilson's interval for this standard score.
    fn wilson(self, z: f64) -> (f64, f64) {
        let (p, n) = (self.value(), self.of / self.dispersion);
        let center = p + z * z / (2.0 * n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        ((center - half) / scale, (center + half) / scale)
    }
}

/// Estimates the difference `new - base` with Newcombe's interval, which combines the Wilson intervals of both sides.
pub(in crate::compare) fn difference_of_shares(base: Share, new: Share, tolerance: f64) -> Estimate {
    let change = new.value() - base.value();
    let bounds = |z: f64| {
        let ((base_low, base_high), (new_low, new_high)) = (base.wilson(z), new.wilson(z));
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

/// Returns the dispersion of a share between the parts of each group, such as the batches of each run: the sum of Pearson's statistics
/// divided by the sum of the degrees of freedom, at least 1. `groups` contain pairs of events and operations. Each group has its own share.
pub(in crate::compare) fn dispersion(groups: &[Vec<(u64, u64)>]) -> f64 {
    let (mut squares, mut freedom) = (0.0, 0);
    for parts in groups {
        let (events, of) = parts.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        let parts: Vec<_> = parts.iter().filter(|(_, of)| *of > 0).collect();
        if events == 0 || events >= of || parts.len() < 2 {
            continue;
        }
        let share = float(events) / float(of);
        let square = |(events, of): &&(u64, u64)| {
            let expected = float(*of) * share;
            (float(*events) - expected).powi(2) / (expected * (1.0 - share))
        };
        squares += parts.iter().map(square).sum::<f64>();
        freedom += parts.len() as u64 - 1;
    }
    if freedom == 0 { 1.0 } else { (squares / float(freedom)).max(1.0) }
}
