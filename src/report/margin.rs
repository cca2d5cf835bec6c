//! The margin of a threshold result, in words and as numbers for a bar, and the observed range. Uses only the result. Called by `text`
//! and `page`.

use super::judge::RESOLUTION_US;
use crate::measure::Compare;
use crate::result::model::{ThresholdResult, ThresholdStatus};
use crate::units::{Percent, human_count, human_us, whole};

/// Position of the limit on the bar, as a share of the bar's length. The rest is for values beyond the limit.
pub(super) const LIMIT_AT: f64 = 0.75;

/// Returns the status of a threshold. Files from earlier versions only have `passed`, and only their text distinguishes `> 500 ms`
/// from missing data.
pub(super) fn status(threshold: &ThresholdResult) -> ThresholdStatus {
    threshold.status.unwrap_or(match (threshold.passed, threshold.observed) {
        (true, _) => ThresholdStatus::Passed,
        (false, None) if threshold.observed_text.starts_with('>') => ThresholdStatus::Failed,
        (false, Some(_)) => ThresholdStatus::Failed,
        (false, None) => ThresholdStatus::InsufficientSamples,
    })
}

/// Returns a note that explains undecided thresholds and the resolution. `None` if no threshold is undecided.
pub(super) fn undecided_note(thresholds: &[ThresholdResult]) -> Option<String> {
    thresholds.iter().any(|threshold| status(threshold) == ThresholdStatus::Undecided).then(|| {
        let resolution_ms = RESOLUTION_US / 1_000;
        format!(
            "Undecided: part of the observed range meets the limit and part does not. A latency that exceeds its limit by less \
             than {resolution_ms} ms is also undecided, because the load generator cannot measure more precisely."
        )
    })
}

/// Returns the best and the worst value that the target may have caused, if they differ by more than the resolution. A missing bound
/// is above every limit, and is returned as infinity.
fn range(threshold: &ThresholdResult) -> Option<(f64, f64)> {
    let beyond = |end: Option<f64>| end.unwrap_or(f64::INFINITY);
    let (best, worst) = match (threshold.observed_best, threshold.observed_worst) {
        // Without data, above every limit, or in a file from an earlier version.
        (None, None) => return None,
        (best, worst) => (beyond(best), beyond(worst)),
    };
    #[expect(clippy::cast_precision_loss, reason = "a small constant")]
    let precision = if threshold.unit == "us" { RESOLUTION_US as f64 } else { 0.0 };
    ((worst - best).abs() > precision).then_some((best, worst))
}

/// Returns the observation in words: `312 ms`, or a range such as `310 ms to 560 ms`.
pub(super) fn observed(threshold: &ThresholdResult) -> String {
    let Some((best, worst)) = range(threshold) else { return threshold.observed_text.clone() };
    let value = |value: f64| match threshold.unit.as_str() {
        // `observed_text` describes the worst latency, and is the only place with the text `> 500 ms`.
        "us" if !value.is_finite() => threshold.observed_text.clone(),
        "us" if value < 0.5 => "0".to_owned(),
        "us" => human_us(whole(value)),
        "share" => Percent::from_fraction(value).to_string(),
        _ => human_count(whole(value)),
    };
    format!("{} to {}", value(best.min(worst)), value(best.max(worst)))
}

/// Returns the used share of the limit for the best and the worst value. 1 is exactly the limit; infinity means above every limit.
/// `None` if nothing was observed, and for files from earlier versions.
pub(super) fn used_range(threshold: &ThresholdResult) -> Option<(f64, f64)> {
    let worst = used(threshold)?;
    let Some((best, _)) = range(threshold) else { return Some((worst, worst)) };
    let best = if best.is_finite() { used_by(threshold, threshold.test?.compare(), best) } else { worst };
    Some((best.min(worst), best.max(worst)))
}

/// Returns the used share of the limit for the observation itself.
fn used(threshold: &ThresholdResult) -> Option<f64> {
    let compare = threshold.test?.compare();
    if status(threshold) == ThresholdStatus::InsufficientSamples {
        return None;
    }
    // Without a number, the observation is above every limit.
    let Some(observed) = threshold.observed else { return Some(f64::INFINITY) };
    Some(used_by(threshold, compare, observed))
}

fn used_by(threshold: &ThresholdResult, compare: Compare, value: f64) -> f64 {
    let limit = threshold.limit;
    if wants_one_value(compare) {
        return if threshold.passed { 0.0 } else { f64::INFINITY };
    }
    let used = if !wants_more(compare) {
        ratio(value, limit)
    } else if threshold.unit == "share" {
        // `rate(ok) > 99.9%` allows 0.1% failures: the error budget.
        ratio(1.0 - value, 1.0 - limit)
    } else {
        ratio(limit, value)
    };
    used.max(0.0)
}

fn ratio(part: f64, whole: f64) -> f64 {
    // 0 of 0 counts as within the limit.
    if part.abs() < 1e-12 { 0.0 } else { part / whole }
}

/// Returns true if higher values are better.
fn wants_more(compare: Compare) -> bool {
    matches!(compare, Compare::Greater | Compare::GreaterOrEqual)
}

/// Returns the margin in words: `38% below the limit`, `24% over the limit`, `2.4 times the limit`. Empty if a margin would be
/// meaningless.
pub(super) fn words(threshold: &ThresholdResult) -> String {
    let (Some(used), Some(test)) = (used(threshold), threshold.test) else { return String::new() };
    let compare = test.compare();
    // An equality has no margin, and neither does a range that contains the limit.
    if wants_one_value(compare) || status(threshold) == ThresholdStatus::Undecided {
        return String::new();
    }
    // A failed threshold must not look as if it had passed.
    if !threshold.passed && used < 1.0 {
        return String::new();
    }
    let budget = threshold.unit == "share" && wants_more(compare);
    let limit = if budget { "error budget" } else { "limit" };
    match used {
        // For `count(ok) >= 1`, the distance is meaningless.
        _ if threshold.unit == "count" && wants_more(compare) => String::new(),
        _ if !used.is_finite() => "over the limit".to_owned(),
        _ if used > 2.0 => format!("{} times the {limit}", times(used)),
        _ if used > 1.0 => format!("{:.0}% over the {limit}", over(used)),
        _ if budget => format!("{:.0}% of error budget left", left(used)),
        _ => format!("{:.0}% below the limit", left(used)),
    }
}

/// `2.4`, `12`, `1,000`.
fn times(used: f64) -> String {
    if used < 9.95 { format!("{used:.1}") } else { human_count(whole(used)) }
}

/// Returns the percentage beyond the limit, rounded up.
fn over(used: f64) -> f64 {
    ((used - 1.0) * 100.0 - 1e-9).ceil()
}

/// Returns the remaining percentage, rounded down.
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
    use crate::report::testing;

    /// Returns a test with the comparison operator of an expression, which is the only part that margins use.
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
            expression: expression.to_owned(),
            limit,
            passed: true,
            test: Some(test(expression)),
            ..testing::threshold(unit, observed, ThresholdStatus::Failed)
        }
    }

    #[test]
    fn margins_are_described_in_words() {
        for (expression, unit, limit, observed, expected) in [
            ("p(99) < 500ms", "us", 500_000.0, Some(310_000.0), "38% below the limit"),
            ("p(99) < 500ms", "us", 500_000.0, Some(501_000.0), "1% over the limit"),
            ("p(99) < 500ms", "us", 500_000.0, Some(1_500_000.0), "3.0 times the limit"),
            ("p(99) < 500ms", "us", 500_000.0, None, "over the limit"),
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
            ("rate(ok) >= 100%", "share", 1.0, Some(0.99), "over the limit"),
            ("count(ok) == 100", "count", 100.0, Some(90.0), ""),
            ("p(99) < 40ms", "us", 40_000.0, Some(51_200.0), "28% over the limit"),
        ] {
            let found = words(&threshold(expression, unit, limit, observed));
            assert_eq!(found, expected, "{expression} {observed:?}");
        }
    }

    fn between(unit: &str, limit: f64, best: Option<f64>, worst: Option<f64>) -> ThresholdResult {
        let expression = if unit == "us" { "p(99) < 500ms" } else { "rate(ok) > 99%" };
        let status = Some(ThresholdStatus::Undecided);
        let (observed_best, observed_worst) = (best, worst);
        ThresholdResult { observed_best, observed_worst, status, ..threshold(expression, unit, limit, worst) }
    }

    #[test]
    fn ranges_below_the_resolution_are_one_value() {
        for (unit, best, worst, expected) in [
            ("us", Some(310_000.0), Some(560_000.0), "310 ms to 560 ms"),
            ("us", Some(0.0), Some(560_000.0), "0 to 560 ms"),
            ("us", Some(310_000.0), None, "310 ms to > 500 ms"),
            ("us", None, None, "> 500 ms"),
            ("us", Some(553_000.0), Some(560_000.0), "> 500 ms"),
            ("share", Some(1.0), Some(0.985), "98.5% to 100%"),
            ("count", Some(3.0), Some(1_204.0), "3 to 1,204"),
        ] {
            let threshold = between(unit, 500_000.0, best, worst);
            assert_eq!(observed(&threshold), expected, "{unit} {best:?} {worst:?}");
            assert_eq!(words(&threshold), "", "an undecided threshold has no margin");
        }
    }

    #[test]
    fn files_of_earlier_versions_have_a_status() {
        for (passed, observed, text, expected) in [
            (true, Some(1.0), "312 ms", ThresholdStatus::Passed),
            (false, Some(1.0), "612 ms", ThresholdStatus::Failed),
            (false, None, "> 500 ms", ThresholdStatus::Failed),
            (false, None, "no data", ThresholdStatus::InsufficientSamples),
        ] {
            let base = threshold("p(99) < 500ms", "us", 5e5, observed);
            let earlier = ThresholdResult { status: None, passed, observed_text: text.to_owned(), ..base };
            assert_eq!(status(&earlier), expected, "{text}");
        }
    }

    #[test]
    fn bars_span_the_best_to_the_worst_value() {
        let used = |unit, limit, best, worst| used_range(&between(unit, limit, best, worst));
        assert_eq!(used("us", 500_000.0, Some(250_000.0), Some(1_000_000.0)), Some((0.5, 2.0)));
        assert_eq!(used("us", 500_000.0, Some(250_000.0), None), Some((0.5, f64::INFINITY)));
        assert_eq!(used("us", 500_000.0, Some(499_000.0), Some(500_000.0)), Some((1.0, 1.0)));
        let (low, high) = used("share", 0.99, Some(1.0), Some(0.98)).unwrap();
        assert!(low == 0.0 && (high - 2.0).abs() < 1e-9, "{low} {high}");
        let earlier = ThresholdResult { test: None, ..between("us", 5.0, None, None) };
        assert_eq!(used_range(&earlier), None);
    }
}
