//! Compact histograms compared with HdrHistogram.

use super::*;
use proptest::prelude::*;

#[test]
fn buckets_match_hdrhistogram() {
    for digits in 0..=3 {
        let bits = bits(digits);
        let histogram = Histogram::<u64>::new_with_bounds(1, 1 << 50, digits).unwrap();
        for us in (0..5_000).chain((12..50).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 7])) {
            let (bucket, next) = (bucket(us, bits), bucket(us, bits) + 1);
            assert_eq!(lowest_us(bucket, bits), histogram.lowest_equivalent(us), "{us} us, {digits} digits");
            assert_eq!(lowest_us(next, bits), histogram.next_non_equivalent(us), "{us} us, {digits} digits");
        }
    }
}

#[test]
fn few_samples_take_few_bytes() {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).unwrap();
    assert!(Packed::of(&histogram).bytes.is_empty());
    for us in [40, 1_000, 1_003, 2_000_000] {
        histogram.record(us).unwrap();
    }
    let packed = Packed::of(&histogram);
    assert_eq!((packed.count(), packed.buckets().count()), (4, 3), "1,000 and 1,003 us are one bucket");
    assert!(packed.bytes.len() <= 8, "{:?}", packed.bytes);
}

fn histogram(digits: u8, highest_us: u64, samples: &[(u64, u64)]) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, highest_us, digits).unwrap();
    samples.iter().for_each(|(us, count)| histogram.record_n(*us, *count).unwrap());
    histogram
}

proptest! {
    #[test]
    fn coarser_samples_are_those_of_a_coarser_histogram(
        samples in prop::collection::vec((1..60_000_000_u64, 1..1_000_u64), 0..100),
    ) {
        let fine = Packed::of(&histogram(3, 60_000_000, &samples)).coarser(2);
        let coarse = Packed::of(&histogram(2, 60_000_000, &samples));
        prop_assert_eq!((fine.unpacked(), fine.count()), (coarse.unpacked(), coarse.count()));
    }

    #[test]
    fn packed_sums_equal_sums_of_histograms(
        digits in 0_u8..=3,
        one in prop::collection::vec((1..60_000_000_u64, 1..1_000_u64), 0..100),
        other in prop::collection::vec((1..60_000_000_u64, 1..u64::MAX >> 8), 0..100),
        by_histogram in any::<bool>(),
    ) {
        let [one, other] = [one, other].map(|samples| histogram(digits, 60_000_000, &samples));
        let mut packed = Packed::of(&one);
        prop_assert_eq!(&packed.unpacked(), &one);
        let added =
            if by_histogram { packed.add_histogram(&other) } else { packed.add(&Packed::of(&other)) };
        let mut sum = one;
        sum.add(&other).unwrap();
        prop_assert!(added);
        prop_assert_eq!((packed.unpacked(), packed.count()), (sum.clone(), sum.len()));
        if !sum.is_empty() {
            prop_assert_eq!(packed.max_us(), sum.max());
        }
    }
}
