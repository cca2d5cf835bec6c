//! A metric of a result, as `--metric` names it: `telemetry{phase:steady} p(99)`, `connect rate(ok)`, `telemetry achieved`. Parses the name,
//! and reads the value from a result. Used by `history`. Independent of formats.

use super::format::{self, NONE};
use super::summary::{Summary, length};
use crate::measure::{Operation, Outcome, Rule, Test, Totals, threshold_label};
use crate::result::model::RunResult;
use crate::units::{Percent, human_count, human_us, whole};

/// The phase selector for the whole run, warm-ups included. No phase has this name.
const WHOLE_RUN: &str = "*";
/// What a metric may be, for errors.
const EXAMPLES: &str = "write a metric such as \"telemetry p(99)\", \"telemetry{phase:steady} med\", \"connect{phase:*} p(95)\", \
                        \"telemetry rate(ok)\", \"telemetry count(lost)\" or \"telemetry achieved\"";

/// A metric of a result: an aggregate of the operations of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Kind of operation.
    pub operation: Operation,
    /// Phase; `*` for the whole run, `None` for all phases except warm-ups.
    pub phase: Option<String>,
    /// Fleet; `None` for all fleets.
    pub fleet: Option<String>,
    /// How the operations are summarized.
    pub aggregate: Aggregate,
}

/// How operations are summarized. Latencies are response times of ok operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// A percentile, as a fraction of 1.
    Percentile(f64),
    /// The mean.
    Mean,
    /// The maximum.
    Max,
    /// The share of due operations with an outcome.
    Rate(Outcome),
    /// The number of operations with an outcome.
    Count(Outcome),
    /// The number of ok operations per second.
    Achieved,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// Microseconds.
    Us,
    /// A fraction of 1.
    Share,
    /// A count.
    Count,
    /// A number per second.
    PerSecond,
}

impl MetricUnit {
    /// Formats a value for people.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            MetricUnit::Us => human_us(whole(value)),
            MetricUnit::Share => Percent::from_fraction(value).to_string(),
            MetricUnit::Count => human_count(whole(value)),
            MetricUnit::PerSecond => format!("{}/s", format::rate(value)),
        }
    }
}

/// A value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Value, in the unit of the metric.
    pub value: f64,
    /// True for a percentile with fewer than 10 samples beyond it.
    pub few: bool,
}

impl Metric {
    /// Parses a metric.
    ///
    /// # Errors
    /// Returns a description of the error, with an example.
    pub fn parse(text: &str) -> Result<Metric, String> {
        let text = text.trim();
        if text.contains(['<', '>', '=']) {
            return Err("a metric has no limit; remove the comparison".to_owned());
        }
        let end = text.find('}').map_or_else(|| text.find(' '), |brace| Some(brace + 1));
        let (key, aggregate) = text.split_at(end.unwrap_or(text.len()));
        let (name, selectors) = match key.split_once('{') {
            Some((name, rest)) => (name, rest.trim_end_matches('}')),
            None => (key, ""),
        };
        let name = name.trim();
        let operation = Operation::from_name(name).ok_or_else(|| {
            let names = Operation::ALL.map(Operation::name).join(", ");
            format!("unknown operation {name:?}; known operations: {names}")
        })?;
        let (mut phase, mut fleet) = (None, None);
        for selector in selectors.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match selector.split_once(':') {
                Some(("phase", name)) => phase = Some(name.trim().to_owned()),
                Some(("fleet", name)) => fleet = Some(name.trim().to_owned()),
                _ => return Err(format!("unknown selector {selector:?}; write phase:NAME or fleet:NAME")),
            }
        }
        let aggregate = Aggregate::parse(aggregate.trim())?;
        Ok(Metric { operation, phase, fleet, aggregate })
    }

    /// Returns the metric that a threshold tests.
    #[must_use]
    pub fn of_rule(rule: &Rule) -> Metric {
        let aggregate = match rule.test {
            Test::Percentile { quantile, .. } => Aggregate::Percentile(quantile),
            Test::Mean { .. } => Aggregate::Mean,
            Test::Max { .. } => Aggregate::Max,
            Test::Rate { outcome, .. } => Aggregate::Rate(outcome),
            Test::Count { outcome, .. } => Aggregate::Count(outcome),
        };
        let (phase, fleet) = (rule.phase.clone(), rule.fleet.clone());
        Metric { operation: rule.metric, phase, fleet, aggregate }
    }

    /// Returns the metrics to show for a result: those of its thresholds, each once; without thresholds, those of the main operation,
    /// the achieved rate, and the connection time over the whole run.
    #[must_use]
    pub fn defaults(result: &RunResult) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for rule in result.rules.iter().flat_map(|rules| &rules.thresholds) {
            let metric = Metric::of_rule(rule);
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        if !metrics.is_empty() {
            return metrics;
        }
        let of = |operation, phase: Option<&str>, aggregate| {
            let phase = phase.map(str::to_owned);
            Metric { operation, phase, fleet: None, aggregate }
        };
        let summary = Summary::of(result);
        if let Some(main) = summary.main_operation() {
            let phase = (main.total.due == 0).then_some(WHOLE_RUN);
            let aggregates = [
                Aggregate::Percentile(0.5),
                Aggregate::Percentile(0.99),
                Aggregate::Rate(Outcome::Ok),
                Aggregate::Achieved,
            ];
            metrics.extend(aggregates.map(|aggregate| of(main.operation, phase, aggregate)));
        }
        metrics.push(of(Operation::Connect, Some(WHOLE_RUN), Aggregate::Percentile(0.95)));
        metrics
    }

    /// Returns the operation with its selectors, and the aggregate: `telemetry{phase:steady}` and `p(99)`.
    #[must_use]
    pub fn parts(&self) -> (String, String) {
        let [phase, fleet] = [&self.phase, &self.fleet].map(|name| name.as_deref().map(format::plain));
        let key = threshold_label(self.operation.name(), phase.as_deref(), fleet.as_deref());
        (key, self.aggregate.text())
    }

    /// Returns the name, as [`parse`](Self::parse) reads it.
    #[must_use]
    pub fn label(&self) -> String {
        let (key, aggregate) = self.parts();
        format!("{key} {aggregate}")
    }

    /// Returns the unit.
    #[must_use]
    pub fn unit(&self) -> MetricUnit {
        match self.aggregate {
            Aggregate::Percentile(_) | Aggregate::Mean | Aggregate::Max => MetricUnit::Us,
            Aggregate::Rate(_) => MetricUnit::Share,
            Aggregate::Count(_) => MetricUnit::Count,
            Aggregate::Achieved => MetricUnit::PerSecond,
        }
    }

    /// Reads the value. `None` if the run has no such operations, or none of them ended ok.
    #[must_use]
    pub fn read(&self, result: &RunResult) -> Option<Reading> {
        let exact = |value: f64| Reading { value, few: false };
        let Metric { operation, phase, fleet, aggregate } = self;
        let measurement = &result.measurement;
        let is_covered = |name: &str| match phase.as_deref() {
            None => !measurement.is_warmup(name),
            Some(WHOLE_RUN) => true,
            Some(phase) => phase == name,
        };
        let totals: Totals = measurement.sum(|part| {
            part.operation == *operation
                && is_covered(&part.phase)
                && fleet.as_ref().is_none_or(|fleet| *fleet == part.fleet)
        });
        if totals.due == 0 {
            return None;
        }
        let response = &totals.response;
        match *aggregate {
            Aggregate::Percentile(quantile) => response.quantile(quantile).map(|us| Reading {
                value: float(us),
                few: float(response.count()) * (1.0 - quantile) < 10.0 - 1e-6,
            }),
            Aggregate::Mean => response.mean().map(exact),
            Aggregate::Max => response.max().map(float).map(exact),
            Aggregate::Rate(outcome) => Some(exact(float(totals.outcome(outcome)) / float(totals.due))),
            Aggregate::Count(outcome) => Some(exact(float(totals.outcome(outcome)))),
            Aggregate::Achieved => {
                let covered = measurement.phases.iter().filter(|phase| is_covered(&phase.name));
                let seconds: f64 = covered.map(length).sum();
                (seconds > 0.0).then(|| exact(float(totals.ok()) / seconds))
            }
        }
    }

    /// Formats a value for people; or a dash.
    #[must_use]
    pub fn text(&self, reading: Option<Reading>) -> String {
        reading.map_or_else(|| NONE.to_owned(), |reading| self.unit().text(reading.value))
    }
}

impl Aggregate {
    fn parse(text: &str) -> Result<Aggregate, String> {
        let unknown = || match text {
            "" => format!("the aggregate is missing; {EXAMPLES}"),
            _ => format!("unknown aggregate {text:?}; {EXAMPLES}"),
        };
        match text {
            "med" => return Ok(Aggregate::Percentile(0.5)),
            "avg" => return Ok(Aggregate::Mean),
            "max" => return Ok(Aggregate::Max),
            "achieved" => return Ok(Aggregate::Achieved),
            _ => {}
        }
        let (name, argument) =
            text.strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(unknown)?;
        let outcome = || {
            Outcome::from_name(argument.trim()).ok_or_else(|| {
                format!(
                    "unknown outcome {argument:?}; outcomes: {}",
                    Outcome::ALL.map(Outcome::name).join(", ")
                )
            })
        };
        match name.trim() {
            "p" => {
                let fraction = format!("{argument}%").parse().map(Percent::as_fraction).ok();
                let quantile = fraction.filter(|quantile| *quantile >= 0.01 && *quantile < 1.0);
                let quantile = quantile.ok_or_else(|| {
                    format!("p({argument}) is not a percentile; write p(1) to p(99.999), or max")
                })?;
                Ok(Aggregate::Percentile(quantile))
            }
            "rate" => outcome().map(Aggregate::Rate),
            "count" => outcome().map(Aggregate::Count),
            _ => Err(unknown()),
        }
    }

    fn text(self) -> String {
        match self {
            Aggregate::Percentile(quantile) => {
                let percent = format!("{:.6}", quantile * 100.0);
                format!("p({})", percent.trim_end_matches('0').trim_end_matches('.'))
            }
            Aggregate::Mean => "avg".to_owned(),
            Aggregate::Max => "max".to_owned(),
            Aggregate::Rate(outcome) => format!("rate({})", outcome.name()),
            Aggregate::Count(outcome) => format!("count({})", outcome.name()),
            Aggregate::Achieved => "achieved".to_owned(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
