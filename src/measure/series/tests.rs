//! The series: merging rows, ticks, and the limits on rows and memory.

use super::super::latency::Pool;
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
    let counted = series.heap_bytes;
    series.recount_heap_bytes();
    assert_eq!(series.heap_bytes, counted);
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
}
