//! Which value of a result is compared: `telemetry{phase:steady} p(99)`. Parsed from `--metric`, or taken from the thresholds.

use super::CompareError;
use crate::measure::{Compare, Measurement, Operation, OperationTotals, Outcome, Rule, Test};
use crate::result::model::RunResult;
use crate::units::Percent;

/// A compared value.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSpec {
    /// Operation.
    pub operation: Operation,
    /// Phase; `None` for all phases except warm-ups.
    pub phase: Option<String>,
    /// Fleet; `None` for all fleets.
    pub fleet: Option<String>,
    /// Aggregation.
    pub aggregation: Aggregation,
}

/// How a metric aggregates the operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregation {
    /// A percentile of the response times, as a fraction of 1. Failures count as slowest.
    Percentile(f64),
    /// The mean response time of ok operations.
    Mean,
    /// The longest response time of ok operations.
    Max,
    /// The share of due operations with this outcome.
    Rate(Outcome),
    /// The number of operations with this outcome.
    Count(Outcome),
    /// Ok operations per second.
    Achieved,
}

const ALLOWED: &str = "p(99), med, avg, max, rate(ok), count(lost) or achieved";

impl Aggregation {
    /// Returns the aggregation as written in thresholds.
    pub(super) fn name(self) -> String {
        match self {
            Aggregation::Percentile(0.5) => "med".to_owned(),
            Aggregation::Percentile(quantile) => {
                format!("p({})", Percent::from_fraction(quantile).to_string().trim_end_matches('%'))
            }
            Aggregation::Mean => "avg".to_owned(),
            Aggregation::Max => "max".to_owned(),
            Aggregation::Rate(outcome) => format!("rate({})", outcome.name()),
            Aggregation::Count(outcome) => format!("count({})", outcome.name()),
            Aggregation::Achieved => "achieved".to_owned(),
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Aggregation::Percentile(_) | Aggregation::Mean | Aggregation::Max => "us",
            Aggregation::Rate(_) => "share",
            Aggregation::Count(_) => "count",
            Aggregation::Achieved => "per_s",
        }
    }

    pub(super) fn higher_is_better(self) -> bool {
        matches!(
            self,
            Aggregation::Rate(Outcome::Ok) | Aggregation::Count(Outcome::Ok) | Aggregation::Achieved
        )
    }

    fn parse(text: &str) -> Option<Aggregation> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')')?.trim())),
            None => (text, None),
        };
        Some(match (name, argument) {
            ("p", Some(percent)) => {
                let quantile = format!("{percent}%").parse().map(Percent::as_fraction).ok()?;
                Aggregation::Percentile(Some(quantile).filter(|quantile| (0.01..1.0).contains(quantile))?)
            }
            ("med", None) => Aggregation::Percentile(0.5),
            ("avg", None) => Aggregation::Mean,
            ("max", None) => Aggregation::Max,
            ("achieved", None) => Aggregation::Achieved,
            ("rate", Some(outcome)) => Aggregation::Rate(Outcome::from_name(outcome)?),
            ("count", Some(outcome)) => Aggregation::Count(Outcome::from_name(outcome)?),
            _ => return None,
        })
    }
}

impl std::str::FromStr for MetricSpec {
    type Err = CompareError;

    fn from_str(text: &str) -> Result<MetricSpec, CompareError> {
        let invalid = |what: &str, allowed: &str| CompareError::Metric {
            text: text.to_owned(),
            what: what.to_owned(),
            allowed: allowed.to_owned(),
        };
        let text = text.trim();
        let end = match text.split_once('}') {
            Some((label, _)) => label.len() + 1,
            None => text.find(char::is_whitespace).unwrap_or(text.len()),
        };
        let (label, aggregation) = text.split_at(end);
        let (name, selectors) = label.split_once('{').unwrap_or((label, "}"));
        let operation = Operation::from_name(name.trim()).ok_or_else(|| {
            let names = Operation::ALL.map(Operation::name).join(", ");
            invalid(&format!("{name:?} is not an operation"), &names)
        })?;
        let (mut phase, mut fleet) = (None, None);
        for selector in selectors.trim_end_matches('}').split(',').filter(|part| !part.trim().is_empty()) {
            match selector.split_once(':').map(|(key, value)| (key.trim(), value.trim().to_owned())) {
                Some(("phase", name)) => phase = Some(name),
                Some(("fleet", name)) => fleet = Some(name),
                _ => {
                    return Err(invalid(
                        &format!("{selector:?} is not a selector"),
                        "{phase:NAME,fleet:NAME}",
                    ));
                }
            }
        }
        let aggregation = aggregation.trim();
        let aggregation = Aggregation::parse(aggregation)
            .ok_or_else(|| invalid(&format!("{aggregation:?} is not an aggregation"), ALLOWED))?;
        Ok(MetricSpec { operation, phase, fleet, aggregation })
    }
}

impl MetricSpec {
    /// Returns the metric that a threshold tests. `None` for thresholds that only test whether anything happened.
    pub(super) fn of_rule(rule: &Rule) -> Option<MetricSpec> {
        let aggregation = match rule.test {
            Test::Percentile { quantile, .. } => Aggregation::Percentile(quantile),
            Test::Mean { .. } => Aggregation::Mean,
            Test::Max { .. } => Aggregation::Max,
            Test::Rate { outcome, .. } => Aggregation::Rate(outcome),
            Test::Count { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit: 1 } => return None,
            Test::Count { outcome, .. } => Aggregation::Count(outcome),
        };
        let (phase, fleet) = (rule.phase.clone(), rule.fleet.clone());
        Some(MetricSpec { operation: rule.metric, phase, fleet, aggregation })
    }

    /// Returns the default metrics: those of the thresholds, or else those of the headline.
    pub(super) fn defaults(result: &RunResult) -> Vec<MetricSpec> {
        let mut specs: Vec<MetricSpec> = Vec::new();
        let rules = result.rules.iter().flat_map(|rules| &rules.thresholds);
        for spec in rules.filter_map(MetricSpec::of_rule) {
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        if !specs.is_empty() {
            return specs;
        }
        let of = |operation, aggregation| MetricSpec { operation, phase: None, fleet: None, aggregation };
        let has = |operation: &Operation| result.of(*operation).due > 0;
        let headline = Operation::ALL.into_iter().filter(|operation| operation.is_message()).find(has);
        if let Some(headline) = headline {
            specs.extend(
                [
                    Aggregation::Percentile(0.5),
                    Aggregation::Percentile(0.99),
                    Aggregation::Rate(Outcome::Ok),
                    Aggregation::Achieved,
                ]
                .map(|aggregation| of(headline, aggregation)),
            );
        }
        if has(&Operation::Connect) {
            specs.push(of(Operation::Connect, Aggregation::Percentile(0.95)));
        }
        specs
    }

    /// Returns true if the metric covers this part of a measurement.
    pub(super) fn covers(&self, measurement: &Measurement, part: &OperationTotals) -> bool {
        let phase = match &self.phase {
            Some(phase) => *phase == part.phase,
            None => !measurement.is_warmup(&part.phase),
        };
        phase
            && part.operation == self.operation
            && self.fleet.as_ref().is_none_or(|fleet| *fleet == part.fleet)
    }

    /// Checks that the run has the phase and the fleet.
    pub(super) fn check(&self, result: &RunResult) -> Result<(), CompareError> {
        let known = |what: &'static str, name: &Option<String>, all: Vec<&str>| match name {
            Some(name) if !all.contains(&name.as_str()) => {
                Err(CompareError::Selector { what, name: name.clone(), allowed: all.join(", ") })
            }
            _ => Ok(()),
        };
        known("phase", &self.phase, result.phases.iter().map(|phase| phase.name.as_str()).collect())?;
        known("fleet", &self.fleet, result.fleets.iter().map(|fleet| fleet.name.as_str()).collect())
    }
}
