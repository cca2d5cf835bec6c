//! Checks the meaning of the latencies, in virtual time: at 1,000 messages per second, the hub stalls for exactly one second.
//! About 1,000 response times are then spread evenly up to 1 s, whether or not all messages fit in the window. Lag stays near
//! zero, and the verdict passes.

use crate::clock::{RunClock, WallClock};
use crate::fleet::{Context, Device, DeviceRef, collector};
use crate::iothub::topics;
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{Operation, Outcome, Source, Totals};
use crate::plan::{self, Plan};
use crate::report::{JudgeInput, Judgment, TargetFacts, judge};
use crate::result::model::{EndedBy, Status};
use crate::sansio::Machine;
use crate::scenario::Input;
use crate::wire::{self, Packet, QoS, Strictness};
use bytes::BytesMut;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STALL_FROM: Duration = Duration::from_secs(5);
const STALL_TO: Duration = Duration::from_secs(6);

fn plan_of(devices: u32, window: u16, what: Operation) -> Plan {
    let stream = match what {
        Operation::TwinReport => "report]]\npayload = '{\"n\":${seq}}'",
        _ => "send]]\npayload = \"x\"",
    };
    let text = format!(
        r#"
        name = "golden"
        seed = 7
        [fleet.meter]
        devices = {devices}
        in_flight = {window}
        subscribe = ["twin"]
        [[fleet.meter.{stream}
        rate = "1000/s"
        arrival = "regular"
        [[phase]]
        name = "steady"
        duration = "10s"
        [thresholds]
        "{what}" = ["p(50) < 20ms", "p(99) < 1.1s", "count(ok) > 9900", "rate(ok) == 100%"]
        "#
    );
    let input = Input {
        file: "golden.toml",
        text: &text,
        overrides: &[],
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    plan::load(&input, &mut rand::rng()).unwrap()
}

/// A device and the hub's end of its connection.
struct Wire {
    device: Device,
    to_hub: BytesMut,
    to_device: BytesMut,
}

impl Wire {
    /// Answers as the hub would: immediately, except while it stalls.
    fn answer(&mut self, stalled: bool) {
        if stalled {
            return;
        }
        loop {
            let packet = wire::decode(&mut self.to_hub, 1 << 20, Strictness::Strict).unwrap();
            match packet {
                Some(Packet::Connect(_)) => wire::encode::connack(&mut self.to_device, false, 0),
                Some(Packet::Subscribe(subscribe)) => {
                    wire::encode::suback(&mut self.to_device, subscribe.pid, &[0, 0]);
                }
                Some(Packet::Publish(publish)) => match publish.topic.strip_prefix(topics::TWIN_REPORT) {
                    Some(rid) => self.answer_report(rid),
                    None => wire::encode::puback(&mut self.to_device, publish.pid),
                },
                Some(_) => {}
                None => return,
            }
        }
    }

    fn answer_report(&mut self, rid: &str) {
        let topic = format!("$iothub/twin/res/204/?$rid={rid}&$version=1");
        let (qos, dup, retain, pid) = (QoS::AtMostOnce, false, false, 0);
        let answer = wire::encode::PublishRef { topic: &topic, payload: b"", qos, dup, retain, pid };
        wire::encode::publish(&mut self.to_device, &answer).unwrap();
    }

    /// Runs both sides until nothing happens.
    fn settle(&mut self, now: Instant, stalled: bool) {
        self.device.handle_timeout(now).unwrap();
        loop {
            self.device.poll_output(now, &mut self.to_hub);
            self.answer(stalled);
            if self.to_device.is_empty() {
                return;
            }
            self.device.handle_input(now, &mut self.to_device).unwrap();
        }
    }
}

fn run(devices: u32, window: u16, what: Operation) -> (Totals, Judgment) {
    let plan = Arc::new(plan_of(devices, window, what));
    let zero = crate::clock::now();
    let (reports, _keep) = tokio::sync::mpsc::unbounded_channel();
    let endpoints = Arc::new([Endpoint { host: "hub".to_owned(), port: 8883, ..Endpoint::default() }]);
    let clock = RunClock { zero, zero_unix: Duration::from_secs(1_800_000_000) };
    let clocks = (clock, WallClock::of(zero, clock.zero_unix));
    let shared = (Buffers::shared(), Deadlines::new());
    let context = Rc::new(Context::new(plan.clone(), endpoints, clocks, shared, reports));
    let mut wires: Vec<Wire> = (0..devices)
        .map(|index| {
            let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index });
            let spans = plan.schedule.online_spans(u64::from(index), u64::from(devices));
            device.start_span(spans[0]);
            device.start_attempt(0, zero);
            Wire { device, to_hub: BytesMut::new(), to_device: BytesMut::new() }
        })
        .collect();
    let end = zero + plan.schedule.end() + plan.drain;
    let mut now = zero;
    while now <= end {
        let stalled = (zero + STALL_FROM..zero + STALL_TO).contains(&now);
        for wire in &mut wires {
            wire.settle(now, stalled);
        }
        let next = wires.iter().filter_map(|wire| wire.device.poll_timeout()).filter(|at| *at > now).min();
        let boundaries = [zero + STALL_TO].into_iter().filter(|at| *at > now);
        let Some(next) = next.into_iter().chain(boundaries).min() else { break };
        now = next;
    }
    for wire in &mut wires {
        wire.device.settle(now);
    }
    let mut collector = collector(&plan);
    collector.add(&context.recorder.borrow_mut().swap(), Source::Worker(0));
    let measurement = collector.finish(u64::MAX, Vec::new(), Vec::new());
    for part in &measurement.operations {
        let has_batches = part.totals.due > 0 && !part.operation.is_step();
        assert!(part.batches.add_up_to(&part.totals) == has_batches, "{}", part.operation);
    }
    let rules = plan.rules();
    let judged = judge(&JudgeInput {
        measurement: &measurement,
        rules: &rules,
        ended_by: EndedBy::Plan,
        recovery: None,
        emulator: None,
        target: TargetFacts::default(),
        limits: &[],
    });
    let from_file = judge(&JudgeInput {
        measurement: &as_in_a_file(&measurement),
        rules: &as_in_a_file(&rules),
        ended_by: EndedBy::Plan,
        recovery: None,
        emulator: None,
        target: TargetFacts::default(),
        limits: &[],
    });
    assert_eq!(from_file, judged, "the result file gives the same verdict");
    (measurement.of(what), judged)
}

#[test]
fn stall_shows_in_response_and_not_in_lag() {
    // The stall delays either messages at the device or twin requests that the hub has not answered.
    let twins = (100, 16, Operation::TwinReport);
    for (devices, window, what) in [(100, 16, Operation::Telemetry), (10, 4, Operation::Telemetry), twins] {
        let (totals, judged) = run(devices, window, what);
        assert_eq!(totals.due, totals.outcome(Outcome::Ok), "{devices} devices: every message succeeded");
        assert!((9_990..=10_010).contains(&totals.due), "{} due", totals.due);
        let slow = totals.response.count_above(1_000);
        assert!((990..=1_010).contains(&slow), "{slow} operations were delayed by the stall");
        // Spread evenly: a quarter of the samples in each quarter of the second.
        for quarter in 1..4_u64 {
            let above = totals.response.count_above(quarter * 250_000);
            let wanted = 1_000 - quarter * 250;
            assert!(above.abs_diff(wanted) <= 15, "{above} above {} ms", quarter * 250);
        }
        assert!(totals.response.max().unwrap() <= 1_001_000);
        assert!(totals.lag.max().unwrap() <= 1_000, "the generator was never late");
        assert_eq!(judged.verdict.status, Status::Pass, "{:?}", judged.verdict.reasons);
    }
}

#[test]
fn window_size_does_not_change_response_times() {
    let (wide, _) = run(100, 16, Operation::Telemetry);
    let (narrow, _) = run(10, 4, Operation::Telemetry);
    assert_eq!(wide.response.histogram(), narrow.response.histogram());
    assert!(wide.service.max() > narrow.service.quantile(0.95), "with a wide window, messages are in flight");
    assert!(narrow.wait.max() > Some(900_000), "with a narrow one, they are in the backlog");
}

/// Returns a value as it is read back from the result file.
fn as_in_a_file<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}
