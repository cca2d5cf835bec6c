//! The size of the largest result files: ten fleets, twelve phases and nearly 600 rows, measured by a real recorder and collector. Every cell and
//! every row has as many different latencies as a hub with a long tail produces.

use super::model::{RunResult, operation_sums};
use super::{file, testing};
use crate::measure::{
    Collector, Culprit, Fleet, Key, Layout, Measurement, Operation, Outcome, Phase, Recorder, Source, Times,
};
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

const FLEETS: u16 = 10;
const PHASES: u16 = 12;
/// Just below 600 rows with the drain: at 600, neighboring rows are merged.
const PHASE_SECONDS: u64 = 49;
const SECONDS: u64 = PHASE_SECONDS * PHASES as u64;
const NS_PER_S: u64 = 1_000_000_000;

/// The largest result file of such a run (our choice): it is still opened quickly, and attached to a build without trouble.
const FILE_BYTES_MAX: usize = 5_000_000;
/// The part of it that the series may use.
const SERIES_BYTES_MAX: usize = 2_500_000;

/// A Splitmix64 generator, which returns the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    /// Returns a uniform number in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a latency in nanoseconds. Their logarithms are normally distributed; one in 250 has a long tail.
    fn latency_ns(&mut self, median_us: f64, spread: f64) -> u64 {
        let normal = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        let tail = if self.unit() < 0.004 { 1.0 + 9.0 * self.unit() } else { 1.0 };
        (median_us * (normal * spread).exp() * tail * 1_000.0) as u64
    }
}

/// One worker and the coordinator of the run.
struct Run {
    numbers: Numbers,
    recorder: Recorder,
}

impl Run {
    /// Records `count` operations that are due in a second, with this median in microseconds. One in 500 times out.
    fn operations(&mut self, operation: Operation, fleet: u16, second: u64, count: u64, median_us: f64) {
        let phase = u16::try_from(second / PHASE_SECONDS).unwrap();
        let key = Key { operation, fleet, phase };
        for _ in 0..count {
            let due = second * NS_PER_S + (self.numbers.unit() * 0.9e9) as u64;
            let service_ns = self.numbers.latency_ns(median_us, 0.5);
            if operation.is_step() {
                self.recorder.duration(key, due + service_ns, service_ns);
                continue;
            }
            let picked = due + self.numbers.latency_ns(400.0, 0.5);
            self.recorder.due(key, due);
            if self.numbers.unit() < 0.002 {
                self.recorder.picked(key, due, picked);
                self.recorder.ended(key, Outcome::TimedOut, due, due + NS_PER_S);
                self.recorder.error("ack_timeout", Culprit::Target, due + NS_PER_S, String::new);
                continue;
            }
            let waits = self.numbers.unit() < 0.02;
            let sent = picked + if waits { self.numbers.latency_ns(5_000.0, 1.0) } else { 0 };
            self.recorder.ok(key, &Times { due, picked, sent, acked: sent + service_ns });
        }
    }

    /// Records a second of a fleet: its messages, and in the first seconds of a phase, its connections.
    fn second(&mut self, fleet: u16, second: u64) {
        use Operation::{
            C2d, Connect, ConnectDns, ConnectMqtt, ConnectTcp, ConnectTls, Method, Online, ServiceC2d,
            ServiceMethod, Telemetry, TelemetryQos0, TwinGet, TwinReport,
        };
        let slow = f64::from(u32::from(fleet) + 1);
        match fleet {
            9 => self.operations(TelemetryQos0, fleet, second, 200, 300.0),
            _ => self.operations(Telemetry, fleet, second, 200, 8_000.0 * slow),
        }
        match fleet {
            1 => self.operations(TwinGet, fleet, second, 20, 20_000.0),
            2 => self.operations(TwinReport, fleet, second, 20, 25_000.0),
            3 => {
                self.operations(Method, fleet, second, 10, 900.0);
                self.operations(ServiceMethod, fleet, second, 10, 60_000.0);
            }
            4 => {
                self.operations(C2d, fleet, second, 10, 40_000.0);
                self.operations(ServiceC2d, fleet, second, 10, 30_000.0);
            }
            _ => {}
        }
        // Most fleets connect in three ramps; two of them renew their tokens in every phase.
        let is_ramp = (second / PHASE_SECONDS).is_multiple_of(4) || fleet < 2;
        if is_ramp && second % PHASE_SECONDS < 5 {
            self.operations(ConnectDns, fleet, second, 20, 100.0);
            self.operations(ConnectTcp, fleet, second, 20, 12_000.0);
            self.operations(ConnectTls, fleet, second, 20, 40_000.0);
            self.operations(ConnectMqtt, fleet, second, 20, 30_000.0);
            self.operations(Connect, fleet, second, 20, 80_000.0);
            self.operations(Online, fleet, second, 20, 85_000.0);
        }
    }
}

/// Returns the measurement of a run of ten minutes with 2,000 messages per second.
fn measurement() -> Measurement {
    let layout = Layout::new(FLEETS.into(), PHASES.into(), Duration::from_secs(60));
    let fleets = (0..FLEETS).map(|fleet| Fleet {
        name: format!("devices-in-region-{fleet}"),
        devices: 1_000,
        ..Fleet::default()
    });
    let phases = (0..u64::from(PHASES)).map(|phase| Phase {
        name: format!("hour-{phase}-of-the-day"),
        warmup: false,
        start_us: phase * PHASE_SECONDS * 1_000_000,
        end_us: (phase + 1) * PHASE_SECONDS * 1_000_000,
        planned_online: [1.0, 1.0],
        planned_load: [1.0, 1.0],
        ..Phase::default()
    });
    let mut collector = Collector::new(layout, fleets.collect(), phases.collect());
    let recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    let mut run = Run { numbers: Numbers(7), recorder };
    for second in 0..SECONDS {
        for fleet in 0..FLEETS {
            run.second(fleet, second);
        }
        let snapshot = run.recorder.swap();
        collector.add(&snapshot, Source::Worker(0));
        run.recorder.recycle(snapshot);
        let cpu_percent = 40.0 + run.numbers.unit();
        collector.tick((second + 1) * NS_PER_S, Some(cpu_percent), 10_000);
    }
    collector.finish(SECONDS * 1_000_000, Vec::new(), Vec::new())
}

#[test]
fn result_of_ten_fleets_and_600_rows_is_below_5_mb() {
    let measurement = measurement();
    let result = RunResult { totals: operation_sums(&measurement), measurement, ..testing::result() };
    let rows = &result.series.rows;
    assert!((588..=600).contains(&rows.len()), "{} rows", rows.len());
    assert!(rows[10].fleets.len() == 10 && rows[10].interval.response.iter().count() >= 5);
    let json = file::to_json(&result).unwrap();
    let part = |name: &str| {
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        value[name].to_string().len()
    };
    let parts = ["operations", "series", "totals", "health"].map(|name| (name, part(name)));
    assert!(json.len() < FILE_BYTES_MAX, "{} bytes: {parts:?}", json.len());
    // A comparison needs at least 20 batches of a phase.
    let messages = result.operations.iter().filter(|part| part.operation == Operation::Telemetry);
    let fewest = messages.map(|part| part.batches.list.len()).min();
    assert!(fewest >= Some(20), "{fewest:?} batches");
    assert!(
        json.len() > FILE_BYTES_MAX / 10 * 9,
        "the limit of batches uses the permitted size: {} bytes",
        json.len()
    );
    assert!(part("series") < SERIES_BYTES_MAX, "{} bytes: {parts:?}", json.len());
}
