//! The verdicts and reasons of whole runs.

mod advice;
mod causes;
mod endings;
mod offered;
mod thresholds;

use super::*;
use crate::measure::{Key, Limits, Recorder, Times};
use crate::report::testing;
use crate::stalls::Stalls;
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

/// Records `count` messages in a phase with this lag and response time, in milliseconds.
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
        without_faults: false,
        abort_from_us: None,
        line: None,
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
    /// Judges a run in which a device in the first fleet connected, followed by the events that `record`
    /// adds.
    fn judge(&self, record: impl FnOnce(&mut Recorder)) -> Judgment {
        self.judge_unconnected(|recorder| {
            recorder.due(key(Operation::Connect, WARM), 0);
            recorder.ok(key(Operation::Connect, WARM), &Times::default());
            record(recorder);
        })
    }

    fn judge_unconnected(&self, record: impl FnOnce(&mut Recorder)) -> Judgment {
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
            thresholds_from: None,
            validity: self.validity,
            shortest_timeout_us: 30_000_000,
            shortest_keep_alive_us: 0,
        };
        let (ended_by, emulator, target) = (self.ended_by, None, TargetFacts::default());
        judge(&JudgeInput {
            measurement: &measurement,
            rules: &rules,
            ended_by,
            recovery: None,
            emulator,
            target,
            limits: &[],
        })
    }
}

#[track_caller]
fn assert_verdict(judged: &Judgment, status: Status, exit_code: u8, reason: &str) {
    let verdict = &judged.verdict;
    assert_eq!((verdict.status, verdict.exit_code), (status, exit_code), "{verdict:?}");
    assert!(verdict.reasons.iter().any(|r| r.contains(reason)), "{reason:?} in {:?}", verdict.reasons);
}
