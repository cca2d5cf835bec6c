//! Distributions in the result file: figures for people, and all of it in base64, so that results merge and
//! compare exactly. Used by [`build`](super::build), and by `report` to draw spectra.

use super::model::{Histogram, RowHistogram};
use crate::measure::Latency;
use base64::prelude::{BASE64_STANDARD, Engine};
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// What `hdr` holds is not a histogram.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not what an HdrHistogram V2 encoder writes.
    #[error("histogram is not in HdrHistogram V2 encoding: {0}")]
    Hdr(#[from] hdrhistogram::serialization::DeserializeError),
}

/// A distribution as the result file holds it. Values are microseconds.
#[must_use]
pub fn histogram(hdr: &Hdr<u64>) -> Histogram {
    if hdr.is_empty() {
        return Histogram::default();
    }
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

/// [`histogram`] of what a recorder kept.
#[must_use]
pub fn latency(latency: &Latency) -> Histogram {
    latency.histogram().map(histogram).unwrap_or_default()
}

/// The small form of a row; `None` when empty.
#[must_use]
pub fn row(latency: &Latency) -> Option<RowHistogram> {
    latency.histogram().map(|hdr| RowHistogram {
        count: hdr.len(),
        p50_us: hdr.value_at_quantile(0.5),
        p99_us: hdr.value_at_quantile(0.99),
        p999_us: hdr.value_at_quantile(0.999),
        max_us: hdr.max(),
        hdr: encode(hdr),
    })
}

/// The distribution behind a [`Histogram`]; `None` when it is empty.
///
/// # Errors
/// `hdr` is not base64, or not an HdrHistogram V2 encoding.
pub fn decode(histogram: &Histogram) -> Result<Option<Hdr<u64>>, DecodeError> {
    histogram.hdr.as_deref().map(decode_hdr).transpose()
}

/// The distribution in an `hdr` field, of a [`Histogram`] or a [`RowHistogram`].
///
/// # Errors
/// It is not base64, or not an HdrHistogram V2 encoding.
pub fn decode_hdr(hdr: &str) -> Result<Hdr<u64>, DecodeError> {
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
        let empty = latency(&Latency::default());
        assert_eq!(empty, Histogram::default());
        assert!(decode(&empty).unwrap().is_none());
        let json = serde_json::to_value(&empty).unwrap();
        assert_eq!(json["p99_us"], serde_json::Value::Null, "null, not absent");
    }

    #[test]
    fn figures_by_hand() {
        let mut hdr = Hdr::new_with_max(60_000_000, 3).unwrap();
        for us in 1..=1_000 {
            hdr.record(us).unwrap();
        }
        let figures = histogram(&hdr);
        assert_eq!((figures.count, figures.min_us, figures.max_us), (1_000, Some(1), Some(1_000)));
        assert_eq!((figures.p50_us, figures.p90_us, figures.p95_us), (Some(500), Some(900), Some(950)));
        assert_eq!((figures.p99_us, figures.p999_us, figures.p9999_us), (Some(990), Some(999), Some(1_000)));
        assert!((figures.mean_us.unwrap() - 500.5).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_histogram_is_an_error_and_no_panic() {
        for hdr in ["", "%", "AAAA", "HISTFAAAAB==", "HISTEwAAAAAAAAAAAAAAAwAAAAAAAAAB"] {
            assert!(decode_hdr(hdr).is_err(), "{hdr:?}");
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
            let back = decode(&histogram(&hdr)).unwrap().unwrap();
            prop_assert_eq!(&back, &hdr);
            prop_assert_eq!((back.high(), back.sigfig()), (hdr.high(), hdr.sigfig()));
        }
    }
}
