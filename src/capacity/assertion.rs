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

/// The characters of operators, also of unknown ones such as `=<`.
const SIGNS: [char; 7] = ['<', '>', '=', '!', '≤', '≥', '≠'];

const OPERATORS: [(&str, Compare); 6] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

/// The largest share without `%`.
const SHARE_MAX: f64 = 10.0;

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
        let (left, compare, limit) = split(typed).map_err(wrong)?;
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
        let limit = if matches!(metric, Metric::Share(_)) { share(limit) } else { number(limit) };
        let limit = limit.map_err(wrong)?;
        Ok(Assertion { typed: typed.to_owned(), metric, tier, compare, limit })
    }
}

/// Splits a condition at its operator.
fn split(typed: &str) -> Result<(&str, Compare, &str), String> {
    let Some(at) = typed.find(SIGNS) else { return Err(format!("no comparison; known metrics: {METRICS}")) };
    let (left, rest) = typed.split_at(at);
    let limit = rest.trim_start_matches(|c: char| SIGNS.contains(&c) || c.is_whitespace());
    let operator = rest.strip_suffix(limit).unwrap_or(rest).trim();
    match OPERATORS.iter().find(|(known, _)| *known == operator) {
        Some((_, compare)) => Ok((left.trim(), *compare, limit.trim())),
        None => {
            let known = OPERATORS.map(|(known, _)| known).join(", ");
            Err(format!("unknown operator {operator:?}; known operators: {known}"))
        }
    }
}

fn number(limit: &str) -> Result<f64, String> {
    let number = limit.parse().ok().filter(|limit: &f64| limit.is_finite());
    number.ok_or_else(|| "the limit is not a number".to_owned())
}

/// Parses a share: `75%` or `0.75`. A large number without `%` is almost always a percentage.
fn share(limit: &str) -> Result<f64, String> {
    if let Ok(percent) = limit.parse::<Percent>() {
        return Ok(percent.as_fraction());
    }
    match number(limit) {
        Ok(share) if share > SHARE_MAX => {
            Err(format!("the limit {limit} means {}; did you mean {limit}%?", Percent::from_fraction(share)))
        }
        Ok(share) => Ok(share),
        Err(_) => Err("the limit is not a share such as 75% or 0.75".to_owned()),
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
    fn wrong_assertions_have_a_fix() {
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
            ("share(d2c) < 75", "the limit 75 means 7500%; did you mean 75%?"),
            ("share(d2c, S2) >= 10.5", "did you mean 10.5%?"),
            ("units =< 4", "unknown operator \"=<\"; known operators: <=, >=, ==, !=, <, >"),
            ("units(S2) => 4", "unknown operator \"=>\""),
            ("units(S2) < = 4", "unknown operator \"< =\""),
            ("units = 4", "unknown operator \"=\""),
            ("units ≤ 4", "unknown operator \"≤\""),
            ("units === 4", "unknown operator \"===\""),
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
            ("share(d2c) < 10", Metric::Share("d2c".to_owned()), None, Compare::Less, 10.0),
            ("share(d2c) < 1200%", Metric::Share("d2c".to_owned()), None, Compare::Less, 12.0),
            ("hubs>1", Metric::Hubs, None, Compare::Greater, 1.0),
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
