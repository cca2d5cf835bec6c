//! A capacity result for tests.

use super::*;
use crate::capacity::answer::curve;
use crate::result::testing::result as sample;

fn level(level: u64) -> Level {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_s = level as f64 / 100.0;
    Level { level, per_s, devices: 1_000 }
}

fn trial(number: u32, at: u64, verdict: Verdict) -> Trial {
    let is_bad = verdict == Verdict::Bad;
    Trial {
        number,
        level: level(at),
        verdict,
        reason: if verdict == Verdict::Good {
            String::new()
        } else {
            format!("telemetry p(99) < 500ms: {number}12 ms")
        },
        bound_by: is_bad.then_some(Bound::Threshold),
        start_us: 15_000_000,
        duration_us: 30_000_000,
        cut: is_bad,
        resumed: false,
        due: 30_000,
        ok: 29_990,
        offered_per_s: level(at).per_s,
        achieved_per_s: level(at).per_s * if is_bad { 0.8 } else { 1.0 },
        p50_us: Some(1_200),
        p99_us: Some(if is_bad { 812_000 } else { 12_000 }),
        error_share: 0.000_33,
        backlog: (!is_bad).then_some(BacklogGrowth { growth: -12.0, lower: -40.0, limit: 100.0 }),
        thresholds: Vec::<ThresholdResult>::new(),
    }
}

/// Returns a capacity result with a trial of each verdict.
pub(crate) fn capacity(name: &str, exit_code: u8) -> CapacityResult {
    let run = sample().run;
    let trials = vec![
        trial(1, 10_000, Verdict::Good),
        trial(2, 1_000_000, Verdict::Bad),
        trial(3, 420_000, Verdict::Undecided),
        trial(4, 410_000, Verdict::Good),
        trial(5, 430_000, Verdict::Bad),
        trial(6, 420_000, Verdict::Void),
    ];
    CapacityResult {
        schema: SCHEMA.to_owned(),
        tool: sample().tool,
        run: SearchRun {
            id: "meters-capacity-20261128T101500Z".to_owned(),
            argv: Vec::new(),
            scenario: crate::result::model::Scenario { name: name.to_owned(), ..run.scenario },
            overrides: Vec::new(),
            seed: 1,
            started: "2026-11-28T10:15:00Z".to_owned(),
            duration_us: 240_000_000,
            target: run.target,
            host: run.host,
            workers: 2,
            breakdowns: Vec::new(),
        },
        search: SearchSettings {
            vary: Vary::Load,
            phase: "steady".to_owned(),
            from: level(10_000),
            to: level(1_000_000),
            whole: Some(level(1_000_000)),
            width: 0.05,
            hold_us: 30_000_000,
            settle_us: 5_000_000,
            judged_us: 30_000_000,
            confirm: 3,
            exhaust_burst: false,
            thresholds: vec!["telemetry p(99) < 500ms".to_owned()],
        },
        answer: CapacityAnswer {
            lower: Some(level(410_000)),
            upper: Some(level(430_000)),
            end: EndReason::Width,
            bound_by: Some(Bound::Threshold),
            reason: "telemetry p(99) < 500ms: 512 ms".to_owned(),
            throughput_per_s: Some(4_098.0),
            exit_code,
        },
        criteria: vec![
            CriterionAnswer {
                criterion: "telemetry p(99) < 500ms".to_owned(),
                lower: Some(level(410_000)),
                upper: Some(level(430_000)),
            },
            CriterionAnswer { criterion: "backlog".to_owned(), lower: Some(level(410_000)), upper: None },
        ],
        curve: curve(&trials),
        trials,
        assertions: vec![AssertionResult {
            text: "capacity >= 4000/s".to_owned(),
            status: AssertionStatus::Passed,
            reason: "the capacity is at least 4,100/s".to_owned(),
        }],
        notes: vec!["A note".to_owned()],
    }
}
