//! The block bootstrap: the deviation of a figure of one run, from the run's batches. Neighboring batches are not independent, so blocks of
//! batches are drawn. Used by `compare` for one run each.

use super::float;
use crate::rng::{Purpose, generator};
use rand::RngExt;

/// Number of resamples.
const RESAMPLES: u64 = 1_000;
/// Fewer blocks say too little about the deviation.
pub(in crate::compare) const BLOCKS_MIN: usize = 20;

/// How the batches of a run form blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compare) struct Blocks {
    /// Number of batches.
    pub(in crate::compare) batches: usize,
    /// Batches per block: at least twice the correlation time.
    pub(in crate::compare) length: usize,
}

impl Blocks {
    /// Returns the number of complete blocks.
    pub(in crate::compare) fn count(self) -> usize {
        self.batches / self.length
    }

    /// Returns true if there are enough blocks.
    pub(in crate::compare) fn suffice(self) -> bool {
        self.count() >= BLOCKS_MIN
    }
}

/// Returns the blocks for a series with one value for each batch. The correlation time is the time in which the autocorrelation falls to
/// 1/e, assuming that it falls exponentially.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 1 and at most the length"
)]
pub(in crate::compare) fn blocks(series: &[f64]) -> Blocks {
    let n = float(series.len() as u64);
    let mean = series.iter().sum::<f64>() / n;
    let variance: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    let neighbors: f64 = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let correlation = if variance > 0.0 { neighbors / variance } else { 0.0 };
    let time = if correlation > 0.0 { -1.0 / correlation.ln() } else { 0.0 };
    let length = (2.0 * time).ceil().clamp(1.0, n.max(1.0));
    Blocks { batches: series.len(), length: length as usize }
}

/// Returns the standard deviation of `figure` over resamples of the batches. `figure` gets the number of times that each batch was drawn;
/// a resample without a figure is ignored. `stream` selects the random numbers, so the same data always gives the same deviation.
pub(in crate::compare) fn block_bootstrap_sd(
    blocks: Blocks,
    stream: u64,
    mut figure: impl FnMut(&[u64]) -> Option<f64>,
) -> f64 {
    let mut rng = generator(0, stream, Purpose::Bootstrap);
    let mut figures = Vec::new();
    for _ in 0..RESAMPLES {
        let mut drawn = vec![0; blocks.batches];
        let mut missing = blocks.batches;
        while missing > 0 {
            let start = rng.random_range(0..blocks.batches);
            for offset in 0..blocks.length.min(missing) {
                // The series is a circle, so that every batch is drawn equally often.
                drawn[(start + offset) % blocks.batches] += 1;
            }
            missing -= blocks.length.min(missing);
        }
        figures.extend(figure(&drawn));
    }
    let n = float(figures.len() as u64);
    let mean = figures.iter().sum::<f64>() / n;
    let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
    if figures.len() < 2 { 0.0 } else { (squares / (n - 1.0)).sqrt() }
}
