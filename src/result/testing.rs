//! A small result with at least one entry of every kind, for tests of this room and of `report`.

use super::model::*;
use crate::measure::{
    Collector, Culprit, Fleet, Key, Latency, Layout, Measurement, Operation, Outcome, Phase, Recorder, Rules,
    Source, Times,
};
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// The measurement of a short run, with at least one entry of every kind.
pub(super) fn measurement() -> Measurement {
    let layout = Layout::new(1, 2, Duration::from_secs(60));
    let fleet = Fleet { name: "meter".to_owned(), devices: 7, ..Fleet::default() };
    let phase = |name: &str, warmup, start_us, end_us| Phase {
        name: name.to_owned(),
        warmup,
        start_us,
        end_us,
        planned_online: [0.0, 1.0],
        planned_load: [1.0, 1.0],
        ..Phase::default()
    };
    let phases = vec![phase("ramp", true, 0, 1_000_000), phase("steady", false, 1_000_000, 3_000_000)];
    let zero = crate::clock::now();
    let stalls = Rc::new(Stalls::new(zero));
    let mut recorder = Recorder::new(layout, stalls.clone());
    let mut collector = Collector::new(layout, vec![fleet], phases);
    let connect = Key { operation: Operation::Connect, fleet: 0, phase: 0 };
    let telemetry = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };
    recorder.due(connect, 0);
    recorder.ok(connect, &Times { due: 0, picked: MS, sent: MS, acked: 30 * MS });
    recorder.duration(Key { operation: Operation::ConnectTls, ..connect }, 30 * MS, 12 * MS);
    recorder.online(0, 1);
    recorder.counts(0).bytes_sent = 300;
    recorder.heartbeat(0, MS);
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.tick(S, Some(25.0), 1);
    stalls.note(zero + Duration::from_nanos(2 * S), zero + Duration::from_nanos(2 * S + 5 * MS));
    for n in 0..4 {
        recorder.due(telemetry, 2 * S + n * MS);
    }
    for n in 0..2 {
        let due = 2 * S + n * MS;
        recorder.ok(telemetry, &Times { due, picked: due, sent: due + MS, acked: due + 8 * MS });
    }
    recorder.ended(telemetry, Outcome::Lost, 2 * S, 2 * S + 9 * MS);
    recorder.ended(telemetry, Outcome::Unfinished, 2 * S, 3 * S - 1);
    recorder.error("reset", Culprit::Network, 2 * S, || "reset".to_owned());
    for _ in 0..2 {
        recorder.error("closed_by_peer", Culprit::Target, 2 * S + MS, || "closed".to_owned());
    }
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.tick(3 * S, Some(75.0), 1);
    collector.finish(3_000_000, Vec::new(), Vec::new())
}

/// The result of the run that [`measurement`] describes.
pub(crate) fn result() -> RunResult {
    RunResult {
        schema: SCHEMA.to_owned(),
        tool: Tool { name: "hubstorm".to_owned(), version: "0.1.0".to_owned(), git: None },
        run: run(),
        verdict: Verdict {
            status: Status::Pass,
            exit_code: 0,
            reasons: vec!["fine".to_owned()],
            details: Vec::new(),
        },
        thresholds: vec![ThresholdResult {
            metric: "telemetry".to_owned(),
            expression: "p(99) < 500ms".to_owned(),
            phase: None,
            fleet: None,
            without_faults: false,
            limit: 500_000.0,
            unit: "us".to_owned(),
            observed: None,
            observed_best: None,
            observed_worst: None,
            observed_text: "> 500 ms".to_owned(),
            margin: None,
            samples: 3,
            passed: false,
            status: Some(ThresholdStatus::Failed),
            test: None,
            line: None,
        }],
        generator: Generator {
            workers: 1,
            cpu_us: 1,
            cpu_peak_percent: 75.0,
            rss_peak_bytes: 1,
            fd_peak: 1,
            heartbeat: Latency::default(),
            lag: Latency::default(),
            late: 0,
        },
        emulator: Some(Emulator { accepted: 1, ..Emulator::default() }),
        measurement: measurement(),
        totals: Vec::new(),
        recoveries: Vec::new(),
        limits: Vec::new(),
        faults: Vec::new(),
        findings: vec![Finding {
            severity: Severity::Note,
            text: "a thing".to_owned(),
            evidence: "1".to_owned(),
        }],
        rules: Some(Rules::default()),
    }
}

fn run() -> Run {
    Run {
        id: "test-20261122T000000Z".to_owned(),
        argv: vec!["hubstorm".to_owned(), "run".to_owned()],
        scenario: Scenario {
            name: "test".to_owned(),
            file: "test.toml".to_owned(),
            sha256: "00".repeat(32),
            plan_sha256: "01".repeat(32),
            text: String::new(),
        },
        overrides: Vec::new(),
        seed: u64::MAX,
        started: "2026-11-22T00:00:00Z".to_owned(),
        duration_us: 3_000_000,
        complete: true,
        ended_by: Some(EndedBy::Plan),
        recovery: None,
        target: Target {
            kind: "iot-hub".to_owned(),
            host: "localhost".to_owned(),
            port: 8883,
            embedded: true,
            tls_wanted: false,
            tls_resumption: false,
            tls: None,
            tier: None,
            units: None,
            cleartext_password: false,
            preflight_passed: false,
        },
        host: Host { os: "linux x86_64".to_owned(), cpu: "a processor".to_owned(), cores: 2 },
    }
}
