//! `--assert "capacity >= 4000/s"`: parses the text, and compares the limit with the bounds of a search. Called by `app`. Pure.

use super::measured::{AssertionResult, AssertionStatus, Bound, CapacityAnswer, Level, Vary};
use crate::units::{Percent, Rate, human_count, whole};
use std::fmt;

/// The metric that an assertion tests.
const METRIC: &str = "capacity";

/// An assertion on the capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    limit: Limit,
}

/// The limit of an assertion.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Messages per second.
    PerSecond(f64),
    /// A share of the phase's load, or of the scenario's devices.
    Share(f64),
    /// Devices.
    Devices(u64),
}

/// An error in an assertion. The messages start with the option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The text has another form.
    #[error("--assert {0:?} has no operator >=; write for example \"capacity >= 4000/s\"")]
    Form(String),
    /// The metric is unknown.
    #[error(
        "--assert: unknown metric {0:?}; the only metric is capacity, for example \"capacity >= 4000/s\""
    )]
    Metric(String),
    /// The limit cannot be parsed.
    #[error(
        "--assert: {0:?} is not a limit; write messages per second (4000/s), a share of the scenario's load or devices (80%), or devices (12000 devices)"
    )]
    Limit(String),
    /// The limit is a number of devices, and the search varies the load.
    #[error(
        "--assert {0:?}: the number of devices is the same in the whole search; write messages per second (4000/s) or a share of the phase's \
         load (80%), or add --vary devices"
    )]
    Constant(String),
}

impl Assertion {
    /// Parses an assertion on a search that varies the load or the devices.
    ///
    /// # Errors
    /// Returns what is wrong with the text, and what to write.
    pub fn parse(text: &str, vary: Vary) -> Result<Assertion, AssertionError> {
        let (metric, limit) = text.split_once(">=").ok_or_else(|| AssertionError::Form(text.to_owned()))?;
        let (metric, limit) = (metric.trim(), limit.trim());
        if metric != METRIC {
            return Err(AssertionError::Metric(metric.to_owned()));
        }
        let invalid = || AssertionError::Limit(limit.to_owned());
        let limit =
            if let Some(devices) = limit.strip_suffix("devices").or_else(|| limit.strip_suffix("device")) {
                Limit::Devices(devices.trim().parse().map_err(|_| invalid())?)
            } else if limit.ends_with('%') {
                Limit::Share(limit.parse::<Percent>().map_err(|_| invalid())?.as_fraction())
            } else {
                Limit::PerSecond(limit.parse::<Rate>().map_err(|_| invalid())?.as_per_second())
            };
        if matches!(limit, Limit::Devices(_)) && vary == Vary::Load {
            return Err(AssertionError::Constant(text.to_owned()));
        }
        Ok(Assertion { text: text.trim().to_owned(), limit })
    }

    /// Compares the limit with the bounds. True if the lower bound reaches it, false if the upper bound does not exceed it. `whole` is the
    /// level of the scenario, of which a limit may be a share.
    #[must_use]
    pub fn test(&self, answer: &CapacityAnswer, whole: u64) -> AssertionResult {
        let value = |level: &Level| self.limit.of(level, whole);
        let (status, reason) = match (&answer.lower, &answer.upper) {
            (Some(lower), _) if value(lower) >= self.limit.value() => (
                AssertionStatus::Passed,
                format!("the capacity is at least {}", self.limit.shown(value(lower))),
            ),
            (_, Some(upper)) if value(upper) <= self.limit.value() => {
                (AssertionStatus::Failed, format!("the capacity is below {}", self.limit.shown(value(upper))))
            }
            (_, None) if answer.bound_by == Some(Bound::Generator) => {
                let reason =
                    "the load generator was the limit below it; use a machine with more cores".to_owned();
                (AssertionStatus::Generator, reason)
            }
            (lower, upper) => {
                let shown = |level: &Level| self.limit.shown(value(level));
                let reason = match (lower, upper) {
                    (Some(lower), Some(upper)) => {
                        format!("the limit is between the bounds, {} and {}", shown(lower), shown(upper))
                    }
                    (Some(lower), None) => format!("only the lower bound is known, {}", shown(lower)),
                    (None, Some(upper)) => format!("only the upper bound is known, {}", shown(upper)),
                    (None, None) => "no bound is known".to_owned(),
                };
                (AssertionStatus::Inconclusive, reason)
            }
        };
        AssertionResult { text: self.text.clone(), status, reason }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Limit {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn value(self) -> f64 {
        match self {
            Limit::PerSecond(limit) | Limit::Share(limit) => limit,
            Limit::Devices(limit) => limit as f64,
        }
    }

    /// Returns a level in the unit of the limit.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn of(self, level: &Level, whole: u64) -> f64 {
        match self {
            Limit::PerSecond(_) => level.per_s,
            Limit::Share(_) => level.level as f64 / whole as f64,
            Limit::Devices(_) => level.devices as f64,
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Limit::PerSecond(_) => format!("{}/s", human_count(whole(value))),
            Limit::Share(_) => Percent::from_fraction((value * 1e4).round() / 1e4).to_string(),
            Limit::Devices(_) => format!("{} devices", human_count(whole(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::measured::EndReason;

    fn level(per_s: f64) -> Level {
        Level { level: whole(per_s * 100.0), per_s, devices: whole(per_s * 10.0) }
    }

    fn tested(text: &str, lower: Option<f64>, upper: Option<f64>, bound_by: Bound) -> AssertionStatus {
        let answer = CapacityAnswer {
            lower: lower.map(level),
            upper: upper.map(level),
            end: EndReason::Width,
            bound_by: Some(bound_by),
            reason: String::new(),
            throughput_per_s: None,
            exit_code: 0,
        };
        Assertion::parse(text, Vary::Devices).unwrap().test(&answer, 1_000_000).status
    }

    #[test]
    fn bounds_decide() {
        use AssertionStatus::{Failed, Generator, Inconclusive, Passed};
        for (text, lower, upper, bound, expected) in [
            ("capacity >= 4000/s", Some(4_000.0), Some(4_200.0), Bound::Threshold, Passed),
            ("capacity >= 4000/s", Some(4_000.0), None, Bound::Range, Passed),
            ("capacity >= 4000/s", Some(4_000.0), None, Bound::Generator, Passed),
            ("capacity >= 4000/s", Some(3_800.0), Some(4_000.0), Bound::Threshold, Failed),
            ("capacity >= 4000/s", None, Some(1_000.0), Bound::Threshold, Failed),
            ("capacity >= 4000/s", Some(3_900.0), Some(4_100.0), Bound::Threshold, Inconclusive),
            ("capacity >= 4000/s", Some(3_900.0), None, Bound::Range, Inconclusive),
            ("capacity >= 4000/s", Some(3_900.0), None, Bound::Generator, Generator),
            ("capacity >= 4000/s", None, None, Bound::Generator, Generator),
            ("capacity >= 40000 devices", Some(4_000.0), Some(4_200.0), Bound::Threshold, Passed),
            ("capacity >= 40%", Some(4_000.0), Some(4_200.0), Bound::Threshold, Passed),
            ("capacity>=41%", Some(4_000.0), Some(4_200.0), Bound::Threshold, Inconclusive),
        ] {
            assert_eq!(tested(text, lower, upper, bound), expected, "{text}: {lower:?} to {upper:?}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, part) in [
            ("capacity 4000/s", "has no operator >="),
            ("capacity <= 4000/s", "has no operator >="),
            ("units(S2) >= 40", "unknown metric \"units(S2)\"; the only metric is capacity"),
            ("capacity >= many", "\"many\" is not a limit"),
            ("capacity >= 4000", "is not a limit; write messages per second (4000/s)"),
            ("capacity >= 400 devices", "the number of devices is the same in the whole search"),
        ] {
            let error = Assertion::parse(text, Vary::Load).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
