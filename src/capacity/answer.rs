//! The answer of a search from its trials: the interval and what bound it, the interval of each criterion alone, and the curve of offered
//! against achieved messages. Called by `app` at the end of a search. Pure.

use super::measured::{Bound, CapacityAnswer, CriterionAnswer, CurvePoint, EndReason, Level, Trial, Verdict};
use super::search::{Answer, Search, SearchRules, TrialVerdict, conditional_throughput};
use super::trial::label;
use crate::result::model::ThresholdStatus;
use std::collections::BTreeMap;

/// The criterion besides the thresholds.
const BACKLOG: &str = "backlog";

/// Returns the answer. The caller sets its exit code.
#[must_use]
pub fn answer(
    rules: &SearchRules,
    found: &Answer,
    end: EndReason,
    trials: &[Trial],
    level_of: impl Fn(u64) -> Level,
) -> CapacityAnswer {
    let at = |level: u64| trials.iter().filter(move |trial| trial.level.level == level);
    let (bound_by, reason) = bound(found, end, trials);
    let good = found.lower.map(|lower| {
        at(lower)
            .filter(|trial| trial.verdict == Verdict::Good)
            .map(|trial| trial.achieved_per_s)
            .collect::<Vec<_>>()
    });
    CapacityAnswer {
        lower: found.lower.map(&level_of),
        upper: found.upper.map(&level_of),
        end,
        bound_by,
        reason,
        throughput_per_s: good.and_then(|achieved| conditional_throughput(&achieved, rules.confirm)),
        exit_code: 0,
    }
}

/// Returns what bound the capacity, with the evidence.
fn bound(found: &Answer, end: EndReason, trials: &[Trial]) -> (Option<Bound>, String) {
    let with = |verdict: Verdict, level: Option<u64>| {
        let is_there = move |trial: &&Trial| {
            trial.verdict == verdict && level.is_none_or(|level| level == trial.level.level)
        };
        trials.iter().rev().find(is_there)
    };
    let of = |trial: Option<&Trial>| {
        trial.map_or((None, String::new()), |trial| (trial.bound_by, trial.reason.clone()))
    };
    match (end, found.upper) {
        (EndReason::Generator, _) => match with(Verdict::Void, None) {
            None => {
                let reason = "the load could not be extended in time, because this machine was too busy";
                (Some(Bound::Generator), reason.to_owned())
            }
            void => of(void),
        },
        (EndReason::Quota, _) => {
            (Some(Bound::Quota), "the daily message quota of the hub was used up".to_owned())
        }
        (EndReason::HighestGood, _) => (Some(Bound::Range), "the highest level passed".to_owned()),
        (_, Some(upper)) => of(with(Verdict::Bad, Some(upper))),
        (_, None) => (None, String::new()),
    }
}

/// Returns the interval of each criterion, as if it were the only one.
#[must_use]
pub fn criteria(
    rules: &SearchRules,
    trials: &[Trial],
    level_of: impl Fn(u64) -> Level,
) -> Vec<CriterionAnswer> {
    let mut names: Vec<String> = Vec::new();
    for threshold in trials.iter().flat_map(|trial| &trial.thresholds) {
        let name = label(threshold);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.push(BACKLOG.to_owned());
    let alone = |name: &String| {
        let mut search = Search::new(*rules);
        for trial in trials {
            if let Some(verdict) = verdict_alone(trial, name) {
                search.record(trial.level.level, verdict);
            }
        }
        let Answer { lower, upper, .. } = search.answer_so_far();
        CriterionAnswer { criterion: name.clone(), lower: lower.map(&level_of), upper: upper.map(&level_of) }
    };
    names.iter().map(alone).collect()
}

/// Returns the verdict of a criterion alone. `None` if the trial does not decide it.
fn verdict_alone(trial: &Trial, name: &str) -> Option<TrialVerdict> {
    if trial.verdict == Verdict::Void {
        return None;
    }
    if name == BACKLOG {
        let grown =
            trial.bound_by == Some(Bound::Backlog) || trial.backlog.is_some_and(|backlog| backlog.grows());
        return match (grown, trial.backlog) {
            (true, _) => Some(TrialVerdict::Bad),
            (false, Some(_)) if !trial.cut => Some(TrialVerdict::Good),
            _ => None,
        };
    }
    let threshold = trial.thresholds.iter().find(|threshold| label(threshold) == name)?;
    match threshold.status {
        Some(ThresholdStatus::Failed) => Some(TrialVerdict::Bad),
        // The rest of a trial that ended early might have failed this threshold, too.
        Some(ThresholdStatus::Passed) if !trial.cut => Some(TrialVerdict::Good),
        _ => None,
    }
}

/// Returns the curve: all trials of a level together, from the lowest level.
#[must_use]
pub fn curve(trials: &[Trial]) -> Vec<CurvePoint> {
    let mut levels: BTreeMap<u64, Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        levels.entry(trial.level.level).or_default().push(trial);
    }
    let point = |trials: &Vec<&Trial>| {
        let count = |verdict: Verdict| {
            u32::try_from(trials.iter().filter(|trial| trial.verdict == verdict).count()).unwrap_or(u32::MAX)
        };
        let number = |value: fn(&Trial) -> f64| {
            median(trials.iter().map(|trial| value(trial)).collect(), f64::total_cmp)
        };
        let latency = |value: fn(&Trial) -> Option<u64>| {
            median(trials.iter().filter_map(|trial| value(trial)).collect(), u64::cmp)
        };
        Some(CurvePoint {
            level: trials.first()?.level,
            good: count(Verdict::Good),
            bad: count(Verdict::Bad),
            undecided: count(Verdict::Undecided),
            void: count(Verdict::Void),
            offered_per_s: number(|trial| trial.offered_per_s)?,
            achieved_per_s: number(|trial| trial.achieved_per_s)?,
            p50_us: latency(|trial| trial.p50_us),
            p99_us: latency(|trial| trial.p99_us),
            error_share: number(|trial| trial.error_share)?,
        })
    };
    levels.values().filter_map(point).collect()
}

/// Returns the middle value; of an even number of values, the lower one in the middle.
fn median<T: Copy>(mut values: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> Option<T> {
    values.sort_by(order);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests;
