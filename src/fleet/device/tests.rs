//! Tests of one device against a scripted hub, in virtual time: how it connects, sends and disconnects, and what it counts. This
//! file has the shared harness.

mod clock_steps;
mod closed_loop;
mod connecting;
mod dead_peer;
mod disconnecting;
mod excuses;
mod frozen_hub;
mod iot_hub;
mod reconnecting;
mod replay;
mod sending;
mod staged;
mod storms;
mod tokens;

use super::*;
use crate::clock::{RunClock, WallClock};
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{Measurement, Operation, Source, Totals};
use crate::plan;
use crate::policy::backoff::Retries;
use crate::scenario::Input;
use crate::wire::{self, Packet, Strictness, encode};
use std::sync::Arc;

/// Returns the context of a plan with one fleet and one phase of `load_s` seconds. `fleet` is appended to the fleet's table,
/// `send` to its `send` table.
fn context(load_s: u64, fleet: &str, send: &str) -> Rc<Context> {
    let text = format!(
        "seed = 1\ndrain = \"2s\"\n[fleet.a]\ndevices = 1\n{fleet}\n\
         [[fleet.a.send]]\n{send}\n[[phase]]\nname = \"p\"\nduration = \"{load_s}s\"\n"
    );
    context_of(&text)
}

fn context_of(text: &str) -> Rc<Context> {
    let input = Input {
        file: "device.toml",
        text,
        overrides: &[],
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    let plan = Arc::new(plan::load(&input, &mut rand::rng()).unwrap());
    let endpoints = Arc::new([Endpoint { host: "hub".to_owned(), port: 8883, ..Endpoint::default() }]);
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let (zero, zero_unix) = (crate::clock::now(), Duration::from_secs(1_800_000_000));
    let clock = RunClock { zero, zero_unix };
    let wall = WallClock::of(zero, zero_unix);
    Rc::new(Context::new(plan, endpoints, (clock, wall), (Buffers::shared(), Deadlines::new()), reports))
}

/// A device within its span, and the bytes between it and the hub.
struct Wire {
    context: Rc<Context>,
    device: Device,
    now: Instant,
    out: BytesMut,
    to_device: BytesMut,
}

impl Wire {
    fn new(load_s: u64, fleet: &str, send: &str) -> Wire {
        Wire::of(context(load_s, fleet, send))
    }

    /// Returns a device in a load of twelve hours. The wall clock steps between the start of the run and the first attempt.
    fn stepped_at_the_start(by_us: i64, fleet: &str, send: &str) -> Wire {
        let context = context(12 * 3_600, fleet, send);
        context.wall.step(by_us);
        Wire::of(context)
    }

    fn of(context: Rc<Context>) -> Wire {
        Wire::of_device(context, 0)
    }

    fn of_device(context: Rc<Context>, index: u32) -> Wire {
        let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index });
        device.start_span(context.plan.schedule.online_spans(0, 1)[0]);
        let now = context.clock.zero;
        let mut wire = Wire { context, device, now, out: BytesMut::new(), to_device: BytesMut::new() };
        wire.attempt();
        wire
    }

    fn online(load_s: u64, fleet: &str, send: &str) -> Wire {
        let mut wire = Wire::new(load_s, fleet, send);
        wire.connack(0);
        wire
    }

    fn attempt(&mut self) {
        self.device.start_attempt(self.context.ns(self.now), self.now);
        self.turn().unwrap();
    }

    fn connack(&mut self, code: u8) {
        encode::connack(&mut self.to_device, false, code);
        self.turn().unwrap();
    }

    /// Does what the link does each time it is woken. `sent` takes the packets that the device sent.
    fn turn(&mut self) -> Result<(), SessionError> {
        self.device.handle_input(self.now, &mut self.to_device)?;
        self.device.handle_timeout(self.now)?;
        self.device.poll_output(self.now, &mut self.out);
        Ok(())
    }

    /// Advances time, with a turn whenever the device asks for one.
    fn pass(&mut self, seconds: f64) -> Result<(), SessionError> {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.device.poll_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "expired timeouts were handled");
            self.now = at;
            self.turn()?;
        }
        self.now = until;
        self.turn()
    }

    fn sent(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| wire::decode(&mut self.out, 1 << 20, Strictness::Strict).unwrap()).collect()
    }

    /// Acknowledges the messages published since the last call. Returns their number.
    fn ack(&mut self) -> usize {
        let sent = self.sent();
        let published = sent.iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish.pid),
            _ => None,
        });
        published.map(|pid| encode::puback(&mut self.to_device, pid)).count()
    }

    fn close(&mut self, why: Closed) -> ConnectionEnd {
        self.device.handle_closed(self.now, why);
        self.device.connection_end()
    }

    /// Ends the run. Returns the totals of an operation.
    fn totals_at_end(self, operation: Operation) -> Totals {
        self.totals_and_errors(operation).0
    }

    /// Returns the numbers recorded since the last call.
    fn measurement(&self) -> Measurement {
        let mut collector = crate::fleet::collector(&self.context.plan);
        collector.add(&self.context.recorder.borrow_mut().swap(), Source::Worker(0));
        collector.finish(u64::MAX, Vec::new(), Vec::new())
    }

    /// Ends the run. Returns the totals of an operation, and the error classes.
    fn totals_and_errors(mut self, operation: Operation) -> (Totals, Vec<&'static str>) {
        self.device.settle(self.now);
        let measurement = self.measurement();
        let totals = measurement.sum(|key| key.operation == operation);
        let ended: u64 = Outcome::ALL.map(|outcome| totals.outcome(outcome)).iter().sum();
        assert_eq!(totals.due, ended, "every due operation ends once");
        (totals, measurement.errors.iter().map(|error| &*error.class.clone().leak()).collect())
    }
}

/// A test may end while operations are open. They then end as they would at the end of a run.
impl Drop for Wire {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.device.settle(self.now);
            assert_eq!(self.context.recorder.borrow().open(), 0, "every due operation ends");
        }
    }
}

const EACH_SECOND: &str = "every = \"1s\"\npayload = \"x\"";

#[test]
fn device_is_small() {
    let context = context(5, "", EACH_SECOND);
    // There are tens of thousands of devices, so each byte counts (`docs/performance.md`).
    assert!(size_of::<Device>() <= 608, "{}", size_of::<Device>());
    let task = size_of_val(&crate::fleet::device_task::run(context, 0, 0));
    assert!(task <= 1432, "{task}");
}
