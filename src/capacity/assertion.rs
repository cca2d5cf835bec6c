//! Conditions for a capacity plan: `units(S2) <= 40`, `share(d2c) < 75%`. Used by `app` for `--assert`. Pure.

use super::demand::CLASSES;
use super::model::{AssertionResult, CapacityPlan, DEVICES, QUOTA, SizeOption};
use crate::iothub::limits::Tier;
use crate::measure::Compare;
use crate::units::Percent;
use std::str::FromStr;

/// A condition that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--assert {typed:?}: {what}")]
pub struct AssertionError {
    typed: String,
    what: String,
}

/// The metrics, with examples.
const METRICS: &str = "units(TIER), hubs(TIER), price(TIER), share(CLASS) and share(CLASS, TIER), such as units(S2) <= 40 or share(d2c) < 75%; \
                       without a tier, the recommended one";

/// Longer operators come first, because `<` is a prefix of `<=`.
const OPERATORS: [(&str, Compare); 6] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

/// A condition for a capacity plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    typed: String,
    metric: Metric,
    /// `None`: the recommended tier.
    tier: Option<Tier>,
    compare: Compare,
    limit: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Metric {
    Units,
    Hubs,
    Price,
    Share(String),
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(typed: &str) -> Result<Assertion, AssertionError> {
        let wrong = |what: String| AssertionError { typed: typed.to_owned(), what };
        let split = OPERATORS.iter().find_map(|(operator, compare)| {
            typed.split_once(operator).map(|(left, right)| (left.trim(), *compare, right.trim()))
        });
        let (left, compare, limit) =
            split.ok_or_else(|| wrong(format!("no comparison; known metrics: {METRICS}")))?;
        let (name, arguments) = match left.split_once('(') {
            None => (left, ""),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')');
                (name.trim(), inner.ok_or_else(|| wrong("a parenthesis is not closed".to_owned()))?)
            }
        };
        let mut arguments = arguments.split(',').map(str::trim).filter(|argument| !argument.is_empty());
        let metric = match name {
            "units" => Metric::Units,
            "hubs" => Metric::Hubs,
            "price" => Metric::Price,
            "share" => Metric::Share(class(arguments.next()).map_err(wrong)?),
            _ => return Err(wrong(format!("unknown metric; known metrics: {METRICS}"))),
        };
        let tier = arguments.next().map(tier).transpose().map_err(wrong)?;
        if arguments.next().is_some() {
            return Err(wrong(format!("too many arguments; known metrics: {METRICS}")));
        }
        let percent = matches!(metric, Metric::Share(_)).then(|| limit.parse::<Percent>().ok()).flatten();
        let limit = percent
            .map(Percent::as_fraction)
            .or_else(|| limit.parse().ok())
            .filter(|limit: &f64| limit.is_finite());
        let allowed =
            if matches!(metric, Metric::Share(_)) { "a share such as 75% or 0.75" } else { "a number" };
        let limit = limit.ok_or_else(|| wrong(format!("the limit is not {allowed}")))?;
        Ok(Assertion { typed: typed.to_owned(), metric, tier, compare, limit })
    }
}

fn tier(name: &str) -> Result<Tier, String> {
    let tiers: Vec<&str> = Tier::ALL.iter().map(|tier| tier.name()).collect();
    Tier::from_name(name).ok_or_else(|| format!("unknown tier {name:?}; known tiers: {}", tiers.join(", ")))
}

fn class(name: Option<&str>) -> Result<String, String> {
    let known: Vec<&str> = CLASSES.iter().map(|class| class.name()).chain([QUOTA, DEVICES]).collect();
    match name {
        Some(name) if known.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(format!("unknown limit class {name:?}; known classes: {}", known.join(", "))),
        None => Err(format!("the limit class is missing; known classes: {}", known.join(", "))),
    }
}

impl Assertion {
    /// Checks the condition. A tier that does not fit has no value, and the condition fails.
    #[must_use]
    pub fn check(&self, plan: &CapacityPlan) -> AssertionResult {
        let option = match self.tier {
            Some(tier) => plan.option(tier.name()).filter(|option| option.fits),
            None => plan.recommended_option(),
        };
        let value = option.and_then(|option| self.value(option));
        let passed = value.is_some_and(|value| holds(self.compare, value, self.limit));
        AssertionResult { expression: self.typed.clone(), value, passed }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn value(&self, option: &SizeOption) -> Option<f64> {
        match &self.metric {
            Metric::Units => Some(option.units as f64),
            Metric::Hubs => Some(option.hubs as f64),
            Metric::Price => option.price.as_ref().map(|price| price.amount),
            Metric::Share(class) => match option.limits.iter().find(|limit| limit.class == *class) {
                Some(limit) => limit.share,
                // Without a load, nothing of the limit is used.
                None => Some(0.0),
            },
        }
    }
}

#[expect(clippy::float_cmp, reason = "counts and typed prices are exact")]
fn holds(compare: Compare, value: f64, limit: f64) -> bool {
    match compare {
        Compare::Less => value < limit,
        Compare::LessOrEqual => value <= limit,
        Compare::Greater => value > limit,
        Compare::GreaterOrEqual => value >= limit,
        Compare::Equal => value == limit,
        Compare::NotEqual => value != limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_assertions_name_the_known_metrics() {
        for (typed, expected) in [
            (
                "unit(S2) <= 40",
                "unknown metric; known metrics: units(TIER), hubs(TIER), price(TIER), share(CLASS)",
            ),
            ("units(S2)", "no comparison; known metrics: units(TIER)"),
            ("units(S9) <= 40", "unknown tier \"S9\"; known tiers: F1, B1, B2, B3, S1, S2, S3"),
            ("share <= 40%", "the limit class is missing; known classes: connections, d2c"),
            (
                "share(d2d) <= 40%",
                "unknown limit class \"d2d\"; known classes: connections, d2c, c2d, twin_reads",
            ),
            ("units(S2 <= 40", "a parenthesis is not closed"),
            ("units(S2, S3) <= 40", "too many arguments"),
            ("units(S2) <= 40%", "the limit is not a number"),
            ("share(d2c) < many", "the limit is not a share such as 75% or 0.75"),
            ("price(S2) < nan", "the limit is not a number"),
        ] {
            let error = typed.parse::<Assertion>().unwrap_err().to_string();
            assert!(error.starts_with("--assert \"") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn assertions_are_parsed() {
        for (typed, metric, tier, compare, limit) in [
            ("units(S2) <= 40", Metric::Units, Some(Tier::S2), Compare::LessOrEqual, 40.0),
            ("hubs==1", Metric::Hubs, None, Compare::Equal, 1.0),
            (" price( S3 ) < 2500.50", Metric::Price, Some(Tier::S3), Compare::Less, 2_500.5),
            ("share(d2c) <= 75%", Metric::Share("d2c".to_owned()), None, Compare::LessOrEqual, 0.75),
            (
                "share(d2c, S1) >= 0.5",
                Metric::Share("d2c".to_owned()),
                Some(Tier::S1),
                Compare::GreaterOrEqual,
                0.5,
            ),
        ] {
            let parsed: Assertion = typed.parse().unwrap();
            let expected = Assertion { typed: typed.to_owned(), metric, tier, compare, limit };
            assert_eq!(parsed, expected, "{typed}");
        }
    }
}
