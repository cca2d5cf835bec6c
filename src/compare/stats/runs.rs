//! A new result against a folder of base results, and how many more runs would settle a comparison. Used by `compare`.

use super::{ALPHA, Estimate, float, normal_quantile, t_estimate};

/// Estimates the change of the mean of `new` against the mean of `base` (at least two values) with a prediction interval: the deviation
/// between runs is that of `base`.
pub(in crate::compare) fn prediction(base: &[f64], new: &[f64], tolerance: f64) -> Estimate {
    let (n, m) = (float(base.len() as u64), float(new.len() as u64));
    let mean = base.iter().sum::<f64>() / n;
    let squares: f64 = base.iter().map(|value| (value - mean).powi(2)).sum();
    let sd = (squares / (n - 1.0)).sqrt() * (1.0 / m + 1.0 / n).sqrt();
    t_estimate(new.iter().sum::<f64>() / m - mean, sd, n - 1.0, tolerance)
}

/// Most runs that are worth suggesting.
const MORE_RUNS_MAX: f64 = 50.0;

/// Returns the number of further runs of each side after which the interval would no longer contain the tolerance, if the change stays
/// the same: the width shrinks with the square root of the number of runs. `None` if more than 50 would be necessary.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 50")]
pub(in crate::compare) fn more_runs(estimate: &Estimate, tests: usize, tolerance: f64) -> Option<u64> {
    let gap = estimate.change - tolerance;
    let half = if gap > 0.0 { estimate.change - estimate.low } else { estimate.high - estimate.change };
    // A regression must pass Holm's correction, in the worst case for all tests.
    let scale = match gap > 0.0 {
        true => normal_quantile(1.0 - ALPHA / float(tests.max(1) as u64)) / normal_quantile(1.0 - ALPHA),
        false => 1.0,
    };
    let more = ((half * scale / gap).powi(2) - 1.0).ceil().max(1.0);
    (more <= MORE_RUNS_MAX).then_some(more as u64)
}
