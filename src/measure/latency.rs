//! Latency distributions: lossless histograms that allocate nothing before their first sample, and the pool that reuses
//! them. Used by every file in this room. Independent of the kind of latency.

use super::hdr::{self, DecodeError, RowHistogram};
use super::packed::Packed;
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Converts nanoseconds to the microseconds that histograms record: rounded up, at least one.
#[inline]
pub(super) fn to_us(ns: u64) -> u64 {
    // Cheaper than `div_ceil`, which matters because this is called several times for every operation.
    (ns.saturating_add(999) / 1_000).max(1)
}

/// A latency distribution in microseconds. In a recorder, it has counts for the whole range. Sums and distributions from
/// files are packed: they use a few bytes for each bucket with samples.
#[derive(Clone, Default, JsonSchema)]
#[schemars(with = "hdr::Histogram")]
pub struct Latency(Repr);

#[derive(Clone, Default)]
enum Repr {
    #[default]
    Empty,
    Full(Box<Histogram<u64>>),
    Packed(Box<Packed>),
}

/// Shows a summary, because the list of all counts would fill pages.
impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min(), self.max()) {
            (Some(min), Some(max)) => write!(f, "Latency({} samples, {min} to {max} us)", self.count()),
            _ => f.write_str("Latency(empty)"),
        }
    }
}

/// Compares the samples, regardless of the representation.
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
        Latency(Repr::Packed(Box::new(Packed::of(histogram))))
    }
}

impl From<Histogram<u64>> for Latency {
    fn from(histogram: Histogram<u64>) -> Latency {
        Latency::from(&histogram)
    }
}

impl From<&Latency> for hdr::Histogram {
    fn from(latency: &Latency) -> hdr::Histogram {
        latency.histogram().map(|histogram| hdr::Histogram::from(&*histogram)).unwrap_or_default()
    }
}

/// JSON contains percentiles and HdrHistogram's own encoding. The journal is binary and contains only the buckets with samples, which
/// takes a small part of the time.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => hdr::Histogram::from(self).serialize(serializer),
            false => self.packed().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latency, D::Error> {
        if deserializer.is_human_readable() {
            return hdr::Histogram::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom);
        }
        let packed = Option::<Packed>::deserialize(deserializer)?;
        Ok(packed.map_or_else(Latency::default, |packed| Latency(Repr::Packed(Box::new(packed)))))
    }
}

impl TryFrom<hdr::Histogram> for Latency {
    type Error = DecodeError;

    fn try_from(histogram: hdr::Histogram) -> Result<Latency, DecodeError> {
        let decoded = histogram.hdr.as_deref().map(hdr::decode).transpose()?;
        Ok(decoded.map(Latency::from).unwrap_or_default())
    }
}

impl From<&Latency> for RowHistogram {
    fn from(latency: &Latency) -> RowHistogram {
        latency.histogram().map(|histogram| RowHistogram::from(&*histogram)).unwrap_or_default()
    }
}

impl TryFrom<RowHistogram> for Latency {
    type Error = DecodeError;

    fn try_from(row: RowHistogram) -> Result<Latency, DecodeError> {
        hdr::decode(&row.hdr).map(Latency::from)
    }
}

impl Latency {
    /// Returns the number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            Repr::Empty => 0,
            Repr::Full(histogram) => histogram.len(),
            Repr::Packed(packed) => packed.count(),
        }
    }

    /// Returns true if there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the histogram; `None` if there are no samples.
    #[must_use]
    pub fn histogram(&self) -> Option<Cow<'_, Histogram<u64>>> {
        match &self.0 {
            _ if self.is_empty() => None,
            Repr::Empty => None,
            Repr::Full(histogram) => Some(Cow::Borrowed(histogram)),
            Repr::Packed(packed) => Some(Cow::Owned(packed.unpacked())),
        }
    }

    /// Returns the packed representation; `None` if there are no samples.
    fn packed(&self) -> Option<Cow<'_, Packed>> {
        match &self.0 {
            _ if self.is_empty() => None,
            Repr::Empty => None,
            Repr::Full(histogram) => Some(Cow::Owned(Packed::of(histogram))),
            Repr::Packed(packed) => Some(Cow::Borrowed(packed)),
        }
    }

    /// Returns the highest value in the bucket that contains the sample with this rank (1 = the smallest sample). `None`
    /// if there are fewer samples.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        let packed = self.packed()?;
        Some(packed.highest_in_us(bucket_at_rank(&packed, rank)?))
    }

    /// Returns the lowest value in the bucket that contains the sample with this rank.
    #[must_use]
    pub fn at_rank_low(&self, rank: u64) -> Option<u64> {
        let packed = self.packed()?;
        Some(packed.lowest_us(bucket_at_rank(&packed, rank)?))
    }

    /// Returns the value at this quantile; `None` if there are no samples.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        self.at_rank(rank(quantile, self.count()))
    }

    /// Returns the largest value.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.packed().map(|packed| packed.max_us())
    }

    /// Returns the arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.histogram().map(|histogram| histogram.mean())
    }

    /// Returns the number of samples above `limit_us`, within the precision of the histogram.
    #[must_use]
    pub fn count_above(&self, limit_us: u64) -> u64 {
        let Some(packed) = self.packed() else { return 0 };
        let above = packed.buckets().filter(|(bucket, _)| packed.highest_in_us(*bucket) > limit_us);
        above.map(|(_, count)| count).sum()
    }

    /// Adds the samples of `other`. The quantiles of the sum are the quantiles of all samples together.
    pub fn add(&mut self, other: &Latency) {
        if other.is_empty() {
            return;
        }
        let added = match (&mut self.0, &other.0) {
            (Repr::Packed(mine), Repr::Packed(theirs)) => mine.add(theirs),
            (Repr::Packed(mine), Repr::Full(theirs)) => mine.add_histogram(theirs),
            _ => false,
        };
        if added {
            return;
        }
        let (Some(mine), Some(theirs)) = (self.histogram(), other.histogram()) else {
            self.0 = other.packed().map_or(Repr::Empty, |packed| Repr::Packed(Box::new(packed.into_owned())));
            return;
        };
        // The precisions differ, which is possible with files, or `self` is not packed.
        let mut sum = mine.into_owned();
        sum.auto(true);
        sum.add(&*theirs).expect("the histogram grows as needed");
        *self = Latency::from(sum);
    }

    /// Returns these samples with `some` of them replaced by the same number of `others`.
    #[must_use]
    pub fn with_replaced(&self, some: &Latency, others: &Latency) -> Latency {
        let mut replaced = match (self.histogram(), some.histogram()) {
            (Some(all), Some(some)) => {
                let mut rest = all.into_owned();
                // In a damaged file, `some` may contain more samples than `self`. Then all samples are replaced.
                if rest.subtract(&*some).is_ok() { Latency::from(rest) } else { Latency::default() }
            }
            _ => self.clone(),
        };
        replaced.add(others);
        replaced
    }

    /// Returns the same samples with at most this number of significant digits.
    #[must_use]
    pub(super) fn coarser(&self, digits: u8) -> Latency {
        self.packed()
            .map_or_else(Latency::default, |packed| Latency(Repr::Packed(Box::new(packed.coarser(digits)))))
    }

    /// Returns the smallest value.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        let packed = self.packed()?;
        packed.buckets().next().map(|(bucket, _)| packed.lowest_us(bucket))
    }

    /// Returns the heap memory in bytes, excluding the allocator's overhead.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::Full(histogram) => {
                size_of::<Histogram<u64>>() + histogram.distinct_values() * size_of::<u64>()
            }
            Repr::Packed(packed) => packed.heap_bytes(),
        }
    }

    /// Records one sample. Returns true if it was above the range and was therefore recorded as the highest value.
    #[inline]
    pub(super) fn record(&mut self, us: u64, pool: &mut Pool) -> bool {
        let top = pool.highest_us;
        self.full(pool).saturating_record(us.min(top));
        us > top
    }

    /// Records `count` equal samples. Returns the number of samples above the range.
    pub(super) fn record_n(&mut self, us: u64, count: u64, pool: &mut Pool) -> u64 {
        let top = pool.highest_us;
        if count > 0 {
            self.full(pool).saturating_record_n(us.min(top), count);
        }
        if us > top { count } else { 0 }
    }

    /// Records like [`Latency::record`], but in a histogram whose range grows as needed. For rare values.
    pub(super) fn record_rare(&mut self, us: u64, pool: &mut Pool) -> bool {
        let top = pool.highest_us;
        self.full(pool).record(us.min(top)).expect("the histogram grows as needed");
        us > top
    }

    #[inline]
    fn full(&mut self, pool: &mut Pool) -> &mut Histogram<u64> {
        if !matches!(self.0, Repr::Full(_)) {
            self.start_recording(pool);
        }
        match &mut self.0 {
            Repr::Full(histogram) => histogram,
            Repr::Empty | Repr::Packed(_) => unreachable!("it is full now"),
        }
    }

    #[cold]
    fn start_recording(&mut self, pool: &mut Pool) {
        let mut taken = pool.take();
        if let Some(before) = self.histogram() {
            taken.auto(true);
            taken.add(&*before).expect("the histogram grows as needed");
        }
        self.0 = Repr::Full(taken);
    }
}

/// Returns the bucket of the sample with this rank.
fn bucket_at_rank(packed: &Packed, rank: u64) -> Option<u32> {
    let mut seen = 0_u64;
    let mut buckets = packed.buckets();
    let found = buckets.find(|(_, count)| {
        seen = seen.saturating_add(*count);
        seen >= rank
    });
    found.map(|(bucket, _)| bucket)
}

/// Returns the number of samples, out of `count`, that must be at or below the value at `quantile`: at least one.
///
/// A product that differs from a whole number only by a rounding error counts as that number: 0.95 of 20 is 19.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a count is not negative and fits in a u64"
)]
#[must_use]
pub(crate) fn rank(quantile: f64, count: u64) -> u64 {
    let exact = quantile * count as f64;
    let whole = exact.round();
    let rank = if (exact - whole).abs() <= 1e-9 * exact.max(1.0) { whole } else { exact.ceil() };
    (rank as u64).max(1)
}

/// The initial range of a histogram for rare values: 16 ms, which takes 40 KiB with three digits.
const RARE_INITIAL_US: u64 = (1 << 14) - 1;

/// Creates histograms with the same range and precision, and reuses recycled ones.
#[derive(Debug)]
pub(super) struct Pool {
    digits: u8,
    highest_us: u64,
    /// The initial range of a new histogram.
    initial_highest_us: u64,
    #[expect(clippy::vec_box, reason = "the boxes are moved between cells, snapshots and this pool")]
    spare: Vec<Box<Histogram<u64>>>,
}

impl Pool {
    pub(super) fn new(digits: u8, highest_us: u64) -> Pool {
        let highest_us = highest_us.max(2);
        Pool { digits, highest_us, initial_highest_us: highest_us, spare: Vec::new() }
    }

    /// Creates a pool for [`Latency::record_rare`]: its histograms start with a small range.
    pub(super) fn growing(digits: u8, highest_us: u64) -> Pool {
        let pool = Pool::new(digits, highest_us);
        Pool { initial_highest_us: pool.highest_us.min(RARE_INITIAL_US), ..pool }
    }

    #[cold]
    fn take(&mut self) -> Box<Histogram<u64>> {
        self.spare.pop().unwrap_or_else(|| {
            let made = Histogram::new_with_max(self.initial_highest_us, self.digits);
            let mut made = made.expect("the highest value is at least 2, and the number of digits is 2 or 3");
            made.auto(self.initial_highest_us < self.highest_us);
            Box::new(made)
        })
    }

    /// Clears the histogram of `latency` and keeps it for reuse.
    pub(super) fn recycle(&mut self, latency: &mut Latency) {
        if let Repr::Full(mut histogram) = std::mem::take(&mut latency.0) {
            if !histogram.is_empty() {
                histogram.reset();
            }
            self.spare.push(histogram);
        }
    }
}

/// A distribution as the text of its `hdr` field alone, which is the smallest form in JSON. For fields with many distributions. The
/// journal has its own encoding.
pub(super) mod hdr_text {
    use super::{Deserialize, Deserializer, Latency, Serializer, hdr};

    pub(in crate::measure) fn serialize<S: Serializer>(latency: &Latency, to: S) -> Result<S::Ok, S::Error> {
        if !to.is_human_readable() {
            return super::Serialize::serialize(latency, to);
        }
        to.serialize_str(&latency.histogram().map(|histogram| hdr::encode(&histogram)).unwrap_or_default())
    }

    pub(in crate::measure) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Latency, D::Error> {
        if !from.is_human_readable() {
            return Latency::deserialize(from);
        }
        let text = String::deserialize(from)?;
        hdr::decode(&text).map(Latency::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
