//! What `check`, the cost estimate and the forecast need to know about a recording. Collected row by row. Pure.

use std::time::Duration;

/// The sizes of blocks in which IoT hubs bill (see `iothub::limits::Tier::block_bytes`).
const BLOCKS_BYTES: [u64; 2] = [512, 4096];

/// Facts about the rows of a file.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct Summary {
    /// SHA-256 of the file, in hexadecimal.
    pub(in crate::plan) sha256: String,
    /// Names of columns that are not sent.
    pub(in crate::plan) ignored: Vec<String>,
    pub(super) rows: u64,
    /// Recorded time from the first row to the last.
    pub(super) length_ns: u64,
    pub(super) longest_bytes: usize,
    /// The most rows in one second of the replay.
    pub(super) peak_per_s: u64,
    /// The second of the last row, and the rows in it.
    second: (u64, u64),
    blocks: [u64; 2],
}

impl Summary {
    /// Adds a row: its recorded time, the size of its topic or properties and its payload together, and its size as a hub counts it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a time below a hundred days"
    )]
    pub(in crate::plan) fn add(&mut self, time_ns: u64, bytes: usize, billed_bytes: usize, speed: f64) {
        self.rows += 1;
        self.length_ns = time_ns;
        self.longest_bytes = self.longest_bytes.max(bytes);
        let second = (time_ns as f64 / 1e9 / speed) as u64;
        self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
        self.peak_per_s = self.peak_per_s.max(self.second.1);
        for (blocks, size) in self.blocks.iter_mut().zip(BLOCKS_BYTES) {
            *blocks += (billed_bytes as u64).div_ceil(size).max(1);
        }
    }

    /// Returns the recorded time after which a repeated recording starts again: its length, and the mean time between two rows. `None`
    /// if all rows have the same time.
    pub(in crate::plan) fn period_ns(&self) -> Option<u64> {
        (self.length_ns > 0).then(|| self.length_ns + (self.length_ns / (self.rows - 1)).max(1))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(super) fn blocks_mean(&self, block_bytes: u64) -> f64 {
        let [small, large] = self.blocks;
        let blocks = if block_bytes == BLOCKS_BYTES[0] { small } else { large };
        blocks as f64 / self.rows.max(1) as f64
    }
}

/// The load of a recording, at a load of 100%.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedLoad {
    /// Number of rows.
    pub rows: u64,
    /// Time from the first message to the last.
    pub length: Duration,
    /// Time after which the recording starts again. `None`: it is replayed once.
    pub repeats_after: Option<Duration>,
    /// The most messages in one second.
    pub peak_per_s: u64,
}

/// The rows that are due according to the plan, of a recording that is replayed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedRows {
    /// Number of due rows for each phase.
    pub by_phase: Vec<u64>,
    /// Number of rows that would be due while their device is planned to be offline.
    pub offline: u64,
    /// Number of rows that would be due after the last phase.
    pub after_end: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_up() {
        let mut summary = Summary::default();
        for (time_ms, bytes) in [(0, 10), (900, 513), (1_000, 0), (1_999, 4_096), (2_000, 5_000), (2_500, 1)]
        {
            summary.add(time_ms * 1_000_000, bytes, bytes, 1.0);
        }
        assert_eq!((summary.rows, summary.length_ns, summary.longest_bytes), (6, 2_500_000_000, 5_000));
        assert_eq!(summary.peak_per_s, 2);
        assert_eq!(summary.blocks, [1 + 2 + 1 + 8 + 10 + 1, 7]);
        assert_eq!(summary.period_ns(), Some(3_000_000_000));
        let mut fast = Summary::default();
        for time_ms in [0, 900, 1_000, 1_999, 2_000] {
            fast.add(time_ms * 1_000_000, 1, 1, 2.0);
        }
        assert_eq!(fast.peak_per_s, 4, "four rows in the first second of the replay");
        let mut one = Summary::default();
        one.add(0, 1, 1, 1.0);
        assert_eq!(one.period_ns(), None);
    }
}
