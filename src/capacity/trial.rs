//! Judges a trial of a search: good, bad, undecided or void. Called by `app` with the facts about the trial's phase. Pure.
//!
//! A decisive failure counts even if the load generator was late. Otherwise, a late generator makes a trial void: then a growing backlog
//! is its own fault, too.

use super::backlog::BacklogGrowth;
use super::measured::{Bound, Verdict};
use crate::result::model::{Detail, ThresholdResult, ThresholdStatus};

/// The facts about a trial.
#[derive(Clone, Copy, Debug)]
pub struct TrialFacts<'a> {
    /// The thresholds, evaluated on the trial's phase.
    pub thresholds: &'a [ThresholdResult],
    /// Why the load of the phase was late or incomplete.
    pub shortcomings: &'a [Detail],
    /// Whether a source on this machine had no time left in the phase, so that it may have slowed down the operations.
    pub saturated: bool,
    /// Growth of the backlog. `None` if it was not tested.
    pub backlog: Option<&'a BacklogGrowth>,
    /// Whether operations of the trial were still open at the end of the time limit.
    pub undrained: bool,
}

/// The verdict on a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Verdict.
    pub verdict: Verdict,
    /// Reason in words. Empty for a good trial.
    pub reason: String,
    /// What a bad or void trial was bound by.
    pub bound: Option<Bound>,
}

/// Judges a trial.
#[must_use]
pub fn judge(facts: &TrialFacts<'_>) -> Judged {
    let with = |status: ThresholdStatus| {
        facts.thresholds.iter().find(move |threshold| threshold.status == Some(status))
    };
    let judged = |verdict, bound, reason: String| Judged { verdict, reason, bound };
    if let Some(failed) = with(ThresholdStatus::Failed) {
        return judged(
            Verdict::Bad,
            Some(Bound::Threshold),
            format!("{}: {}", label(failed), failed.observed_text),
        );
    }
    if let Some(shortcoming) = facts.shortcomings.first() {
        // The name of the phase means nothing to the user.
        let text = shortcoming.text.split_once(": ").map_or(&*shortcoming.text, |(_, text)| text);
        return judged(Verdict::Void, Some(Bound::Generator), text.to_owned());
    }
    if facts.undrained {
        let reason = "the backlog did not drain within a minute after the load".to_owned();
        return judged(Verdict::Bad, Some(Bound::Backlog), reason);
    }
    if let Some(backlog) = facts.backlog.filter(|backlog| backlog.grows()) {
        let reason = format!(
            "the backlog grew by {:.0} messages, or at least {:.0} (limit {:.0})",
            backlog.growth, backlog.lower, backlog.limit
        );
        return judged(Verdict::Bad, Some(Bound::Backlog), reason);
    }
    match with(ThresholdStatus::Undecided).or(with(ThresholdStatus::InsufficientSamples)) {
        Some(threshold) if facts.saturated => {
            let reason =
                format!("{} is undecided: a core of the load generator was saturated", label(threshold));
            judged(Verdict::Void, Some(Bound::Generator), reason)
        }
        Some(threshold) => {
            let word = match threshold.status {
                Some(ThresholdStatus::InsufficientSamples) => threshold.observed_text.clone(),
                _ => format!(
                    "undecided, because of delays on this machine ({} as measured)",
                    threshold.observed_text
                ),
            };
            judged(Verdict::Undecided, None, format!("{}: {word}", label(threshold)))
        }
        None => judged(Verdict::Good, None, String::new()),
    }
}

/// Returns the operation and the expression of a threshold: `telemetry p(99) < 500ms`.
#[must_use]
pub fn label(threshold: &ThresholdResult) -> String {
    let metric = crate::measure::threshold_label(
        &threshold.metric,
        None,
        threshold.fleet.as_deref(),
        threshold.without_faults,
    );
    format!("{metric} {}", threshold.expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold(expression: &str, status: ThresholdStatus) -> ThresholdResult {
        ThresholdResult {
            metric: "telemetry".to_owned(),
            expression: expression.to_owned(),
            phase: Some("steady".to_owned()),
            fleet: None,
            without_faults: false,
            limit: 1.0,
            unit: "us".to_owned(),
            observed: None,
            observed_best: None,
            observed_worst: None,
            observed_text: "612 ms".to_owned(),
            margin: None,
            samples: 1,
            passed: status == ThresholdStatus::Passed,
            status: Some(status),
            test: None,
            line: None,
        }
    }

    #[test]
    fn strongest_fact_decides() {
        use ThresholdStatus::{Failed, InsufficientSamples, Passed, Undecided};
        let grown = BacklogGrowth { growth: 900.0, lower: 800.0, limit: 100.0 };
        let flat = BacklogGrowth { growth: 9.0, lower: 8.0, limit: 100.0 };
        let late = Detail {
            code: "late_start".to_owned(),
            text: "Phase trial 1: late".to_owned(),
            phase: None,
            fleet: None,
            source: None,
        };
        // Status of the thresholds, other facts, the backlog; the verdict, and the start of the reason.
        for (statuses, facts, backlog, verdict, reason) in [
            (&[Passed][..], "", Some(&flat), Verdict::Good, ""),
            (&[Passed], "saturated", None, Verdict::Good, ""),
            (&[Passed, Failed], "", None, Verdict::Bad, "telemetry p(99) < 500ms: 612 ms"),
            (&[Failed], "late saturated", None, Verdict::Bad, "telemetry"),
            (&[Passed], "late undrained", Some(&grown), Verdict::Void, "late"),
            (&[Passed], "", Some(&grown), Verdict::Bad, "the backlog grew by 900 messages"),
            (&[Passed], "undrained", None, Verdict::Bad, "the backlog did not drain"),
            (&[Undecided], "", None, Verdict::Undecided, "telemetry p(99) < 500ms: undecided"),
            (&[Undecided], "saturated", None, Verdict::Void, "telemetry p(99) < 500ms is undecided: a core"),
            (&[InsufficientSamples], "", None, Verdict::Undecided, "telemetry"),
        ] {
            let thresholds: Vec<ThresholdResult> =
                statuses.iter().map(|status| threshold("p(99) < 500ms", *status)).collect();
            let shortcomings = if facts.contains("late") { vec![late.clone()] } else { Vec::new() };
            let judged = judge(&TrialFacts {
                thresholds: &thresholds,
                shortcomings: &shortcomings,
                saturated: facts.contains("saturated"),
                backlog,
                undrained: facts.contains("undrained"),
            });
            assert_eq!(judged.verdict, verdict, "{statuses:?}: {judged:?}");
            assert!(judged.reason.starts_with(reason), "{judged:?}");
        }
    }
}
