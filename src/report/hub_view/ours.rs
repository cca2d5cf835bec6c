//! hubstorm's side of a comparison: counts and devices from the rows of the series. Used by `compare` and `signs`.
//!
//! A row starts at any time, and the clocks of this machine and of Azure differ. So a count in a given time is a range: the rows that are
//! certainly in it, and the rows that may be in it.

use crate::measure::{Operation, Row};
use crate::result::model::RunResult;

/// The clocks of this machine and of Azure are assumed to agree within this time (our choice: clocks that are synchronized over the network
/// usually agree within a second, and a message needs time until it is acknowledged).
pub(super) const CLOCKS_US: i64 = 2_000_000;
/// An acknowledgment that takes longer than this is slow (our choice: a hub that does not throttle usually takes a tenth of it).
pub(super) const SLOW_US: u64 = 1_000_000;

/// The operations behind the hub's count of accepted device-to-cloud messages.
pub(super) const D2C: &[Operation] = &[Operation::Telemetry, Operation::TelemetryQos0];

/// The smallest and the largest value that a number may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// Returns the rows of the run, each with its start and its end.
fn rows(result: &RunResult) -> impl Iterator<Item = (i64, i64, &Row)> {
    let series = &result.measurement.series;
    let us = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let interval_us = us(series.interval_us);
    series.rows.iter().map(move |row| (us(row.t_us), us(row.t_us).saturating_add(interval_us), row))
}

/// Adds up a count over stretches of time. `slack_us` is how much the times of the two sides may differ.
pub(super) fn count(
    result: &RunResult,
    stretches: &[[i64; 2]],
    slack_us: i64,
    count: impl Fn(&Row) -> u64,
) -> Range {
    let mut range = Range::default();
    for [from, to] in stretches {
        for (start, end, row) in rows(result) {
            let value = count(row);
            if start < to + slack_us && end > from - slack_us {
                range.high = range.high.saturating_add(value);
            }
            if start >= from + slack_us && end <= to - slack_us {
                range.low = range.low.saturating_add(value);
            }
        }
    }
    range
}

/// Returns the number of operations that ended ok.
pub(super) fn ended_ok(row: &Row, operations: &[Operation]) -> u64 {
    operations.iter().map(|operation| row.interval.response.of(*operation).count()).sum()
}

/// Returns the number of acknowledged device-to-cloud messages.
pub(in crate::report) fn ended_ok_d2c(row: &Row) -> u64 {
    ended_ok(row, D2C)
}

/// Returns the number of acknowledgments of device-to-cloud messages that were slow.
pub(in crate::report) fn slow(row: &Row) -> u64 {
    D2C.iter().map(|operation| row.interval.response.of(*operation).count_above(SLOW_US)).sum()
}

/// Returns the smallest and the largest number of devices online in a stretch of time. `None` without a reading.
pub(super) fn online(result: &RunResult, [from, to]: [i64; 2]) -> Option<Range> {
    let readings = || rows(result).map(|(_, end, row)| (end, row.online));
    let (from, to) = (from - CLOCKS_US, to + CLOCKS_US);
    // The number at the start is the last reading before it, and no device is online before the run.
    let before = readings().take_while(|(end, _)| *end <= from).last().map_or(0, |(_, online)| online);
    let before = (from <= 0 || readings().next().is_some_and(|(end, _)| end <= from)).then_some(before);
    let after = readings().find(|(end, _)| *end >= to).map(|(_, online)| online);
    let inside = readings().filter(|(end, _)| (from..=to).contains(end)).map(|(_, online)| online);
    let all: Vec<u64> = inside.chain(before).chain(after).collect();
    Some(Range { low: *all.iter().min()?, high: *all.iter().max()? })
}
