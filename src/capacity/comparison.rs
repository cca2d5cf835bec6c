//! Compares the capacities of two searches: is the new one lower by more than the tolerance? Called by `app` for `hubstorm compare`. Pure.
//!
//! Each capacity is an interval, so the ratio of both is one, too.

use super::measured::{CapacityResult, CriterionAnswer, EndReason, Level, Vary};
use crate::result::model::{Host, Target, Tool};
use crate::units::{Percent, human_duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The value of `schema` in a comparison of capacities.
pub const SCHEMA: &str = "hubstorm.capacity-comparison.v1";

/// Returns the JSON Schema of a comparison of capacities.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(CapacityComparison);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}

/// The comparison of two capacities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityComparison {
    /// Always `hubstorm.capacity-comparison.v1`.
    pub schema: String,
    /// Program that made the comparison.
    pub tool: Tool,
    /// Outcome.
    pub outcome: Outcome,
    /// Exit code of `hubstorm compare`, without `--inconclusive`: 0, 120, 121 or 122.
    pub exit_code: u8,
    /// Outcome in one sentence, without its full stop.
    pub summary: String,
    /// Capacity of the base: the bounds in messages per second.
    pub base_per_s: [Option<f64>; 2],
    /// New capacity.
    pub new_per_s: [Option<f64>; 2],
    /// Lowest and highest ratio of the new capacity to that of the base; null if it has no limit.
    pub ratio: [Option<f64>; 2],
    /// Largest decrease that is not a regression, as a fraction of 1.
    pub tolerance: f64,
    /// True with `--force`: results of other machines or versions can be `regressed` or `same_or_better`.
    pub forced: bool,
    /// Base search.
    pub base: ComparedSearch,
    /// New search.
    pub new: ComparedSearch,
    /// The criteria of both searches: each threshold, and the backlog.
    pub criteria: Vec<ComparedCriterion>,
    /// Facts that a reader should know.
    pub notes: Vec<String>,
}

/// A search that takes part in a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedSearch {
    /// Path of the capacity result.
    pub file: String,
    /// `run.id` of the capacity result.
    pub id: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the searched phase.
    pub phase: String,
    /// Start of the search, RFC 3339 in UTC.
    pub started: String,
    /// The quantity that differs between levels.
    pub vary: Vary,
    /// The highest level that is known to be good; null if it is unknown.
    pub lower: Option<Level>,
    /// The lowest level that is known to be bad; null if it is unknown.
    pub upper: Option<Level>,
    /// Why the search ended.
    pub end: EndReason,
    /// Number of trials.
    pub trials: u32,
    /// Length of the judged part of a trial.
    pub judged_us: u64,
    /// Program that searched.
    pub tool: Tool,
    /// Machine of the load generator.
    pub host: Host,
    /// System under test.
    pub target: Target,
}

impl ComparedSearch {
    fn of(file: &str, result: &CapacityResult) -> ComparedSearch {
        let CapacityResult { tool, run, search, answer, trials, .. } = result;
        ComparedSearch {
            file: file.to_owned(),
            id: run.id.clone(),
            scenario: run.scenario.name.clone(),
            phase: search.phase.clone(),
            started: run.started.clone(),
            vary: search.vary,
            lower: answer.lower,
            upper: answer.upper,
            end: answer.end,
            trials: u32::try_from(trials.len()).unwrap_or(u32::MAX),
            judged_us: search.judged_us,
            tool: tool.clone(),
            host: run.host.clone(),
            target: run.target.clone(),
        }
    }
}

/// The comparison of one criterion, as if it were the only one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedCriterion {
    /// The threshold, such as `telemetry p(99) < 500ms`, or `backlog`.
    pub criterion: String,
    /// Bounds of the base; null if they are unknown.
    pub base: [Option<Level>; 2],
    /// Bounds of the new search.
    pub new: [Option<Level>; 2],
    /// Lowest and highest ratio of the new capacity to that of the base; null if it has no limit.
    pub ratio: [Option<f64>; 2],
    /// Outcome.
    pub outcome: Outcome,
}

/// The outcome of a comparison of capacities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new capacity is lower by more than the tolerance.
    Regressed,
    /// The new capacity is not lower by more than the tolerance.
    SameOrBetter,
    /// The intervals do not decide.
    Inconclusive,
    /// One of the searches has no answer.
    Invalid,
}

impl Outcome {
    /// Returns the outcome in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Regressed => "regressed",
            Outcome::SameOrBetter => "same or better",
            Outcome::Inconclusive => "inconclusive",
            Outcome::Invalid => "invalid",
        }
    }

    fn is_decided(self) -> bool {
        matches!(self, Outcome::Regressed | Outcome::SameOrBetter)
    }

    fn exit_code(self) -> u8 {
        match self {
            Outcome::SameOrBetter => 0,
            Outcome::Invalid => 120,
            Outcome::Regressed => 121,
            Outcome::Inconclusive => 122,
        }
    }
}

/// Why two capacities cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// The scenarios differ.
    #[error("the load (plan_sha256) differs. Compare searches of the same scenario")]
    Plan,
    /// The searches are of different phases.
    #[error("the phases differ. Search the same --phase")]
    Phase,
    /// One search varies the load, the other the number of devices.
    #[error("one search varies the load, the other the number of devices. Use the same --vary")]
    Vary,
    /// The thresholds differ.
    #[error("the thresholds differ. Compare searches of the same scenario")]
    Thresholds,
}

/// A capacity result with the path of its file.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Path of the file.
    pub file: &'a str,
    /// Result.
    pub result: &'a CapacityResult,
}

/// Compares two capacities. Results of different machines or versions are inconclusive at most, unless `force` is set.
///
/// # Errors
/// The searches are not comparable.
pub fn compare_capacities(
    base: Input<'_>,
    new: Input<'_>,
    (tolerance, forced): (f64, bool),
    tool: Tool,
) -> Result<CapacityComparison, NotComparable> {
    check(base.result, new.result)?;
    let notes = notes(base.result, new.result);
    let [base, new] = [base, new].map(|input| (ComparedSearch::of(input.file, input.result), input.result));
    let can_decide = forced || (base.0.host == new.0.host && base.0.tool.version == new.0.tool.version);
    let ((base, of_base), (new, of_new)) = (base, new);
    let ratio = ratio([base.lower, base.upper], [new.lower, new.upper]);
    let decided = decide(ratio, tolerance);
    let percent = Percent::from_fraction(tolerance);
    let (outcome, summary) = match decided {
        _ if is_unknown(of_base) || is_unknown(of_new) => {
            let text = "One of the searches has no answer, so nothing was compared; search again with a wider range (--from, --to), or \
                        continue the search with --resume";
            (Outcome::Invalid, text.to_owned())
        }
        decided if decided.is_decided() && !can_decide => {
            let text = "The searches are from different machines or versions of hubstorm; use --force to compare them anyway";
            (Outcome::Inconclusive, text.to_owned())
        }
        Outcome::Regressed => (decided, format!("The new capacity is lower by more than {percent}")),
        Outcome::SameOrBetter => (decided, format!("The new capacity is not lower by more than {percent}")),
        Outcome::Inconclusive | Outcome::Invalid => {
            let text = format!(
                "The intervals do not decide whether the new capacity is lower by more than {percent}; search with a smaller --width"
            );
            (decided, text)
        }
    };
    let criteria = of_base.criteria.iter().filter_map(|base| {
        let new = of_new.criteria.iter().find(|new| new.criterion == base.criterion)?;
        let criterion = compare_criterion(base, new, tolerance);
        let outcome = if can_decide { criterion.outcome } else { Outcome::Inconclusive };
        Some(ComparedCriterion { outcome, ..criterion })
    });
    Ok(CapacityComparison {
        schema: SCHEMA.to_owned(),
        tool,
        outcome,
        exit_code: outcome.exit_code(),
        summary,
        base_per_s: [base.lower, base.upper].map(per_s),
        new_per_s: [new.lower, new.upper].map(per_s),
        ratio,
        tolerance,
        forced,
        criteria: criteria.collect(),
        base,
        new,
        notes,
    })
}

fn check(base: &CapacityResult, new: &CapacityResult) -> Result<(), NotComparable> {
    let (one, other) = (&base.search, &new.search);
    match () {
        () if base.run.scenario.plan_sha256 != new.run.scenario.plan_sha256 => Err(NotComparable::Plan),
        () if one.phase != other.phase => Err(NotComparable::Phase),
        () if one.vary != other.vary => Err(NotComparable::Vary),
        () if one.thresholds != other.thresholds => Err(NotComparable::Thresholds),
        () => Ok(()),
    }
}

fn compare_criterion(base: &CriterionAnswer, new: &CriterionAnswer, tolerance: f64) -> ComparedCriterion {
    let [of_base, of_new] = [base, new].map(|one| [one.lower, one.upper]);
    let ratio = ratio(of_base, of_new);
    ComparedCriterion {
        criterion: base.criterion.clone(),
        base: of_base,
        new: of_new,
        ratio,
        outcome: decide(ratio, tolerance),
    }
}

fn per_s(level: Option<Level>) -> Option<f64> {
    level.map(|level| level.per_s)
}

/// Returns the lowest and the highest ratio of two intervals.
fn ratio(base: [Option<Level>; 2], new: [Option<Level>; 2]) -> [Option<f64>; 2] {
    let divided = |one: Option<Level>, other: Option<Level>| {
        Some(per_s(one)? / per_s(other)?).filter(|ratio| ratio.is_finite())
    };
    [divided(new[0], base[1]), divided(new[1], base[0])]
}

fn decide(ratio: [Option<f64>; 2], tolerance: f64) -> Outcome {
    match ratio {
        [_, Some(highest)] if highest < 1.0 - tolerance => Outcome::Regressed,
        [Some(lowest), _] if lowest >= 1.0 - tolerance => Outcome::SameOrBetter,
        _ => Outcome::Inconclusive,
    }
}

/// Returns notes about differences between the searches.
fn notes(base: &CapacityResult, new: &CapacityResult) -> Vec<String> {
    let mut notes = Vec::new();
    if base.run.host != new.run.host {
        notes.push("The searches are from different machines".to_owned());
    }
    if base.tool.version != new.tool.version {
        let (old, new) = (&base.tool.version, &new.tool.version);
        notes.push(format!("The searches are from different versions of hubstorm: {old} and {new}"));
    }
    let judged = |result: &CapacityResult| human_duration(Duration::from_micros(result.search.judged_us));
    if base.search.judged_us != new.search.judged_us {
        let text = format!("The trials differ in length: {} and {}", judged(base), judged(new));
        notes.push(text);
    }
    notes
}

fn is_unknown(result: &CapacityResult) -> bool {
    let answer = &result.answer;
    answer.end == EndReason::Breakdown || (answer.lower.is_none() && answer.upper.is_none())
}

#[cfg(test)]
mod tests;
