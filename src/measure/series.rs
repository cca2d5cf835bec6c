//! The run over time: what happened in each second on a worker, and the collector's at most 600 rows, whose
//! neighbours merge exactly when they run out. Used by the recorder and the collector.

use super::kinds::Operation;
use super::latency::{Latency, Pool};
use std::collections::VecDeque;

/// The most rows that a series has; an even number, so that neighbours pair up.
pub const ROWS_MAX: usize = 600;

const NS_PER_S: u64 = 1_000_000_000;

/// What happened in one interval. Merging two is exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Messages due in it.
    pub offered: u64,
    /// Messages acked in it.
    pub achieved: u64,
    /// Operations of any kind that ended otherwise than ok in it.
    pub errors: u64,
    /// The worst `picked - due` of a message picked in it.
    pub lag_max_us: u64,
    pub(super) response: [Latency; Operation::ALL.len()],
}

impl Interval {
    /// Response times of what was acked in it, to two digits. Steps of a connect are not kept over time.
    #[must_use]
    pub fn response(&self, operation: Operation) -> &Latency {
        &self.response[operation.index()]
    }

    /// Adds what happened in `other`.
    pub fn merge(&mut self, other: &Interval) {
        self.offered += other.offered;
        self.achieved += other.achieved;
        self.errors += other.errors;
        self.lag_max_us = self.lag_max_us.max(other.lag_max_us);
        for (mine, theirs) in self.response.iter_mut().zip(&other.response) {
            mine.add(theirs);
        }
    }

    /// A message was picked so late in it.
    #[inline]
    pub(super) fn lagged(&mut self, lag_us: u64) {
        self.lag_max_us = self.lag_max_us.max(lag_us);
    }

    pub(super) fn recycle(&mut self, pool: &mut Pool) {
        for latency in &mut self.response {
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

/// What was read off at the end of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gauges {
    online: u64,
    planned_online: u64,
}

/// One row of a [`Series`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What happened in it.
    pub interval: Interval,
    gauges: Option<Gauges>,
    cpu_percent_sum: f64,
    readings: u32,
}

impl Row {
    /// Devices online at its end, and devices that the plan wanted online; `None` before its first tick.
    #[must_use]
    pub fn online_and_planned(&self) -> Option<(u64, u64)> {
        self.gauges.map(|gauges| (gauges.online, gauges.planned_online))
    }

    /// CPU of the generator, in percent of one core, averaged over the readings in it; `None` without one.
    #[must_use]
    pub fn cpu_percent(&self) -> Option<f64> {
        (self.readings > 0).then(|| self.cpu_percent_sum / f64::from(self.readings))
    }

    fn merge(&mut self, later: &Row) {
        self.interval.merge(&later.interval);
        self.gauges = later.gauges.or(self.gauges);
        self.cpu_percent_sum += later.cpu_percent_sum;
        self.readings += later.readings;
    }
}

/// A run in rows of equal length: one second at first, doubled whenever [`ROWS_MAX`] are full.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    seconds_per_row: u64,
    rows: Vec<Row>,
}

impl Default for Series {
    fn default() -> Series {
        Series { seconds_per_row: 1, rows: Vec::new() }
    }
}

impl Series {
    /// The length of a row.
    #[must_use]
    pub fn interval_us(&self) -> u64 {
        self.seconds_per_row * 1_000_000
    }

    /// The rows from the run's zero, without gaps, at most [`ROWS_MAX`].
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Adds what happened in a second; late additions find the row of their time.
    pub(super) fn add(&mut self, second: u64, interval: &Interval) {
        self.row(second).interval.merge(interval);
    }

    /// Notes what was read off at `t_ns`, for the row that ends there; a tick may be half a second off.
    pub(super) fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, online: u64, planned_online: u64) {
        let ended = (t_ns.saturating_add(NS_PER_S / 2) / NS_PER_S).saturating_sub(1);
        let row = self.row(ended);
        row.gauges = Some(Gauges { online, planned_online });
        if let Some(percent) = cpu_percent {
            row.cpu_percent_sum += percent;
            row.readings += 1;
        }
    }

    fn row(&mut self, second: u64) -> &mut Row {
        while second / self.seconds_per_row >= ROWS_MAX as u64 {
            self.halve();
        }
        let place = usize::try_from(second / self.seconds_per_row).expect("below the most rows");
        if self.rows.len() <= place {
            self.rows.resize_with(place + 1, Row::default);
        }
        &mut self.rows[place]
    }

    /// Merges neighbours and doubles the interval.
    fn halve(&mut self) {
        self.seconds_per_row *= 2;
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut row) = rows.next() {
            if let Some(later) = rows.next() {
                row.merge(&later);
            }
            self.rows.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(pool: &mut Pool, offered: u64, errors: u64, response_us: u64) -> Interval {
        let mut interval = Interval { offered, achieved: 1, errors, ..Interval::default() };
        interval.lag_max_us = response_us / 2;
        interval.response[Operation::Telemetry.index()].record(response_us, pool);
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
        let online: Vec<_> = series.rows().iter().map(Row::online_and_planned).collect();
        assert_eq!(online, [Some((1, 9)), Some((2, 9)), Some((3, 9))]);
    }

    #[test]
    fn a_full_series_doubles_its_interval() {
        let mut series = Series::default();
        for second in 0..600 {
            let cpu = if second % 2 == 0 { 10.0 } else { 30.0 };
            series.tick((second + 1) * NS_PER_S, Some(cpu), second, 600);
        }
        assert_eq!((series.rows().len(), series.interval_us()), (600, 1_000_000));
        series.tick(601 * NS_PER_S, None, 600, 600);
        assert_eq!((series.rows().len(), series.interval_us()), (301, 2_000_000));
        assert_eq!(series.rows()[7].online_and_planned(), Some((15, 600)), "at the end of the pair");
        assert_eq!(series.rows()[7].cpu_percent(), Some(20.0), "the mean of the pair");
        assert_eq!(series.rows()[300].cpu_percent(), None, "nothing was read in it");
    }

    #[test]
    fn late_additions_find_their_row_after_a_merge() {
        let mut series = Series::default();
        series.add(1_300, &Interval { offered: 1, ..Interval::default() });
        series.add(5, &Interval { offered: 7, ..Interval::default() });
        assert_eq!(series.interval_us(), 4_000_000);
        assert_eq!(series.rows()[1].interval.offered, 7);
        assert_eq!(series.rows()[325].interval.offered, 1);
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
            prop_assert!(series.rows().len() <= ROWS_MAX);
            let mut sum = Interval::default();
            for (n, row) in (0_u64..).zip(series.rows()) {
                sum.merge(&row.interval);
                // Each row is exactly what happened in its seconds.
                let mut expected = Interval::default();
                for (second, offered, errors, response_us) in &events {
                    if second / series.seconds_per_row == n {
                        expected.merge(&interval(&mut pool, *offered, *errors, *response_us));
                    }
                }
                prop_assert_eq!(&row.interval, &expected);
            }
            prop_assert_eq!(sum, all);
        }
    }
}
