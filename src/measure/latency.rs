//! How a duration is kept: a lossless histogram that costs nothing before its first sample, and the pool that
//! hands out used ones again. Used by everything in this room; it does not know what it counts.

use super::hdr;
use super::packed::Packed;
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Nanoseconds as histograms hold them: whole microseconds, rounded up, at least one.
#[inline]
pub(super) fn us(ns: u64) -> u64 {
    // Cheaper than div_ceil, and this is called for every time of every operation.
    (ns.saturating_add(999) / 1_000).max(1)
}

/// A latency distribution in microseconds. A recorder stores counts for the whole range. Sums, and distributions from files, are packed:
/// they take a few bytes for each bucket with samples.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(into = "hdr::Histogram", try_from = "hdr::Histogram")]
#[schemars(with = "hdr::Histogram")]
pub struct Latency(Kept);

#[derive(Clone, Default)]
enum Kept {
    #[default]
    Empty,
    Full(Box<Histogram<u64>>),
    Packed(Box<Packed>),
}

/// All counts would fill pages.
impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min(), self.max()) {
            (Some(min), Some(max)) => write!(f, "Latency({} samples, {min} to {max} us)", self.count()),
            _ => f.write_str("Latency(empty)"),
        }
    }
}

/// Compares the samples, independent of the representation.
impl PartialEq for Latency {
    fn eq(&self, other: &Latency) -> bool {
        self.packed() == other.packed()
    }
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Latency {
        if histogram.is_empty() {
            return Latency::default();
        }
        Latency(Kept::Packed(Box::new(Packed::of(histogram))))
    }
}

impl From<Histogram<u64>> for Latency {
    fn from(histogram: Histogram<u64>) -> Latency {
        Latency::from(&histogram)
    }
}

impl Latency {
    /// Samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            Kept::Empty => 0,
            Kept::Full(histogram) => histogram.len(),
            Kept::Packed(packed) => packed.count(),
        }
    }

    /// True before the first sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The histogram, once it has a sample.
    #[must_use]
    pub fn histogram(&self) -> Option<Cow<'_, Histogram<u64>>> {
        match &self.0 {
            _ if self.is_empty() => None,
            Kept::Empty => None,
            Kept::Full(histogram) => Some(Cow::Borrowed(histogram)),
            Kept::Packed(packed) => Some(Cow::Owned(packed.unpacked())),
        }
    }

    /// The packed representation.
    fn packed(&self) -> Option<Cow<'_, Packed>> {
        match &self.0 {
            _ if self.is_empty() => None,
            Kept::Empty => None,
            Kept::Full(histogram) => Some(Cow::Owned(Packed::of(histogram))),
            Kept::Packed(packed) => Some(Cow::Borrowed(packed)),
        }
    }

    /// The value that `rank` samples (1 = the smallest) are at or below: the top of its bucket. `None` if there are fewer samples.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        let packed = self.packed()?;
        Some(packed.highest_in_us(bucket_at_rank(&packed, rank)?))
    }

    /// The bottom of the bucket of the sample of that rank.
    #[must_use]
    pub fn at_rank_low(&self, rank: u64) -> Option<u64> {
        let packed = self.packed()?;
        Some(packed.lowest_us(bucket_at_rank(&packed, rank)?))
    }

    /// The value that the share `quantile` of all samples are at or below; `None` when empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        self.at_rank(rank(quantile, self.count()))
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.packed().map(|packed| packed.max_us())
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.histogram().map(|histogram| histogram.mean())
    }

    /// Samples above `limit_us`, as far as the histogram tells them apart.
    #[must_use]
    pub fn count_above(&self, limit_us: u64) -> u64 {
        let Some(packed) = self.packed() else { return 0 };
        let above = packed.buckets().filter(|(bucket, _)| packed.highest_in_us(*bucket) > limit_us);
        above.map(|(_, count)| count).sum()
    }

    /// Adds every sample of `other`: quantiles of the sum are those of both together.
    pub fn add(&mut self, other: &Latency) {
        if other.is_empty() {
            return;
        }
        let added = match (&mut self.0, &other.0) {
            (Kept::Packed(mine), Kept::Packed(theirs)) => mine.add(theirs),
            (Kept::Packed(mine), Kept::Full(theirs)) => mine.add_histogram(theirs),
            _ => false,
        };
        if added {
            return;
        }
        let (Some(mine), Some(theirs)) = (self.histogram(), other.histogram()) else {
            self.0 = other.packed().map_or(Kept::Empty, |packed| Kept::Packed(Box::new(packed.into_owned())));
            return;
        };
        // The precisions differ, as with some files, or `self` is not packed yet.
        let mut sum = mine.into_owned();
        sum.auto(true);
        sum.add(&*theirs).expect("it grows as it must");
        *self = Latency::from(sum);
    }

    /// These samples with some of them replaced by as many others.
    #[must_use]
    pub fn with_replaced(&self, some: &Latency, others: &Latency) -> Latency {
        let mut replaced = match (self.histogram(), some.histogram()) {
            (Some(all), Some(some)) => {
                let mut rest = all.into_owned();
                // A file may claim more of them than there are: then all are replaced.
                if rest.subtract(&*some).is_ok() { Latency::from(rest) } else { Latency::default() }
            }
            _ => self.clone(),
        };
        replaced.add(others);
        replaced
    }

    /// The smallest.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        let packed = self.packed()?;
        packed.buckets().next().map(|(bucket, _)| packed.lowest_us(bucket))
    }

    /// Heap bytes, without the allocator's overhead.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.0 {
            Kept::Empty => 0,
            Kept::Full(histogram) => {
                size_of::<Histogram<u64>>() + histogram.distinct_values() * size_of::<u64>()
            }
            Kept::Packed(packed) => packed.held_bytes(),
        }
    }

    /// Records one sample; true when it was above the range and went to its top.
    #[inline]
    pub(super) fn record(&mut self, us: u64, pool: &mut Pool) -> bool {
        let top = pool.highest_us;
        self.full(pool).saturating_record(us.min(top));
        us > top
    }

    /// Records `count` equal samples; how many were above the range.
    pub(super) fn record_run(&mut self, us: u64, count: u64, pool: &mut Pool) -> u64 {
        let top = pool.highest_us;
        if count > 0 {
            self.full(pool).saturating_record_n(us.min(top), count);
        }
        if us > top { count } else { 0 }
    }

    /// As [`Latency::record`], into a histogram that grows with its values. For rare values.
    pub(super) fn record_rare(&mut self, us: u64, pool: &mut Pool) -> bool {
        let top = pool.highest_us;
        self.full(pool).record(us.min(top)).expect("it grows as it must");
        us > top
    }

    #[inline]
    fn full(&mut self, pool: &mut Pool) -> &mut Histogram<u64> {
        if !matches!(self.0, Kept::Full(_)) {
            self.start(pool);
        }
        match &mut self.0 {
            Kept::Full(histogram) => histogram,
            Kept::Empty | Kept::Packed(_) => unreachable!("it was just made so"),
        }
    }

    #[cold]
    fn start(&mut self, pool: &mut Pool) {
        let mut taken = pool.take();
        if let Some(before) = self.histogram() {
            taken.auto(true);
            taken.add(&*before).expect("it grows as it must");
        }
        self.0 = Kept::Full(taken);
    }
}

/// The bucket of the sample with this rank.
fn bucket_at_rank(packed: &Packed, rank: u64) -> Option<u32> {
    let mut seen = 0_u64;
    let mut buckets = packed.buckets();
    let found = buckets.find(|(_, count)| {
        seen = seen.saturating_add(*count);
        seen >= rank
    });
    found.map(|(bucket, _)| bucket)
}

/// Of `count` samples, how many must be at or below the value at `quantile`: at least one.
///
/// The product is taken as exact when it is within rounding of a whole number: 0.95 of 20 is 19.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
#[must_use]
pub(crate) fn rank(quantile: f64, count: u64) -> u64 {
    let exact = quantile * count as f64;
    let whole = exact.round();
    let rank = if (exact - whole).abs() <= 1e-9 * exact.max(1.0) { whole } else { exact.ceil() };
    (rank as u64).max(1)
}

/// The range of a histogram of rare values before it grows: 16 ms, in 40 KiB at three digits.
const RARE_FIRST_US: u64 = (1 << 14) - 1;

/// Makes histograms of one kind, and hands out cleared ones first.
#[derive(Debug)]
pub(super) struct Pool {
    digits: u8,
    highest_us: u64,
    /// The range of a new histogram.
    first_us: u64,
    #[expect(clippy::vec_box, reason = "the boxes wander between cells, snapshots and here")]
    spare: Vec<Box<Histogram<u64>>>,
}

impl Pool {
    pub(super) fn new(digits: u8, highest_us: u64) -> Pool {
        let highest_us = highest_us.max(2);
        Pool { digits, highest_us, first_us: highest_us, spare: Vec::new() }
    }

    /// A pool for [`Latency::record_rare`]: its histograms start with a small range.
    pub(super) fn growing(digits: u8, highest_us: u64) -> Pool {
        let pool = Pool::new(digits, highest_us);
        Pool { first_us: pool.highest_us.min(RARE_FIRST_US), ..pool }
    }

    #[cold]
    fn take(&mut self) -> Box<Histogram<u64>> {
        self.spare.pop().unwrap_or_else(|| {
            let made = Histogram::new_with_max(self.first_us, self.digits);
            let mut made = made.expect("the top is at least 2 and the digits are 2 or 3");
            made.auto(self.first_us < self.highest_us);
            Box::new(made)
        })
    }

    /// Takes what `latency` holds for the next first record, cleared.
    pub(super) fn recycle(&mut self, latency: &mut Latency) {
        if let Kept::Full(mut histogram) = std::mem::take(&mut latency.0) {
            if !histogram.is_empty() {
                histogram.reset();
            }
            self.spare.push(histogram);
        }
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(us(ns), expected, "{ns} ns");
        }
    }

    #[test]
    fn nothing_is_made_before_the_first_sample() {
        let empty = Latency::default();
        assert!(matches!(empty.0, Kept::Empty));
        assert_eq!((empty.count(), empty.quantile(0.5), empty.max()), (0, None, None));
    }

    #[test]
    fn above_the_range_is_said_and_kept_at_the_top() {
        let mut pool = Pool::new(3, 1_000);
        let mut latency = Latency::default();
        assert!(!latency.record(1_000, &mut pool));
        assert!(latency.record(1_001, &mut pool));
        assert!(latency.record(u64::MAX, &mut pool));
        assert_eq!((latency.count(), latency.max()), (3, Some(1_000)));
    }

    #[test]
    fn a_recycled_histogram_is_empty_and_used_again() {
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
    fn ranks_survive_floating_point() {
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
    fn counting_above_a_limit() {
        let latency = latency(3, &[10, 20, 30]);
        for (limit, above) in [(9, 3), (10, 2), (20, 1), (29, 1), (30, 0), (u64::MAX, 0)] {
            assert_eq!(latency.count_above(limit), above, "above {limit}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_of_a_sum_are_those_of_all_samples_together(
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
            // Below 2,000 us three digits are exact.
            let index = usize::try_from(rank(quantile, latency.count())).unwrap() - 1;
            prop_assert_eq!(latency.quantile(quantile), Some(samples[index]));
        }
    }
}
