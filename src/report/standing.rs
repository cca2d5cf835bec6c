//! The presentation of a threshold's outcome in a report: mark, word and class. A threshold that passed in an invalid run does not look
//! like a pass. Called by `text` and `page`. Uses only the result.

use super::judge::Code;
use super::margin;
use crate::result::model::{RunResult, Status, ThresholdResult, ThresholdStatus};

/// The presentation of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The threshold passed.
    Passed,
    /// The threshold passed. Others are undecided, so the run is invalid.
    PassedInInvalid,
    /// The threshold passed, but the run did not produce the planned load.
    WouldPass,
    Undecided,
    Failed,
    InsufficientSamples,
}

impl Standing {
    /// Returns the presentation of a threshold in its run.
    pub(super) fn of(threshold: &ThresholdResult, result: &RunResult) -> Standing {
        match margin::status(threshold) {
            ThresholdStatus::Passed if !is_load_planned(result) => Standing::WouldPass,
            ThresholdStatus::Passed if result.verdict.status == Status::Invalid => Standing::PassedInInvalid,
            ThresholdStatus::Passed => Standing::Passed,
            ThresholdStatus::Undecided => Standing::Undecided,
            ThresholdStatus::Failed => Standing::Failed,
            ThresholdStatus::InsufficientSamples => Standing::InsufficientSamples,
        }
    }

    /// Returns the name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Standing::Passed | Standing::PassedInInvalid => "passed",
            Standing::WouldPass => "would pass",
            Standing::Undecided => "undecided",
            Standing::Failed => "failed",
            Standing::InsufficientSamples => "not enough data",
        }
    }

    /// Returns the mark, which shows the outcome without color.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Standing::Passed => "✓",
            Standing::PassedInInvalid | Standing::WouldPass => "–",
            Standing::Undecided => "?",
            Standing::Failed | Standing::InsufficientSamples => "✗",
        }
    }

    /// Returns the CSS class: `passed`, `neutral`, `undecided` or `failed`.
    pub(super) fn class(self) -> &'static str {
        match self {
            Standing::Passed => "passed",
            Standing::PassedInInvalid | Standing::WouldPass => "neutral",
            Standing::Undecided => "undecided",
            Standing::Failed | Standing::InsufficientSamples => "failed",
        }
    }
}

/// Returns false if the run did not produce the planned load, so that a passed threshold says nothing about that load.
pub(super) fn is_load_planned(result: &RunResult) -> bool {
    let verdict = &result.verdict;
    match verdict.details.is_empty() {
        // Files from earlier versions have no codes.
        true => {
            let undecided = |one| margin::status(one) == ThresholdStatus::Undecided;
            verdict.status != Status::Invalid || result.thresholds.iter().any(undecided)
        }
        false => !verdict
            .details
            .iter()
            .any(|detail| Code::any_of(&Code::OF_LOAD, detail) || Code::Breakdown.is_of(detail)),
    }
}

/// Returns a note that explains `would pass`. `None` if no threshold is presented so.
pub(super) fn note(result: &RunResult) -> Option<&'static str> {
    result.thresholds.iter().any(|one| Standing::of(one, result) == Standing::WouldPass).then_some(
        "Would pass: the threshold passes for the load that this run produced, which was not the planned load.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::threshold;
    use crate::result::model::Detail;
    use crate::result::testing::result as sample;

    #[test]
    fn passed_keeps_its_mark_only_with_the_planned_load() {
        for (status, code, expected) in [
            (Status::Pass, Some("passed"), Standing::Passed),
            (Status::Fail, Some("threshold_failed"), Standing::Passed),
            (Status::Fail, Some("late_start"), Standing::WouldPass),
            (Status::Invalid, Some("threshold_undecided"), Standing::PassedInInvalid),
            (Status::Invalid, Some("not_sent"), Standing::WouldPass),
            (Status::Invalid, Some("breakdown"), Standing::WouldPass),
            (Status::Pass, None, Standing::Passed),
            (Status::Invalid, None, Standing::WouldPass),
        ] {
            let mut result = sample();
            result.verdict.status = status;
            let (text, phase, fleet, source) = (String::new(), None, None, None);
            let detail = |code: &str| Detail { code: code.to_owned(), text, phase, fleet, source };
            result.verdict.details = code.map(detail).into_iter().collect();
            let passed = threshold("us", Some(1.0), ThresholdStatus::Passed);
            let failed = threshold("us", Some(1.0), ThresholdStatus::Failed);
            assert_eq!(Standing::of(&passed, &result), expected, "{status:?} {code:?}");
            assert_eq!(Standing::of(&failed, &result), Standing::Failed);
        }
    }
}
