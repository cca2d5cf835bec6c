//! Runs that ended early, were interrupted, or broke down.

use super::{Case, MS, STEADY, WARM, assert_verdict, key, latency, messages};
use crate::measure::{Culprit, Measurement, Operation, Outcome, Source};
use crate::result::model::{EndedBy, Status};
use crate::stalls::StallEntry;

#[test]
fn local_failures_and_breakdowns_are_invalid() {
    let short = Case {
        health: |measurement| measurement.health_mut(Source::Worker(0), "steady").environment_errors = 2,
        ..Case::default()
    };
    let judged =
        short.judge(|r| r.error("fd_limit", Culprit::Generator, 0, || "too many open files".to_owned()));
    let expected = "Phase steady: 2 operations failed on this machine (fd_limit, e.g. too many open files)";
    assert_verdict(&judged, Status::Invalid, 120, expected);
    let broken = Case {
        breakdowns: vec!["worker 1 ended unexpectedly".to_owned()],
        thresholds: vec![latency(None, 5)],
        ended_by: EndedBy::Breakdown,
        ..Case::default()
    };
    let judged = broken.judge(|r| messages(r, STEADY, 1_000, 0, 50));
    assert_verdict(&judged, Status::Invalid, 120, "worker 1 ended unexpectedly");
    assert_eq!(judged.verdict.details[0].code, "breakdown");
}

#[test]
fn a_run_that_ended_early_says_why() {
    for (ended_by, code, exit_code) in [
        (EndedBy::Interrupt, "interrupted", 105),
        (EndedBy::Abort, "aborted", 99),
        (EndedBy::Unreachable, "unreachable", 99),
    ] {
        let case = Case { ended_by, thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 50));
        assert_eq!(judged.verdict.exit_code, exit_code, "{ended_by:?}");
        let details = &judged.verdict.details;
        let detail = if ended_by == EndedBy::Unreachable { details.first() } else { details.last() };
        assert_eq!(detail.unwrap().code, code);
        assert_eq!(judged.verdict.details.len(), judged.verdict.reasons.len());
    }
}

#[test]
fn a_stalled_built_in_hub_is_not_unreachable() {
    let stalled: fn(&mut Measurement) = |m| {
        let stall = StallEntry { from_us: 61_000_000, to_us: 65_000_000, stalled_us: 4_000_000 };
        m.add_stall(Source::Emulator(0), stall);
    };
    for (health, status, exit_code) in
        [(stalled, Status::Invalid, 120), (|_: &mut Measurement| (), Status::Fail, 99)]
    {
        let case = Case { ended_by: EndedBy::Unreachable, health, ..Case::default() };
        let judged = case.judge(|r| r.error("tcp_refused", Culprit::Target, 0, String::new));
        assert_verdict(&judged, status, exit_code, "every device was offline");
    }
}

#[test]
fn an_interrupted_run_keeps_its_verdict_and_exits_105() {
    let case = Case { ended_by: EndedBy::Interrupt, thresholds: vec![latency(None, 5)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
    assert_verdict(&judged, Status::Fail, 105, "The run was interrupted");
    assert_verdict(&judged, Status::Fail, 105, "p(99) < 5ms: 30.0 ms");
}

#[test]
fn an_interrupt_before_the_first_attempt_is_invalid() {
    let judged = |ended_by: EndedBy, attempts: u64| {
        let case = Case { ended_by, thresholds: vec![latency(None, 5)], ..Case::default() };
        case.judge_unconnected(|r| {
            for _ in 0..attempts {
                r.due(key(Operation::Connect, WARM), 0);
                r.ended(key(Operation::Connect, WARM), Outcome::Unfinished, 0, MS);
            }
        })
    };
    let before = judged(EndedBy::Interrupt, 0);
    assert_eq!((before.verdict.status, before.verdict.exit_code), (Status::Invalid, 105));
    let expected = "The run was interrupted before the first connection attempt: nothing was measured";
    assert_eq!(before.verdict.reasons, [expected]);
    assert_eq!(before.verdict.details[0].code, "interrupted");
    let waiting = judged(EndedBy::Interrupt, 2);
    let expected = "No device ever connected: 2 connection attempts remained unanswered until the run ended";
    assert_verdict(&waiting, Status::Fail, 105, expected);
    let completed = judged(EndedBy::Plan, 0);
    let expected = "No device ever connected: no connection attempt was due";
    assert_verdict(&completed, Status::Fail, 99, expected);
}

#[test]
fn findings_of_the_measurement_are_included() {
    let judged = Case::default().judge(|r| r.error("connack_5", Culprit::Target, 0, String::new));
    assert!(judged.findings.iter().any(|finding| finding.text.contains("code 5")));
}
