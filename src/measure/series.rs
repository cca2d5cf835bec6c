//! The run over time: the collector's rows. There are at most 600 rows, which use at most 64 MiB; beyond that,
//! neighboring rows are merged without loss. Filled by the collector; read by `report`.

use super::fleet_row::FleetRow;
use super::interval::{Interval, NS_PER_S, map_bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Numbers by fleet. Left out if the run has one fleet or more than 10, and in files from earlier versions. A message
    /// counts when the workers report it, up to a second after it was due or ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fleets: BTreeMap<String, FleetRow>,
    /// CPU usage of the load generator, in percent of one core. If it was not read, for example in an incomplete last
    /// row, this is the value from the previous row.
    pub cpu_percent: f64,
    /// Number of readings whose mean is `cpu_percent`.
    #[serde(skip)]
    readings: u32,
}

impl Row {
    /// Adds the row that follows this one. Gauges keep their latest value.
    pub fn merge(&mut self, later: &Row) {
        self.interval.merge(&later.interval);
        for (name, theirs) in &later.fleets {
            let mine = self.fleets.entry(name.clone()).or_default();
            mine.add_messages(theirs);
            mine.online = theirs.online;
        }
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

impl Row {
    /// Returns the heap memory in bytes, excluding the allocator's overhead.
    fn heap_bytes(&self) -> usize {
        let each = |(name, fleet): (&String, &FleetRow)| name.len() + fleet.response.heap_bytes();
        self.interval.heap_bytes() + map_bytes(&self.fleets) + self.fleets.iter().map(each).sum::<usize>()
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
    /// Heap memory in bytes that all rows use. Rows from a file are not counted until a merge.
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
        self.change(index, |row| row.interval.merge(interval));
        self.shrink_to(ROWS_BYTES_MAX);
    }

    /// Adds the numbers of the fleets to the row that ends at `t_ns`, and stores their `online` there. Later rows keep these gauges
    /// until their tick.
    pub(super) fn add_fleets<'a>(
        &mut self,
        t_ns: u64,
        fleets: impl Iterator<Item = (&'a str, &'a FleetRow)>,
    ) {
        let ended = self.ended_index(t_ns);
        for (name, fleet) in fleets {
            for index in ended..self.rows.len() {
                self.change(index, |row| {
                    let mine = row.fleets.entry(name.to_owned()).or_default();
                    mine.online = fleet.online;
                    if index == ended {
                        mine.add_messages(fleet);
                    }
                });
            }
        }
        self.shrink_to(ROWS_BYTES_MAX);
    }

    /// Changes a row and counts its memory. The caller shrinks the series when it no longer needs the index.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Row)) {
        let row = &mut self.rows[index];
        let before = row.heap_bytes();
        change(row);
        self.heap_bytes = self.heap_bytes + row.heap_bytes() - before;
    }

    /// Returns the index of the row that ends at `t_ns`. A tick may be off by half a second.
    fn ended_index(&mut self, t_ns: u64) -> usize {
        self.row_index((t_ns.saturating_add(NS_PER_S / 2) / NS_PER_S).saturating_sub(1))
    }

    /// Stores gauges that were read at `t_ns` in the row that ends at that time. Later rows keep these values until their tick.
    pub(super) fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, online: u64, planned_online: u64) {
        let index = self.ended_index(t_ns);
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
            for (name, theirs) in &other_row.fleets {
                let mine = row.fleets.entry(name.clone()).or_default();
                mine.add_messages(theirs);
                mine.online = mine.online.saturating_add(theirs.online);
            }
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
        self.heap_bytes = self.rows.iter().map(Row::heap_bytes).sum();
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
            let fleets = previous.map(|row| row.fleets.iter().map(gauges_only).collect()).unwrap_or_default();
            let t_us = self.rows.len() as u64 * self.interval_us;
            let row = Row { t_us, online, planned_online, cpu_percent, fleets, ..Row::default() };
            self.heap_bytes += row.heap_bytes();
            self.rows.push(row);
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

fn gauges_only((name, fleet): (&String, &FleetRow)) -> (String, FleetRow) {
    (name.clone(), FleetRow { online: fleet.online, ..FleetRow::default() })
}

#[cfg(test)]
mod tests;
