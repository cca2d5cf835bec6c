//! Latency distributions: recording, quantiles and sums.

use super::*;
use proptest::prelude::*;

const TOP_US: u64 = 1 << 20;

fn latency(digits: u8, samples: &[u64]) -> Latency {
    let mut pool = Pool::new(digits, TOP_US);
    let mut latency = Latency::default();
    for &sample in samples {
        latency.record(sample, &mut pool);
    }
    latency
}

#[test]
fn nanoseconds_round_up_to_at_least_one_microsecond() {
    for (ns, expected) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (999_999, 1_000)] {
        assert_eq!(to_us(ns), expected, "{ns} ns");
    }
}

#[test]
fn an_empty_latency_has_no_histogram() {
    let empty = Latency::default();
    assert!(matches!(empty.0, Repr::Empty));
    assert_eq!((empty.count(), empty.quantile(0.5), empty.max()), (0, None, None));
}

#[test]
fn values_above_the_range_are_recorded_at_its_top() {
    let mut pool = Pool::new(3, 1_000);
    let mut latency = Latency::default();
    assert!(!latency.record(1_000, &mut pool));
    assert!(latency.record(1_001, &mut pool));
    assert!(latency.record(u64::MAX, &mut pool));
    assert_eq!((latency.count(), latency.max()), (3, Some(1_000)));
}

#[test]
fn a_recycled_histogram_is_reused_empty() {
    let mut pool = Pool::new(3, TOP_US);
    let mut latency = Latency::default();
    latency.record(77, &mut pool);
    pool.recycle(&mut latency);
    assert_eq!((latency.is_empty(), pool.spare.len()), (true, 1));
    latency.record(5, &mut pool);
    assert_eq!(pool.spare.len(), 0);
    assert_eq!((latency.count(), latency.max(), latency.quantile(0.0)), (1, Some(5), Some(5)));
}

#[test]
fn ranks_are_exact_despite_floating_point() {
    for (quantile, count, expected) in [
        (0.95, 20, 19),
        (0.99, 100, 99),
        (0.999, 1_000, 999),
        (0.9999, 10_000, 9_999),
        (0.07, 100, 7),
        (0.5, 3, 2),
        (0.0, 10, 1),
        (1.0, 10, 10),
    ] {
        assert_eq!(rank(quantile, count), expected, "{quantile} of {count}");
    }
}

#[test]
fn count_above_counts_samples_above_a_limit() {
    let latency = latency(3, &[10, 20, 30]);
    for (limit, above) in [(9, 3), (10, 2), (20, 1), (29, 1), (30, 0), (u64::MAX, 0)] {
        assert_eq!(latency.count_above(limit), above, "above {limit}");
    }
}

proptest! {
    #[test]
    fn a_sum_has_the_quantiles_of_all_samples(
        digits in 2_u8..=3,
        left in prop::collection::vec(1..TOP_US, 0..200),
        right in prop::collection::vec(1..TOP_US, 0..200),
    ) {
        let mut sum = latency(digits, &left);
        sum.add(&latency(digits, &right));
        let together = latency(digits, &[left, right].concat());
        prop_assert_eq!(sum.count(), together.count());
        prop_assert_eq!(sum.max(), together.max());
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            prop_assert_eq!(sum.quantile(quantile), together.quantile(quantile));
        }
    }

    #[test]
    fn a_quantile_is_the_sample_at_its_rank(
        mut samples in prop::collection::vec(1..2_000_u64, 1..300),
        quantile in 0.0..=1.0,
    ) {
        let latency = latency(3, &samples);
        samples.sort_unstable();
        // Three digits are exact below 2,000 us.
        let index = usize::try_from(rank(quantile, latency.count())).unwrap() - 1;
        prop_assert_eq!(latency.quantile(quantile), Some(samples[index]));
    }
}
