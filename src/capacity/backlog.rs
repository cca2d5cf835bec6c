//! Whether the backlog grows during a trial: then the target does not keep up, although every latency may still be good. Called by `app` for
//! each trial. Pure.
//!
//! The backlog is the number of messages that were due and are not done. The test compares its mean in the last third of the trial with
//! that in the first third, in blocks, with a one-sided t interval (Welch's, for unequal variances).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Each third has at least this number of blocks.
const BLOCKS_MIN: usize = 6;
/// The longest block in seconds. Shorter trials have shorter blocks.
const BLOCK_S_MAX: usize = 5;
/// The smallest number of due messages with which a growth has a meaning.
const DUE_MIN: u64 = 10;
/// The backlog may grow by this share of the messages that become due.
const SHARE_MAX: f64 = 0.005;

/// The growth of the backlog in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BacklogGrowth {
    /// Mean backlog in the last third of the trial, minus that in the first third, in messages.
    pub growth: f64,
    /// Lower bound of the growth: one-sided, 95%.
    pub lower: f64,
    /// The backlog grows if `lower` exceeds this number of messages.
    pub limit: f64,
}

impl BacklogGrowth {
    /// Returns whether the backlog grows.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.lower > self.limit
    }
}

/// Returns the growth of the backlog. `backlog` has a value for each second of the trial; a constant offset does not matter. `due` is the
/// number of messages that became due in these seconds, and `in_flight` the mean number of open messages in the first third. `None` if the trial is
/// too short, or has too few messages.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn growth(backlog: &[f64], due: u64, in_flight: f64) -> Option<BacklogGrowth> {
    let third = backlog.len() / 3;
    let block = (third / BLOCKS_MIN).min(BLOCK_S_MAX);
    if block == 0 || due < DUE_MIN {
        return None;
    }
    let [first, last] =
        [&backlog[..third], &backlog[backlog.len() - third..]].map(|part| Blocks::of(part, block));
    let growth = last.mean - first.mean;
    let limit = (SHARE_MAX * due as f64 * 2.0 / 3.0).max(in_flight);
    Some(BacklogGrowth { growth, lower: growth - margin(&first, &last), limit })
}

/// The block means of a third.
struct Blocks {
    count: f64,
    mean: f64,
    /// Variance of the mean.
    variance: f64,
}

impl Blocks {
    #[expect(clippy::cast_precision_loss, reason = "a trial has few seconds")]
    fn of(seconds: &[f64], block: usize) -> Blocks {
        let means: Vec<f64> =
            seconds.chunks_exact(block).map(|part| part.iter().sum::<f64>() / block as f64).collect();
        let count = means.len() as f64;
        let mean = means.iter().sum::<f64>() / count;
        let squares: f64 = means.iter().map(|each| (each - mean) * (each - mean)).sum();
        Blocks { count, mean, variance: squares / (count - 1.0) / count }
    }
}

/// Returns the margin of the lower bound of the difference of two means.
fn margin(first: &Blocks, last: &Blocks) -> f64 {
    let variance = first.variance + last.variance;
    if variance <= 0.0 {
        return 0.0;
    }
    let part = |blocks: &Blocks| blocks.variance * blocks.variance / (blocks.count - 1.0);
    let freedom = variance * variance / (part(first) + part(last));
    let quantile = StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.95));
    quantile * variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// A backlog that grows by `per_s` messages each second, with noise of up to `noise` messages.
    fn backlog(seconds: u32, per_s: f64, noise: f64, seed: u64) -> Vec<f64> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        (0..seconds).map(|second| f64::from(second) * per_s + noise * rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn growth_is_found_and_noise_is_not() {
        // 1,000 messages per second: a growth of 0.5% is 5 per second.
        for (seconds, per_s, noise, expected) in [
            (30, 0.0, 0.0, false),
            (30, 4.0, 0.0, false),
            (30, 8.0, 0.0, true),
            (30, 50.0, 100.0, true),
            (60, 0.0, 300.0, false),
            (60, 20.0, 100.0, true),
            (60, -50.0, 10.0, false),
            (180, 20.0, 300.0, true),
        ] {
            let found = growth(&backlog(seconds, per_s, noise, 1), u64::from(seconds) * 1_000, 10.0).unwrap();
            assert_eq!(found.grows(), expected, "{seconds} s, {per_s}/s, noise {noise}: {found:?}");
        }
    }

    #[test]
    fn noise_alone_is_seldom_a_growth() {
        let found = (0..200)
            .filter(|seed| growth(&backlog(30, 0.0, 2_000.0, *seed), 300, 0.0).unwrap().grows())
            .count();
        assert!(found <= 20, "{found} of 200 at a level of 5%");
    }

    #[test]
    fn backlog_within_the_window_does_not_grow() {
        let grown = backlog(30, 10.0, 0.0, 1);
        assert!(growth(&grown, 30_000, 150.0).unwrap().grows());
        assert!(!growth(&grown, 30_000, 250.0).unwrap().grows(), "less than one mean in-flight");
    }

    #[test]
    fn short_or_sparse_trials_are_not_tested() {
        for (seconds, due, expected) in
            [(17, 1_000, None), (18, 1_000, Some(())), (30, 9, None), (30, 10, Some(())), (0, 0, None)]
        {
            let found = growth(&backlog(seconds, 0.0, 0.0, 1), due, 1.0).map(drop);
            assert_eq!(found, expected, "{seconds} s, {due} due");
        }
    }
}
