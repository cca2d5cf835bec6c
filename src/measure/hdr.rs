//! Histograms in files: percentiles for readers, and the whole distribution in base64, so that results can be merged
//! and compared exactly. Used by `latency` and `interval`; `result` uses it to check untrusted files.
//!
//! It must not trust its input: memory use is bounded whatever a file contains.

use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Read;

/// The cookies of HdrHistogram's V2 encoding, deflated and plain, including the word size that encoders write.
const DEFLATED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;
/// The size of the header: cookie, payload length, normalizing offset, digits, lowest and highest value, conversion
/// ratio.
const HEADER_BYTES: usize = 40;
/// The highest precision that hubstorm records.
pub(super) const DIGITS_MAX: u32 = 3;
/// The lowest discernible value of hubstorm's histograms.
const LOWEST_US: u64 = 1;
/// 35 years in microseconds, longer than any run. With [`DIGITS_MAX`], the counts of one histogram take up 336 KiB.
pub(super) const HIGHEST_US_MAX: u64 = 1 << 50;
/// More samples than any run has. The sum of 2^16 such histograms cannot overflow.
pub(super) const SAMPLES_MAX: u64 = 1 << 48;
/// The number of entries in the counts array of the largest permitted histogram: (50 - 11 + 2) x 1,024, rounded up.
const COUNTS_MAX: u64 = 43 * 1_024;
/// The maximum length of the payload: each count is at most nine bytes long.
const PAYLOAD_BYTES_MAX: usize = 9 * 43 * 1_024;
/// The maximum number of histograms that are deflated together.
const TOGETHER_MAX: usize = 64;

/// Why an `hdr` field cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The field is not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The data is not in HdrHistogram's V2 encoding.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Hdr(#[from] hdrhistogram::serialization::DeserializeError),
    /// The data is truncated, or not deflated.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Deflate(#[from] std::io::Error),
    /// The histogram has more precision, range or samples than a run can have, and would use too much memory.
    #[error("histogram is out of bounds: {what} is {found}, but the limit is {most}")]
    Bounds {
        /// The property that is out of bounds.
        what: &'static str,
        /// The value of the property.
        found: u64,
        /// The largest permitted value.
        most: u64,
    },
}

/// Returns an error if `found` is larger than `most`.
fn check_at_most(what: &'static str, found: u64, most: u64) -> Result<(), DecodeError> {
    if found > most { Err(DecodeError::Bounds { what, found, most }) } else { Ok(()) }
}

/// A latency distribution. If it is empty, `count` is 0 and all figures are null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Number of samples.
    pub count: u64,
    /// Smallest value.
    pub min_us: Option<u64>,
    /// Arithmetic mean.
    pub mean_us: Option<f64>,
    /// Standard deviation.
    pub stdev_us: Option<f64>,
    /// Median.
    pub p50_us: Option<u64>,
    /// 90th percentile.
    pub p90_us: Option<u64>,
    /// 95th percentile.
    pub p95_us: Option<u64>,
    /// 99th percentile.
    pub p99_us: Option<u64>,
    /// 99.9th percentile.
    pub p999_us: Option<u64>,
    /// 99.99th percentile.
    pub p9999_us: Option<u64>,
    /// Largest value.
    pub max_us: Option<u64>,
    /// The whole distribution: HdrHistogram V2, deflated, base64. Null if empty.
    pub hdr: Option<String>,
}

/// A latency distribution of one operation in one row of the series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowHistogram {
    /// Number of samples.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest value.
    pub max_us: u64,
    /// The whole distribution, with two significant digits.
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

/// Decodes the distribution in an `hdr` field. Memory use is bounded whatever the field contains.
pub(super) fn decode(hdr: &str) -> Result<Hdr<u64>, DecodeError> {
    Ok(Deserializer::new().deserialize(&mut inflate(hdr)?.as_slice())?)
}

/// Checks an `hdr` field without building the histogram.
///
/// # Errors
/// The field is not base64, not in HdrHistogram's V2 encoding, or out of bounds.
pub(crate) fn check(hdr: &str) -> Result<(), DecodeError> {
    inflate(hdr).map(drop)
}

/// Returns the plain V2 encoding of a histogram, after checking every field that determines the decoder's allocations.
fn inflate(hdr: &str) -> Result<Vec<u8>, DecodeError> {
    let bytes = BASE64_STANDARD.decode(hdr)?;
    let mut rest = bytes.as_slice();
    if take_u32(&mut rest)? != DEFLATED {
        return Err(hdrhistogram::serialization::DeserializeError::InvalidCookie.into());
    }
    let deflated = u64::from(take_u32(&mut rest)?);
    let inflater = ZlibDecoder::new(rest.take(deflated));
    // Read one byte more than permitted, to detect data that is too long.
    let limit = HEADER_BYTES + PAYLOAD_BYTES_MAX + 1;
    let mut plain = Vec::new();
    inflater.take(limit as u64).read_to_end(&mut plain)?;
    check_plain(&plain)?;
    Ok(plain)
}

/// Returns several distributions as one text: their plain V2 encodings one after the other, deflated, base64. Empty for an empty list.
pub(super) fn encode_all<'a>(histograms: impl Iterator<Item = Cow<'a, Hdr<u64>>>) -> String {
    let mut plain = Vec::new();
    let mut serializer = V2Serializer::new();
    for histogram in histograms {
        let written = serializer.serialize(&histogram, &mut plain);
        written.expect("counts are below 2^63, and writing to memory cannot fail");
    }
    if plain.is_empty() {
        return String::new();
    }
    let mut deflated = Vec::new();
    let read = ZlibEncoder::new(plain.as_slice(), Compression::best()).read_to_end(&mut deflated);
    read.expect("reading from memory cannot fail");
    BASE64_STANDARD.encode(deflated)
}

/// Decodes the text of [`encode_all`]. Memory use is bounded whatever the text contains.
pub(super) fn decode_all(text: &str) -> Result<Vec<Hdr<u64>>, DecodeError> {
    let plain = inflate_all(text)?;
    let mut rest = plain.as_slice();
    let mut decoded = Vec::new();
    while !rest.is_empty() {
        decoded.push(Deserializer::new().deserialize(&mut take_plain(&mut rest)?)?);
    }
    Ok(decoded)
}

/// Checks the text of [`encode_all`] without building the histograms.
///
/// # Errors
/// The text is not base64, or contains histograms that are out of bounds.
pub(crate) fn check_all(text: &str) -> Result<(), DecodeError> {
    let plain = inflate_all(text)?;
    let mut rest = plain.as_slice();
    while !rest.is_empty() {
        take_plain(&mut rest)?;
    }
    Ok(())
}

fn inflate_all(text: &str) -> Result<Vec<u8>, DecodeError> {
    let most = (TOGETHER_MAX * (HEADER_BYTES + PAYLOAD_BYTES_MAX)) as u64;
    let mut plain = Vec::new();
    if !text.is_empty() {
        let bytes = BASE64_STANDARD.decode(text)?;
        ZlibDecoder::new(bytes.as_slice()).take(most + 1).read_to_end(&mut plain)?;
    }
    check_at_most("its inflated length", plain.len() as u64, most)?;
    Ok(plain)
}

/// Takes one histogram in plain V2 encoding, and checks it.
fn take_plain<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let mut after_cookie = rest.get(4..).unwrap_or_default();
    let payload = take_u32(&mut after_cookie)?;
    check_at_most("its payload length", payload.into(), PAYLOAD_BYTES_MAX as u64)?;
    let cut_off = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let length = HEADER_BYTES + usize::try_from(payload).unwrap_or(PAYLOAD_BYTES_MAX);
    let (plain, after) = rest.split_at_checked(length).ok_or_else(cut_off)?;
    check_plain(plain)?;
    *rest = after;
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

/// Checks the counts. They are encoded as ZigZag LEB128 numbers; a negative number stands for a run of zeros.
fn check_counts(mut payload: &[u8]) -> Result<(), DecodeError> {
    let (mut entries, mut samples) = (0_u64, 0_u64);
    while !payload.is_empty() {
        let encoded = take_leb128(&mut payload)?;
        let magnitude = (encoded >> 1) + (encoded & 1);
        let is_run = encoded & 1 == 1;
        // The sums cannot overflow, because both are checked before the next number is added.
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

/// Reads a LEB128 number of at most nine bytes. The ninth byte holds eight bits of the number.
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

/// Returns the `hdr` field of a distribution.
pub(super) fn encode(hdr: &Hdr<u64>) -> String {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(hdr, &mut bytes);
    written.expect("counts are below 2^63, and writing to memory cannot fail");
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests;
