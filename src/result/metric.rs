//! Which value of a result is meant: `telemetry{phase:steady} p(99)`, `connect{phase:*} p(95)`, `telemetry achieved`. Parsed from `--metric`,
//! or taken from the thresholds. `compare` compares such values, and `report` shows them over many results. Independent of how they are
//! computed.

use super::model::RunResult;
use crate::measure::{
    Compare, Measurement, Operation, OperationTotals, Outcome, Rule, Test, threshold_label,
};
use crate::units::Percent;
use std::fmt;
use std::str::FromStr;

/// The phase selector for the whole run, warm-ups included. No phase has this name.
pub const WHOLE_RUN: &str = "*";
/// What a metric may be, for errors.
const EXAMPLES: &str = "write a metric such as \"telemetry p(99)\", \"telemetry{phase:steady} med\", \"connect{phase:*} p(95)\", \
                        \"telemetry rate(ok)\", \"telemetry count(lost)\" or \"telemetry achieved\"";

/// The reason why a text is not a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric {text:?}: {what}")]
pub struct MetricError {
    /// Metric as written.
    text: String,
    /// Problem, and what is allowed.
    what: String,
}

/// A value of a result: an aggregate of the operations of one kind. Written like the key and the expression of a threshold, without its
/// limit.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSpec {
    /// Kind of operation.
    pub operation: Operation,
    /// Phase; [`WHOLE_RUN`] for the whole run, `None` for all phases except warm-ups.
    pub phase: Option<String>,
    /// Fleet; `None` for all fleets.
    pub fleet: Option<String>,
    /// How the operations are summarized.
    pub aggregate: Aggregate,
}

/// How operations are summarized. Latencies are response times.
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
    const ALL: [MetricUnit; 4] =
        [MetricUnit::Us, MetricUnit::Share, MetricUnit::Count, MetricUnit::PerSecond];

    /// Returns the name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MetricUnit::Us => "us",
            MetricUnit::Share => "share",
            MetricUnit::Count => "count",
            MetricUnit::PerSecond => "per_s",
        }
    }

    /// Returns the unit with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<MetricUnit> {
        MetricUnit::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

impl FromStr for MetricSpec {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<MetricSpec, MetricError> {
        MetricSpec::parse(text.trim()).map_err(|what| MetricError { text: text.to_owned(), what })
    }
}

/// The metric as [`FromStr`] reads it.
impl fmt::Display for MetricSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key(), self.aggregate)
    }
}

impl MetricSpec {
    fn parse(text: &str) -> Result<MetricSpec, String> {
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
        Ok(MetricSpec { operation, phase, fleet, aggregate })
    }

    /// Returns the metric that a threshold tests. `None` for a recovery, which is not a number of operations.
    #[must_use]
    pub fn of_rule(rule: &Rule) -> Option<MetricSpec> {
        let aggregate = match rule.test {
            Test::Percentile { quantile, .. } => Aggregate::Percentile(quantile),
            Test::Mean { .. } => Aggregate::Mean,
            Test::Max { .. } => Aggregate::Max,
            Test::Rate { outcome, .. } => Aggregate::Rate(outcome),
            Test::Count { outcome, .. } => Aggregate::Count(outcome),
            Test::Recovery { .. } => return None,
        };
        let (phase, fleet) = (rule.phase.clone(), rule.fleet.clone());
        Some(MetricSpec { operation: rule.metric, phase, fleet, aggregate })
    }

    /// Returns the default metrics of a result: those of its thresholds, each once, except thresholds that only test whether anything
    /// happened, and those with `fault:none`. Without such thresholds, those of the most frequent message, and the connection time over the whole run.
    #[must_use]
    pub fn defaults(result: &RunResult) -> Vec<MetricSpec> {
        let mut specs: Vec<MetricSpec> = Vec::new();
        // Batches, from which a comparison estimates the noise, do not tell operations under a fault apart.
        let rules =
            result.rules.iter().flat_map(|rules| &rules.thresholds).filter(|rule| !rule.without_faults);
        for rule in rules {
            let only_happened =
                Test::Count { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit: 1 };
            let Some(spec) = MetricSpec::of_rule(rule) else { continue };
            if rule.test != only_happened && !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        if !specs.is_empty() {
            return specs;
        }
        let measurement = &result.measurement;
        let due = |operation: Operation| measurement.sum(|part| part.operation == operation).due;
        let of = |operation, phase: Option<&str>, aggregate| {
            let phase = phase.map(str::to_owned);
            MetricSpec { operation, phase, fleet: None, aggregate }
        };
        let messages =
            Operation::ALL.into_iter().filter(|operation| operation.is_message() && due(*operation) > 0);
        // Twin requests are the main operation only if there is no other.
        if let Some(main) = messages.max_by_key(|operation| (!operation.is_request(), due(*operation))) {
            let outside_warmup =
                measurement.sum(|part| part.operation == main && !measurement.is_warmup(&part.phase)).due;
            let phase = (outside_warmup == 0).then_some(WHOLE_RUN);
            let aggregates = [
                Aggregate::Percentile(0.5),
                Aggregate::Percentile(0.99),
                Aggregate::Rate(Outcome::Ok),
                Aggregate::Achieved,
            ];
            specs.extend(aggregates.map(|aggregate| of(main, phase, aggregate)));
        }
        if due(Operation::Connect) > 0 {
            specs.push(of(Operation::Connect, Some(WHOLE_RUN), Aggregate::Percentile(0.95)));
        }
        specs
    }

    /// Returns the operation with its selectors: `telemetry{phase:steady}`.
    #[must_use]
    pub fn key(&self) -> String {
        threshold_label(self.operation.name(), self.phase.as_deref(), self.fleet.as_deref(), false)
    }

    /// Returns true if the metric covers this phase.
    #[must_use]
    pub fn covers_phase(&self, measurement: &Measurement, name: &str) -> bool {
        match self.phase.as_deref() {
            None => !measurement.is_warmup(name),
            Some(phase) => phase == WHOLE_RUN || phase == name,
        }
    }

    /// Returns true if the metric covers this part of a measurement.
    #[must_use]
    pub fn covers(&self, measurement: &Measurement, part: &OperationTotals) -> bool {
        part.operation == self.operation
            && self.covers_phase(measurement, &part.phase)
            && self.fleet.as_ref().is_none_or(|fleet| *fleet == part.fleet)
    }
}

/// The aggregate as written in thresholds.
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aggregate::Percentile(quantile) => {
                let percent = format!("{:.6}", quantile * 100.0);
                write!(f, "p({})", percent.trim_end_matches('0').trim_end_matches('.'))
            }
            Aggregate::Mean => f.write_str("avg"),
            Aggregate::Max => f.write_str("max"),
            Aggregate::Rate(outcome) => write!(f, "rate({})", outcome.name()),
            Aggregate::Count(outcome) => write!(f, "count({})", outcome.name()),
            Aggregate::Achieved => f.write_str("achieved"),
        }
    }
}

impl Aggregate {
    /// Returns the unit of the value.
    #[must_use]
    pub fn unit(self) -> MetricUnit {
        match self {
            Aggregate::Percentile(_) | Aggregate::Mean | Aggregate::Max => MetricUnit::Us,
            Aggregate::Rate(_) => MetricUnit::Share,
            Aggregate::Count(_) => MetricUnit::Count,
            Aggregate::Achieved => MetricUnit::PerSecond,
        }
    }

    /// Returns true if a higher value is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        matches!(self, Aggregate::Rate(Outcome::Ok) | Aggregate::Count(Outcome::Ok) | Aggregate::Achieved)
    }

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
}

#[cfg(test)]
mod tests;
