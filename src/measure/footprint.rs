//! Computes how much memory a measurement will use, in bytes as the allocator counts them. Used by `plan` for its forecast.
//! Allocates nothing.

use super::batches::{BATCHES_MAX, Batch};
use super::fleet_row::{FLEETS_MAX, FleetRow};
use super::latency::Latency;
use super::layout::{DIGITS_ROW, DIGITS_TOTAL, Layout};
use super::measurement::OperationTotals;
use super::operation::Operation;
use super::packed::Packed;
use super::recorder::Recorder;
use super::series::{ROWS_BYTES_MAX, ROWS_MAX, Row};

/// Approximate number of bytes in a packed histogram per bucket with samples: one or two for the bucket's number, one or
/// two for its count.
const BUCKET_BYTES: f64 = 3.0;

/// The number of buckets used in practice, in totals and in rows: the response times of a run span one or two powers of
/// ten.
const BUCKETS_TOTAL: f64 = 1_500.0;
const BUCKETS_ROW: f64 = 150.0;

impl Layout {
    /// Returns the size of a recorder's cells, excluding histograms.
    #[must_use]
    pub fn recorder_bytes(&self) -> u64 {
        (self.cells() * Recorder::CELL_BYTES) as u64
    }

    /// Returns the size of one histogram in a recorder's totals.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        histogram_bytes(self.highest_us, DIGITS_TOTAL)
    }

    /// Returns the size of one histogram in a recorder's per-second data.
    #[must_use]
    pub fn second_bytes(&self) -> u64 {
        histogram_bytes(self.highest_us, DIGITS_ROW)
    }
}

impl Operation {
    /// Returns the number of histograms that a recorder has for this operation: in its totals, and in its data for each second.
    #[must_use]
    pub fn histograms(self) -> [u64; 2] {
        match self {
            operation if operation.is_step() => [2, 0],
            Operation::C2d | Operation::Deliver => [1, 0],
            operation if !operation.has_ack() => [3, 1],
            _ => [4, 1],
        }
    }
}

/// Returns the size of the collector's totals for one operation, fleet and phase with `samples` samples.
#[must_use]
pub fn kept_bytes(operation: Operation, samples: f64) -> f64 {
    let [histograms, _] = operation.histograms();
    let batches = if operation.is_step() { 0.0 } else { samples.min(BATCHES_MAX as f64) };
    size_of::<OperationTotals>() as f64
        + histograms as f64 * packed_bytes(samples, BUCKETS_TOTAL)
        + batches * (size_of::<Batch>() as f64 + packed_bytes(samples / batches.max(1.0), BUCKETS_ROW))
}

/// Returns the size of the series for a run of `seconds` seconds. `samples` contains the number of samples of each
/// operation, and `messages` the number of messages of all `fleets`.
#[must_use]
pub fn series_bytes(seconds: f64, samples: impl Iterator<Item = f64>, fleets: usize, messages: f64) -> f64 {
    let most = ROWS_MAX as f64;
    // The rows of a long run are merged, so on average three quarters of the maximum number exist.
    let rows = if seconds > most { 0.75 * most } else { seconds }.max(1.0);
    let kept: f64 =
        samples.map(|samples| rows.min(samples) * packed_bytes(samples / rows, BUCKETS_ROW)).sum();
    // Most fleets have similar numbers of messages. A node of a map is at least about half full.
    let in_map = 2 * (size_of::<String>() + size_of::<FleetRow>());
    let each = messages / fleets as f64;
    let kept_by_fleet = match fleets {
        2..=FLEETS_MAX => {
            fleets as f64 * (rows * in_map as f64 + rows.min(each) * packed_bytes(each / rows, BUCKETS_ROW))
        }
        _ => 0.0,
    };
    (rows * size_of::<Row>() as f64 + kept + kept_by_fleet).min(ROWS_BYTES_MAX as f64)
}

fn packed_bytes(samples: f64, buckets: f64) -> f64 {
    // The more samples there are, the more of them share a bucket.
    let used = buckets * (1.0 - (-samples / buckets).exp());
    (size_of::<Latency>() + size_of::<Packed>()) as f64 + BUCKET_BYTES * used
}

/// Returns the size of HdrHistogram's counts. Each doubling of the range adds half as many counts as the exact range has.
fn histogram_bytes(highest_us: u64, digits: u8) -> u64 {
    let bits = (2 * 10_u64.pow(digits.into())).next_power_of_two().trailing_zeros();
    let doublings = (u64::BITS - highest_us.leading_zeros()).saturating_sub(bits);
    u64::from(doublings + 2) * (1 << (bits - 1)) * size_of::<u64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use std::time::Duration;

    #[test]
    fn computed_histogram_sizes_match_hdrhistogram() {
        for seconds in [1, 60, 500, 100_000] {
            let layout = Layout::new(1, 1, Duration::from_secs(seconds));
            for (digits, expected) in [(2, layout.second_bytes()), (3, layout.total_bytes())] {
                let made = Histogram::<u64>::new_with_max(layout.highest_us, digits).unwrap();
                assert_eq!(made.distinct_values() as u64 * 8, expected, "{seconds} s, {digits} digits");
            }
        }
    }
}
