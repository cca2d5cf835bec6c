//! Whole runs against their rules: which verdict, for which reason.

use super::*;
use crate::measure::{ClockStep, Culprit, Health, Key, Limits, Recorder, Source, Times};
use crate::report::testing;
use crate::stalls::{StallEntry, Stalls};
use std::rc::Rc;
use std::time::Duration;

const MS: u64 = 1_000_000;
const WARM: u16 = 0;
const STEADY: u16 = 1;
const LATER: u16 = 2;
const PHASES: [&str; 3] = ["ramp", "steady", "later"];

fn key(operation: Operation, phase: u16) -> Key {
    Key { operation, fleet: 0, phase }
}

/// `count` messages of a phase with that lag and response, in milliseconds.
fn messages(recorder: &mut Recorder, phase: u16, count: u64, lag_ms: u64, response_ms: u64) {
    for _ in 0..count {
        let picked = lag_ms * MS;
        recorder.due(key(Operation::Telemetry, phase), 0);
        let times = Times { due: 0, picked, sent: picked, acked: response_ms * MS };
        recorder.ok(key(Operation::Telemetry, phase), &times);
    }
}

fn latency(phase: Option<u16>, limit_ms: u64) -> Rule {
    Rule {
        metric: Operation::Telemetry,
        phase: phase.map(|phase| PHASES[usize::from(phase)].to_owned()),
        fleet: None,
        expression: format!("p(99) < {limit_ms}ms"),
        test: Test::Percentile { quantile: 0.99, compare: Compare::Less, limit_us: limit_ms * 1_000 },
        abort_from_us: None,
    }
}

struct Case {
    thresholds: Vec<Rule>,
    validity: Limits,
    fleets: Vec<&'static str>,
    ended_by: EndedBy,
    breakdowns: Vec<String>,
    stalls_ms: Vec<(u64, u64)>,
    health: fn(&mut Measurement),
}

impl Default for Case {
    fn default() -> Case {
        Case {
            thresholds: Vec::new(),
            validity: Limits::default(),
            fleets: vec!["meter"],
            ended_by: EndedBy::Plan,
            breakdowns: Vec::new(),
            stalls_ms: Vec::new(),
            health: |_| (),
        }
    }
}

impl Case {
    /// Judges a run in which every fleet's first device connected, and `record` happened.
    fn judge(&self, record: impl FnOnce(&mut Recorder)) -> Judged {
        self.judge_unconnected(|recorder| {
            recorder.due(key(Operation::Connect, WARM), 0);
            recorder.ok(key(Operation::Connect, WARM), &Times::default());
            record(recorder);
        })
    }

    fn judge_unconnected(&self, record: impl FnOnce(&mut Recorder)) -> Judged {
        let zero = crate::clock::now();
        let stalls = Rc::new(Stalls::new(zero));
        let at = |ms| zero + Duration::from_millis(ms);
        self.stalls_ms.iter().for_each(|(from, to)| stalls.note(at(*from), at(*to)));
        let mut measurement = testing::measured_with_stalls(self.fleets.len(), 3, &stalls, record);
        let renamed = |name: &mut String, names: &[&str]| {
            let number = name.rsplit_once('-').and_then(|(_, number)| number.parse::<usize>().ok());
            *name = number.and_then(|number| names.get(number)).unwrap().to_string();
        };
        for part in &mut measurement.operations {
            renamed(&mut part.phase, &PHASES);
            renamed(&mut part.fleet, &self.fleets);
        }
        measurement.phases.iter_mut().for_each(|phase| renamed(&mut phase.name, &PHASES));
        measurement.phases[0].warmup = true;
        measurement.fleets.iter_mut().for_each(|fleet| renamed(&mut fleet.name, &self.fleets));
        measurement.health.iter_mut().for_each(|health| renamed(&mut health.phase, &PHASES));
        measurement.breakdowns.clone_from(&self.breakdowns);
        (self.health)(&mut measurement);
        let rules = Rules {
            thresholds: self.thresholds.clone(),
            validity: self.validity,
            shortest_timeout_us: 30_000_000,
            shortest_keep_alive_us: 0,
        };
        let (ended_by, emulator, target) = (self.ended_by, None, TargetFacts::default());
        judge(&Judge { measurement: &measurement, rules: &rules, ended_by, emulator, target })
    }
}

#[track_caller]
fn assert_verdict(judged: &Judged, status: Status, exit_code: u8, reason: &str) {
    let verdict = &judged.verdict;
    assert_eq!((verdict.status, verdict.exit_code), (status, exit_code), "{verdict:?}");
    assert!(verdict.reasons.iter().any(|r| r.contains(reason)), "{reason:?} in {:?}", verdict.reasons);
}

#[test]
fn a_good_run_passes() {
    let case = Case { thresholds: vec![latency(None, 50)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 20));
    assert_verdict(&judged, Status::Pass, 0, "All thresholds passed (2 of 2)");
    assert_eq!(judged.findings, []);
    let threshold = &judged.thresholds[0];
    assert_eq!((threshold.metric.as_str(), threshold.unit.as_str()), ("telemetry", "us"));
    assert!((threshold.margin.unwrap() - 0.6).abs() < 0.001, "{threshold:?}");
}

#[test]
fn a_crossed_threshold_fails_with_its_number() {
    let case = Case { thresholds: vec![latency(Some(STEADY), 20)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
    assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:steady} p(99) < 20ms: 30.0 ms");
}

#[test]
fn a_threshold_without_a_phase_adds_all_but_warm_ups() {
    let case = Case { thresholds: vec![latency(None, 100)], ..Case::default() };
    // 600 fast and 400 slow: p99 of the sum is slow, the mean of both p99 would be 105 ms.
    let record = |warm_ms: u64, slow_ms: u64| {
        case.judge(|r| {
            messages(r, WARM, 5_000, 1, warm_ms);
            messages(r, STEADY, 600, 1, 10);
            messages(r, LATER, 400, 1, slow_ms);
        })
    };
    let judged = record(5_000, 90);
    assert_verdict(&judged, Status::Pass, 0, "");
    assert_eq!(judged.thresholds[0].samples, 1_000, "the warm-up's are not among them");
    assert_eq!(judged.thresholds[0].observed_text, "90.0 ms");
    assert_verdict(&record(10, 200), Status::Fail, 99, "telemetry p(99) < 100ms: 200 ms");
}

#[test]
fn a_threshold_that_names_a_phase_covers_it_whatever_it_is() {
    let case = Case { thresholds: vec![latency(Some(WARM), 100)], ..Case::default() };
    let judged = case.judge(|r| {
        messages(r, WARM, 1_000, 1, 200);
        messages(r, STEADY, 5_000, 1, 10);
    });
    assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:ramp} p(99) < 100ms: 200 ms");
}

#[test]
fn a_threshold_that_names_a_fleet_covers_only_that() {
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
fn every_fleet_must_have_connected() {
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
fn when_nothing_connects_the_cause_comes_first() {
    let error = |r: &mut Recorder, class| r.error(class, Culprit::Peer, 0, || "port 1 is closed".to_owned());
    let never = Case::default().judge_unconnected(|r| {
        error(r, "tls");
        error(r, "tcp_refused");
        error(r, "tcp_refused");
    });
    assert_eq!(
        never.verdict.reasons,
        [
            "No device ever connected: tcp_refused 2 times, e.g. port 1 is closed",
            "connect{fleet:meter} count(ok) >= 1: no data"
        ]
    );
    let some = Case { thresholds: vec![latency(None, 1)], ..Case::default() }.judge(|r| error(r, "tls"));
    assert!(!some.verdict.reasons[0].contains("ever connected"), "{some:?}");
}

#[test]
fn a_late_generator_does_not_fail_the_hub() {
    // The limit lies between what the hub took by itself and what was measured.
    let case = Case { thresholds: vec![latency(None, 30)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 34, 50));
    let expected = "telemetry p(99) < 30ms lies between 16.0 ms and 50.0 ms: \
                    the load generator delayed 1,000 operations by up to 34.0 ms";
    assert_verdict(&judged, Status::Invalid, 120, expected);
    assert_eq!(judged.thresholds[0].status, Some(ThresholdStatus::Undecided));
    let codes: Vec<_> = judged.verdict.details.iter().map(|detail| detail.code.as_str()).collect();
    assert_eq!(codes, ["threshold_undecided", "late_start"]);
}

#[test]
fn a_decisive_fail_stands_however_late_the_generator_was() {
    let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 34, 50));
    assert_verdict(&judged, Status::Fail, 99, "telemetry p(99) < 5ms: 50.0 ms");
    assert!(
        judged.verdict.reasons.iter().any(|reason| reason.contains("more than 5.00 ms late")),
        "{judged:?}"
    );
}

#[test]
fn a_fail_nearer_than_the_resolution_is_invalid() {
    let case = Case { thresholds: vec![latency(None, 20)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 25));
    let expected =
        "telemetry p(99) < 20ms: 25.0 ms is nearer to the limit than this load generator can tell (7.00 ms)";
    assert_verdict(&judged, Status::Invalid, 120, expected);
}

#[test]
fn one_short_stall_does_not_spoil_a_run() {
    let case =
        Case { thresholds: vec![latency(None, 500)], stalls_ms: vec![(5_000, 5_060)], ..Case::default() };
    let judged = case.judge(|r| {
        messages(r, STEADY, 10_000, 0, 20);
        messages(r, STEADY, 60, 60, 80);
    });
    assert_verdict(&judged, Status::Pass, 0, "All thresholds passed");
    let stall = &judged.findings[0];
    assert!(stall.text.starts_with("The load generator stalled: "), "{stall:?}");
    assert_eq!(stall.evidence, "longest 60.0 ms at 0:05.0, 60.0 ms in all");
}

#[test]
fn late_starts_block_a_pass_and_a_starved_hub_is_not_blamed() {
    let late = |late: u64| {
        Case { thresholds: vec![latency(None, 500)], ..Case::default() }.judge(move |r| {
            messages(r, STEADY, 2_000 - late, 1, 20);
            messages(r, STEADY, late, 101, 150);
        })
    };
    assert_verdict(&late(2), Status::Pass, 0, "");
    let expected = "Phase steady: the load generator started 3 of 2,000 telemetry operations (0.15%) more than 100 ms late";
    assert_verdict(&late(3), Status::Invalid, 120, expected);
    // A stricter limit wants earlier starts.
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
    assert_verdict(&judged, Status::Invalid, 120, "the built-in hub stalled for 2.00 s in all");
}

/// What a device takes for an answer is not lag, and the lateness of its timer is.
#[test]
fn late_answers_and_calls_block_a_pass_too() {
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
fn a_late_warm_up_is_a_finding_unless_a_latency_threshold_names_it() {
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

/// A thousand devices that are due at one instant are late, and the plan's author knows it, unless a threshold reads it.
#[test]
fn late_connects_matter_only_where_a_latency_threshold_reads_them() {
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
    let nobody = Case { thresholds: vec![latency(None, 500)], ..Case::default() };
    for phase in [WARM, STEADY] {
        assert_verdict(&nobody.judge(record(phase)), Status::Pass, 0, "");
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
fn messages_that_the_generator_let_expire_block_a_pass() {
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
    let expected =
        "Phase steady: the load generator did not send 21 of 1,000 due telemetry operations (2.1%)";
    assert_verdict(&expired(21), Status::Invalid, 120, expected);
}

#[test]
fn a_closed_loop_that_the_generator_slowed_blocks_a_pass() {
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
    let expected = "the load generator's own delay was 19.99% of the response and think time of the closed loop telemetry; at most 2% is allowed";
    assert_verdict(&judged(2, 0), Status::Invalid, 120, expected);
}

#[test]
fn advice_says_what_to_change() {
    let late = |health: fn(&mut Measurement)| {
        Case { health, ..Case::default() }.judge(|r| messages(r, STEADY, 100, 150, 200))
    };
    let quiet = late(|m| {
        m.health.insert(0, Health { busy_share: Some(0.15), ..Health::new(Source::Worker(0), "steady") })
    });
    assert_verdict(
        &quiet,
        Status::Invalid,
        120,
        "worker-0 was busy for at most 15% of the time: it was stopped, or other programs used",
    );
    let full = late(|m| {
        m.health.push(Health { busy_share: Some(0.98), ..Health::new(Source::Worker(1), "steady") })
    });
    assert_verdict(
        &full,
        Status::Invalid,
        120,
        "worker-1 was busy for up to 98% of the time. Reduce the load",
    );
}

#[test]
fn shortages_and_breakdowns_are_invalid() {
    let short = Case {
        health: |measurement| measurement.health_mut(Source::Worker(0), "steady").environment_errors = 2,
        ..Case::default()
    };
    let judged = short.judge(|r| r.error("fd_limit", Culprit::Us, 0, || "too many open files".to_owned()));
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
fn a_clock_that_was_changed_decides_no_latency() {
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

/// A hundred refused connections, and a step of this machine's clock in a later phase.
#[test]
fn refusals_before_a_step_forward_are_undecided() {
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
                r.error("connack_5", Culprit::Peer, MS, || "m-1: CONNACK return code 5".to_owned());
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
    let told = |part: &str| forward.findings.iter().any(|finding| finding.text.contains(part));
    assert!(told("This machine's wall clock was set") && told("before this machine's clock was set forward"));
}

#[test]
fn limits_of_validity_can_be_changed() {
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

#[test]
fn the_cause_of_a_fail_comes_first() {
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
            r.error("tcp_refused", Culprit::Peer, 19_700 * MS + n, || "port 8883".to_owned());
        }
    });
    assert_eq!(code, "hub_unreachable");
    assert_eq!(text, "The hub became unreachable at 0:19.7: 982 connection attempts were refused");
    let (code, text) = first(&|r| {
        for _ in 0..50 {
            r.error("closed_by_peer", Culprit::Peer, 7_000 * MS, || "m-1".to_owned());
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
            r.error("ping_timeout", Culprit::Peer, 6_000 * MS, || "m-1: no PINGRESP in time".to_owned());
        }
    });
    assert_eq!(
        (code.as_str(), text.as_str()),
        (
            "hub_silent",
            "The hub stopped answering on 50 connections, the first at 0:06.0: m-1: no PINGRESP in time"
        )
    );
    let (code, _) = first(&|r| r.error("closed_by_peer", Culprit::Peer, 0, String::new));
    assert_eq!(code, "threshold_failed", "one of a hundred connections is no cause");
}

/// A hub restarts: 23 connections are closed, and then 30 attempts are reset, 4 closed.
#[test]
fn ended_attempts_are_not_called_connections() {
    let cause = |closed: u64, reset: u64| {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            r.online(0, 23);
            for _ in 0..closed {
                r.error("closed_by_peer", Culprit::Peer, 7_000 * MS, || "m-1".to_owned());
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
fn excused_timeouts_are_told_beside_the_missing_acks() {
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
    let told = "The hub did not acknowledge 570 of 1,800 messages in time. 230 more timed out, but a delay of the load generator may be the \
                cause";
    assert_eq!(cause(230), told);
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
        let told = if ended_by == EndedBy::Unreachable { details.first() } else { details.last() };
        assert_eq!(told.unwrap().code, code);
        assert_eq!(judged.verdict.details.len(), judged.verdict.reasons.len());
    }
}

/// The hub closed what it had heard nothing from: the load generator's stall is the cause, and no sentence about the hub.
#[test]
fn no_cause_is_named_where_most_failures_are_excused() {
    let first = |is_excused: bool| {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 0, 50);
            for _ in 0..50 {
                r.error("closed_by_peer", Culprit::Peer, 7_000 * MS, || "m-1".to_owned());
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

/// What was due at the end of a phase meets a stall that began there and lasts into the next.
#[test]
fn a_hub_that_stalls_across_phases_is_not_slow() {
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

#[test]
fn a_stalled_built_in_hub_is_not_an_unreachable_one() {
    let stalled: fn(&mut Measurement) = |m| {
        let stall = StallEntry { from_us: 61_000_000, to_us: 65_000_000, stalled_us: 4_000_000 };
        m.add_stall(Source::Emulator(0), stall);
    };
    for (health, status, exit_code) in
        [(stalled, Status::Invalid, 120), (|_: &mut Measurement| (), Status::Fail, 99)]
    {
        let case = Case { ended_by: EndedBy::Unreachable, health, ..Case::default() };
        let judged = case.judge(|r| r.error("tcp_refused", Culprit::Peer, 0, String::new));
        assert_verdict(&judged, status, exit_code, "every device was offline");
    }
}

/// 100 cycles of a closed loop, half of whose time was the load generator's.
#[test]
fn counts_of_a_slowed_closed_loop_are_undecided() {
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
    assert_verdict(&undecided, Status::Invalid, 120, "count(ok) > 150 lies between 100 and 200");
    assert_eq!(undecided.thresholds[0].status, Some(ThresholdStatus::Undecided));
    assert_verdict(&judged(5, 250), Status::Fail, 99, "count(ok) > 250: 100");
    assert_verdict(&judged(0, 150), Status::Fail, 99, "count(ok) > 150: 100");
}

#[test]
fn an_interrupted_run_keeps_its_verdict_and_exits_105() {
    let case = Case { ended_by: EndedBy::Interrupt, thresholds: vec![latency(None, 5)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
    assert_verdict(&judged, Status::Fail, 105, "The run was interrupted");
    assert_verdict(&judged, Status::Fail, 105, "p(99) < 5ms: 30.0 ms");
}

#[test]
fn a_run_interrupted_before_its_first_attempt_measured_nothing() {
    let judged = |ended_by: EndedBy, attempts: u64| {
        let case = Case { ended_by, thresholds: vec![latency(None, 5)], ..Case::default() };
        case.judge_unconnected(|r| {
            for _ in 0..attempts {
                r.due(key(Operation::Connect, WARM), 0);
                r.ended(key(Operation::Connect, WARM), Outcome::Unfinished, 0, MS);
            }
        })
    };
    let at_once = judged(EndedBy::Interrupt, 0);
    assert_eq!((at_once.verdict.status, at_once.verdict.exit_code), (Status::Invalid, 105));
    let told = "The run was interrupted before the first connection attempt: nothing was measured";
    assert_eq!(at_once.verdict.reasons, [told]);
    assert_eq!(at_once.verdict.details[0].code, "interrupted");
    let waiting = judged(EndedBy::Interrupt, 2);
    let told = "No device ever connected: 2 attempts still waited for an answer when the run ended";
    assert_verdict(&waiting, Status::Fail, 105, told);
    let to_its_end = judged(EndedBy::Plan, 0);
    let told = "No device ever connected: no connection attempt was due";
    assert_verdict(&to_its_end, Status::Fail, 99, told);
}

#[test]
fn findings_of_the_measurement_come_along() {
    let judged = Case::default().judge(|r| r.error("connack_5", Culprit::Peer, 0, String::new));
    assert!(judged.findings.iter().any(|finding| finding.text.contains("code 5")));
}

/// A run with these errors of this machine, in which 46 operations failed because of them. The machine was idle and a little late.
fn with_own_errors(class: &'static str, operation: Operation) -> Judged {
    let rate = Rule {
        metric: operation,
        phase: None,
        fleet: None,
        expression: "rate(ok) > 99%".to_owned(),
        test: Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit: 0.99 },
        abort_from_us: None,
    };
    let health: fn(&mut Measurement) = |measurement| {
        for source in [Source::Worker(0), Source::Service, Source::Emulator(0)] {
            let health = measurement.health_mut(source, "steady");
            (health.busy_share, health.stall_us) = (Some(0.04), 148_000);
        }
        measurement.health_mut(Source::Worker(0), "steady").environment_errors = 46;
    };
    let case = Case { thresholds: vec![rate], health, ..Case::default() };
    case.judge(|r| {
        for _ in 0..46 {
            r.due(key(operation, STEADY), 0);
            r.ended_excused(key(operation, STEADY), Outcome::Lost, 0, MS);
            r.error(class, Culprit::Us, 60_000 * MS, || "the example".to_owned());
        }
    })
}

#[test]
fn an_undecided_rate_names_the_errors_that_excuse_it() {
    let judged = with_own_errors("call_payload", Operation::ServiceDesired);
    assert_eq!(
        judged.verdict.reasons[0],
        "service.desired rate(ok) > 99% lies between 0% and 100%: this machine may have caused 46 failures (call_payload)"
    );
}

#[test]
fn the_last_reason_fixes_what_excused_the_failures() {
    for (class, operation, fix) in [
        ("call_payload", Operation::ServiceDesired, "Correct payload in [[drive]]"),
        ("clock_step", Operation::Telemetry, "Synchronize this machine's clock"),
        ("fd_limit", Operation::Telemetry, "ulimit -n"),
        ("ports_exhausted", Operation::Connect, "Set source_ips"),
        ("source_address", Operation::Connect, "Correct source_ips"),
        ("no_memory", Operation::Connect, "more memory"),
        ("encode", Operation::Telemetry, "report it"),
    ] {
        let judged = with_own_errors(class, operation);
        let last = judged.verdict.details.last().unwrap();
        assert_eq!((judged.verdict.status, last.code.as_str()), (Status::Invalid, "advice"), "{class}");
        assert!(last.text.contains(fix), "{class}: {}", last.text);
        assert!(!last.text.contains("busy") && !last.text.contains("idle"), "{class}: {}", last.text);
    }
}

#[test]
fn delays_beside_own_errors_have_their_advice_too() {
    let health: fn(&mut Measurement) = |measurement| {
        let health = measurement.health_mut(Source::Worker(0), "steady");
        (health.busy_share, health.environment_errors) = (Some(0.04), 1);
    };
    let judged = Case { health, ..Case::default() }.judge(|r| {
        messages(r, STEADY, 1_000, 900, 950);
        r.error("fd_limit", Culprit::Us, 60_000 * MS, String::new);
    });
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.contains("ulimit -n") && last.contains("when the machine is idle"), "{last}");
}

#[test]
fn a_latency_at_its_limit_is_not_blamed_on_a_busy_machine() {
    let case = Case { thresholds: vec![latency(None, 50)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 53));
    assert_verdict(&judged, Status::Invalid, 120, "nearer to the limit");
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.contains("hubstorm measures to 7.00 ms") && !last.contains("busy"), "{last}");
}

/// Set back and forth, with no failure and no delay in it.
#[test]
fn a_changed_clock_is_named_as_the_cause() {
    let health: fn(&mut Measurement) = |measurement| {
        let health = measurement.health_mut(Source::Worker(0), "steady");
        (health.busy_share, health.clock_drift_us) = (Some(0.04), 7_200_000_000);
    };
    let case = Case { thresholds: vec![latency(None, 5)], health, ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 50));
    assert_verdict(&judged, Status::Invalid, 120, "this machine's clock changed");
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.starts_with("Synchronize") && !last.contains("busy"), "{last}");
}
