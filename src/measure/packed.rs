//! A compact histogram: only the buckets with samples, as variable-length integers. Used by `latency` for everything that is
//! kept for a long time: the rows of the series, the collector's totals, and histograms from files.

mod encoding;

use hdrhistogram::Histogram;
use std::iter::Peekable;

/// A distribution that uses two to four bytes for each bucket with samples. Adding two distributions is exact.
#[derive(Clone)]
pub(super) struct Packed {
    digits: u8,
    highest_us: u64,
    count: u64,
    /// The last bucket that has samples.
    last: u32,
    /// For each bucket with samples: its distance from the previous one, and its count, both in LEB128.
    bytes: Box<[u8]>,
}

/// Compares the samples and the precision; ignores `highest_us`.
impl PartialEq for Packed {
    fn eq(&self, other: &Packed) -> bool {
        (self.digits, &self.bytes) == (other.digits, &other.bytes)
    }
}

impl Packed {
    pub(super) fn of(histogram: &Histogram<u64>) -> Packed {
        let mut writer = Writer::default();
        buckets(histogram).for_each(|(bucket, count)| writer.push(bucket, count));
        writer.end(histogram.sigfig(), histogram.high())
    }

    /// Returns the same samples as an HdrHistogram.
    pub(super) fn unpacked(&self) -> Histogram<u64> {
        let made = Histogram::new_with_bounds(1, self.highest_us.max(2), self.digits);
        let mut histogram = made.expect("it was packed from a histogram with this range and precision");
        for (bucket, count) in self.buckets() {
            histogram.saturating_record_n(self.lowest_us(bucket), count);
        }
        histogram
    }

    /// Adds the samples of another distribution. Returns false, and adds nothing, if the precisions differ.
    pub(super) fn add(&mut self, other: &Packed) -> bool {
        let same = self.digits == other.digits;
        if same {
            *self = self.sum(other.buckets(), other.highest_us);
        }
        same
    }

    /// Adds the samples of an HdrHistogram, like [`Packed::add`].
    pub(super) fn add_histogram(&mut self, other: &Histogram<u64>) -> bool {
        let same = self.digits == other.sigfig();
        if same {
            *self = self.sum(buckets(other), other.high());
        }
        same
    }

    fn sum(&self, others: impl Iterator<Item = (u32, u64)>, highest_us: u64) -> Packed {
        // Most buckets are in both distributions, so the sum needs only slightly more memory than `self`.
        let mut writer = Writer { bytes: Vec::with_capacity(self.bytes.len() + 64), ..Writer::default() };
        let (mut mine, mut theirs) = (self.buckets().peekable(), others.peekable());
        while let Some((bucket, count)) = next_merged(&mut mine, &mut theirs) {
            writer.push(bucket, count);
        }
        writer.end(self.digits, self.highest_us.max(highest_us))
    }

    /// Returns the same samples with fewer digits. The buckets of a lower precision contain whole buckets of a higher one, so
    /// the sum of two results is the result for the sum.
    pub(super) fn coarser(&self, digits: u8) -> Packed {
        let to = bits(digits.min(self.digits));
        let mut coarse =
            self.buckets().map(|(fine, count)| (bucket(self.lowest_us(fine), to), count)).peekable();
        let mut writer = Writer::default();
        while let Some((bucket, mut count)) = coarse.next() {
            while let Some((_, more)) = coarse.next_if(|(next, _)| *next == bucket) {
                count = count.saturating_add(more);
            }
            writer.push(bucket, count);
        }
        writer.end(digits.min(self.digits), self.highest_us)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the highest value in the last bucket with samples.
    pub(super) fn max_us(&self) -> u64 {
        self.highest_in_us(self.last)
    }

    /// Returns the buckets with samples, and their counts.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let (mut rest, mut bucket) = (&*self.bytes, 0_u32);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            bucket += u32::try_from(read_leb128(&mut rest)).expect("bucket numbers are u32");
            Some((bucket, read_leb128(&mut rest)))
        })
    }

    /// Returns the smallest value of a bucket.
    pub(super) fn lowest_us(&self, bucket: u32) -> u64 {
        lowest_us(bucket, bits(self.digits))
    }

    /// Returns the largest value of a bucket.
    pub(super) fn highest_in_us(&self, bucket: u32) -> u64 {
        self.lowest_us(bucket + 1) - 1
    }

    /// Returns the heap memory in bytes, excluding the allocator's overhead.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Packed>() + self.bytes.len()
    }
}

/// Returns the next bucket from two sequences, with the sum of the counts if both have it.
fn next_merged(
    mine: &mut Peekable<impl Iterator<Item = (u32, u64)>>,
    theirs: &mut Peekable<impl Iterator<Item = (u32, u64)>>,
) -> Option<(u32, u64)> {
    match (mine.peek(), theirs.peek()) {
        (Some((my_bucket, my_count)), Some((bucket, count))) if my_bucket == bucket => {
            let both = (*bucket, my_count.saturating_add(*count));
            mine.next();
            theirs.next();
            Some(both)
        }
        (Some((my_bucket, _)), Some((bucket, _))) if bucket < my_bucket => theirs.next(),
        (Some(_), _) => mine.next(),
        (None, _) => theirs.next(),
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    last: u32,
    count: u64,
}

impl Writer {
    fn push(&mut self, bucket: u32, count: u64) {
        write_leb128(&mut self.bytes, u64::from(bucket - self.last));
        write_leb128(&mut self.bytes, count);
        self.last = bucket;
        self.count = self.count.saturating_add(count);
    }

    fn end(self, digits: u8, highest_us: u64) -> Packed {
        let Writer { bytes, last, count } = self;
        Packed { digits, highest_us, count, last, bytes: bytes.into_boxed_slice() }
    }
}

fn buckets(histogram: &Histogram<u64>) -> impl Iterator<Item = (u32, u64)> + '_ {
    debug_assert_eq!(
        histogram.low(),
        1,
        "`hdr` refuses other lowest values, and hubstorm never creates them"
    );
    let bits = bits(histogram.sigfig());
    histogram.iter_recorded().map(move |step| (bucket(step.value_iterated_to(), bits), step.count_at_value()))
}

/// Returns the number of significant bits of a value. HdrHistogram stores 2 * 10^digits values exactly, rounded up to a
/// power of two.
fn bits(digits: u8) -> u32 {
    (2 * 10_u32.pow(digits.into())).next_power_of_two().trailing_zeros()
}

/// Returns the bucket of a value, numbered as HdrHistogram numbers its counts.
fn bucket(us: u64, bits: u32) -> u32 {
    let doubled = (u64::BITS - us.leading_zeros()).saturating_sub(bits);
    // The conversion cannot fail: `us >> doubled` is less than 2^bits.
    (doubled << (bits - 1)) + u32::try_from(us >> doubled).unwrap_or(u32::MAX)
}

/// Returns the smallest value in a bucket.
fn lowest_us(bucket: u32, bits: u32) -> u64 {
    let doubled = (bucket >> (bits - 1)).saturating_sub(1);
    u64::from(bucket - (doubled << (bits - 1))) << doubled
}

/// Appends a number as LEB128: seven bits per byte, the lowest first.
fn write_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(low_7_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_7_bits(number));
}

fn low_7_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

fn read_leb128(rest: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let [byte, after @ ..] = rest {
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    number
}

#[cfg(test)]
mod tests;
