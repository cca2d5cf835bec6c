//! Finds a threshold with `abort = true` that has certainly failed although the run is still in progress. Called by `app` once a
//! second. Pure.
//!
//! Only a final failure counts: open operations may still end ok, counts may still grow, and more samples may arrive.

use super::recovery::RecoveryTest;
use super::threshold::{evaluate, sum_covered};
use super::unattributed::UnattributedDelay;
use crate::measure::{Compare, Measurement, Outcome, Rule, Rules, Test, Totals};
use crate::result::model::ThresholdStatus;

/// Returns the first threshold that has certainly failed by `at_us`, with the observation in words.
#[must_use]
pub fn failed_early<'r>(
    measurement: &Measurement,
    rules: &'r Rules,
    at_us: u64,
) -> Option<(&'r Rule, String)> {
    let due =
        rules.thresholds.iter().filter(|rule| rule.abort_from_us.is_some_and(|from_us| from_us <= at_us));
    due.filter(|rule| may_be_final(&rule.test)).find_map(|rule| {
        let covers = |phase: &str| rule.covers(measurement, phase);
        let mut covered = sum_covered(measurement, rule, covers);
        count_open_as_lost(&mut covered);
        let unattributed = UnattributedDelay::of(measurement, rules, covers);
        let observation = match rule.test {
            Test::Recovery { share, compare, limit_us } => {
                let clocks_diverged = unattributed.clocks_diverged;
                let test = RecoveryTest { share, compare, limit_us, is_over: false, clocks_diverged };
                test.evaluate(measurement, rule, covers)
            }
            test => evaluate(&test, &covered, &unattributed),
        };
        let is_final =
            observation.status == ThresholdStatus::Failed && !may_still_change(&rule.test, &covered);
        is_final.then_some((rule, observation.text))
    })
}

/// Counts operations without an outcome as excused failures, because they may still end with any outcome.
pub(super) fn count_open_as_lost(totals: &mut Totals) {
    let open = totals.due.saturating_sub(totals.ended());
    totals.outcomes[Outcome::Lost] += open;
    totals.excused[Outcome::Lost] += open;
}

/// Returns true if a test can fail before the end. A count that must be reached or avoided is decided only at the end.
pub(super) fn may_be_final(test: &Test) -> bool {
    let must_grow = matches!(test.compare(), Compare::Greater | Compare::GreaterOrEqual | Compare::NotEqual);
    !(matches!(test, Test::Count { .. }) && must_grow)
}

/// Returns true if later operations can turn a failure into a pass: a count may still grow to its required value.
pub(super) fn may_still_change(test: &Test, totals: &Totals) -> bool {
    match *test {
        Test::Count { outcome, compare: Compare::Equal, limit } => {
            totals.outcome(outcome) - totals.excused[outcome].min(totals.outcome(outcome)) <= limit
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Operation, Recorder, Times};
    use crate::report::testing::measured;

    const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    const MS: u64 = 1_000_000;

    fn rule(test: Test) -> Rules {
        let rule = Rule {
            metric: Operation::Telemetry,
            phase: None,
            fleet: None,
            expression: "x".to_owned(),
            test,
            without_faults: false,
            abort_from_us: Some(1_000_000),
            line: None,
        };
        Rules { thresholds: vec![rule], ..Rules::default() }
    }

    /// Records `ok` operations that took 10 ms, `lost` operations that were lost, and `open` operations without an outcome.
    fn run(ok: u64, lost: u64, open: u64) -> Measurement {
        measured(1, 1, |recorder: &mut Recorder| {
            for n in 0..ok + lost + open {
                recorder.due(KEY, 0);
                if n < ok {
                    recorder.ok(KEY, &Times { acked: 10 * MS, ..Times::default() });
                } else if n < ok + lost {
                    recorder.ended(KEY, Outcome::Lost, 0, MS);
                }
            }
        })
    }

    /// 12 of 1,000 operations were lost. If the 5,000 open operations end ok, the share of lost operations is small.
    #[test]
    fn percentile_waits_for_open_operations() {
        let p99 = Test::Percentile { quantile: 0.99, compare: Compare::Less, limit_us: 500_000 };
        assert!(failed_early(&run(988, 12, 0), &rule(p99), 2_000_000).is_some());
        assert!(failed_early(&run(988, 12, 5_000), &rule(p99), 2_000_000).is_none());
    }

    #[test]
    fn only_a_final_failure_ends_a_run() {
        let (lost, ok) = (Outcome::Lost, Outcome::Ok);
        let count = |outcome, compare, limit| Test::Count { outcome, compare, limit };
        let rate = Test::Rate { outcome: ok, compare: Compare::Greater, limit: 0.99 };
        let p90 = Test::Percentile { quantile: 0.9, compare: Compare::Less, limit_us: 1_000 };
        for (test, run, fails) in [
            (count(lost, Compare::Equal, 0), run(10, 1, 0), true),
            (count(lost, Compare::Equal, 2), run(10, 1, 0), false),
            (count(lost, Compare::Less, 2), run(10, 2, 0), true),
            (count(ok, Compare::Greater, 100), run(10, 0, 0), false),
            (count(ok, Compare::GreaterOrEqual, 100), run(10, 0, 50), false),
            (rate, run(90, 10, 0), true),
            (rate, run(90, 0, 10), false),
            (p90, run(100, 0, 0), true),
            (p90, run(99, 0, 0), false),
        ] {
            let rules = rule(test);
            assert_eq!(failed_early(&run, &rules, 1_000_000).is_some(), fails, "{test:?}");
            assert_eq!(failed_early(&run, &rules, 999_999), None, "not before `after`");
        }
    }
}
