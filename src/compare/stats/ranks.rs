//! The exact Mann-Whitney test with the Hodges-Lehmann shift. Used by `compare` for at least three new against five base results.

use super::{ALPHA, Estimate, float};
use statrs::function::factorial::binomial;

/// Estimates the shift from `base` to `new`: the median of all differences, with bounds from the exact distribution of U. A tie with the
/// tolerance counts as not exceeding it.
pub(in crate::compare) fn mann_whitney(base: &[f64], new: &[f64], tolerance: f64) -> Estimate {
    let mut differences: Vec<f64> =
        new.iter().flat_map(|new| base.iter().map(move |base| new - base)).collect();
    differences.sort_by(f64::total_cmp);
    let pairs = differences.len();
    let ways = ways(base.len(), new.len());
    let all: f64 = ways.iter().sum();
    let exceeding = differences.iter().filter(|difference| **difference > tolerance).count();
    let p = ways[exceeding..].iter().sum::<f64>() / all;
    // The largest number of differences below the lower bound that keeps the error at most alpha.
    let mut below = 0;
    let mut error = ways[0] / all;
    while error <= ALPHA {
        below += 1;
        error += ways[below] / all;
    }
    let (low, high) = match below {
        0 => (f64::NEG_INFINITY, f64::INFINITY),
        _ => (differences[below - 1], differences[pairs - below]),
    };
    let change = f64::midpoint(differences[(pairs - 1) / 2], differences[pairs / 2]);
    Estimate { change, low, high, p }
}

/// Returns the smallest probability that the test can find: every new value is worse than every base value.
pub(in crate::compare) fn least_p(base: usize, new: usize) -> f64 {
    1.0 / binomial((base + new) as u64, new as u64)
}

/// Returns the number of orders of `m + n` values with each value of U from 0 to `m * n`.
fn ways(n: usize, m: usize) -> Vec<f64> {
    // The coefficients of the Gaussian binomial: the product of (1 - q^(n+i)) / (1 - q^i) for i from 1 to m.
    let size = n * m + 1;
    let mut ways = vec![0.0; size];
    ways[0] = 1.0;
    for i in 1..=m {
        for u in ((n + i)..size).rev() {
            ways[u] -= ways[u - n - i];
        }
        for u in i..size {
            ways[u] += ways[u - i];
        }
    }
    debug_assert!(ways.iter().all(|ways| *ways >= 0.0) && float(size as u64) > 0.0);
    ways
}
