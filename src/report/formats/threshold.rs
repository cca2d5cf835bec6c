//! A threshold result in words, as the formats for CI systems show it. Used by the files in this folder. Independent of any format.

use super::super::format::plain;
use super::super::text::metric;
use crate::result::model::{RunResult, ThresholdResult, ThresholdStatus};
use crate::units::{Percent, human_count, human_us, whole};

/// Returns the threshold as written in a scenario: `telemetry{phase:steady} p(99) < 500ms`.
pub(super) fn title(threshold: &ThresholdResult) -> String {
    format!("{} {}", metric(threshold), plain(&threshold.expression))
}

/// Returns the status in words.
pub(super) fn status_word(status: ThresholdStatus) -> &'static str {
    match status {
        ThresholdStatus::Passed => "passed",
        ThresholdStatus::Failed => "failed",
        ThresholdStatus::Undecided => "undecided",
        ThresholdStatus::InsufficientSamples => "not enough data",
    }
}

/// Returns the limit with its unit: `500 ms`, `99.9%`, `10`.
pub(in crate::report) fn limit(threshold: &ThresholdResult) -> String {
    let limit = threshold.limit;
    match threshold.unit.as_str() {
        "us" => human_us(whole(limit)),
        "share" => Percent::from_fraction(limit).to_string(),
        _ => human_count(whole(limit)),
    }
}

/// Returns the thresholds with those that did not pass first, otherwise in the order of the scenario.
pub(super) fn most_important_first(result: &RunResult) -> Vec<&ThresholdResult> {
    let mut thresholds: Vec<&ThresholdResult> = result.thresholds.iter().collect();
    thresholds.sort_by_key(|threshold| threshold.passed);
    thresholds
}
