//! The values of one metric over time. `parse` adds the points of the file, in any order; `report` reads them in the order of time.

use super::error::HubMetricsError;
use super::known::{Known, Metric, Reading};
use std::collections::BTreeMap;

/// The values of a metric in one interval. At least one of those that make sense for the metric is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Start of the interval, in microseconds since the Unix epoch.
    pub start_us: i64,
    /// Sum over the interval.
    pub total: Option<f64>,
    /// Mean of the readings in the interval.
    pub average: Option<f64>,
    /// Smallest reading in the interval.
    pub minimum: Option<f64>,
    /// Largest reading in the interval.
    pub maximum: Option<f64>,
}

/// The values of a metric over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// Length of an interval in microseconds.
    pub length_us: u64,
    /// Intervals with values, in the order of time. They do not overlap.
    pub bins: Vec<Bin>,
}

impl Bin {
    /// Returns the value to compare and to draw: the total, or the average, or else the maximum or the minimum.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.total.or(self.average).or(self.maximum).or(self.minimum).unwrap_or(0.0)
    }

    /// Returns the value of a counter at the end of the interval, as far as it is known: the maximum, or else the other value.
    #[must_use]
    pub fn highest(&self) -> f64 {
        self.maximum.unwrap_or_else(|| self.value())
    }

    /// Keeps the values that make sense for the metric. Returns `None` if no value does.
    fn sensible(self, reading: Reading) -> Option<Bin> {
        let Bin { start_us, total, average, minimum, maximum } = self;
        match reading {
            Reading::Total => total.map(|_| Bin { start_us, total, ..Bin::default() }),
            Reading::Snapshot => average.or(minimum).or(maximum).map(|_| Bin { total: None, ..self }),
            Reading::Replaced(_) => None,
        }
    }
}

/// Collects the points of a metric.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) known: &'static Known,
    length_us: u64,
    /// By start. A later output replaces the values of an earlier one, because the values of the last minutes are published late.
    points: BTreeMap<i64, Bin>,
}

impl Collected {
    pub(super) fn new(known: &'static Known) -> Collected {
        Collected { known, length_us: u64::MAX, points: BTreeMap::new() }
    }

    /// Adds the points of an output. Of outputs with intervals of different lengths, only those with the shortest ones count.
    pub(super) fn add(&mut self, length_us: u64, points: BTreeMap<i64, Bin>) {
        if length_us > self.length_us {
            return;
        }
        if length_us < self.length_us {
            self.points.clear();
            self.length_us = length_us;
        }
        self.points.extend(points);
    }

    /// Returns the series, or the reason why it has no value that makes sense for the metric.
    ///
    /// # Errors
    /// Intervals overlap.
    pub(super) fn finish(self) -> Result<Result<Series, String>, HubMetricsError> {
        let length_us = i64::try_from(self.length_us).unwrap_or(i64::MAX);
        let starts: Vec<i64> = self.points.keys().copied().collect();
        if let Some([_, second]) = starts.array_windows().find(|[one, two]| two - one < length_us) {
            return Err(HubMetricsError::Overlap { metric: self.known.name.to_owned(), time: utc(*second) });
        }
        let is_empty =
            self.points.values().all(|bin| *bin == Bin { start_us: bin.start_us, ..Bin::default() });
        let bins = self.points.into_values().filter_map(|bin| bin.sensible(self.known.reading));
        let bins: Vec<Bin> = bins.collect();
        if !bins.is_empty() {
            return Ok(Ok(Series { metric: self.known.metric, length_us: self.length_us, bins }));
        }
        let reason = match self.known.reading {
            _ if is_empty => "it has no values. Azure Monitor publishes them minutes late; query again later",
            Reading::Total => "only its totals make sense; query with --aggregation Total",
            _ => {
                "only its average, minimum and maximum make sense; query with --aggregation Average Minimum Maximum"
            }
        };
        Ok(Err(reason.to_owned()))
    }
}

/// Formats a time in UTC.
fn utc(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
}
