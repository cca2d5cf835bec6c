//! The cause of a failed run, which comes first.

use super::{Case, MS, STEADY, key, latency, messages};
use crate::measure::{Culprit, Operation, Outcome, Recorder};
use crate::result::model::Status;

#[test]
fn a_run_without_a_connection_names_its_error_first() {
    let error =
        |r: &mut Recorder, class| r.error(class, Culprit::Target, 0, || "port 1 is closed".to_owned());
    let never = Case::default().judge_unconnected(|r| {
        error(r, "tls");
        error(r, "tcp_refused");
        error(r, "tcp_refused");
    });
    assert_eq!(
        never.verdict.reasons,
        [
            "No device ever connected: 2 errors of class tcp_refused, e.g. port 1 is closed",
            "connect{fleet:meter} count(ok) >= 1: no data"
        ]
    );
    let some = Case { thresholds: vec![latency(None, 1)], ..Case::default() }.judge(|r| error(r, "tls"));
    assert!(!some.verdict.reasons[0].contains("ever connected"), "{some:?}");
}

#[test]
fn the_cause_of_a_failed_run_comes_first() {
    let failing = || Case { thresholds: vec![latency(None, 5)], ..Case::default() };
    let first = |record: &dyn Fn(&mut Recorder)| {
        let judged = failing().judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            r.online(0, 100);
            record(r);
        });
        assert_eq!(judged.verdict.status, Status::Fail);
        (judged.verdict.details[0].code.clone(), judged.verdict.reasons[0].clone())
    };
    let (code, text) = first(&|r| {
        for n in 0..982 {
            r.error("tcp_refused", Culprit::Target, 19_700 * MS + n, || "port 8883".to_owned());
        }
    });
    assert_eq!(code, "hub_unreachable");
    assert_eq!(text, "The hub became unreachable at 0:19.7: 982 connection attempts were refused");
    let (code, text) = first(&|r| {
        for _ in 0..50 {
            r.error("closed_by_peer", Culprit::Target, 7_000 * MS, || "m-1".to_owned());
        }
    });
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("connections_closed", "The hub closed 50 connections, the first at 0:07.0: m-1")
    );
    let (_, text) = first(&|r| {
        for _ in 0..50 {
            r.error("reset", Culprit::Network, 7_000 * MS, || "m-1".to_owned());
        }
    });
    assert_eq!(text, "50 connections were reset, the first at 0:07.0: m-1");
    let (code, text) = first(&|r| {
        for _ in 0..50 {
            r.error("ping_timeout", Culprit::Target, 6_000 * MS, || "m-1: no PINGRESP in time".to_owned());
        }
    });
    assert_eq!(
        (code.as_str(), text.as_str()),
        (
            "hub_silent",
            "The hub stopped responding on 50 connections, the first at 0:06.0: m-1: no PINGRESP in time"
        )
    );
    let (code, _) = first(&|r| r.error("closed_by_peer", Culprit::Target, 0, String::new));
    assert_eq!(code, "threshold_failed", "one of 100 connections is not a cause");
}

/// The hub restarts and closes 23 connections. Of the connection attempts, 30 are reset and 4 are closed.
#[test]
fn connection_attempts_are_not_called_connections() {
    let cause = |closed: u64, reset: u64| {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            r.online(0, 23);
            for _ in 0..closed {
                r.error("closed_by_peer", Culprit::Target, 7_000 * MS, || "m-1".to_owned());
            }
            for _ in 0..reset {
                r.error("reset", Culprit::Network, 8_000 * MS, || "m-2".to_owned());
            }
            (r.counts(0).closed_before_connack, r.counts(0).reset_before_connack) = (4, reset);
        });
        judged.verdict.reasons[0].clone()
    };
    assert_eq!(
        cause(27, 7),
        "The hub closed 23 connections and 4 connection attempts, the first at 0:07.0: m-1"
    );
    assert_eq!(cause(27, 30), "30 connection attempts were reset, the first at 0:08.0: m-2");
}

#[test]
fn excused_timeouts_are_counted_apart_from_missing_acks() {
    let cause = |excused: u64| {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            for n in 0..800 {
                let telemetry = key(Operation::Telemetry, STEADY);
                r.due(telemetry, 0);
                match n < excused {
                    true => r.ended_excused(telemetry, Outcome::TimedOut, 0, MS),
                    false => r.ended(telemetry, Outcome::TimedOut, 0, MS),
                }
            }
        });
        judged.verdict.reasons[0].clone()
    };
    assert_eq!(cause(0), "The hub did not acknowledge 800 of 1,800 messages in time");
    let expected = "The hub did not acknowledge 570 of 1,800 messages in time. 230 more timed out, but a delay of the load generator may be the \
                cause";
    assert_eq!(cause(230), expected);
}

/// The hub closed silent connections because the load generator stalled. The cause must not name the hub.
#[test]
fn no_cause_is_named_if_most_failures_are_excused() {
    let first = |is_excused: bool| {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            for _ in 0..50 {
                r.error("closed_by_peer", Culprit::Target, 7_000 * MS, || "m-1".to_owned());
                let telemetry = key(Operation::Telemetry, STEADY);
                r.due(telemetry, 0);
                match is_excused {
                    true => r.ended_excused(telemetry, Outcome::Lost, 0, MS),
                    false => r.ended(telemetry, Outcome::Lost, 0, MS),
                }
            }
        });
        judged.verdict.details[0].code.clone()
    };
    assert_eq!((first(true).as_str(), first(false).as_str()), ("threshold_failed", "connections_closed"));
}
