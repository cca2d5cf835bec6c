//! Recorded messages for `arrival = "replay"`. A CSV file comes in and is checked row by row; its rows then lie in a temporary file, in
//! which each row points to the next row of its device. So memory does not depend on the number of rows, and devices read their rows
//! without parsing anything. Start with `recording`, then `table` and `rows`.
//!
//! Must not depend on the rest of `plan`, on clocks, or on commands.

mod cursor;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod recording;
mod row_time;
mod rows;
mod summary;
mod table;

pub(super) use cursor::RowCursor;
pub use recording::Recording;
pub use rows::Row;
pub(super) use rows::RowWriter;
pub(super) use summary::Summary;
pub use summary::{PlannedRows, RecordedLoad};
pub(super) use table::{HeadColumn, LineProblem, RowProblem, TableRow, excerpt, read};
