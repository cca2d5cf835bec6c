//! The run over time: each second on a worker, and the collector's rows. There are at most 600 rows in at most 64 MiB; beyond that,
//! neighbors merge without loss. Used by the recorder and the collector.

use super::hdr::RowHistogram;
use super::latency::{Latency, Pool};
use super::operation::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// The most rows that a series has; an even number, so that neighbours pair up.
pub const ROWS_MAX: usize = 600;

/// The memory limit of a series's rows, in bytes (our choice). A row takes two to four bytes for each bucket with samples, so only a run
/// with many operations and response times over the whole range comes near it.
pub(super) const ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

const NS_PER_S: u64 = 1_000_000_000;
const US_PER_S: u64 = 1_000_000;

/// What happened in one interval. Merging two is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Messages due in it.
    pub offered: u64,
    /// Messages acked in it.
    pub achieved: u64,
    /// Operations of any kind that ended otherwise than ok in it.
    pub errors: u64,
    /// The worst `picked - due` of a message picked in it.
    pub lag_max_us: u64,
    /// Response time of what was acked in it, by operation; two digits. Steps of a connect are not kept over time.
    pub response: ByOperation,
}

impl Interval {
    /// Adds what happened in `other`.
    pub fn merge(&mut self, other: &Interval) {
        self.offered += other.offered;
        self.achieved += other.achieved;
        self.errors += other.errors;
        self.lag_max_us = self.lag_max_us.max(other.lag_max_us);
        self.response.add(&other.response);
    }

    /// A message was picked so late in it.
    #[inline]
    pub(super) fn lagged(&mut self, lag_us: u64) {
        self.lag_max_us = self.lag_max_us.max(lag_us);
    }

    fn recycle(&mut self, pool: &mut Pool) {
        for latency in &mut self.response.0 {
            pool.recycle(latency);
        }
    }
}

/// Seconds of one worker since its last snapshot, without gaps: usually one or two, more when due times lie back.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    first: u64,
    slots: VecDeque<Interval>,
    /// The second that was asked for last, and its place: nearly always the next one too.
    latest: Option<(u64, usize)>,
}

impl Seconds {
    /// The second in which `at_ns` lies.
    #[inline]
    pub(super) fn at(&mut self, at_ns: u64) -> &mut Interval {
        let place = match self.latest {
            Some((from_ns, place)) if at_ns.wrapping_sub(from_ns) < NS_PER_S => place,
            _ => self.find(at_ns / NS_PER_S),
        };
        &mut self.slots[place]
    }

    fn find(&mut self, second: u64) -> usize {
        let place = usize::try_from(second.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if place >= self.slots.len() {
            self.grow(second);
        }
        let place = usize::try_from(second - self.first).expect("seconds of a run fit in memory");
        self.latest = Some((second * NS_PER_S, place));
        place
    }

    #[cold]
    fn grow(&mut self, second: u64) {
        if self.slots.is_empty() {
            self.first = second;
        }
        while second < self.first {
            self.slots.push_front(Interval::default());
            self.first -= 1;
        }
        while self.first + self.slots.len() as u64 <= second {
            self.slots.push_back(Interval::default());
        }
    }

    /// Each second with what happened in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Interval)> {
        (self.first..).zip(&self.slots)
    }

    /// Empties it, keeping its memory.
    pub(super) fn recycle(&mut self, pool: &mut Pool) {
        for mut slot in self.slots.drain(..) {
            slot.recycle(pool);
        }
        self.latest = None;
    }
}

/// Response times by operation, to two digits. In files: a map of those that have samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByOperation([Latency; Operation::ALL.len()]);

impl ByOperation {
    /// The response times of an operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> &Latency {
        &self.0[operation.index()]
    }

    #[inline]
    pub(super) fn of_mut(&mut self, operation: Operation) -> &mut Latency {
        &mut self.0[operation.index()]
    }

    /// Those that have samples, in the order of reports.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, &Latency)> {
        let all = Operation::ALL.into_iter().map(|operation| (operation, self.of(operation)));
        all.filter(|(_, latency)| !latency.is_empty())
    }

    fn held_bytes(&self) -> usize {
        self.0.iter().map(Latency::held_bytes).sum()
    }

    fn add(&mut self, other: &ByOperation) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs);
        }
    }
}

impl Serialize for ByOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named: BTreeMap<&str, RowHistogram> =
            self.iter().map(|(operation, latency)| (operation.name(), latency.into())).collect();
        named.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByOperation, D::Error> {
        let mut found = ByOperation::default();
        for (operation, row) in BTreeMap::<Operation, RowHistogram>::deserialize(deserializer)? {
            *found.of_mut(operation) = Latency::try_from(row).map_err(serde::de::Error::custom)?;
        }
        Ok(found)
    }
}

impl JsonSchema for ByOperation {
    fn schema_name() -> Cow<'static, str> {
        "ByOperation".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, RowHistogram>::json_schema(generator)
    }
}

/// One interval of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its begin.
    pub t_us: u64,
    /// Devices online at its end.
    pub online: u64,
    /// Devices that the plan wanted online at its end.
    pub planned_online: u64,
    /// The operations in it.
    #[serde(flatten)]
    pub interval: Interval,
    /// CPU of the generator, in percent of one core; where it was not read, as in what is left of the last row, that of the
    /// row before.
    pub cpu_percent: f64,
    /// How many readings `cpu_percent` is the mean of.
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

/// The run over time, in rows of equal length: 1 s at first, doubled when there are more than 600 rows or they take more than 64 MiB.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The length of a row in microseconds.
    pub interval_us: u64,
    /// At most 600, from the run's zero, without gaps.
    pub rows: Vec<Row>,
    /// Heap bytes of the response times that were added. Rows from a file are not counted before a merge.
    #[serde(skip)]
    held_bytes: usize,
}

impl Default for Series {
    fn default() -> Series {
        Series { interval_us: US_PER_S, rows: Vec::new(), held_bytes: 0 }
    }
}

/// Compares the rows, not their memory.
impl PartialEq for Series {
    fn eq(&self, other: &Series) -> bool {
        (self.interval_us, &self.rows) == (other.interval_us, &other.rows)
    }
}

impl Series {
    /// Adds what happened in a second; late additions find the row of their time.
    pub(super) fn add(&mut self, second: u64, interval: &Interval) {
        let place = self.place(second);
        let row = &mut self.rows[place].interval;
        let before = row.response.held_bytes();
        row.merge(interval);
        self.held_bytes = self.held_bytes + row.response.held_bytes() - before;
        self.keep_within(ROWS_BYTES_MAX);
    }

    /// Notes what was read off at `t_ns`, for the row that ends there; a tick may be half a second off. Rows after it carry it until
    /// they have a tick of their own.
    pub(super) fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, online: u64, planned_online: u64) {
        let ended = (t_ns.saturating_add(NS_PER_S / 2) / NS_PER_S).saturating_sub(1);
        let place = self.place(ended);
        for row in &mut self.rows[place..] {
            (row.online, row.planned_online) = (online, planned_online);
        }
        let Some(percent) = cpu_percent else { return };
        let row = &mut self.rows[place];
        let sum = if row.readings == 0 { 0.0 } else { row.cpu_percent * f64::from(row.readings) };
        row.readings += 1;
        row.cpu_percent = (sum + percent) / f64::from(row.readings);
        let carried = row.cpu_percent;
        for later in self.rows[place..].iter_mut().filter(|row| row.readings == 0) {
            later.cpu_percent = carried;
        }
    }

    /// Merges neighbors until the rows take at most `bytes_max`. Keeps at least one row, which takes at most 2 MiB.
    fn keep_within(&mut self, bytes_max: usize) {
        while self.held_bytes + self.rows.capacity() * size_of::<Row>() > bytes_max && self.rows.len() > 1 {
            self.halve();
        }
    }

    /// Adds another run's rows, aligned by seconds since each run's zero.
    pub(super) fn merge(&mut self, other: &Series) {
        let mut other = other.clone();
        while self.interval_us < other.interval_us {
            self.halve();
        }
        while other.interval_us < self.interval_us {
            other.halve();
        }
        let seconds_per_row = self.interval_us / US_PER_S;
        for (index, theirs) in (0_u64..).zip(&other.rows) {
            let place = self.place(index * seconds_per_row);
            let mine = &mut self.rows[place];
            mine.interval.merge(&theirs.interval);
            mine.online += theirs.online;
            mine.planned_online += theirs.planned_online;
            // Each is a share of a core of its own machine.
            mine.cpu_percent = mine.cpu_percent.max(theirs.cpu_percent);
            mine.readings = mine.readings.max(theirs.readings);
        }
        self.count_held();
        self.keep_within(ROWS_BYTES_MAX);
    }

    fn count_held(&mut self) {
        self.held_bytes = self.rows.iter().map(|row| row.interval.response.held_bytes()).sum();
    }

    fn place(&mut self, second: u64) -> usize {
        while second / (self.interval_us / US_PER_S).max(1) >= ROWS_MAX as u64 {
            self.halve();
        }
        let index = second / (self.interval_us / US_PER_S).max(1);
        let place = usize::try_from(index).expect("below the most rows");
        while self.rows.len() <= place {
            let carried = self.rows.last();
            let (online, planned_online, cpu_percent) =
                carried.map_or((0, 0, 0.0), |row| (row.online, row.planned_online, row.cpu_percent));
            let t_us = self.rows.len() as u64 * self.interval_us;
            self.rows.push(Row { t_us, online, planned_online, cpu_percent, ..Row::default() });
        }
        place
    }

    /// Merges neighbours and doubles the interval.
    fn halve(&mut self) {
        self.interval_us *= 2;
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut row) = rows.next() {
            if let Some(later) = rows.next() {
                row.merge(&later);
            }
            self.rows.push(row);
        }
        self.count_held();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(pool: &mut Pool, offered: u64, errors: u64, response_us: u64) -> Interval {
        let mut interval = Interval { offered, achieved: 1, errors, ..Interval::default() };
        interval.lag_max_us = response_us / 2;
        interval.response.of_mut(Operation::Telemetry).record(response_us, pool);
        interval
    }

    #[test]
    fn seconds_grow_at_both_ends() {
        let mut seconds = Seconds::default();
        for s in [5, 6, 3] {
            seconds.at(s * NS_PER_S + 1).offered += s;
        }
        let offered: Vec<_> = seconds.iter().map(|(second, slot)| (second, slot.offered)).collect();
        assert_eq!(offered, [(3, 3), (4, 0), (5, 5), (6, 6)]);
    }

    #[test]
    fn ticks_belong_to_the_row_that_they_end() {
        let mut series = Series::default();
        for (t_ms, online) in [(1_002, 1), (1_999, 2), (3_003, 3)] {
            series.tick(t_ms * 1_000_000, Some(50.0), online, 9);
        }
        let online: Vec<_> =
            series.rows.iter().map(|row| (row.t_us, row.online, row.planned_online)).collect();
        assert_eq!(online, [(0, 1, 9), (1_000_000, 2, 9), (2_000_000, 3, 9)]);
    }

    #[test]
    fn a_full_series_doubles_its_interval() {
        let mut series = Series::default();
        for second in 0..600 {
            let cpu = if second % 2 == 0 { 10.0 } else { 30.0 };
            series.tick((second + 1) * NS_PER_S, Some(cpu), second, 600);
        }
        assert_eq!((series.rows.len(), series.interval_us), (600, 1_000_000));
        series.tick(601 * NS_PER_S, None, 600, 600);
        assert_eq!((series.rows.len(), series.interval_us), (301, 2_000_000));
        assert_eq!(
            (series.rows[7].online, series.rows[7].planned_online),
            (15, 600),
            "at the end of the pair"
        );
        assert_eq!(series.rows[7].cpu_percent, 20.0, "the mean of the pair");
        assert_eq!(series.rows[300].cpu_percent, 20.0, "nothing was read in it");
    }

    #[test]
    fn late_additions_find_their_row_after_a_merge() {
        let mut series = Series::default();
        series.add(1_300, &Interval { offered: 1, ..Interval::default() });
        series.add(5, &Interval { offered: 7, ..Interval::default() });
        assert_eq!(series.interval_us, 4_000_000);
        assert_eq!(series.rows[1].interval.offered, 7);
        assert_eq!(series.rows[325].interval.offered, 1);
    }

    /// An interval with `times` samples in each of `buckets` buckets of every operation.
    fn scattered(pool: &mut Pool, buckets: u64, times: u64) -> Interval {
        let mut interval = Interval::default();
        for latency in &mut interval.response.0 {
            // Buckets of two digits are at most a hundredth of their values wide.
            let mut us = 1;
            for _ in 0..buckets {
                latency.record_run(us, times, pool);
                us += 1 + us / 100;
            }
        }
        interval
    }

    #[test]
    fn a_row_costs_a_few_bytes_per_bucket() {
        let mut pool = Pool::new(2, 1 << 29);
        let interval = scattered(&mut pool, 50, 1);
        let mut series = Series::default();
        (0..600).for_each(|second| series.add(second, &interval));
        assert_eq!(series.rows.len(), ROWS_MAX);
        let each = series.held_bytes / (ROWS_MAX * Operation::ALL.len());
        // Unpacked they would take 23 KiB each.
        assert!((50..=200).contains(&each), "{each} bytes for each row and operation");
    }

    #[test]
    fn rows_never_take_more_than_64_mib() {
        // More samples in every bucket of every operation than any run has: each count takes seven bytes.
        const BUCKETS: u64 = 2_400;
        const TIMES: u64 = 1 << 42;
        let mut pool = Pool::new(2, 1 << 44);
        let interval = scattered(&mut pool, BUCKETS, TIMES);
        let mut series = Series::default();
        let mut most = 0;
        for second in 0..200 {
            series.add(second, &interval);
            most = most.max(series.held_bytes);
        }
        assert!((ROWS_BYTES_MAX / 2..=ROWS_BYTES_MAX).contains(&most), "{most} bytes");
        assert_eq!(
            (series.interval_us, series.rows.len()),
            (2 * US_PER_S, 100),
            "merged before 600 are full"
        );
        let known = series.held_bytes;
        series.count_held();
        assert_eq!(series.held_bytes, known);
        let pings = series.rows.iter().map(|row| row.interval.response.of(Operation::Ping).count());
        assert_eq!(pings.sum::<u64>(), 200 * BUCKETS * TIMES, "nothing is lost");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn merging_rows_loses_nothing(
            events in prop::collection::vec((0..5_000_u64, 0..9_u64, 0..3_u64, 1..500_000_u64), 1..60)
        ) {
            let mut pool = Pool::new(2, 1 << 20);
            let mut series = Series::default();
            let mut all = Interval::default();
            for (second, offered, errors, response_us) in &events {
                let interval = interval(&mut pool, *offered, *errors, *response_us);
                series.add(*second, &interval);
                all.merge(&interval);
            }
            prop_assert!(series.rows.len() <= ROWS_MAX);
            let mut sum = Interval::default();
            for (n, row) in (0_u64..).zip(&series.rows) {
                sum.merge(&row.interval);
                // Each row is exactly what happened in its seconds.
                let mut expected = Interval::default();
                for (second, offered, errors, response_us) in &events {
                    if second * US_PER_S / series.interval_us == n {
                        expected.merge(&interval(&mut pool, *offered, *errors, *response_us));
                    }
                }
                prop_assert_eq!(&row.interval, &expected);
            }
            prop_assert_eq!(sum, all);
        }
    }
}
