//! The series: merging rows, ticks, and the limits on rows and memory.

use super::super::latency::{Latency, Pool};
use super::super::operation::Operation;
use super::*;
use proptest::prelude::*;

fn interval(pool: &mut Pool, offered: u64, errors: u64, response_us: u64) -> Interval {
    let mut interval = Interval { offered, achieved: 1, errors, ..Interval::default() };
    interval.lag_max_us = response_us / 2;
    interval.response.of_mut(Operation::Telemetry).record(response_us, pool);
    interval
}

#[test]
fn ticks_belong_to_the_row_that_they_end() {
    let mut series = Series::default();
    for (t_ms, online) in [(1_002, 1), (1_999, 2), (3_003, 3)] {
        series.tick(t_ms * 1_000_000, Some(50.0), online, 9);
    }
    let online: Vec<_> = series.rows.iter().map(|row| (row.t_us, row.online, row.planned_online)).collect();
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
    assert_eq!((series.rows[7].online, series.rows[7].planned_online), (15, 600), "at the end of the pair");
    assert_eq!(series.rows[7].cpu_percent, 20.0, "the mean of the pair");
    assert_eq!(series.rows[300].cpu_percent, 20.0, "without a reading");
}

#[test]
fn late_additions_go_to_their_row_after_a_merge() {
    let mut series = Series::default();
    series.add(1_300, &Interval { offered: 1, ..Interval::default() });
    series.add(5, &Interval { offered: 7, ..Interval::default() });
    assert_eq!(series.interval_us, 4_000_000);
    assert_eq!(series.rows[1].interval.offered, 7);
    assert_eq!(series.rows[325].interval.offered, 1);
}

/// Returns an interval with `times` samples in each of `buckets` buckets, for every operation.
fn scattered(pool: &mut Pool, buckets: u64, times: u64) -> Interval {
    let mut interval = Interval::default();
    for latency in &mut interval.response.0 {
        // With two digits, the width of a bucket is at most a hundredth of its values.
        let mut us = 1;
        for _ in 0..buckets {
            latency.record_n(us, times, pool);
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
    let each = series.heap_bytes / (ROWS_MAX * Operation::ALL.len());
    // Unpacked, each would be 23 KiB.
    assert!((50..=200).contains(&each), "{each} bytes for each row and operation");
}

/// The memory that was counted with each change is the memory that the rows use.
fn assert_counted(series: &Series) {
    let mut recounted = series.clone();
    recounted.recount_heap_bytes();
    assert_eq!(series.heap_bytes, recounted.heap_bytes);
}

fn fleet(pool: &mut Pool, online: u64, due: u64, response_us: u64) -> FleetRow {
    let mut response = Latency::default();
    response.record(response_us, pool);
    FleetRow { online, due, ok: 1, not_ok: due / 2, response: response.coarser(2) }
}

fn errors(class: &'static str, times: u64) -> Interval {
    let mut interval = Interval::default();
    (0..times).for_each(|_| interval.note_error(class));
    interval
}

#[test]
fn fleets_and_errors_belong_to_their_rows() {
    let mut pool = Pool::new(2, 1 << 20);
    let mut series = Series::default();
    for second in 1..=3 {
        series.tick(second * NS_PER_S, None, 9, 9);
        let fleets = [("a", fleet(&mut pool, 10 * second, second, 500)), ("b", FleetRow::default())];
        series.add_fleets(second * NS_PER_S, fleets.iter().map(|(name, fleet)| (*name, fleet)));
    }
    series.add(2, &errors("closed_by_peer", 4));
    series.add(4, &errors("reset", 1));
    let seen: Vec<_> = series.rows.iter().map(|row| (row.fleets["a"].online, row.fleets["a"].due)).collect();
    assert_eq!(seen, [(10, 1), (20, 2), (30, 3), (30, 0), (30, 0)], "a new row keeps the gauges only");
    assert_eq!(series.rows[2].interval.errors_by_class, BTreeMap::from([("closed_by_peer".into(), 4)]));
    assert_counted(&series);
    series.merge_neighbors();
    let a = &series.rows[0].fleets["a"];
    assert_eq!((a.online, a.due, a.ok, a.not_ok, a.response.count()), (20, 3, 2, 1, 2));
    assert_eq!(series.rows[1].interval.errors_by_class.values().sum::<u64>(), 4);
    // Another process of the same run has its own devices.
    let mut both = series.clone();
    both.merge(&series);
    assert_eq!((both.rows[0].fleets["a"].online, both.rows[0].fleets["a"].due), (40, 6));
    assert_eq!(both.rows[1].interval.errors_by_class["closed_by_peer"], 8);
    assert_counted(&both);
}

#[test]
fn rows_never_take_more_than_64_mib() {
    // More samples than any run has: each count is seven bytes long.
    const BUCKETS: u64 = 2_400;
    const TIMES: u64 = 1 << 42;
    let mut pool = Pool::new(2, 1 << 44);
    let interval = scattered(&mut pool, BUCKETS, TIMES);
    let mut series = Series::default();
    let mut most = 0;
    for second in 0..200 {
        series.add(second, &interval);
        most = most.max(series.heap_bytes);
    }
    assert!((ROWS_BYTES_MAX / 2..=ROWS_BYTES_MAX).contains(&most), "{most} bytes");
    assert_eq!((series.interval_us, series.rows.len()), (2 * US_PER_S, 100), "merged before 600 are full");
    assert_counted(&series);
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
            // Each row is exactly the sum of its seconds.
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

    /// Merging neighbors is associative, so it does not matter when rows are merged.
    #[test]
    fn fleets_and_errors_survive_every_merge(
        events in prop::collection::vec((1..5_000_u64, 0..3_usize, 0..9_u64, 1..500_000_u64), 1..60)
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut pool = Pool::new(2, 1 << 20);
        let mut series = Series::default();
        for (second, name, count, response_us) in &events {
            let row = fleet(&mut pool, *count, *count, *response_us);
            series.add_fleets(second * NS_PER_S, [(NAMES[*name], &row)].into_iter());
            series.add(second - 1, &errors(NAMES[*name], *count));
        }
        assert_counted(&series);
        for (n, row) in (0_u64..).zip(&series.rows) {
            for (index, name) in NAMES.iter().enumerate() {
                let mut expected = (FleetRow::default(), 0);
                for (second, of, count, response_us) in &events {
                    if (second - 1) * US_PER_S / series.interval_us == n && *of == index {
                        expected.0.add_messages(&fleet(&mut pool, *count, *count, *response_us));
                        expected.1 += count;
                    }
                }
                let mut found = row.fleets.get(*name).cloned().unwrap_or_default();
                found.online = 0;
                let errors = row.interval.errors_by_class.get(*name).copied().unwrap_or(0);
                prop_assert_eq!((found, errors), expected);
            }
        }
        let rows = |series: &Series| serde_json::to_string(&series.rows).unwrap();
        let [a, b, c] = [0, 1, 2].map(|index| series.rows.get(index).cloned().unwrap_or_default());
        let sum = |mut first: Row, then: &Row| { first.merge(then); first };
        prop_assert_eq!(sum(sum(a.clone(), &b), &c), sum(a, &sum(b, &c)));
        let file: Series = serde_json::from_str(&serde_json::to_string(&series).unwrap()).unwrap();
        prop_assert_eq!(rows(&file), rows(&series));
    }
}
