//! "Did you mean" for threshold expressions: rewrites an invalid expression, such as `p99 < 0.5s` or k6's `rate<0.01`. Used by
//! `threshold_expression`, which checks the result. Must not depend on the plan.

use crate::measure::Outcome;
use crate::scenario::{meant_duration, meant_share, nearest, whole_number};
use crate::units::{Percent, parse_duration, written_duration};
use std::time::Duration;

/// The quantity on the left of a comparison.
enum Left {
    /// A latency, as written in an expression: `p(99)`, `avg`.
    Latency(String),
    /// A recovery, as written in an expression: `recovery(99%)`.
    Recovery(String),
    /// The share of an outcome.
    Rate(&'static str),
    /// The share of all outcomes except `ok`.
    Failures,
    /// The number of operations with an outcome.
    Count(&'static str),
}

/// Returns the expression that `text` probably means. It may be invalid.
pub(super) fn rewritten(text: &str) -> Option<String> {
    let (left, compare, right) = split(text)?;
    let right = right.to_lowercase();
    let counts = left.to_lowercase().starts_with("count");
    let (left, compare, limit) = match self::left(&left, compare)? {
        Left::Latency(name) => (name, below(compare), latency(&right)?),
        Left::Recovery(name) => (name, below(compare), written_duration(duration(&right)?)),
        Left::Rate(outcome) => (format!("rate({outcome})"), compare, meant_share(&right)?.value),
        Left::Failures if compare.starts_with('>') => return None,
        // The number of failures is the same as their share only if it is 0.
        Left::Failures if counts && !right.ends_with('%') && whole_number(&right) != Some(0) => return None,
        Left::Failures if counts && compare == "<" => return None,
        Left::Failures => {
            let failed: Percent = meant_share(&right)?.value.parse().ok()?;
            let ok = Percent::from_fraction(1.0 - failed.as_fraction());
            ("rate(ok)".to_owned(), mirrored(compare), ok.to_string())
        }
        Left::Count(outcome) if right.ends_with('%') => {
            (format!("rate({outcome})"), compare, meant_share(&right)?.value)
        }
        Left::Count(outcome) => (format!("count({outcome})"), compare, whole_number(&right)?.to_string()),
    };
    Some(format!("{left} {compare} {limit}"))
}

/// Returns `text` with an example of a limit, if it lacks only that: `recovery(99%)`, `p99`. It may be invalid.
pub(super) fn with_limit(text: &str) -> String {
    let examples = [("recover", "< 60s"), ("rate", "> 99.9%"), ("count", "== 0")];
    let example = examples.into_iter().find(|(name, _)| text.trim().to_lowercase().starts_with(name));
    format!("{} {}", text.trim(), example.map_or("< 500ms", |(_, limit)| limit))
}

/// Splits conditions that are joined by `&&`, `and` or a comma.
pub(super) fn conditions(text: &str) -> Vec<&str> {
    text.split("&&")
        .flat_map(|part| part.split(" and "))
        .flat_map(|part| part.split(", "))
        .map(str::trim)
        .collect()
}

/// Returns the fix for an expression about all failures that has no equivalent.
pub(super) fn about_failures(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphabetic() && c != '_');
    words.any(is_failure).then_some("use rate(ok) > 99.9%, which counts every failure")
}

/// Splits an expression at its comparison, which may be misspelled, missing or reversed.
fn split(text: &str) -> Option<(String, &'static str, String)> {
    const SIGNS: [char; 6] = ['<', '>', '=', '!', '≤', '≥'];
    let text = text.trim();
    let (left, sign, right) = match text.find(SIGNS) {
        Some(at) => {
            let right = text[at..].trim_start_matches(SIGNS);
            (&text[..at], &text[at..text.len() - right.len()], right)
        }
        None => text.split_once(' ').map(|(left, right)| (left, "<", right))?,
    };
    let compare = match sign {
        "<" => "<",
        "<=" | "=<" | "≤" => "<=",
        ">" => ">",
        ">=" | "=>" | "≥" => ">=",
        "=" | "==" | "===" => "==",
        "!=" | "<>" => "!=",
        _ => return None,
    };
    let (left, right) = (left.trim().to_owned(), right.trim().to_owned());
    let is_reversed =
        left.starts_with(|c: char| c.is_ascii_digit()) && right.starts_with(char::is_alphabetic);
    Some(if is_reversed { (right, mirrored(compare), left) } else { (left, compare, right) })
}

/// Returns the comparison with an upper limit, the only one that latencies have.
fn below(compare: &'static str) -> &'static str {
    if compare.ends_with('=') { "<=" } else { "<" }
}

fn mirrored(compare: &'static str) -> &'static str {
    match compare {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        same => same,
    }
}

fn left(text: &str, compare: &str) -> Option<Left> {
    let lower = text.to_lowercase();
    let folded: String = lower.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
    let folded = folded.as_str();
    if let Some((name, inner)) = folded.split_once('(')
        && matches!(name, "rate" | "count" | "share" | "percent")
    {
        let outcome = outcome(inner.trim_end_matches(')'));
        return match (name, outcome) {
            ("count", Some(outcome)) => Some(Left::Count(outcome)),
            (_, Some(outcome)) => Some(Left::Rate(outcome)),
            (_, None) => is_failure(inner.trim_end_matches(')')).then_some(Left::Failures),
        };
    }
    if folded.contains("recover") {
        return recovery(folded).map(Left::Recovery);
    }
    Some(match folded {
        "med" | "median" => Left::Latency("med".to_owned()),
        "avg" | "mean" | "average" => Left::Latency("avg".to_owned()),
        "max" | "maximum" | "worst" => Left::Latency("max".to_owned()),
        // In k6, `rate` of http_req_failed is the share of failures, and `rate` of checks that of successes.
        "rate" if compare.starts_with('<') => Left::Failures,
        "rate" => Left::Rate("ok"),
        "count" => Left::Count("ok"),
        _ => match percentile(folded) {
            Some(name) => Left::Latency(name),
            None => {
                let name = folded.trim_end_matches("rate").trim_end_matches("share");
                match outcome(name) {
                    Some(outcome) => Left::Rate(outcome),
                    None => is_failure(name).then_some(Left::Failures)?,
                }
            }
        },
    })
}

/// Reads `recovery`, `recovery(99)`, `time_to_recover(0.99)`. Returns `recovery(99%)`.
fn recovery(folded: &str) -> Option<String> {
    let share = folded.split_once('(').map(|(_, share)| share.trim_end_matches(')'));
    let share = share.filter(|share| !share.is_empty());
    let share = share.map_or(Some("99%".to_owned()), |share| meant_share(share).map(|meant| meant.value));
    Some(format!("recovery({})", share?))
}

/// Reads `p99`, `P(99%)`, `p(0.99)`, `99th percentile`. Returns `p(99)`.
fn percentile(folded: &str) -> Option<String> {
    let digits = ["percentile", "perc", "pct", "p"]
        .into_iter()
        .find_map(|name| folded.strip_prefix(name).or_else(|| folded.strip_suffix(name)))?;
    let digits = digits.trim_matches(|c: char| !c.is_ascii_digit());
    let number: f64 = digits.parse().ok()?;
    // p(0.99) is the quantile 0.99, and so is p(99).
    let percent =
        if number < 1.0 { Percent::from_fraction(number).to_string() } else { format!("{number}%") };
    match percent.trim_end_matches('%') {
        "100" => Some("max".to_owned()),
        percent => Some(format!("p({percent})")),
    }
}

fn outcome(name: &str) -> Option<&'static str> {
    Some(match name {
        "ok" | "success" | "successes" | "succeeded" | "successful" | "passed" | "checks" => "ok",
        "timeout" | "timeouts" | "timedout" => "timed_out",
        "loss" | "losses" | "lost" | "dropped" | "drops" => "lost",
        "throttle" | "throttled" | "throttles" | "429" => "throttled",
        "refused" | "rejected" | "denied" => "refused",
        other => nearest(other, Outcome::ALL.map(Outcome::name))?,
    })
}

fn is_failure(name: &str) -> bool {
    matches!(
        name,
        "error" | "errors" | "fail" | "failed" | "failure" | "failures" | "httpreqfailed" | "notok"
    )
}

/// Returns the limit of a latency: a number without a unit is in milliseconds, as in k6. With a fraction, it is in seconds.
fn latency(right: &str) -> Option<String> {
    let limit = match right.parse::<f64>() {
        Ok(seconds) if right.contains('.') && seconds < 10.0 => Duration::try_from_secs_f64(seconds).ok()?,
        Ok(ms) => Duration::try_from_secs_f64(ms / 1_000.0).ok()?,
        Err(_) => duration(right)?,
    };
    Some(written_duration(limit))
}

fn duration(text: &str) -> Option<Duration> {
    parse_duration(text).ok().or_else(|| parse_duration(&meant_duration(text)?.value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_other_tools_are_rewritten() {
        for (text, expected) in [
            ("p99 < 0.5s", "p(99) < 500ms"),
            ("p95<200", "p(95) < 200ms"),
            ("p(95)<200", "p(95) < 200ms"),
            ("p(95) < 0.5", "p(95) < 500ms"),
            ("p99.9 < 1s", "p(99.9) < 1s"),
            ("P99 =< 500 ms", "p(99) <= 500ms"),
            ("p(0.99) < 1s", "p(99) < 1s"),
            ("p(99%) < 1s", "p(99) < 1s"),
            ("p(100) < 1s", "max < 1s"),
            ("99th percentile < 1 sec", "p(99) < 1s"),
            ("p(99) > 500ms", "p(99) < 500ms"),
            ("p(99) = 500ms", "p(99) <= 500ms"),
            ("500ms > p(99)", "p(99) < 500ms"),
            ("p99 500ms", "p(99) < 500ms"),
            ("avg < 100", "avg < 100ms"),
            ("mean < 1s", "avg < 1s"),
            ("median<5", "med < 5ms"),
            ("max ≤ 2 seconds", "max <= 2s"),
            ("error_rate < 1%", "rate(ok) > 99%"),
            ("errors<0.01", "rate(ok) > 99%"),
            ("errors == 0", "rate(ok) == 100%"),
            ("rate<0.01", "rate(ok) > 99%"),
            ("rate>0.95", "rate(ok) > 95%"),
            ("rate(failed) <= 0.1%", "rate(ok) >= 99.9%"),
            ("success_rate > 99.9", "rate(ok) > 99.9%"),
            ("checks > 0.99", "rate(ok) > 99%"),
            ("rate(ok) > 0.999", "rate(ok) > 99.9%"),
            ("rate(ok) >= 99", "rate(ok) >= 99%"),
            ("rate(timeout) < 1%", "rate(timed_out) < 1%"),
            ("loss < 0.1%", "rate(lost) < 0.1%"),
            ("count(losst) == 0", "count(lost) == 0"),
            ("count(lost) < 1%", "rate(lost) < 1%"),
            ("count > 1k", "count(ok) > 1000"),
            ("count(ok)>=10_000", "count(ok) >= 10000"),
            ("recovery < 60s", "recovery(99%) < 1m"),
            ("recovery(99%) < 30", "recovery(99%) < 30s"),
            ("recovered(0.9) <= 5s", "recovery(90%) <= 5s"),
            ("recovery(99%) > 5s", "recovery(99%) < 5s"),
            ("time_to_recover < 5s", "recovery(99%) < 5s"),
        ] {
            assert_eq!(rewritten(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "fast",
            "throughput > 100",
            "p(99) < soon",
            "errors > 1%",
            "count(ok) > many",
            "rate(x) < 1%",
        ] {
            assert_eq!(rewritten(text), None, "{text}");
        }
    }
}
