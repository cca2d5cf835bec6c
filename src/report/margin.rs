//! How far a threshold was from its limit, for the faces: in words and as a bar. It reads results only.

use crate::measure::Compare;
use crate::result::model::{ThresholdResult, ThresholdStatus};
use crate::units::human_count;

/// Where the limit stands on the bar, as a share of its length: what is beyond must be seen as beyond.
pub(super) const LIMIT_AT: f64 = 0.75;

/// How a threshold was decided. Files of earlier versions only say whether it passed.
pub(super) fn status(threshold: &ThresholdResult) -> ThresholdStatus {
    threshold.status.unwrap_or(match (threshold.passed, threshold.observed) {
        (true, _) => ThresholdStatus::Passed,
        (false, Some(_)) => ThresholdStatus::Failed,
        (false, None) => ThresholdStatus::InsufficientSamples,
    })
}

/// How much of what the limit allows was used: 1 is exactly the limit, above 1 is beyond. `None` when nothing was
/// observed, and in files of earlier versions; infinite when it lies above every limit.
pub(super) fn used(threshold: &ThresholdResult) -> Option<f64> {
    let compare = threshold.test?.compare();
    if status(threshold) == ThresholdStatus::InsufficientSamples {
        return None;
    }
    // Slower than can be told.
    let Some(observed) = threshold.observed else { return Some(f64::INFINITY) };
    if wants_one_value(compare) {
        return Some(if threshold.passed { 0.0 } else { f64::INFINITY });
    }
    let limit = threshold.limit;
    let used = if !wants_more(compare) {
        ratio(observed, limit)
    } else if threshold.unit == "share" {
        // `rate(ok) > 99.9%` allows 0.1% to go wrong: that allowance is what gets used.
        ratio(1.0 - observed, 1.0 - limit)
    } else {
        ratio(limit, observed)
    };
    Some(used.max(0.0))
}

fn ratio(part: f64, whole: f64) -> f64 {
    // Nothing of nothing is within it.
    if part.abs() < 1e-12 { 0.0 } else { part / whole }
}

/// More is better.
fn wants_more(compare: Compare) -> bool {
    matches!(compare, Compare::Greater | Compare::GreaterOrEqual)
}

/// `38% below the limit`, `24% over`, `at 2.4 times the limit`; empty where a margin says nothing.
pub(super) fn words(threshold: &ThresholdResult) -> String {
    let (Some(used), Some(test)) = (used(threshold), threshold.test) else { return String::new() };
    let compare = test.compare();
    // Between one value and another there is no margin; nor may what failed for want of data look good.
    if wants_one_value(compare) || (!threshold.passed && used < 1.0) {
        return String::new();
    }
    let budget = threshold.unit == "share" && wants_more(compare);
    match used {
        // Of what should be many, `5,000 where 1 was wanted` is no distance, and `none` says all.
        _ if threshold.unit == "count" && wants_more(compare) => String::new(),
        _ if threshold.observed.is_none() => "over, how far is unknown".to_owned(),
        // The limit allows nothing at all.
        _ if !used.is_finite() => "over".to_owned(),
        _ if used > 2.0 && budget => format!("{} times the error budget", times(used)),
        _ if used > 2.0 => format!("{} times the limit", times(used)),
        _ if used > 1.0 && budget => format!("error budget {:.0}% over", over(used)),
        _ if used > 1.0 => format!("{:.0}% over", over(used)),
        _ if budget => format!("{:.0}% of error budget left", left(used)),
        _ => format!("{:.0}% below the limit", left(used)),
    }
}

/// `2.4`, `12`, `1,000`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, rounded for people")]
fn times(used: f64) -> String {
    if used < 9.95 { format!("{used:.1}") } else { human_count(used.round() as u64) }
}

/// Percent beyond, never told as less than it is.
fn over(used: f64) -> f64 {
    ((used - 1.0) * 100.0 - 1e-9).ceil()
}

/// Percent left, never told as more than it is.
fn left(used: f64) -> f64 {
    ((1.0 - used) * 100.0 + 1e-9).floor()
}

fn wants_one_value(compare: Compare) -> bool {
    matches!(compare, Compare::Equal | Compare::NotEqual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Test;

    /// What an expression compares, as far as margins need it.
    fn test(expression: &str) -> Test {
        let compare = match expression.split(' ').nth(1) {
            Some("<") => Compare::Less,
            Some(">") => Compare::Greater,
            Some(">=") => Compare::GreaterOrEqual,
            _ => Compare::Equal,
        };
        Test::Count { outcome: crate::measure::Outcome::Ok, compare, limit: 0 }
    }

    fn threshold(expression: &str, unit: &str, limit: f64, observed: Option<f64>) -> ThresholdResult {
        ThresholdResult {
            metric: "telemetry".to_owned(),
            expression: expression.to_owned(),
            phase: None,
            fleet: None,
            limit,
            unit: unit.to_owned(),
            observed,
            observed_best: observed,
            observed_worst: observed,
            observed_text: "> 500 ms".to_owned(),
            margin: None,
            samples: 1,
            passed: true,
            status: Some(ThresholdStatus::Failed),
            test: Some(test(expression)),
        }
    }

    #[test]
    fn margins_read_as_people_think_of_them() {
        for (expression, unit, limit, observed, expected) in [
            ("p(99) < 500ms", "us", 500_000.0, Some(310_000.0), "38% below the limit"),
            ("p(99) < 500ms", "us", 500_000.0, Some(501_000.0), "1% over"),
            ("p(99) < 500ms", "us", 500_000.0, Some(1_500_000.0), "3.0 times the limit"),
            ("p(99) < 500ms", "us", 500_000.0, None, "over, how far is unknown"),
            ("rate(ok) > 99.9%", "share", 0.999, Some(0.9995), "50% of error budget left"),
            ("rate(ok) > 99.9%", "share", 0.999, Some(1.0), "100% of error budget left"),
            ("rate(ok) >= 100%", "share", 1.0, Some(1.0), "100% of error budget left"),
            ("count(lost) == 0", "count", 0.0, Some(0.0), ""),
            ("rate(ok) > 99.9%", "share", 0.999, Some(0.0), "1,000 times the error budget"),
            ("rate(ok) > 99%", "share", 0.99, Some(0.95), "5.0 times the error budget"),
            ("count(lost) < 10", "count", 10.0, Some(4.0), "60% below the limit"),
            ("count(ok) > 100", "count", 100.0, Some(200.0), ""),
            ("count(ok) >= 1", "count", 1.0, Some(1000.0), ""),
            ("count(ok) >= 1", "count", 1.0, Some(0.0), ""),
            ("rate(ok) >= 100%", "share", 1.0, Some(0.99), "over"),
            ("count(ok) == 100", "count", 100.0, Some(90.0), ""),
            ("p(99) < 40ms", "us", 40_000.0, Some(51_200.0), "28% over"),
        ] {
            let found = words(&threshold(expression, unit, limit, observed));
            assert_eq!(found, expected, "{expression} {observed:?}");
        }
    }
}
