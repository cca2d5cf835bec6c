//! The position of a device in a recording. Used by `schedule::arrival`, which turns recorded time into due times.

use super::recording::Recording;
use super::rows::Row;
use std::sync::Arc;

/// The position of a device in a recording: its next row, and how often the recording has started again.
#[derive(Clone, Debug)]
pub(in crate::plan) struct RowCursor {
    recording: Arc<Recording>,
    first: Row,
    next: Option<Row>,
    /// How often the recording has started again.
    repetition: u64,
}

impl RowCursor {
    /// Returns a cursor before the first row of a device. `None` if the recording has no row of that device.
    pub(in crate::plan) fn new(recording: &Arc<Recording>, device: u32) -> Option<Box<RowCursor>> {
        let first = recording.rows.first(device)?;
        Some(Box::new(RowCursor { recording: recording.clone(), first, next: Some(first), repetition: 0 }))
    }

    /// Returns the next row.
    pub(in crate::plan) fn row(&self) -> Option<Row> {
        self.next
    }

    /// Returns the recorded time of the next row, in seconds since the first row of the file. Repetitions add to it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for a hundred days, and recordings are rarely longer"
    )]
    pub(in crate::plan) fn time_s(&self) -> Option<f64> {
        let passed_s = self.recording.period_s().map_or(0.0, |period_s| self.repetition as f64 * period_s);
        Some(passed_s + self.next?.time_ns as f64 / 1e9)
    }

    /// Moves on to the row after the next.
    pub(in crate::plan) fn advance(&mut self) {
        let Some(row) = self.next else { return };
        self.next = match row.next {
            0 => {
                self.repetition += 1;
                self.recording.period_s().map(|_| self.first)
            }
            at => Some(self.recording.rows.row(at)),
        };
    }

    /// Skips all rows before a recorded time.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    pub(in crate::plan) fn skip_to(&mut self, from_s: f64) {
        if let Some(period_s) = self.recording.period_s() {
            // Whole repetitions are skipped at once: there may be many of them.
            let repetition = (from_s / period_s) as u64;
            if repetition > self.repetition {
                (self.repetition, self.next) = (repetition, Some(self.first));
            }
        }
        while self.time_s().is_some_and(|time_s| time_s < from_s) {
            self.advance();
        }
    }
}
