//! Parses threshold expressions: `p(99) < 500ms`, `rate(ok) > 99.9%`. Used by `thresholds`.

use super::threshold_suggestion::{about_failures, conditions, rewritten, with_limit};
use crate::measure::{Compare, Outcome, Test};
use crate::scenario::{Errors, Place, nearest};
use crate::units::{Percent, parse_duration};

const ALLOWED: &str =
    "p(99) < 500ms, med, avg or max < 2s, rate(ok) > 99.9%, count(lost) == 0, recovery(99%) < 60s";

/// An invalid expression.
struct ExpressionError {
    what: String,
    allowed: String,
    fix: Option<String>,
}

fn wrong(what: &str, allowed: &str) -> ExpressionError {
    ExpressionError { what: what.to_owned(), allowed: allowed.to_owned(), fix: None }
}

pub(super) fn expression(text: &str, place: &Place, errors: &mut Errors) -> Option<Test> {
    match parse(text) {
        Ok(test) => Some(test),
        Err(wrong) => {
            let problem = errors.add(place, wrong.what).found(format!("{text:?}")).allowed(wrong.allowed);
            problem.fix = several(text)
                .or_else(|| valid(text).map(|meant| format!("did you mean {meant:?}?")))
                .or_else(|| valid(&with_limit(text)).map(|whole| format!("add a limit, such as {whole:?}")))
                .or_else(|| about_failures(text).map(str::to_owned))
                .or(wrong.fix);
            None
        }
    }
}

/// Returns the valid expression that `text` probably means.
pub(super) fn valid(text: &str) -> Option<String> {
    if parse(text).is_ok() {
        return Some(text.to_owned());
    }
    rewritten(text).filter(|meant| parse(meant).is_ok())
}

/// Returns the fix for conditions that are joined in one expression.
fn several(text: &str) -> Option<String> {
    let expressions = several_valid(text).filter(|expressions| expressions.len() > 1)?;
    let number = if expressions.len() == 2 { "two" } else { "separate" };
    Some(format!("write {number} expressions: {expressions:?}"))
}

/// Returns the valid expressions that the conditions in `text` probably mean.
pub(super) fn several_valid(text: &str) -> Option<Vec<String>> {
    conditions(text).into_iter().map(valid).collect()
}

/// All operators. Longer ones come first, because `<` is a prefix of `<=`.
const OPERATORS: [(&str, Compare); 6] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

fn parse(text: &str) -> Result<Test, ExpressionError> {
    let split = OPERATORS.iter().find_map(|(operator, compare)| {
        text.split_once(operator).map(|(left, right)| (left.trim(), *compare, right.trim()))
    });
    let (left, compare, limit) = split.ok_or_else(|| wrong("no comparison", ALLOWED))?;
    let (name, argument) = match left.split_once('(') {
        None => (left, None),
        Some((name, rest)) => {
            let argument =
                rest.strip_suffix(')').ok_or_else(|| wrong("a parenthesis is not closed", ALLOWED))?;
            (name.trim(), Some(argument.trim()))
        }
    };
    match (name, argument) {
        ("p", Some(percent)) => {
            let (compare, limit_us) = latency(compare, limit)?;
            Ok(Test::Percentile { quantile: quantile(percent)?, compare, limit_us })
        }
        ("med", None) => {
            let (compare, limit_us) = latency(compare, limit)?;
            Ok(Test::Percentile { quantile: 0.5, compare, limit_us })
        }
        ("avg", None) => latency(compare, limit).map(|(compare, limit_us)| Test::Mean { compare, limit_us }),
        ("max", None) => latency(compare, limit).map(|(compare, limit_us)| Test::Max { compare, limit_us }),
        ("rate", Some(name)) => Ok(Test::Rate { outcome: outcome(name)?, compare, limit: share(limit)? }),
        ("count", Some(name)) => Ok(Test::Count { outcome: outcome(name)?, compare, limit: count(limit)? }),
        ("recovery", argument) => {
            let (compare, limit_us) = latency(compare, limit)?;
            Ok(Test::Recovery { share: recovered(argument.unwrap_or_default())?, compare, limit_us })
        }
        ("rate" | "count", None) => Err(wrong("the outcome is missing", &outcomes())),
        _ => {
            let near = nearest(name, ["p", "med", "avg", "max", "rate", "count", "recovery"])
                .filter(|near| *near != name);
            let fix = near.map(|near| format!("did you mean {near}?"));
            Err(ExpressionError { fix, ..wrong("unknown aggregation", ALLOWED) })
        }
    }
}

fn latency(compare: Compare, limit: &str) -> Result<(Compare, u64), ExpressionError> {
    if !matches!(compare, Compare::Less | Compare::LessOrEqual) {
        return Err(wrong("a latency needs an upper limit", "< or <="));
    }
    let limit_us = parse_duration(limit).ok().and_then(|limit| u64::try_from(limit.as_micros()).ok());
    match limit_us {
        Some(0) => Err(wrong("the limit must be longer than zero", "at least 1us, such as 500ms or 2s")),
        Some(limit_us) => Ok((compare, limit_us)),
        None => Err(wrong("the limit is not a duration", "a duration such as 500ms or 2s")),
    }
}

fn quantile(percent: &str) -> Result<f64, ExpressionError> {
    let share = format!("{percent}%").parse().map(Percent::as_fraction);
    // p(0.99) almost always means p(99).
    let quantile = share.ok().filter(|quantile| *quantile >= 0.01 && *quantile < 1.0);
    quantile.ok_or_else(|| {
        wrong("not a percentile", "from p(1) to less than p(100); use max for the largest value")
    })
}

fn share(limit: &str) -> Result<f64, ExpressionError> {
    let fraction = limit.parse().map(Percent::as_fraction).ok();
    let share = fraction.filter(|share| *share <= 1.0);
    share.ok_or_else(|| wrong("the limit is not a share", "a share from 0% to 100%, such as 99.9%"))
}

/// Reads the share of the devices in `recovery(99%)`.
fn recovered(percent: &str) -> Result<f64, ExpressionError> {
    let share = percent.parse().map(Percent::as_fraction).ok();
    share.filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| {
        wrong("not a share of the devices", "a share above 0% and up to 100%, such as recovery(99%)")
    })
}

fn count(limit: &str) -> Result<u64, ExpressionError> {
    limit.parse().map_err(|_| wrong("the limit is not a count", "a whole number"))
}

fn outcome(name: &str) -> Result<Outcome, ExpressionError> {
    Outcome::from_name(name).ok_or_else(|| wrong("unknown outcome", &outcomes()))
}

fn outcomes() -> String {
    Outcome::ALL.map(Outcome::name).join(", ")
}
