//! The hub's intervals on the time of a run. Used by the rest of this room, and by `charts`. Independent of hubstorm's numbers.
//!
//! Azure's intervals are whole minutes of UTC, and a run starts at any time. So the first and the last interval usually cover only a part
//! of the run: they are drawn, but only whole intervals are compared.

use super::error::HubViewError;
use crate::hub_metrics::{Bin, Metric, Series};
use crate::result::model::RunResult;
use jiff::Timestamp;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;

/// The time of a run.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Time {
    /// Start of the run, in microseconds since the Unix epoch.
    start_us: i64,
    /// Length of the run.
    length_us: i64,
}

/// An interval of the hub that covers a part of the run. Times are since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct RunBin {
    pub(in crate::report) from_us: i64,
    pub(in crate::report) to_us: i64,
    /// False if a part of the interval is before or after the run.
    pub(in crate::report) whole: bool,
    pub(in crate::report) bin: Bin,
}

/// The intervals of a metric during a run; at least one.
#[derive(Clone, Debug)]
pub(in crate::report) struct Shown {
    pub(in crate::report) metric: Metric,
    pub(in crate::report) length_us: i64,
    pub(in crate::report) bins: Vec<RunBin>,
    /// Number of whole intervals of the run without a value.
    pub(in crate::report) missing: i64,
}

impl Time {
    /// Returns the time of a run. `None` if the result does not contain its start.
    pub(super) fn of(result: &RunResult) -> Option<Time> {
        let start_us = result.run.started.parse::<Timestamp>().ok()?.as_microsecond();
        // A century is longer than any run.
        let length_us = i64::try_from(result.run.duration_us).unwrap_or(i64::MAX).min(36_525 * DAY_US);
        Some(Time { start_us, length_us })
    }

    /// Returns the start and the end of the run, since its start.
    pub(super) fn run_us(self) -> [i64; 2] {
        [0, self.length_us]
    }

    /// Formats a time since the start of the run as the time of day in UTC, with the date if the run is on several days.
    pub(super) fn clock(self, us: i64) -> String {
        let is_one_day =
            self.start_us.div_euclid(DAY_US) == (self.start_us + self.length_us).div_euclid(DAY_US);
        let format = match (is_one_day, (self.start_us + us).rem_euclid(MINUTE_US) == 0) {
            (true, true) => "%H:%M",
            (true, false) => "%H:%M:%S",
            (false, true) => "%Y-%m-%d %H:%M",
            (false, false) => "%Y-%m-%d %H:%M:%S",
        };
        format_us(self.start_us.saturating_add(us), format)
    }

    /// Formats the start of the run.
    pub(super) fn date(self) -> String {
        format_us(self.start_us, "%Y-%m-%d %H:%M:%S UTC")
    }

    /// Returns the error for metrics without a value during the run.
    pub(super) fn outside(self, file: String, series: &[Series]) -> HubViewError {
        let starts = || series.iter().flat_map(|one| one.bins.iter().map(|bin| (bin.start_us, length(one))));
        let from = starts().map(|(start, _)| start).min().unwrap_or_default();
        let to = starts().map(|(start, length)| start.saturating_add(length)).max().unwrap_or_default();
        let end_us = self.start_us + self.length_us;
        let date = |us| format_us(us, "%Y-%m-%d %H:%M:%S UTC");
        let minute = |us: i64| format_us(us, "%Y-%m-%dT%H:%M:%SZ");
        HubViewError::Outside {
            file,
            values: format!("{} to {}", date(from), date(to)),
            run: format!("{} to {}", date(self.start_us), date(end_us)),
            query: format!(
                "--start-time {} --end-time {}",
                minute(self.start_us.div_euclid(MINUTE_US) * MINUTE_US),
                minute((end_us + MINUTE_US - 1).div_euclid(MINUTE_US) * MINUTE_US)
            ),
        }
    }
}

fn format_us(us: i64, format: &str) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.strftime(format).to_string())
}

fn length(series: &Series) -> i64 {
    i64::try_from(series.length_us).unwrap_or(i64::MAX)
}

impl Shown {
    /// Returns the intervals of a metric during the run, or `None` if the run has no interval of it.
    pub(super) fn of(series: &Series, time: Time) -> Option<Shown> {
        let length_us = length(series);
        let bins = series.bins.iter().map(|bin| {
            let from_us = bin.start_us.saturating_sub(time.start_us);
            let to_us = from_us.saturating_add(length_us);
            RunBin { from_us, to_us, whole: from_us >= 0 && to_us <= time.length_us, bin: *bin }
        });
        let bins: Vec<RunBin> = bins.filter(|bin| bin.to_us > 0 && bin.from_us < time.length_us).collect();
        let first = bins.first()?.from_us.rem_euclid(length_us.max(1));
        let expected = (time.length_us - first).max(0) / length_us.max(1);
        let known = bins.iter().filter(|bin| bin.whole).count();
        let missing = (expected - i64::try_from(known).unwrap_or(i64::MAX)).max(0);
        Some(Shown { metric: series.metric, length_us, bins, missing })
    }

    /// Returns the intervals that are completely in the run.
    pub(super) fn whole(&self) -> impl Iterator<Item = &RunBin> {
        self.bins.iter().filter(|bin| bin.whole)
    }

    /// Returns the times that whole intervals cover without a gap, since the start of the run.
    pub(super) fn stretches(&self) -> Vec<[i64; 2]> {
        let mut stretches: Vec<[i64; 2]> = Vec::new();
        for bin in self.whole() {
            match stretches.last_mut() {
                Some([_, end]) if *end == bin.from_us => *end = bin.to_us,
                _ => stretches.push([bin.from_us, bin.to_us]),
            }
        }
        stretches
    }
}
