//! How a latency distribution looks in a file: figures for people, and all of it in base64, so that results merge and compare
//! exactly. Used by `latency` and `series`.

use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// The cookies of HdrHistogram's V2 encoding, deflated and plain, with the word size that its encoders write.
const DEFLATED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;
/// Cookie, payload length, normalizing offset, digits, lowest and highest value, conversion ratio.
const HEADER_BYTES: usize = 40;
/// The most digits that hubstorm records.
const DIGITS_MAX: u32 = 3;
/// The lowest discernible value of hubstorm's histograms.
const LOWEST_US: u64 = 1;
/// 35 years in microseconds; no run lasts longer. With [`DIGITS_MAX`], the counts of one histogram take 336 KiB.
const HIGHEST_US_MAX: u64 = 1 << 50;
/// More samples than any run has. Sums of 2^16 such histograms cannot overflow.
const SAMPLES_MAX: u64 = 1 << 48;
/// Entries in the counts array of the largest permitted histogram: (50 - 11 + 2) x 1,024, rounded up.
const COUNTS_MAX: u64 = 43 * 1_024;
/// A count takes at most nine bytes.
const PAYLOAD_BYTES_MAX: usize = 9 * 43 * 1_024;

/// An `hdr` field that is not a histogram, or not one that hubstorm writes.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not what an HdrHistogram V2 encoder writes.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Hdr(#[from] hdrhistogram::serialization::DeserializeError),
    /// The bytes end too early, or are not deflated.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Deflate(#[from] std::io::Error),
    /// It claims more precision, range or samples than a run can have. It would take too much memory.
    #[error("histogram is out of bounds: {what} is {found}, and at most {most} is permitted")]
    Bounds {
        /// Which property.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The limit.
        most: u64,
    },
}

/// Refuses `found` when it is larger than `most`.
fn check_at_most(what: &'static str, found: u64, most: u64) -> Result<(), DecodeError> {
    if found > most { Err(DecodeError::Bounds { what, found, most }) } else { Ok(()) }
}

/// A latency distribution. Empty: `count` 0 and null figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Samples.
    pub count: u64,
    /// The smallest.
    pub min_us: Option<u64>,
    /// The arithmetic mean.
    pub mean_us: Option<f64>,
    /// The standard deviation.
    pub stdev_us: Option<f64>,
    /// The median.
    pub p50_us: Option<u64>,
    /// 90% were at or below.
    pub p90_us: Option<u64>,
    /// 95% were at or below.
    pub p95_us: Option<u64>,
    /// 99% were at or below.
    pub p99_us: Option<u64>,
    /// 99.9% were at or below.
    pub p999_us: Option<u64>,
    /// 99.99% were at or below.
    pub p9999_us: Option<u64>,
    /// The largest.
    pub max_us: Option<u64>,
    /// All of it: HdrHistogram V2, deflated, base64. Null when empty.
    pub hdr: Option<String>,
}

/// A small histogram of one row and operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowHistogram {
    /// Samples.
    pub count: u64,
    /// The median.
    pub p50_us: u64,
    /// 99% were at or below.
    pub p99_us: u64,
    /// 99.9% were at or below.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
    /// All of it, to two digits.
    pub hdr: String,
}

impl From<&Hdr<u64>> for Histogram {
    fn from(hdr: &Hdr<u64>) -> Histogram {
        let at = |quantile| Some(hdr.value_at_quantile(quantile));
        Histogram {
            count: hdr.len(),
            min_us: Some(hdr.min()),
            mean_us: Some(hdr.mean()),
            stdev_us: Some(hdr.stdev()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: Some(hdr.max()),
            hdr: Some(encode(hdr)),
        }
    }
}

impl From<&Hdr<u64>> for RowHistogram {
    fn from(hdr: &Hdr<u64>) -> RowHistogram {
        RowHistogram {
            count: hdr.len(),
            p50_us: hdr.value_at_quantile(0.5),
            p99_us: hdr.value_at_quantile(0.99),
            p999_us: hdr.value_at_quantile(0.999),
            max_us: hdr.max(),
            hdr: encode(hdr),
        }
    }
}

/// The distribution in an `hdr` field. Memory is bounded whatever the field holds.
pub(super) fn decode(hdr: &str) -> Result<Hdr<u64>, DecodeError> {
    Ok(Deserializer::new().deserialize(&mut inflate(hdr)?.as_slice())?)
}

/// Checks an `hdr` field without building the histogram.
///
/// # Errors
/// It is not base64, not an HdrHistogram V2 encoding, or out of bounds.
pub(crate) fn check(hdr: &str) -> Result<(), DecodeError> {
    inflate(hdr).map(drop)
}

/// The plain V2 encoding of a histogram, with every field that the decoder allocates by already checked.
fn inflate(hdr: &str) -> Result<Vec<u8>, DecodeError> {
    let bytes = BASE64_STANDARD.decode(hdr)?;
    let mut rest = bytes.as_slice();
    if take_u32(&mut rest)? != DEFLATED {
        return Err(hdrhistogram::serialization::DeserializeError::InvalidCookie.into());
    }
    let deflated = u64::from(take_u32(&mut rest)?);
    let inflater = ZlibDecoder::new(rest.take(deflated));
    // One byte more than is permitted, so that too much is noticed.
    let limit = HEADER_BYTES + PAYLOAD_BYTES_MAX + 1;
    let mut plain = Vec::new();
    inflater.take(limit as u64).read_to_end(&mut plain)?;
    check_plain(&plain)?;
    Ok(plain)
}

fn check_plain(plain: &[u8]) -> Result<(), DecodeError> {
    let mut rest = plain;
    if take_u32(&mut rest)? != PLAIN {
        return Err(hdrhistogram::serialization::DeserializeError::InvalidCookie.into());
    }
    let payload_bytes = take_u32(&mut rest)?;
    let _normalizing_offset = take_u32(&mut rest)?;
    let digits = take_u32(&mut rest)?;
    let lowest = take_u64(&mut rest)?;
    let highest = take_u64(&mut rest)?;
    let _conversion_ratio = take_u64(&mut rest)?;
    check_at_most("its number of significant digits", digits.into(), DIGITS_MAX.into())?;
    check_at_most("its highest value", highest, HIGHEST_US_MAX)?;
    check_at_most("its lowest value", lowest, LOWEST_US)?;
    check_at_most("its payload length", payload_bytes.into(), PAYLOAD_BYTES_MAX as u64)?;
    check_at_most("its inflated length", plain.len() as u64, (HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64)?;
    let payload = usize::try_from(payload_bytes).ok().and_then(|length| rest.get(..length));
    check_counts(payload.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?)
}

/// Walks the counts: ZigZag LEB128 numbers, in which a negative one is a run of zeros.
fn check_counts(mut payload: &[u8]) -> Result<(), DecodeError> {
    let (mut entries, mut samples) = (0_u64, 0_u64);
    while !payload.is_empty() {
        let encoded = take_leb128(&mut payload)?;
        let magnitude = (encoded >> 1) + (encoded & 1);
        let is_run = encoded & 1 == 1;
        // Neither sum can overflow: each is checked before the next number is added.
        check_at_most("its number of counts", magnitude, if is_run { COUNTS_MAX } else { u64::MAX })?;
        check_at_most("its number of samples", magnitude, SAMPLES_MAX)?;
        (entries, samples) =
            if is_run { (entries + magnitude, samples) } else { (entries + 1, samples + magnitude) };
        check_at_most("its number of counts", entries, COUNTS_MAX)?;
        check_at_most("its number of samples", samples, SAMPLES_MAX)?;
    }
    Ok(())
}

fn take_u32(rest: &mut &[u8]) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    rest.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn take_u64(rest: &mut &[u8]) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    rest.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// LEB128 of at most nine bytes, the ninth of which has eight bits of the number.
fn take_leb128(rest: &mut &[u8]) -> std::io::Result<u64> {
    let mut value = 0;
    for index in 0..9 {
        let mut byte = [0];
        rest.read_exact(&mut byte)?;
        let [byte] = byte;
        let bits = if index == 8 { byte } else { byte & 0x7f };
        value |= u64::from(bits) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn encode(hdr: &Hdr<u64>) -> String {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(hdr, &mut bytes);
    written.expect("counts lie below 2^63, and memory takes every byte");
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests;
