//! Compares the capacities of two searches: is the new one lower by more than the tolerance? Called by `app` for `hubstorm compare`. Pure.
//!
//! Each capacity is an interval, so the ratio of both is one, too.

use super::measured::{CapacityResult, EndReason, Level};
use crate::units::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a comparison of capacities.
pub const SCHEMA: &str = "hubstorm.capacity-comparison.v1";

/// The comparison of two capacities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityComparison {
    /// Always `hubstorm.capacity-comparison.v1`.
    pub schema: String,
    /// Outcome.
    pub outcome: Outcome,
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

/// Why two capacities cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// The scenarios differ.
    #[error("the load (plan_sha256) differs")]
    Plan,
    /// The searches are of different phases.
    #[error("the phases differ")]
    Phase,
    /// The thresholds differ.
    #[error("the thresholds differ")]
    Thresholds,
}

/// Compares two capacities. Results of different machines or versions are inconclusive at most, unless `force` is set.
///
/// # Errors
/// The searches are not comparable.
pub fn compare_capacities(
    base: &CapacityResult,
    new: &CapacityResult,
    (tolerance, force): (f64, bool),
) -> Result<CapacityComparison, NotComparable> {
    if base.run.scenario.plan_sha256 != new.run.scenario.plan_sha256 {
        return Err(NotComparable::Plan);
    }
    if base.search.phase != new.search.phase {
        return Err(NotComparable::Phase);
    }
    if base.search.thresholds != new.search.thresholds {
        return Err(NotComparable::Thresholds);
    }
    let (base_per_s, new_per_s) = (bounds(base), bounds(new));
    let divided =
        |one: Option<f64>, other: Option<f64>| Some(one? / other?).filter(|ratio| ratio.is_finite());
    let ratio = [divided(new_per_s[0], base_per_s[1]), divided(new_per_s[1], base_per_s[0])];
    let is_same_setup = base.run.host == new.run.host && base.tool.version == new.tool.version;
    let percent = Percent::from_fraction(tolerance);
    let (outcome, summary) = if [base, new].iter().any(|result| is_unknown(result)) {
        (Outcome::Invalid, "One of the searches has no answer, so nothing was compared".to_owned())
    } else if ratio[1].is_some_and(|ratio| ratio < 1.0 - tolerance) {
        (Outcome::Regressed, format!("The new capacity is lower by more than {percent}"))
    } else if ratio[0].is_some_and(|ratio| ratio >= 1.0 - tolerance) {
        (Outcome::SameOrBetter, format!("The new capacity is not lower by more than {percent}"))
    } else {
        let text = format!(
            "The intervals do not decide whether the new capacity is lower by more than {percent}; use a smaller --width"
        );
        (Outcome::Inconclusive, text)
    };
    let is_decided = matches!(outcome, Outcome::Regressed | Outcome::SameOrBetter);
    let (outcome, summary) = if is_decided && !is_same_setup && !force {
        let text =
            "The searches are from different machines or versions of hubstorm; --force compares them anyway"
                .to_owned();
        (Outcome::Inconclusive, text)
    } else {
        (outcome, summary)
    };
    Ok(CapacityComparison {
        schema: SCHEMA.to_owned(),
        outcome,
        summary,
        base_per_s,
        new_per_s,
        ratio,
        tolerance,
    })
}

fn bounds(result: &CapacityResult) -> [Option<f64>; 2] {
    [&result.answer.lower, &result.answer.upper].map(|level: &Option<Level>| level.map(|level| level.per_s))
}

fn is_unknown(result: &CapacityResult) -> bool {
    result.answer.end == EndReason::Breakdown || bounds(result) == [None, None]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::measured::testing::capacity;

    fn search(lower: Option<f64>, upper: Option<f64>) -> CapacityResult {
        let mut result = capacity("Meters", 0);
        let level = |per_s: f64| Level { level: 1, per_s, devices: 1 };
        (result.answer.lower, result.answer.upper) = (lower.map(level), upper.map(level));
        result
    }

    #[test]
    fn intervals_decide() {
        let base = search(Some(95.0), Some(100.0));
        for (lower, upper, expected) in [
            (Some(95.0), Some(100.0), Outcome::SameOrBetter),
            (Some(190.0), None, Outcome::SameOrBetter),
            (Some(80.0), Some(84.0), Outcome::Regressed),
            (None, Some(50.0), Outcome::Regressed),
            (Some(85.0), Some(90.0), Outcome::Inconclusive),
            (Some(50.0), None, Outcome::Inconclusive),
            (None, None, Outcome::Invalid),
        ] {
            let compared = compare_capacities(&base, &search(lower, upper), (0.1, false)).unwrap();
            assert_eq!(compared.outcome, expected, "{lower:?} to {upper:?}: {compared:?}");
        }
    }

    #[test]
    fn other_machines_decide_only_with_force() {
        let (base, mut new) = (search(Some(95.0), Some(100.0)), search(Some(50.0), Some(52.0)));
        new.run.host.cores += 1;
        let outcome = |force| compare_capacities(&base, &new, (0.1, force)).unwrap().outcome;
        assert_eq!((outcome(false), outcome(true)), (Outcome::Inconclusive, Outcome::Regressed));
        let mut other = search(Some(1.0), Some(2.0));
        other.search.phase = "peak".to_owned();
        assert_eq!(compare_capacities(&base, &other, (0.1, true)), Err(NotComparable::Phase));
    }
}
