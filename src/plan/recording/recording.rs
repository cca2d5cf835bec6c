//! A recording that a stream replays: its rows, its speed, and whether it repeats. Shared by all devices of a fleet. Made by `resolve`,
//! read by cursors, by devices, by `forecast` and by `app`.

use super::rows::{Row, Rows};
use super::summary::{PlannedRows, RecordedLoad, Summary};
use std::fmt;
use std::time::Duration;

/// A recording, and how it is replayed.
pub struct Recording {
    pub(super) rows: Rows,
    summary: Summary,
    file: String,
    speed: f64,
    /// The recorded time after which the recording starts again.
    period_ns: Option<u64>,
    planned: PlannedRows,
}

impl Recording {
    /// Creates a recording from the rows of a file. `speed` is the recorded time that passes in a second at a load of 100%, in seconds.
    pub(in crate::plan) fn new(
        rows: Rows,
        summary: Summary,
        file: String,
        speed: f64,
        repeat: bool,
    ) -> Recording {
        let period_ns = summary.period_ns().filter(|_| repeat);
        Recording { rows, summary, file, speed, period_ns, planned: PlannedRows::default() }
    }

    /// Calls `each` with the device and the recorded time, in nanoseconds, of every row.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(in crate::plan) fn for_each(&self, each: impl FnMut(u32, u64)) -> std::io::Result<()> {
        self.rows.for_each(each)
    }

    /// Returns the recorded time after which the recording starts again, in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for a hundred days, and recordings are rarely longer"
    )]
    pub(super) fn period_s(&self) -> Option<f64> {
        self.period_ns.map(|period_ns| period_ns as f64 / 1e9)
    }

    /// Sets the number of rows that are due according to the plan.
    pub(in crate::plan) fn set_planned(&mut self, planned: PlannedRows) {
        self.planned = planned;
    }

    /// Returns how many rows are due in which phase. For a recording that repeats, no phase is listed.
    #[must_use]
    pub fn planned(&self) -> &PlannedRows {
        &self.planned
    }

    /// Returns the file as the scenario names it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the factor by which the replay is faster than the recording, at a load of 100%.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Returns the size of the largest row: the topic or properties, and the payload.
    #[must_use]
    pub fn longest_bytes(&self) -> usize {
        self.summary.longest_bytes
    }

    /// Returns the mean number of blocks of `block_bytes` bytes that a hub bills for a row.
    #[must_use]
    pub fn blocks_mean(&self, block_bytes: u64) -> f64 {
        self.summary.blocks_mean(block_bytes)
    }

    /// Returns the names of the columns that are not sent.
    #[must_use]
    pub fn ignored_columns(&self) -> &[String] {
        &self.summary.ignored
    }

    /// Describes the load of the recording at a load of 100%.
    #[must_use]
    pub fn load(&self) -> RecordedLoad {
        let scaled = |recorded_ns: u64| Duration::from_nanos(recorded_ns).div_f64(self.speed);
        RecordedLoad {
            rows: self.summary.rows,
            length: scaled(self.summary.length_ns),
            repeats_after: self.period_ns.map(scaled),
            peak_per_s: self.summary.peak_per_s,
        }
    }

    /// Returns a row for a device that sends only one message: its own first row or, without one, the first row of the file.
    #[must_use]
    pub fn sample(&self, device: u32) -> Row {
        self.rows.first(device).unwrap_or_else(|| self.rows.first_of_all())
    }

    /// Reads the message of a row into `buffer`. Returns the topic or the properties, and the payload.
    pub fn message<'b>(&self, row: Row, buffer: &'b mut Vec<u8>) -> (&'b str, &'b [u8]) {
        let head = self.rows.read(row, buffer);
        let (head, payload) = buffer.split_at(head.min(buffer.len()));
        // It was a `str` when it was written.
        (std::str::from_utf8(head).unwrap_or_default(), payload)
    }
}

/// The fields on which the load depends, for the fingerprint.
impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("sha256", &self.summary.sha256)
            .field("speed", &self.speed)
            .field("period_ns", &self.period_ns)
            .finish()
    }
}

impl PartialEq for Recording {
    fn eq(&self, other: &Recording) -> bool {
        (&self.summary.sha256, self.speed, self.period_ns)
            == (&other.summary.sha256, other.speed, other.period_ns)
    }
}
