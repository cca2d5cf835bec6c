//! Reads the value of a metric from a result, and formats it for people. `history` shows such values over many results. The names of metrics
//! are parsed in `result::metric`. Independent of formats.

use super::format::{self, NONE, plain};
use super::summary::length;
use crate::measure::Totals;
use crate::result::metric::{Aggregate, MetricSpec, MetricUnit};
use crate::result::model::RunResult;
use crate::units::{Percent, human_count, human_us, whole};

/// A value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Value, in the unit of the metric.
    pub value: f64,
    /// True for a percentile with fewer than 10 samples beyond it.
    pub few: bool,
}

/// Formats a value for people.
pub(super) fn value_text(unit: MetricUnit, value: f64) -> String {
    match unit {
        MetricUnit::Us => human_us(whole(value)),
        MetricUnit::Share => Percent::from_fraction(value).to_string(),
        MetricUnit::Count => human_count(whole(value)),
        MetricUnit::PerSecond => format!("{}/s", format::rate(value)),
    }
}

/// Formats a reading for people; or a dash.
pub(super) fn reading_text(metric: &MetricSpec, reading: Option<Reading>) -> String {
    reading.map_or_else(|| NONE.to_owned(), |reading| value_text(metric.aggregate.unit(), reading.value))
}

/// Returns the operation with its selectors, and the aggregate: `telemetry{phase:steady}` and `p(99)`.
pub(super) fn parts(metric: &MetricSpec) -> (String, String) {
    (plain(&metric.key()), metric.aggregate.to_string())
}

/// Reads the value. Latencies are those of ok operations. `None` if the run has no such operations, or none of them ended ok.
pub(super) fn read(metric: &MetricSpec, result: &RunResult) -> Option<Reading> {
    let exact = |value: f64| Reading { value, few: false };
    let measurement = &result.measurement;
    let totals: Totals = measurement.sum(|part| metric.covers(measurement, part));
    if totals.due == 0 {
        return None;
    }
    let response = &totals.response;
    match metric.aggregate {
        Aggregate::Percentile(quantile) => response.quantile(quantile).map(|us| Reading {
            value: float(us),
            few: float(response.count()) * (1.0 - quantile) < 10.0 - 1e-6,
        }),
        Aggregate::Mean => response.mean().map(exact),
        Aggregate::Max => response.max().map(float).map(exact),
        Aggregate::Rate(outcome) => Some(exact(float(totals.outcome(outcome)) / float(totals.due))),
        Aggregate::Count(outcome) => Some(exact(float(totals.outcome(outcome)))),
        Aggregate::Achieved => {
            let phases = measurement.phases.iter();
            let covered = phases.filter(|phase| metric.covers_phase(measurement, &phase.name));
            let seconds: f64 = covered.map(length).sum();
            (seconds > 0.0).then(|| exact(float(totals.ok()) / seconds))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::testing::result as sample;

    #[test]
    fn values_cover_their_phases_and_fleets() {
        let result = sample();
        let of = |text: &str| read(&text.parse().unwrap(), &result);
        for (text, expected) in [
            ("telemetry rate(ok)", Some(0.5)),
            ("telemetry{phase:steady,fleet:meter} count(lost)", Some(1.0)),
            ("telemetry{fleet:other} count(ok)", None),
            ("telemetry{phase:ramp} count(ok)", None),
            ("connect count(ok)", None),
            ("connect{phase:*} count(ok)", Some(1.0)),
            ("twin.get p(99)", None),
        ] {
            assert_eq!(of(text).map(|reading| reading.value), expected, "{text}");
        }
        let reading = of("telemetry p(99)").unwrap();
        assert!(reading.few && (8_000.0..8_100.0).contains(&reading.value), "{reading:?}");
    }
}
