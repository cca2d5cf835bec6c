//! Thresholds: the operations that they cover, and their effect on the verdict.

use super::{
    Case, LATER, MS, Recorder, STEADY, WARM, assert_verdict, key, latency, messages, sum_covered, testing,
};
use crate::measure::{
    ClockStep, Compare, Culprit, Key, Measurement, Operation, Outcome, Rule, Source, Test, Times,
};
use crate::result::model::{Status, ThresholdStatus};
use crate::stalls::StallEntry;

#[test]
fn a_good_run_passes() {
    let case = Case { thresholds: vec![latency(None, 50)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 20));
    assert_verdict(&judged, Status::Pass, 0, "All thresholds passed (1 of 1), and every fleet connected");
    assert_eq!(judged.findings, []);
    let threshold = &judged.thresholds[0];
    assert_eq!((threshold.metric.as_str(), threshold.unit.as_str()), ("telemetry", "us"));
    assert!((threshold.margin.unwrap() - 0.6).abs() < 0.001, "{threshold:?}");
}

#[test]
fn a_failed_threshold_names_its_number() {
    let case = Case { thresholds: vec![latency(Some(STEADY), 20)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
    assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:steady} p(99) < 20ms: 30.0 ms");
}

#[test]
fn a_threshold_without_a_phase_excludes_warm_up() {
    let case = Case { thresholds: vec![latency(None, 100)], ..Case::default() };
    // 600 fast and 400 slow operations: the p99 of all of them is slow; the mean of the two p99s would be 105 ms.
    let record = |warm_ms: u64, slow_ms: u64| {
        case.judge(|r| {
            messages(r, WARM, 5_000, 1, warm_ms);
            messages(r, STEADY, 600, 1, 10);
            messages(r, LATER, 400, 1, slow_ms);
        })
    };
    let judged = record(5_000, 90);
    assert_verdict(&judged, Status::Pass, 0, "");
    assert_eq!(judged.thresholds[0].samples, 1_000, "without the warm-up");
    assert_eq!(judged.thresholds[0].observed_text, "90.0 ms");
    assert_verdict(&record(10, 200), Status::Fail, 99, "telemetry p(99) < 100ms: 200 ms");
}

#[test]
fn a_threshold_can_name_a_warm_up_phase() {
    let case = Case { thresholds: vec![latency(Some(WARM), 100)], ..Case::default() };
    let judged = case.judge(|r| {
        messages(r, WARM, 1_000, 1, 200);
        messages(r, STEADY, 5_000, 1, 10);
    });
    assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:ramp} p(99) < 100ms: 200 ms");
}

#[test]
fn a_threshold_can_name_a_fleet() {
    let slow_fleet = Rule { fleet: Some("b".to_owned()), ..latency(None, 100) };
    let case = Case { thresholds: vec![slow_fleet], fleets: vec!["a", "b"], ..Case::default() };
    let judged = case.judge(|r| {
        messages(r, STEADY, 1_000, 1, 200);
        let connect = Key { fleet: 1, ..key(Operation::Connect, WARM) };
        r.due(connect, 0);
        r.ok(connect, &Times::default());
    });
    assert_verdict(&judged, Status::Fail, 99, "telemetry{fleet:b} p(99) < 100ms: no data");
}

#[test]
fn every_fleet_must_connect() {
    let case = Case { fleets: vec!["meter", "gate"], ..Case::default() };
    let never = case.judge(|r| messages(r, STEADY, 10, 1, 10));
    assert_verdict(&never, Status::Fail, 99, "connect{fleet:gate} count(ok) >= 1: no data");
    let refused = case.judge(|r| {
        let connect = Key { fleet: 1, ..key(Operation::Connect, STEADY) };
        r.due(connect, 0);
        r.ended(connect, Outcome::Refused, 0, MS);
    });
    assert_verdict(&refused, Status::Fail, 99, "connect{fleet:gate} count(ok) >= 1: 0");
}

#[test]
fn generator_delay_across_the_limit_is_undecided() {
    // The limit is between the measured latency and the latency without the load generator's lag.
    let case = Case { thresholds: vec![latency(None, 30)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 34, 50));
    let expected = "telemetry p(99) < 30ms is undecided: the value is between 16.0 ms and 50.0 ms, because \
                    the load generator delayed 1,000 operations by up to 34.0 ms";
    assert_verdict(&judged, Status::Invalid, 120, expected);
    assert_eq!(judged.thresholds[0].status, Some(ThresholdStatus::Undecided));
    let codes: Vec<_> = judged.verdict.details.iter().map(|detail| detail.code.as_str()).collect();
    assert_eq!(codes, ["threshold_undecided", "late_start"]);
}

#[test]
fn a_decided_failure_remains_despite_late_starts() {
    let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 34, 50));
    assert_verdict(&judged, Status::Fail, 99, "telemetry p(99) < 5ms: 50.0 ms");
    assert!(
        judged.verdict.reasons.iter().any(|reason| reason.contains("more than 5.00 ms late")),
        "{judged:?}"
    );
}

#[test]
fn a_failure_within_the_resolution_is_invalid() {
    let case = Case { thresholds: vec![latency(None, 20)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 25));
    let expected = "telemetry p(99) < 20ms is undecided: 25.0 ms differs from the limit by less than the load generator's resolution (7.00 ms)";
    assert_verdict(&judged, Status::Invalid, 120, expected);
}

#[test]
fn one_short_stall_is_only_a_finding() {
    let case =
        Case { thresholds: vec![latency(None, 500)], stalls_ms: vec![(5_000, 5_060)], ..Case::default() };
    let judged = case.judge(|r| {
        messages(r, STEADY, 10_000, 0, 20);
        messages(r, STEADY, 60, 60, 80);
    });
    assert_verdict(&judged, Status::Pass, 0, "All thresholds passed");
    let stall = &judged.findings[0];
    assert!(stall.text.starts_with("The load generator stalled: "), "{stall:?}");
    assert_eq!(stall.evidence, "longest 60.0 ms at 0:05.0, total 60.0 ms");
}

#[test]
fn diverging_clocks_leave_a_latency_undecided() {
    let case = Case {
        thresholds: vec![latency(None, 5)],
        health: |measurement| measurement.health_mut(Source::Worker(0), "steady").clock_drift_us = 100_001,
        ..Case::default()
    };
    assert_verdict(
        &case.judge(|r| messages(r, STEADY, 1_000, 0, 50)),
        Status::Invalid,
        120,
        "this machine's clock changed",
    );
}

/// 100 connections are refused, and this machine's clock is set forward or back in a later phase.
#[test]
fn refusals_before_a_clock_step_forward_are_undecided() {
    let test = Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit: 0.9 };
    let connect = Rule {
        metric: Operation::Connect,
        test,
        expression: "rate(ok) > 90%".to_owned(),
        ..latency(Some(STEADY), 5)
    };
    let judged = |health: fn(&mut Measurement)| {
        Case { thresholds: vec![connect.clone()], health, ..Case::default() }.judge(|r| {
            messages(r, STEADY, 1_000, 0, 1);
            for _ in 0..100 {
                r.due(key(Operation::Connect, STEADY), 0);
                r.ended(key(Operation::Connect, STEADY), Outcome::Refused, 0, MS);
                r.error("connack_5", Culprit::Target, MS, || "m-1: CONNACK return code 5".to_owned());
            }
        })
    };
    let refused = "The hub refused 100 of 101 connection attempts";
    assert_verdict(&judged(|_| ()), Status::Fail, 99, refused);
    let back = judged(|m| m.add_clock_step(ClockStep { at_us: 1_000_000_000, by_us: -7_200_000_000 }));
    assert_verdict(&back, Status::Fail, 99, refused);
    let forward = judged(|m| m.add_clock_step(ClockStep { at_us: 1_000_000_000, by_us: 7_200_000_000 }));
    assert_verdict(&forward, Status::Invalid, 120, "rate(ok) > 90%");
    assert!(
        forward.verdict.reasons.iter().all(|reason| !reason.contains("The hub")),
        "{:?}",
        forward.verdict
    );
    let has_finding = |part: &str| forward.findings.iter().any(|finding| finding.text.contains(part));
    assert!(
        has_finding("This machine's wall clock was set")
            && has_finding("before this machine's clock was set forward")
    );
}

/// A stall begins at the end of a phase and lasts into the next phase.
#[test]
fn a_hub_stall_across_phases_is_undecided() {
    let judged = |health: fn(&mut Measurement)| {
        let case = Case { thresholds: vec![latency(Some(STEADY), 500)], health, ..Case::default() };
        case.judge(|r| messages(r, STEADY, 1_000, 0, 2_100)).verdict.status
    };
    assert_eq!(judged(|_| ()), Status::Fail);
    let stalled: fn(&mut Measurement) = |m| {
        let from_us = m.phases[usize::from(STEADY)].end_us - 100_000;
        m.add_stall(
            Source::Emulator(0),
            StallEntry { from_us, to_us: from_us + 2_100_000, stalled_us: 2_100_000 },
        );
    };
    assert_eq!(judged(stalled), Status::Invalid);
}

/// 100 cycles of a closed loop. Half of each cycle is delay caused by the load generator.
#[test]
fn counts_of_a_delayed_closed_loop_are_undecided() {
    let judged = |lag_ms: u64, limit: u64| {
        let test = Test::Count { outcome: Outcome::Ok, compare: Compare::Greater, limit };
        let count = Rule { test, expression: format!("count(ok) > {limit}"), ..latency(None, 500) };
        let case = Case { thresholds: vec![count], ..Case::default() };
        case.judge(|r| {
            for _ in 0..100 {
                let (telemetry, picked) = (key(Operation::Telemetry, STEADY), lag_ms * MS);
                r.closed_loop(telemetry, 0);
                r.due(telemetry, 0);
                r.ok(telemetry, &Times { due: 0, picked, sent: picked, acked: 10 * MS });
            }
        })
    };
    let undecided = judged(5, 150);
    assert_verdict(
        &undecided,
        Status::Invalid,
        120,
        "count(ok) > 150 is undecided: the value is between 100 and 200",
    );
    assert_eq!(undecided.thresholds[0].status, Some(ThresholdStatus::Undecided));
    assert_verdict(&judged(5, 250), Status::Fail, 99, "count(ok) > 250: 100");
    assert_verdict(&judged(0, 150), Status::Fail, 99, "count(ok) > 150: 100");
}

#[test]
fn fault_none_leaves_out_operations_under_a_fault() {
    let measurement = testing::measured(1, 3, |recorder: &mut Recorder| {
        messages(recorder, STEADY, 2_000, 0, 10);
        for _ in 0..100 {
            let key = key(Operation::Telemetry, STEADY);
            let times = Times { acked: 3_000 * MS, ..Times::default() };
            recorder.due(key, 0);
            recorder.ok(key, &times);
            recorder.ok_under_fault(key, &times);
        }
    });
    let covered = |without_faults| {
        let rule = Rule { without_faults, ..latency(None, 500) };
        let totals = sum_covered(&measurement, &rule, |_| true);
        (totals.due, totals.response.quantile(0.99).map(|us| us / 1_000))
    };
    assert_eq!(covered(true), (2_000, Some(10)));
    assert!(covered(false) > (2_000, Some(2_900)), "{:?}", covered(false));
}
