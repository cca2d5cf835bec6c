//! Answers from lists of trials.

use super::*;
use crate::capacity::backlog::BacklogGrowth;
use crate::result::model::ThresholdResult;

const RULES: SearchRules = SearchRules { from: 100_000, to: 1_000_000, width: 0.05, confirm: 3 };

fn level(level: u64) -> Level {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_s = level as f64 / 1_000.0;
    Level { level, per_s, devices: 10 }
}

fn threshold(expression: &str, status: ThresholdStatus) -> ThresholdResult {
    ThresholdResult {
        metric: "telemetry".to_owned(),
        expression: expression.to_owned(),
        phase: None,
        fleet: None,
        without_faults: false,
        limit: 1.0,
        unit: "us".to_owned(),
        observed: None,
        observed_best: None,
        observed_worst: None,
        observed_text: String::new(),
        margin: None,
        samples: 1,
        passed: status == ThresholdStatus::Passed,
        status: Some(status),
        test: None,
        line: None,
    }
}

/// A trial with two thresholds, which it fails or passes.
fn trial(at: u64, verdict: Verdict, [fast, sure]: [bool; 2]) -> Trial {
    let status = |passed| if passed { ThresholdStatus::Passed } else { ThresholdStatus::Failed };
    Trial {
        number: 1,
        level: level(at),
        verdict,
        reason: format!("{verdict:?} at {at}"),
        bound_by: (verdict == Verdict::Bad).then_some(Bound::Threshold),
        start_us: 0,
        duration_us: 30_000_000,
        cut: false,
        resumed: false,
        due: 100,
        ok: 90,
        offered_per_s: level(at).per_s,
        achieved_per_s: level(at).per_s * 0.9,
        p50_us: Some(at),
        p99_us: None,
        error_share: 0.1,
        backlog: Some(BacklogGrowth { growth: 0.0, lower: 0.0, limit: 1.0 }),
        thresholds: vec![threshold("p(99) < 5ms", status(fast)), threshold("rate(ok) > 99%", status(sure))],
    }
}

#[test]
fn answer_names_the_evidence_at_the_upper_bound() {
    let trials = [
        trial(1_000_000, Verdict::Bad, [false, true]),
        trial(100_000, Verdict::Good, [true, true]),
        trial(100_000, Verdict::Good, [true, true]),
    ];
    let found = Answer { lower: Some(100_000), upper: Some(1_000_000), end: None };
    let answer = answer(&RULES, &found, EndReason::Width, &trials, level);
    assert_eq!((answer.bound_by, answer.reason.as_str()), (Some(Bound::Threshold), "Bad at 1000000"));
    assert_eq!(answer.throughput_per_s, Some(90.0));
    assert_eq!(answer.lower.unwrap().per_s, 100.0);
    let none = super::answer(
        &RULES,
        &Answer { lower: None, upper: None, end: None },
        EndReason::Interrupted,
        &[],
        level,
    );
    assert_eq!((none.bound_by, none.throughput_per_s), (None, None));
    let late = super::answer(&RULES, &found, EndReason::Generator, &trials, level);
    assert_eq!(late.bound_by, Some(Bound::Generator), "no trial shows it");
    assert!(late.reason.contains("this machine was too busy"), "{late:?}");
}

#[test]
fn each_criterion_has_its_own_interval() {
    let trials = [
        trial(100_000, Verdict::Good, [true, true]),
        trial(100_000, Verdict::Good, [true, true]),
        trial(1_000_000, Verdict::Bad, [false, true]),
        trial(1_000_000, Verdict::Bad, [false, true]),
    ];
    let found = criteria(&RULES, &trials, level);
    let shown: Vec<(&str, Option<u64>, Option<u64>)> = found
        .iter()
        .map(|one| (&*one.criterion, one.lower.map(|level| level.level), one.upper.map(|level| level.level)))
        .collect();
    let expected = [
        ("telemetry p(99) < 5ms", Some(100_000), Some(1_000_000)),
        ("telemetry rate(ok) > 99%", Some(1_000_000), None),
        ("backlog", Some(1_000_000), None),
    ];
    assert_eq!(shown, expected);
    let cut: Vec<Trial> = trials.iter().cloned().map(|trial| Trial { cut: true, ..trial }).collect();
    assert_eq!(criteria(&RULES, &cut, level)[1].lower, None, "a trial that ended early passes nothing");
}

#[test]
fn curve_has_a_point_for_each_level() {
    let mut slow = trial(200_000, Verdict::Bad, [false, false]);
    slow.achieved_per_s = 1.0;
    let trials = [
        slow.clone(),
        trial(100_000, Verdict::Good, [true; 2]),
        slow,
        trial(200_000, Verdict::Good, [true; 2]),
    ];
    let curve = curve(&trials);
    let shown: Vec<(u64, u32, u32)> =
        curve.iter().map(|point| (point.level.level, point.good, point.bad)).collect();
    assert_eq!(shown, [(100_000, 1, 0), (200_000, 1, 2)]);
    assert_eq!(curve[1].achieved_per_s, 1.0, "the median");
}
