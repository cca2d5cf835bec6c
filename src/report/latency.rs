//! Latency distributions that add up: the histograms of a result file, decoded. Called by the summary and the
//! charts.

use super::ReportError;
use crate::result::histogram::decode_hdr;
use crate::result::model;
use hdrhistogram::Histogram;

/// A distribution; empty until something is added.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency(Option<Histogram<u64>>);

impl Latency {
    /// Adds a histogram of the result file, exactly.
    ///
    /// # Errors
    /// It does not decode.
    pub(super) fn add(&mut self, part: &model::Histogram) -> Result<(), ReportError> {
        match &part.hdr {
            Some(hdr) => self.add_encoded(hdr),
            None => Ok(()),
        }
    }

    /// Adds an HdrHistogram V2, deflated, base64.
    ///
    /// # Errors
    /// It does not decode.
    pub(super) fn add_encoded(&mut self, hdr: &str) -> Result<(), ReportError> {
        self.add_histogram(&decode_hdr(hdr)?)
    }

    /// Adds another distribution.
    ///
    /// # Errors
    /// The two cannot be added.
    pub(super) fn merge(&mut self, other: &Latency) -> Result<(), ReportError> {
        other.0.as_ref().map_or(Ok(()), |histogram| self.add_histogram(histogram))
    }

    fn add_histogram(&mut self, part: &Histogram<u64>) -> Result<(), ReportError> {
        if part.is_empty() {
            return Ok(());
        }
        let sum = match &mut self.0 {
            Some(sum) => sum,
            empty => {
                let sum =
                    Histogram::new(part.sigfig()).map_err(|error| ReportError::Sum(error.to_string()))?;
                empty.insert(sum)
            }
        };
        sum.add(part).map_err(|error| ReportError::Sum(error.to_string()))
    }

    /// Samples.
    pub(super) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The value at `quantile` (0.99 for p99), in microseconds.
    pub(super) fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let histogram = self.0.as_ref()?;
        // Buckets answer with their upper end, which may lie above the largest sample.
        Some(histogram.value_at_quantile(quantile).min(histogram.max()))
    }

    /// The largest, in microseconds.
    pub(super) fn max_us(&self) -> Option<u64> {
        self.0.as_ref().map(Histogram::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

    fn encoded(values: &[u64]) -> String {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn distributions_add_up_exactly() {
        let mut sum = Latency::default();
        assert_eq!((sum.count(), sum.quantile_us(0.5), sum.max_us()), (0, None, None));
        sum.add_encoded(&encoded(&[100, 200])).unwrap();
        let mut other = Latency::default();
        other.add_encoded(&encoded(&[1_000_000])).unwrap();
        sum.merge(&other).unwrap();
        assert_eq!((sum.count(), sum.quantile_us(0.5)), (3, Some(200)));
        assert!(sum.max_us().unwrap().abs_diff(1_000_000) < 1_000, "three digits");
    }

    #[test]
    fn what_does_not_decode_is_an_error() {
        for hdr in ["", "%", "AAAA", "HISTFAAAAAAAAAAA"] {
            assert!(Latency::default().add_encoded(hdr).is_err(), "{hdr}");
        }
    }
}
