//! The run over time: the collector's rows. There are at most 600 rows, which use at most 64 MiB; beyond that,
//! neighboring rows are merged without loss. Filled by the collector; read by `report`.

use super::interval::{Interval, NS_PER_S};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The maximum number of rows; an even number, so that all rows can be merged in pairs.
pub const ROWS_MAX: usize = 600;

/// The memory limit for the rows of a series, in bytes (our choice). A row uses two to four bytes per bucket with
/// samples, so only a run with many operations, and with response times over the whole range, comes close to the
/// limit.
pub(super) const ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

const US_PER_S: u64 = 1_000_000;

/// One interval of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Start of the interval.
    pub t_us: u64,
    /// Number of devices online at the end of the interval.
    pub online: u64,
    /// Number of devices that should be online at the end of the interval according to the plan.
    pub planned_online: u64,
    /// Numbers of the interval.
    #[serde(flatten)]
    pub interval: Interval,
    /// CPU usage of the load generator, in percent of one core. If it was not read, for example in an incomplete last
    /// row, this is the value from the previous row.
    pub cpu_percent: f64,
    /// Number of readings whose mean is `cpu_percent`.
    #[serde(skip)]
    readings: u32,
}

impl Row {
    fn merge(&mut self, later: &Row) {
        self.interval.merge(&later.interval);
        (self.online, self.planned_online) = (later.online, later.planned_online);
        let readings = self.readings + later.readings;
        if readings > 0 {
            let sum =
                self.cpu_percent * f64::from(self.readings) + later.cpu_percent * f64::from(later.readings);
            self.cpu_percent = sum / f64::from(readings);
        }
        self.readings = readings;
    }
}

/// The run over time, in rows of equal length: 1 s at first, doubled whenever there would be more than 600 rows or
/// they would use more than 64 MiB.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Length of a row in microseconds.
    pub interval_us: u64,
    /// At most 600 rows, from the start of the run, without gaps.
    pub rows: Vec<Row>,
    /// Heap memory in bytes that the response times in all rows use. Rows from a file are not counted until a merge.
    #[serde(skip)]
    heap_bytes: usize,
}

impl Default for Series {
    fn default() -> Series {
        Series { interval_us: US_PER_S, rows: Vec::new(), heap_bytes: 0 }
    }
}

/// Compares the interval and the rows; ignores `heap_bytes`.
impl PartialEq for Series {
    fn eq(&self, other: &Series) -> bool {
        (self.interval_us, &self.rows) == (other.interval_us, &other.rows)
    }
}

impl Series {
    /// Adds the numbers of a second to its row, even if later rows exist.
    pub(super) fn add(&mut self, second: u64, interval: &Interval) {
        let index = self.row_index(second);
        let row = &mut self.rows[index].interval;
        let before = row.response.heap_bytes();
        row.merge(interval);
        self.heap_bytes = self.heap_bytes + row.response.heap_bytes() - before;
        self.shrink_to(ROWS_BYTES_MAX);
    }

    /// Stores gauges that were read at `t_ns` in the row that ends at that time. A tick may be off by half a second.
    /// Later rows keep these values until their tick.
    pub(super) fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, online: u64, planned_online: u64) {
        let ended = (t_ns.saturating_add(NS_PER_S / 2) / NS_PER_S).saturating_sub(1);
        let index = self.row_index(ended);
        for row in &mut self.rows[index..] {
            (row.online, row.planned_online) = (online, planned_online);
        }
        let Some(percent) = cpu_percent else { return };
        let row = &mut self.rows[index];
        let sum = if row.readings == 0 { 0.0 } else { row.cpu_percent * f64::from(row.readings) };
        row.readings += 1;
        row.cpu_percent = (sum + percent) / f64::from(row.readings);
        let previous = row.cpu_percent;
        for later in self.rows[index..].iter_mut().filter(|row| row.readings == 0) {
            later.cpu_percent = previous;
        }
    }

    /// Merges neighboring rows until the rows use at most `bytes_max`. Keeps at least one row, which uses at most 2
    /// MiB.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.heap_bytes + self.rows.capacity() * size_of::<Row>() > bytes_max && self.rows.len() > 1 {
            self.merge_neighbors();
        }
    }

    /// Adds the rows of another series, aligned by the time since the start of each run.
    pub(super) fn merge(&mut self, other: &Series) {
        let mut other = other.clone();
        while self.interval_us < other.interval_us {
            self.merge_neighbors();
        }
        while other.interval_us < self.interval_us {
            other.merge_neighbors();
        }
        let seconds_per_row = self.interval_us / US_PER_S;
        for (index, other_row) in (0_u64..).zip(&other.rows) {
            let index = self.row_index(index * seconds_per_row);
            let row = &mut self.rows[index];
            row.interval.merge(&other_row.interval);
            row.online += other_row.online;
            row.planned_online += other_row.planned_online;
            // Each process runs on its own machine, so the percentages are not added.
            row.cpu_percent = row.cpu_percent.max(other_row.cpu_percent);
            row.readings = row.readings.max(other_row.readings);
        }
        self.recount_heap_bytes();
        self.shrink_to(ROWS_BYTES_MAX);
    }

    fn recount_heap_bytes(&mut self) {
        self.heap_bytes = self.rows.iter().map(|row| row.interval.response.heap_bytes()).sum();
    }

    fn row_index(&mut self, second: u64) -> usize {
        while second / (self.interval_us / US_PER_S).max(1) >= ROWS_MAX as u64 {
            self.merge_neighbors();
        }
        let index = second / (self.interval_us / US_PER_S).max(1);
        let index = usize::try_from(index).expect("the index is below `ROWS_MAX`");
        while self.rows.len() <= index {
            let previous = self.rows.last();
            let (online, planned_online, cpu_percent) =
                previous.map_or((0, 0, 0.0), |row| (row.online, row.planned_online, row.cpu_percent));
            let t_us = self.rows.len() as u64 * self.interval_us;
            self.rows.push(Row { t_us, online, planned_online, cpu_percent, ..Row::default() });
        }
        index
    }

    /// Merges neighboring rows and doubles the interval.
    fn merge_neighbors(&mut self) {
        self.interval_us *= 2;
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut row) = rows.next() {
            if let Some(later) = rows.next() {
                row.merge(&later);
            }
            self.rows.push(row);
        }
        self.recount_heap_bytes();
    }
}

#[cfg(test)]
mod tests;
