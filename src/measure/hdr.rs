//! How a latency distribution looks in a file: figures for people, and all of it in base64, so that results merge and compare
//! exactly. Used by `latency` and `series`.

use super::latency::Latency;
use base64::prelude::{BASE64_STANDARD, Engine};
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The content of `hdr` is not a histogram.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not what an HdrHistogram V2 encoder writes.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Hdr(#[from] hdrhistogram::serialization::DeserializeError),
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
            hdr: Some(encode(hdr)),
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
            hdr: encode(hdr),
        }
    }
}

impl TryFrom<RowHistogram> for Latency {
    type Error = DecodeError;

    fn try_from(row: RowHistogram) -> Result<Latency, DecodeError> {
        decode(&row.hdr).map(Latency::from)
    }
}

/// The distribution in an `hdr` field.
///
/// # Errors
/// It is not base64, or not an HdrHistogram V2 encoding.
fn decode(hdr: &str) -> Result<Hdr<u64>, DecodeError> {
    let bytes = BASE64_STANDARD.decode(hdr)?;
    Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
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

    proptest! {
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
            prop_assert_eq!(back, &hdr);
            prop_assert_eq!((back.high(), back.sigfig()), (hdr.high(), hdr.sigfig()));
        }
    }
}
