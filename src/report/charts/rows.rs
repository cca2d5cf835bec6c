//! The rows of a series on the time axis of a run, and the lines that can be drawn from them. Called by the charts over time.
//! Independent of how they are drawn.

use super::{number, seconds};
use crate::measure::{Latency, Operation, Phase, Row};
use crate::result::model::{EndedBy, RunResult};
use std::borrow::Cow;

/// A percentile needs this number of samples beyond it, as in thresholds: 1,000 samples for p99.
const SAMPLES_BEYOND: f64 = 10.0;

/// The numbers of rows that are tried for one point of a percentile's line.
const ROWS_PER_POINT: [usize; 9] = [1, 2, 5, 10, 15, 20, 30, 60, 120];

/// A line of merged rows has at least this number of points, unless the run has fewer rows.
const POINTS_MIN: usize = 8;

/// A row, and the seconds that it covers.
#[derive(Clone, Debug)]
pub(super) struct Slot<'a> {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) row: Cow<'a, Row>,
}

impl Slot<'_> {
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    /// Returns a count per second.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        number(count) / (self.to - self.from).max(1e-3)
    }
}

/// The rows of a run and their time axis.
pub(super) struct Rows<'a> {
    pub(super) result: &'a RunResult,
    pub(super) slots: Vec<Slot<'a>>,
    /// Length of a row in seconds.
    pub(super) interval: f64,
    /// End of the time axis: the end of the drain.
    pub(super) end: f64,
    /// End of the load.
    pub(super) load_end: f64,
}

/// A line with the value of a percentile for each row, or for several rows together.
#[derive(Clone, Debug)]
pub(super) struct PercentileLine {
    pub(super) quantile: f64,
    pub(super) rows_per_point: usize,
    /// Seconds and microseconds. A point without enough samples is a gap.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

impl<'a> Rows<'a> {
    /// Returns the rows of a run. `None` for a run without a series.
    ///
    /// The drain ends within a row. A row that covers less than half of its interval, or begins after the end, joins the previous row.
    /// So the charts include every number, and rates stay reliable.
    pub(super) fn of(result: &'a RunResult) -> Option<Rows<'a>> {
        let series = &result.measurement.series;
        let interval = seconds(series.interval_us.max(1));
        let last = series.rows.last()?;
        let load_end = seconds(result.measurement.phases.iter().map(|phase| phase.end_us).max().unwrap_or(0));
        let end = (seconds(last.t_us) + interval).min(seconds(result.run.duration_us).max(load_end));
        // A file may lack the duration.
        let end = if end > 0.0 { end } else { seconds(last.t_us) + interval };
        let slot = |row: &'a Row| {
            let from = seconds(row.t_us);
            Slot { from, to: (from + interval).min(end), row: Cow::Borrowed(row) }
        };
        let mut slots: Vec<Slot<'a>> = Vec::new();
        for slot in series.rows.iter().map(slot) {
            match slots.last_mut() {
                Some(previous) if slot.to - slot.from < interval / 2.0 => {
                    // Its gauges were read after the end, when devices had disconnected as planned.
                    let (mut late, row) = (slot.row.into_owned(), previous.row.to_mut());
                    (late.online, late.planned_online) = (row.online, row.planned_online);
                    for (name, fleet) in &mut late.fleets {
                        fleet.online = row.fleets.get(name).map_or(0, |fleet| fleet.online);
                    }
                    row.merge(&late);
                    previous.to = previous.to.max(slot.to);
                }
                _ => slots.push(slot),
            }
        }
        if let [only] = slots.as_mut_slice() {
            only.to = only.to.max(end);
        }
        Some(Rows {
            result,
            slots,
            interval,
            end,
            load_end: if load_end > 0.0 { load_end.min(end) } else { end },
        })
    }

    /// Returns the phases, and the seconds that they cover.
    pub(super) fn phases(&self) -> impl Iterator<Item = (&'a Phase, f64, f64)> {
        let phases = self.result.measurement.phases.iter();
        phases.map(|phase| (phase, seconds(phase.start_us), seconds(phase.end_us)))
    }

    /// Returns a value for each row, at the middle of the row.
    pub(super) fn at_middles(&self, value: impl Fn(&Slot<'a>) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
        self.slots.iter().map(|slot| (slot.middle(), value(slot))).collect()
    }

    /// Returns a number of devices at the start of the run (`begin`), at the end of each row before the end of the load, and at the end
    /// of the load.
    ///
    /// The reading at the end of the load may come after the planned disconnects, so the last value is the previous reading, but not more
    /// than the plan has at its end (`planned_end`).
    fn devices(&self, begin: f64, planned_end: f64, read: impl Fn(&Row) -> f64) -> Vec<(f64, Option<f64>)> {
        // Only full rows end with a reading.
        let readings = self.slots.iter().map(|slot| (slot.from + self.interval, read(&slot.row)));
        let mut points = vec![(0.0, begin)];
        points.extend(readings.take_while(|(at, _)| *at < self.load_end - 1e-6));
        // Without a reading before the end, the one after it is the only one.
        let last = match points.as_slice() {
            [_] => self.slots.first().map_or(begin, |slot| read(&slot.row)),
            _ => points.last().map_or(begin, |(_, last)| *last),
        };
        points.push((self.load_end, last.min(planned_end)));
        points.into_iter().map(|(at, value)| (at, Some(value))).collect()
    }

    /// Returns the number of devices that the plan has online at the start and at the end of the load. If the load ended early, the plan's
    /// last value is unknown, and the last row's counts.
    fn planned_ends(&self, devices: f64) -> [f64; 2] {
        let phases = &self.result.measurement.phases;
        let begin = phases.first().map_or(0.0, |phase| phase.planned_online[0] * devices);
        let end = phases.last().map_or(f64::INFINITY, |phase| phase.planned_online[1] * devices);
        [begin, if self.ended_early() { f64::INFINITY } else { end }]
    }

    /// Returns true if the load ended before its plan.
    pub(super) fn ended_early(&self) -> bool {
        let run = &self.result.run;
        run.ended_by.map_or(!run.complete, |by| by != EndedBy::Plan)
    }

    /// Returns the number of devices online, and the planned one.
    pub(super) fn online(&self) -> [Vec<(f64, Option<f64>)>; 2] {
        let devices = number(self.result.measurement.devices());
        let [begin, end] = self.planned_ends(devices);
        let online = self.devices(0.0, end, |row| number(row.online));
        let mut planned = self.devices(begin, f64::INFINITY, |row| number(row.planned_online));
        // The plan at its end is known exactly.
        if let Some(last) = planned.last_mut()
            && end.is_finite()
        {
            last.1 = Some(end);
        }
        [online, planned]
    }

    /// Returns the number of devices of a fleet that are online.
    pub(super) fn online_of(&self, fleet: &str, devices: u64) -> Vec<(f64, Option<f64>)> {
        let [_, end] = self.planned_ends(number(devices));
        self.devices(0.0, end, |row| row.fleets.get(fleet).map_or(0.0, |fleet| number(fleet.online)))
    }

    /// Returns the line of the first of these quantiles for which the rows have enough samples, with as few rows per point as possible.
    /// `None` if none of them has enough samples for half of the operations.
    pub(super) fn percentile(
        &self,
        quantiles: &[f64],
        response: impl Fn(&Row) -> Option<&Latency>,
    ) -> Option<PercentileLine> {
        let counts: Vec<u64> =
            self.slots.iter().map(|slot| response(&slot.row).map_or(0, Latency::count)).collect();
        let total = number(counts.iter().sum());
        let active = counts.iter().filter(|count| **count > 0).count();
        let enough = |quantile: f64, rows: usize| {
            let points = counts.chunks(rows).map(|chunk| chunk.iter().sum::<u64>());
            points.filter(|count| can_feed(*count, quantile)).map(number).sum::<f64>() / total
        };
        let allowed = |rows: &usize| *rows == 1 || active.div_ceil(*rows) >= POINTS_MIN.min(active);
        let choices = [0.9, 0.5].into_iter().flat_map(|share| {
            let of = move |quantile: f64| ROWS_PER_POINT.into_iter().map(move |rows| (share, quantile, rows));
            quantiles.iter().copied().flat_map(of)
        });
        let (_, quantile, rows_per_point) = choices
            .filter(|(_, _, rows)| allowed(rows))
            .find(|(share, quantile, rows)| enough(*quantile, *rows) >= *share)?;
        let point = |slots: &[Slot<'a>]| {
            let mut sum = Latency::default();
            slots.iter().filter_map(|slot| response(&slot.row)).for_each(|latency| sum.add(latency));
            let from = slots.first().map_or(0.0, |slot| slot.from);
            let to = slots.last().map_or(from, |slot| slot.to);
            let value = can_feed(sum.count(), quantile).then(|| sum.quantile(quantile)).flatten();
            (f64::midpoint(from, to), value.map(number))
        };
        let points = self.slots.chunks(rows_per_point).map(point).collect();
        Some(PercentileLine { quantile, rows_per_point, points })
    }

    /// Like [`percentile`](Self::percentile), for the response times of an operation.
    pub(super) fn response(&self, operation: Operation, quantiles: &[f64]) -> Option<PercentileLine> {
        self.percentile(quantiles, |row| Some(row.interval.response.of(operation)))
    }
}

/// Returns true if `count` samples are enough for a quantile.
pub(super) fn can_feed(count: u64, quantile: f64) -> bool {
    number(count) * (1.0 - quantile) >= SAMPLES_BEYOND - 1e-6
}
