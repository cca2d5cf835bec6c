//! The banner of a report: the verdict in one word, its meaning, and the reasons. Called by `text` and `page`. Pure.

use super::judge::Code;
use super::{exit, format, margin};
use crate::result::model::{RunResult, Status, ThresholdResult, ThresholdStatus};

/// The verdict, as shown at the top of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Banner {
    /// CSS class: `pass`, `fail`, `invalid` or `interrupted`.
    pub(super) class: &'static str,
    pub(super) mark: &'static str,
    pub(super) word: &'static str,
    /// Why the run ended early, if it did, and what the verdict means. Empty if the reasons are enough.
    pub(super) meaning: String,
    /// The reasons, except the end reason in `meaning`.
    pub(super) reasons: Vec<String>,
}

impl Banner {
    pub(super) fn of(result: &RunResult) -> Banner {
        let verdict = &result.verdict;
        let (ended, reasons) = split_end_reason(result);
        let (class, mark, word) = match verdict.status {
            _ if is_interrupted(result) => ("interrupted", "!", "Interrupted"),
            Status::Pass => ("pass", "✓", "Pass"),
            Status::Fail => ("fail", "✗", "Fail"),
            Status::Invalid => ("invalid", "?", "Invalid"),
        };
        let until_then = match verdict.status {
            _ if !is_interrupted(result) => None,
            Status::Pass => Some("Verdict until then: Pass."),
            Status::Fail => Some("Verdict until then: Fail."),
            Status::Invalid => Some("Verdict until then: Invalid."),
        };
        let meaning = match verdict.status {
            Status::Pass => pass(result),
            Status::Fail => fail(result),
            Status::Invalid => invalid(result),
        };
        let ended = ended.map(|text| format!("{text}."));
        let parts = [ended.as_deref(), until_then, meaning.as_deref()];
        Banner {
            class,
            mark,
            word,
            meaning: parts.into_iter().flatten().collect::<Vec<_>>().join(" "),
            reasons: reasons.iter().map(|reason| format::plain(reason)).collect(),
        }
    }
}

fn is_interrupted(result: &RunResult) -> bool {
    result.verdict.exit_code == exit::INTERRUPTED
}

fn has_code(result: &RunResult, codes: &[Code]) -> bool {
    result.verdict.details.iter().any(|detail| Code::any_of(codes, detail))
}

/// Splits off the reason why the run ended from the list of reasons. Files from earlier versions have no codes, so their
/// list stays whole.
fn split_end_reason(result: &RunResult) -> (Option<String>, Vec<&String>) {
    let verdict = &result.verdict;
    let end_reasons = [Code::Interrupted, Code::Recovered, Code::Aborted, Code::Unreachable];
    let ending = verdict.details.iter().find(|detail| Code::any_of(&end_reasons, detail));
    let is_other = |reason: &&String| ending.is_none_or(|ending| ending.text != **reason);
    let reasons = verdict.reasons.iter().filter(is_other).collect();
    (ending.map(|detail| format::plain(&detail.text)), reasons)
}

fn pass(result: &RunResult) -> Option<String> {
    let lag = result.generator.lag.quantile(0.99)?;
    let lag = format::us(Some(lag));
    Some(format!("The load generator started 99% of messages within {lag} of their due time."))
}

fn fail(result: &RunResult) -> Option<String> {
    let failed = [Code::ThresholdFailed, Code::InsufficientSamples];
    if !result.verdict.details.is_empty() && !has_code(result, &failed) {
        // The run ended only because the hub was unreachable.
        return None;
    }
    let of_threshold = result.verdict.details.first().is_none_or(|first| Code::any_of(&failed, first));
    let text = if of_threshold {
        "Thresholds failed:"
    } else {
        "Thresholds failed. The first item below is the cause:"
    };
    Some(text.to_owned())
}

/// Describes which thresholds of an invalid run are valid, and what to do.
fn invalid(result: &RunResult) -> Option<String> {
    let is_undecided = |threshold: &&ThresholdResult| margin::status(threshold) == ThresholdStatus::Undecided;
    let undecided = u64::try_from(result.thresholds.iter().filter(is_undecided).count()).unwrap_or(u64::MAX);
    let is_short = has_code(result, &Code::OF_LOAD);
    if has_code(result, &[Code::Breakdown]) {
        let text = "The run is incomplete, because a part of hubstorm stopped before the end. Fix the cause and run again:";
        return Some(text.to_owned());
    }
    if !result.verdict.details.is_empty()
        && result
            .verdict
            .details
            .iter()
            .all(|detail| Code::any_of(&[Code::Interrupted, Code::Recovered], detail))
    {
        // The run was interrupted before anything was measured.
        return None;
    }
    if undecided == 0 && !is_short {
        return Some("The measurement is invalid:".to_owned());
    }
    let undecided = (undecided > 0).then(|| {
        let undecided = format::plural(undecided, "threshold is undecided", "thresholds are undecided");
        format!("{undecided}: delays or errors on this machine may have changed the outcome.")
    });
    let others = if is_short {
        "The load was not produced as planned, so passed thresholds say nothing about the planned load."
    } else {
        "The other thresholds are valid."
    };
    let parts = [undecided.as_deref(), Some(others), Some(advice(result))];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn advice(result: &RunResult) -> &'static str {
    if has_code(result, &[Code::Advice]) {
        "The last item below says what to do:"
    } else {
        "Run again on an idle machine, or with a smaller load:"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::model::Detail;
    use crate::result::testing::result as sample;

    fn of(status: Status, exit_code: u8, details: &[(&str, &str)]) -> Banner {
        let mut result = sample();
        let detail = |(code, text): &(&str, &str)| Detail {
            code: (*code).to_owned(),
            text: (*text).to_owned(),
            phase: None,
            fleet: None,
            source: None,
        };
        result.verdict.status = status;
        result.verdict.exit_code = exit_code;
        result.verdict.details = details.iter().map(detail).collect();
        result.verdict.reasons = details.iter().map(|(_, text)| (*text).to_owned()).collect();
        Banner::of(&result)
    }

    #[test]
    fn fail_announces_its_cause() {
        let threshold = ("threshold_failed", "p(99): 2 s");
        let banner = of(Status::Fail, 99, &[("hub_unreachable", "refused"), threshold]);
        assert_eq!((banner.word, banner.class), ("Fail", "fail"));
        assert_eq!(banner.meaning, "Thresholds failed. The first item below is the cause:");
        assert_eq!(banner.reasons, ["refused", "p(99): 2 s"]);
        assert_eq!(of(Status::Fail, 99, &[threshold]).meaning, "Thresholds failed:");
    }

    #[test]
    fn end_reason_is_shown_once_and_first() {
        let threshold = ("threshold_failed", "p(99): 2 s");
        let banner = of(Status::Fail, 99, &[threshold, ("aborted", "The run ended early")]);
        assert_eq!(banner.meaning, "The run ended early. Thresholds failed:");
        assert_eq!(banner.reasons, ["p(99): 2 s"]);
        let banner = of(Status::Fail, 105, &[threshold, ("interrupted", "The run was interrupted")]);
        assert_eq!((banner.word, banner.class), ("Interrupted", "interrupted"));
        assert_eq!(banner.meaning, "The run was interrupted. Verdict until then: Fail. Thresholds failed:");
    }

    #[test]
    fn invalid_run_says_what_is_valid_and_what_to_do() {
        let late = ("late_start", "Phase steady: late");
        let meaning = of(Status::Invalid, 120, &[late]).meaning;
        assert!(meaning.contains("not produced as planned"), "{meaning}");
        assert!(meaning.ends_with("with a smaller load:"), "{meaning}");
        let meaning = of(Status::Invalid, 120, &[late, ("advice", "Use a smaller load")]).meaning;
        assert!(meaning.ends_with("The last item below says what to do:"), "{meaning}");
        let meaning = of(Status::Invalid, 120, &[("breakdown", "a worker panicked")]).meaning;
        assert!(meaning.starts_with("The run is incomplete"), "{meaning}");
        let mut result = sample();
        result.verdict.status = Status::Invalid;
        result.thresholds[0].status = Some(ThresholdStatus::Undecided);
        let meaning = Banner::of(&result).meaning;
        assert!(
            meaning.starts_with("1 threshold is undecided: delays or errors on this machine may"),
            "{meaning}"
        );
        assert!(meaning.contains("The other thresholds are valid."), "{meaning}");
    }

    #[test]
    fn interrupt_before_the_load_lists_no_reasons() {
        let banner =
            of(Status::Invalid, 105, &[("interrupted", "The run was interrupted: nothing was measured")]);
        assert_eq!(
            banner.meaning,
            "The run was interrupted: nothing was measured. Verdict until then: Invalid."
        );
        assert_eq!(banner.reasons, [] as [&str; 0]);
    }

    #[test]
    fn files_without_codes_keep_their_reasons() {
        let mut result = sample();
        result.verdict.details.clear();
        result.verdict.status = Status::Invalid;
        result.thresholds.clear();
        let banner = Banner::of(&result);
        assert_eq!((banner.meaning.as_str(), banner.reasons.len()), ("The measurement is invalid:", 1));
        result.verdict.status = Status::Fail;
        assert_eq!(Banner::of(&result).meaning, "Thresholds failed:");
    }
}
