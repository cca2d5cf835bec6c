//! Evaluates thresholds on the phase of a trial, for a search for capacity. Called by `app` during a run. Pure.

use super::early::{count_open_as_lost, may_be_final, may_still_change};
use super::numbers::float;
use super::offered::shortcomings;
use super::threshold::{evaluate, sum_covered};
use super::unattributed::UnattributedDelay;
use super::{JudgeInput, TargetFacts};
use crate::measure::{Measurement, Rules};
use crate::result::model::{Detail, EndedBy, ThresholdResult, ThresholdStatus};
use crate::units::whole;

/// The thresholds and the load of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseJudgment {
    /// The thresholds of the rules, evaluated on this phase only, whatever phase they name.
    pub thresholds: Vec<ThresholdResult>,
    /// Why the load of the phase was late or incomplete.
    pub shortcomings: Vec<Detail>,
    /// Whether a worker or a shard of the built-in hub had no time left in the phase.
    pub saturated: bool,
}

/// Evaluates the rules on one phase of a measurement. The phase has ended, and its operations, too.
#[must_use]
pub fn judge_phase(measurement: &Measurement, rules: &Rules, phase: &str) -> PhaseJudgment {
    let input = JudgeInput {
        measurement,
        rules,
        ended_by: EndedBy::Plan,
        recovery: None,
        emulator: None,
        target: TargetFacts::default(),
        limits: &[],
    };
    let thresholds = rules.thresholds.iter().map(|rule| input.threshold(rule, |name| name == phase).result);
    let health = measurement.health.iter().filter(|health| health.phase == phase);
    PhaseJudgment {
        thresholds: thresholds.collect(),
        shortcomings: measurement
            .phase(phase)
            .map_or_else(Vec::new, |found| shortcomings(measurement, rules, found)),
        saturated: health.into_iter().any(|health| !health.saturated.entries().is_empty()),
    }
}

/// Returns whether a threshold has certainly failed in a phase that is still in progress, even if every open operation, and every one that
/// is not due yet, ends well. When the phase ends, `growth` times as many operations as now will have been due.
#[must_use]
pub fn phase_has_failed(measurement: &Measurement, rules: &Rules, phase: &str, growth: f64) -> bool {
    rules.thresholds.iter().filter(|rule| may_be_final(&rule.test)).any(|rule| {
        let covers = |name: &str| name == phase;
        let mut covered = sum_covered(measurement, rule, covers);
        covered.due = whole((float(covered.due) * growth).ceil()).max(covered.due);
        count_open_as_lost(&mut covered);
        let unattributed = UnattributedDelay::of(measurement, rules, covers);
        evaluate(&rule.test, &covered, &unattributed).status == ThresholdStatus::Failed
            && !may_still_change(&rule.test, &covered)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Compare, Key, Operation, Outcome, Recorder, Rule, Test, Times};
    use crate::report::testing::measured;

    const MS: u64 = 1_000_000;

    fn rules() -> Rules {
        let test = Test::Percentile { quantile: 0.9, compare: Compare::Less, limit_us: 100_000 };
        let rule = Rule {
            metric: Operation::Telemetry,
            phase: Some("phase-9".to_owned()),
            fleet: None,
            without_faults: false,
            expression: "p(90) < 100ms".to_owned(),
            test,
            abort_from_us: None,
            line: None,
        };
        Rules { thresholds: vec![rule], ..Rules::default() }
    }

    /// Two phases, each with its number of operations that took 10 ms, and of those that took 500 ms.
    fn run(phases: [[u64; 2]; 2]) -> Measurement {
        measured(1, 2, |recorder: &mut Recorder| {
            for (phase, [fast, slow]) in (0..).zip(phases) {
                let key = Key { operation: Operation::Telemetry, fleet: 0, phase };
                for n in 0..fast + slow {
                    recorder.due(key, 0);
                    let acked = if n < fast { 10 } else { 500 } * MS;
                    recorder.ok(key, &Times { acked, ..Times::default() });
                }
            }
        })
    }

    #[test]
    fn thresholds_are_evaluated_on_the_phase_alone() {
        let measurement = run([[1_000, 0], [0, 1_000]]);
        let status = |phase: &str| judge_phase(&measurement, &rules(), phase).thresholds[0].status;
        assert_eq!(status("phase-0"), Some(ThresholdStatus::Passed));
        assert_eq!(status("phase-1"), Some(ThresholdStatus::Failed));
        assert_eq!(status("phase-2"), Some(ThresholdStatus::InsufficientSamples));
    }

    #[test]
    fn failure_is_certain_once_the_rest_cannot_repair_it() {
        for (fast, slow, growth, expected) in [
            (700, 300, 1.0, true),
            (700, 300, 2.0, true),
            (700, 300, 3.5, false),
            (1_000, 0, 1.0, false),
            (0, 0, 5.0, false),
        ] {
            let measurement = run([[0, 0], [fast, slow]]);
            let found = phase_has_failed(&measurement, &rules(), "phase-1", growth);
            assert_eq!(found, expected, "{fast} fast, {slow} slow, {growth}");
        }
        let lost = measured(1, 2, |recorder: &mut Recorder| {
            let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };
            for _ in 0..100 {
                recorder.due(key, 0);
                recorder.ended(key, Outcome::Lost, 0, MS);
            }
        });
        assert!(phase_has_failed(&lost, &rules(), "phase-1", 2.0));
    }
}
