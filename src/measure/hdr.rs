//! How a latency distribution looks in a file: figures for people, and all of it in base64, so that results merge and compare
//! exactly. Used by `latency` and `series`.

use super::latency::Latency;
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
fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), DecodeError> {
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

impl From<Latency> for Histogram {
    fn from(latency: Latency) -> Histogram {
        let Some(hdr) = latency.histogram() else { return Histogram::default() };
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
            hdr: Some(encode(&hdr)),
        }
    }
}

impl TryFrom<Histogram> for Latency {
    type Error = DecodeError;

    fn try_from(histogram: Histogram) -> Result<Latency, DecodeError> {
        let hdr = histogram.hdr.as_deref().map(decode).transpose()?;
        Ok(hdr.map(Latency::from).unwrap_or_default())
    }
}

impl From<&Latency> for RowHistogram {
    fn from(latency: &Latency) -> RowHistogram {
        let Some(hdr) = latency.histogram() else { return RowHistogram::default() };
        RowHistogram {
            count: hdr.len(),
            p50_us: hdr.value_at_quantile(0.5),
            p99_us: hdr.value_at_quantile(0.99),
            p999_us: hdr.value_at_quantile(0.999),
            max_us: hdr.max(),
            hdr: encode(&hdr),
        }
    }
}

impl TryFrom<RowHistogram> for Latency {
    type Error = DecodeError;

    fn try_from(row: RowHistogram) -> Result<Latency, DecodeError> {
        decode(&row.hdr).map(Latency::from)
    }
}

/// The distribution in an `hdr` field. Memory is bounded whatever the field holds.
fn decode(hdr: &str) -> Result<Hdr<u64>, DecodeError> {
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
    at_most("its number of significant digits", digits.into(), DIGITS_MAX.into())?;
    at_most("its highest value", highest, HIGHEST_US_MAX)?;
    at_most("its lowest value", lowest, LOWEST_US)?;
    at_most("its payload length", payload_bytes.into(), PAYLOAD_BYTES_MAX as u64)?;
    at_most("its inflated length", plain.len() as u64, (HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64)?;
    let payload = usize::try_from(payload_bytes).ok().and_then(|length| rest.get(..length));
    check_counts(payload.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?)
}

/// Walks the counts: ZigZag LEB128 numbers, in which a negative one is a run of zeros.
fn check_counts(mut payload: &[u8]) -> Result<(), DecodeError> {
    let (mut entries, mut samples) = (0_u64, 0_u64);
    while !payload.is_empty() {
        let encoded = take_varint(&mut payload)?;
        let magnitude = (encoded >> 1) + (encoded & 1);
        let is_run = encoded & 1 == 1;
        // Neither sum can overflow: each is checked before the next number is added.
        at_most("its number of counts", magnitude, if is_run { COUNTS_MAX } else { u64::MAX })?;
        at_most("its number of samples", magnitude, SAMPLES_MAX)?;
        (entries, samples) =
            if is_run { (entries + magnitude, samples) } else { (entries + 1, samples + magnitude) };
        at_most("its number of counts", entries, COUNTS_MAX)?;
        at_most("its number of samples", samples, SAMPLES_MAX)?;
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
fn take_varint(rest: &mut &[u8]) -> std::io::Result<u64> {
    let mut value = 0;
    for place in 0..9 {
        let mut byte = [0];
        rest.read_exact(&mut byte)?;
        let [byte] = byte;
        let bits = if place == 8 { byte } else { byte & 0x7f };
        value |= u64::from(bits) << (7 * place);
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_distribution_has_no_figures() {
        let json = serde_json::to_value(Latency::default()).unwrap();
        assert_eq!(json["p99_us"], serde_json::Value::Null, "null, not absent");
        assert_eq!(json["count"], 0);
        assert!(serde_json::from_value::<Latency>(json).unwrap().is_empty());
    }

    #[test]
    fn figures_by_hand() {
        let mut hdr = Hdr::new_with_max(60_000_000, 3).unwrap();
        for us in 1..=1_000 {
            hdr.record(us).unwrap();
        }
        let figures = Histogram::from(Latency::from(hdr));
        assert_eq!((figures.count, figures.min_us, figures.max_us), (1_000, Some(1), Some(1_000)));
        assert_eq!((figures.p50_us, figures.p90_us, figures.p95_us), (Some(500), Some(900), Some(950)));
        assert_eq!((figures.p99_us, figures.p999_us, figures.p9999_us), (Some(990), Some(999), Some(1_000)));
        assert!((figures.mean_us.unwrap() - 500.5).abs() < 1e-6);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for hdr in ["", "%", "AAAA", "HISTFAAAAB==", "HISTEwAAAAAAAAAAAAAAAwAAAAAAAAAB"] {
            assert!(decode(hdr).is_err(), "{hdr:?}");
        }
    }

    /// As an encoder would write it, with these fields in the header.
    fn forged(payload_bytes: u32, digits: u32, lowest: u64, highest: u64, payload: &[u8]) -> String {
        let mut plain = Vec::new();
        for word in [PLAIN, payload_bytes, 0, digits] {
            plain.extend(word.to_be_bytes());
        }
        plain.extend(lowest.to_be_bytes());
        plain.extend(highest.to_be_bytes());
        plain.extend(1.0_f64.to_be_bytes());
        plain.extend(payload);
        deflated(&plain)
    }

    fn deflated(plain: &[u8]) -> String {
        let mut deflated = Vec::new();
        let mut deflater = flate2::read::ZlibEncoder::new(plain, flate2::Compression::best());
        deflater.read_to_end(&mut deflated).unwrap();
        let length = u32::try_from(deflated.len()).unwrap().to_be_bytes();
        BASE64_STANDARD.encode([&DEFLATED.to_be_bytes()[..], &length, &deflated].concat())
    }

    #[test]
    fn a_header_that_claims_absurd_memory_is_refused() {
        assert!(decode(&forged(1, 3, 1, HIGHEST_US_MAX, &[2])).is_ok());
        let zeros = vec![0; 64 << 20];
        let huge_count = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let most_negative = [0xff; 9];
        for (hdr, what) in [
            (forged(1, 5, 1, 1_000, &[2]), "digits is 5, and at most 3"),
            (forged(1, 3, 1, u64::MAX, &[2]), "highest value is 18446744073709551615"),
            (forged(1, 3, 1, HIGHEST_US_MAX + 1, &[2]), "highest value"),
            (forged(1, 3, u64::MAX, 1_000, &[2]), "lowest value"),
            (forged(u32::MAX, 3, 1, 1_000, &[2]), "payload length is 4294967295"),
            (forged(1, 3, 1, 1_000, &zeros), "inflated length"),
            (forged(9, 3, 1, 1_000, &huge_count), "number of samples"),
            (forged(9, 3, 1, 1_000, &most_negative), "number of counts"),
            (forged(2, 3, 1, 1_000, &[2]), "V2 encoding"),
            (deflated(&zeros), "V2 encoding"),
        ] {
            let error = decode(&hdr).unwrap_err().to_string();
            assert!(error.contains(what), "{what}: {error}");
            assert!(check(&hdr).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&BASE64_STANDARD.encode(&bytes));
            let _ = decode(&String::from_utf8_lossy(&bytes));
            let _ = decode(&deflated(&bytes));
            let _ = decode(&deflated(&[&PLAIN.to_be_bytes()[..], &bytes].concat()));
        }

        /// Sensible headers, so that the counts are read: whatever was decoded can be merged and asked.
        #[test]
        fn arbitrary_counts_never_panic(
            payload in prop::collection::vec(any::<u8>(), 0..100),
            digits in 0_u32..8,
            lowest in 0_u64..5,
            bits in 0_u32..64,
        ) {
            let length = u32::try_from(payload.len()).unwrap();
            let hdr = forged(length, digits, lowest, 1 << bits, &payload);
            prop_assert_eq!(check(&hdr).is_ok() || decode(&hdr).is_err(), true);
            if let Ok(hdr) = decode(&hdr) {
                prop_assert!(hdr.distinct_values() as u64 <= COUNTS_MAX);
                let mut sum = Hdr::<u64>::new(hdr.sigfig()).unwrap();
                let _ = sum.add(&hdr).and_then(|()| sum.add(&hdr));
                let _ = Histogram::from(Latency::from(sum));
            }
        }

        #[test]
        fn nothing_is_lost_in_the_file(
            digits in 2_u8..=3,
            samples in prop::collection::vec((1..60_000_000_u64, 1..1_000_u64), 1..100),
        ) {
            let mut hdr = Hdr::new_with_max(60_000_000, digits).unwrap();
            for (us, count) in samples {
                hdr.record_n(us, count).unwrap();
            }
            let json = serde_json::to_string(&Latency::from(hdr.clone())).unwrap();
            let back: Latency = serde_json::from_str(&json).unwrap();
            let back = back.histogram().unwrap();
            prop_assert_eq!(&*back, &hdr);
            prop_assert_eq!((back.high(), back.sigfig()), (hdr.high(), hdr.sigfig()));
        }
    }
}
