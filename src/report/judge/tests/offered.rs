//! Shortfalls in the offered load that prevent a pass.

use super::{Case, LATER, MS, STEADY, WARM, assert_verdict, key, latency, messages};
use crate::measure::{Compare, Limits, Operation, Outcome, Recorder, Rule, Source, Test, Times};
use crate::result::model::{Severity, Status};
use crate::stalls::StallEntry;

#[test]
fn late_starts_and_hub_stalls_prevent_a_pass() {
    let late = |late: u64| {
        Case { thresholds: vec![latency(None, 500)], ..Case::default() }.judge(move |r| {
            messages(r, STEADY, 2_000 - late, 1, 20);
            messages(r, STEADY, late, 101, 150);
        })
    };
    assert_verdict(&late(2), Status::Pass, 0, "");
    let expected = "Phase steady: the load generator started 3 of 2,000 telemetry operations (0.15%) more than 100 ms late";
    assert_verdict(&late(3), Status::Invalid, 120, expected);
    // A stricter limit requires earlier starts.
    let strict = Case { thresholds: vec![latency(Some(STEADY), 50)], ..Case::default() };
    let judged = strict.judge(|r| {
        messages(r, STEADY, 1_990, 1, 20);
        messages(r, STEADY, 10, 51, 52);
    });
    assert_verdict(&judged, Status::Invalid, 120, "more than 50.0 ms late");
    let hub = Case {
        thresholds: vec![latency(None, 500)],
        health: |measurement| {
            measurement.add_stall(
                Source::Emulator(0),
                StallEntry { from_us: 61_000_000, to_us: 63_000_000, stalled_us: 2_000_000 },
            );
        },
        ..Case::default()
    };
    let judged = hub.judge(|r| messages(r, STEADY, 1_000, 0, 1_900));
    assert_verdict(&judged, Status::Invalid, 120, "the built-in hub stalled for 2.00 s in total");
}

/// The time that a device takes to answer is not lag; the delay of a late timer is.
#[test]
fn late_method_answers_and_calls_prevent_a_pass() {
    let late = |operation, lag_ms: u64, takes_ms: u64| {
        Case::default().judge(|r| {
            let method = key(operation, STEADY);
            for _ in 0..1_000 {
                let (picked, sent) = (lag_ms * MS, (lag_ms + takes_ms) * MS);
                r.due(method, 0);
                r.ok(method, &Times { due: 0, picked, sent, acked: sent });
            }
        })
    };
    for operation in [Operation::Method, Operation::ServiceMethod, Operation::ServiceC2d] {
        assert_verdict(&late(operation, 90, 2_000), Status::Pass, 0, "");
        let expected =
            format!("Phase steady: the load generator started 1,000 of 1,000 {operation} operations (100%)");
        assert_verdict(&late(operation, 134, 6), Status::Invalid, 120, &expected);
    }
}

#[test]
fn late_warm_up_matters_only_with_a_latency_threshold() {
    let record = |r: &mut Recorder| {
        messages(r, WARM, 1_000, 134, 140);
        messages(r, STEADY, 1_000, 1, 20);
    };
    let judged = Case::default().judge(record);
    assert_verdict(&judged, Status::Pass, 0, "");
    assert!(judged.findings[0].text.starts_with("Phase ramp: the load generator started"));
    assert_eq!(judged.findings[0].severity, Severity::Warning);

    let count = Rule {
        test: Test::Count { outcome: Outcome::Lost, compare: Compare::Equal, limit: 0 },
        ..latency(Some(WARM), 1_000)
    };
    let counting = Case { thresholds: vec![count], ..Case::default() };
    assert_verdict(&counting.judge(record), Status::Pass, 0, "");
    let timing = Case { thresholds: vec![latency(Some(WARM), 1_000)], ..Case::default() };
    assert_verdict(&timing.judge(record), Status::Invalid, 120, "Phase ramp");
}

/// A plan may let a thousand devices connect at the same time. Their lag matters only if a threshold tests a
/// connect latency.
#[test]
fn late_connects_matter_only_with_a_latency_threshold() {
    let record = |phase: u16| {
        move |r: &mut Recorder| {
            let connect = key(Operation::Connect, phase);
            for _ in 0..1_000 {
                r.due(connect, 0);
                r.ok(connect, &Times { due: 0, picked: 134 * MS, sent: 134 * MS, acked: 140 * MS });
                r.duration(key(Operation::ConnectTls, phase), MS, MS);
            }
            messages(r, STEADY, 1_000, 1, 20);
        }
    };
    let no_connect_threshold = Case { thresholds: vec![latency(None, 500)], ..Case::default() };
    for phase in [WARM, STEADY] {
        assert_verdict(&no_connect_threshold.judge(record(phase)), Status::Pass, 0, "");
    }
    use Operation::{Connect, ConnectTls};
    for (metric, read, happened, status) in [
        (Connect, Some(WARM), WARM, Status::Invalid),
        (Connect, None, STEADY, Status::Invalid),
        (ConnectTls, Some(STEADY), STEADY, Status::Invalid),
        (Connect, None, WARM, Status::Fail),
        (Connect, Some(LATER), STEADY, Status::Fail),
        (Operation::Telemetry, Some(STEADY), STEADY, Status::Pass),
    ] {
        let reads = Rule { metric, ..latency(read, 500) };
        let judged = Case { thresholds: vec![reads], ..Case::default() }.judge(record(happened));
        assert_eq!(judged.verdict.status, status, "{metric} {read:?} {happened}: {:?}", judged.verdict);
    }
    let rate = Rule {
        metric: Connect,
        test: Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit: 0.5 },
        ..latency(Some(STEADY), 500)
    };
    let rate = Case { thresholds: vec![rate], ..Case::default() };
    assert_verdict(&rate.judge(record(STEADY)), Status::Pass, 0, "");
}

#[test]
fn messages_expired_in_a_stall_prevent_a_pass() {
    let expired = |count: u64| {
        let case = Case { stalls_ms: vec![(1_000, 3_000)], ..Case::default() };
        case.judge(move |r| {
            messages(r, STEADY, 1_000 - count, 1, 20);
            for _ in 0..count {
                r.due(key(Operation::Telemetry, STEADY), 1_500 * MS);
                r.ended(key(Operation::Telemetry, STEADY), Outcome::Expired, 1_500 * MS, 3_000 * MS);
            }
        })
    };
    assert_verdict(&expired(20), Status::Pass, 0, "");
    let expected = "Phase steady: the load generator failed to send 21 of the 1,000 telemetry operations that were due (2.1%; the limit is 2%)";
    assert_verdict(&expired(21), Status::Invalid, 120, expected);
}

#[test]
fn a_delayed_closed_loop_prevents_a_pass() {
    let judged = |lag_ms: u64, think_ms: u64| {
        Case::default().judge(|r| {
            for _ in 0..100 {
                let telemetry = key(Operation::Telemetry, STEADY);
                r.closed_loop(telemetry, think_ms * MS);
                r.due(telemetry, 0);
                let picked = lag_ms * MS;
                r.ok(telemetry, &Times { due: 0, picked, sent: picked, acked: 10 * MS });
            }
        })
    };
    assert_verdict(&judged(2, 100), Status::Pass, 0, "");
    let expected = "the load generator's own delay was 19.99% of the response and think time in the closed loop telemetry; the limit is 2%";
    assert_verdict(&judged(2, 0), Status::Invalid, 120, expected);
}

#[test]
fn validity_limits_can_be_changed() {
    let validity = Limits { late_after_us: 1_000_000, late_share: 0.5, ..Limits::default() };
    let case = Case { validity, ..Case::default() };
    assert_verdict(&case.judge(|r| messages(r, STEADY, 1_000, 900, 950)), Status::Pass, 0, "");
    assert_verdict(
        &Case::default().judge(|r| messages(r, STEADY, 1_000, 900, 950)),
        Status::Invalid,
        120,
        "",
    );
}
