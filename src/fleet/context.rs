//! The shared state of the devices of one worker: plan, recorder, buffers, clocks, and the commands received so far. One per
//! worker, behind an `Rc`, without locks or atomics. Used by all files about one device; it must not depend on other workers.

use super::command::Command;
use super::delivery_tracker::DeliveryTracker;
use super::device_faults::{DeviceFaults, WorkerFaults};
use super::heartbeat_timer::HeartbeatTimer;
use super::hosts::Hosts;
use super::observer::Observer;
use super::trace::Tracer;
use super::{DeviceRef, Report, nanos};
use crate::clock::{RunClock, StepWatch, WallClock, is_step};
use crate::link::{Deadlines, Endpoint, Resolver, SharedBuffers};
use crate::measure::{Key, Operation, Recorder};
use crate::plan::{OnlineChange, Plan, RunLoads, Segment, Span};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The commands received so far. They are flags that are never cleared, so the order in which commands arrive does not matter. For
/// example, a Stop does not undo an earlier Abort.
#[derive(Clone, Copy, Debug, Default)]
struct CommandFlags {
    stop: bool,
    all_delivered: bool,
    abort: bool,
}

/// The shared state of the devices of one worker.
pub struct Context {
    /// Plan of the run.
    pub plan: Arc<Plan>,
    /// The hosts that devices connect to.
    pub(crate) hosts: Hosts,
    /// The start of the run on both clocks.
    pub clock: RunClock,
    /// Wall clock, for token expiry and `${now}`.
    pub wall: WallClock,
    /// The steps of `wall` found so far.
    pub(super) steps: RefCell<StepWatch>,
    /// The instant up to which the hub's clock is known to have made the same steps as ours. It is known because the hub accepted a
    /// token that is valid only on a clock with those steps.
    pub(super) hub_stepped_until: Cell<Option<Instant>>,
    /// The time until which a stall excuses the failures of devices that lost their connections after it.
    pub(super) stall_excuse_ns: Cell<u64>,
    /// The loads of the plan, extended by the appended segments.
    pub(crate) loads: RunLoads,
    /// This worker's measurements.
    pub recorder: RefCell<Recorder>,
    /// This worker's published and delivered messages.
    pub(crate) delivery_tracker: RefCell<DeliveryTracker>,
    /// Resolver of the endpoint's addresses.
    pub(crate) resolver: Resolver,
    /// Scratch buffers for the links.
    pub buffers: SharedBuffers,
    /// Scratch buffer for payloads.
    pub payload: RefCell<Vec<u8>>,
    /// Scratch buffer for topics that differ in every message.
    pub topic: RefCell<String>,
    /// Traces the packets of one device, if set.
    pub trace: Option<Tracer>,
    /// Receives the end of each operation of a staged run. Set by [`observe`](Context::observe).
    pub(super) observer: Option<Observer>,
    /// The faults of this worker's devices on the generator's side.
    faults: Option<Box<WorkerFaults>>,
    /// Whether something besides the recorder's totals needs the end of each operation: the observer, faults, or the numbers by host. One
    /// flag, so that other runs pay for one check.
    pub(super) watches_ends: bool,
    /// Deadlines of the worker's tasks. A command wakes all of them.
    pub deadlines: Rc<Deadlines>,
    /// Due time of the worker's next heartbeat.
    pub(super) heartbeat_timer: HeartbeatTimer,
    flags: Cell<CommandFlags>,
    /// End of the load. An appended segment makes it later; a stop makes it earlier.
    load_end_ns: Cell<u64>,
    /// In a staged run, messages wait if they are due at this time or later.
    released_ns: Cell<u64>,
    reports: mpsc::UnboundedSender<Report>,
    tls_reported: Cell<bool>,
}

impl Context {
    /// Returns the shared state of a worker.
    pub(crate) fn new(
        plan: Arc<Plan>,
        endpoints: Arc<[Endpoint]>,
        (clock, wall): (RunClock, WallClock),
        (buffers, deadlines): (SharedBuffers, Rc<Deadlines>),
        reports: mpsc::UnboundedSender<Report>,
    ) -> Context {
        deadlines.stalls().restart(clock.zero);
        let heartbeat_timer = HeartbeatTimer::new(&deadlines, crate::clock::now());
        let recorder = RefCell::new(Recorder::new(super::layout(&plan), deadlines.stalls().clone()));
        let delivery_tracker = RefCell::new(DeliveryTracker::new(&plan));
        let loads = plan.run_loads();
        let load_end_ns = Cell::new(nanos(plan.schedule.load_end()));
        let hosts = Hosts::new(&plan, endpoints);
        let faults = WorkerFaults::of(&plan);
        let watches_ends = faults.is_some() || hosts.are_several();
        Context {
            hosts,
            plan,
            clock,
            wall,
            steps: RefCell::new(StepWatch::new(clock.reading())),
            hub_stepped_until: Cell::default(),
            stall_excuse_ns: Cell::default(),
            loads,
            recorder,
            delivery_tracker,
            resolver: Resolver::default(),
            buffers,
            payload: RefCell::default(),
            topic: RefCell::default(),
            trace: None,
            observer: None,
            faults,
            watches_ends,
            deadlines,
            heartbeat_timer,
            flags: Cell::default(),
            load_end_ns,
            released_ns: Cell::new(u64::MAX),
            reports,
            tls_reported: Cell::new(false),
        }
    }

    /// Makes this a staged run: reports the end of each operation, and holds messages until they are released.
    pub(crate) fn observe(&mut self, observer: Option<Observer>) {
        self.released_ns.set(if observer.is_some() { 0 } else { u64::MAX });
        self.watches_ends |= observer.is_some();
        self.observer = observer;
    }

    /// Returns the tracer of this device, if it is traced.
    pub(crate) fn tracer(&self, device: DeviceRef) -> Option<&Tracer> {
        self.trace.as_ref().filter(|trace| trace.device == device)
    }

    /// Returns the faults of a device on the generator's side; `None` if no fault affects it.
    pub(crate) fn faults_of(&self, device: DeviceRef) -> Option<Rc<DeviceFaults>> {
        self.faults.as_ref()?.of_device(device, &self.plan, &self.clock, &self.deadlines)
    }

    /// Returns, by fleet, how many connections or packets each fault affected.
    pub(crate) fn faults_applied(&self) -> Option<Vec<Vec<u64>>> {
        self.faults.as_ref().map(|faults| faults.applied(&self.plan))
    }

    /// Reads the clock. Records this worker's stalls before anything else happens at that instant.
    pub(crate) fn now(&self) -> Instant {
        let now = crate::clock::now();
        self.deadlines.observe(now);
        now
    }

    /// Returns the time from the start of the run to `at`, in nanoseconds.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        self.clock.ns(at)
    }

    /// Returns the instant that is `ns` nanoseconds after the start of the run.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.clock.at(ns)
    }

    /// Reads the wall clock. `now` is the current instant.
    pub(crate) fn unix(&self, now: Instant) -> Duration {
        self.wall.unix(now)
    }

    /// Reads both clocks and compares them with the previous reading. They diverge if the wall clock was set or the machine was
    /// suspended. Returns the wall-clock time.
    pub(crate) fn compare_clocks(&self, now: Instant) -> Duration {
        let reading = self.wall.read(now);
        let by_us = self.steps.borrow_mut().compare(reading);
        self.recorder.borrow_mut().clocks_diverged(self.ns(now), by_us, is_step(by_us));
        reading.unix
    }

    /// Returns the key under which to record an operation that was due at `due_ns`.
    pub(crate) fn key(&self, operation: Operation, fleet: u16, due_ns: u64) -> Key {
        Key { operation, fleet, phase: self.plan.schedule.phase_at(due_ns) }
    }

    /// Returns true if a command ended the load early.
    pub(crate) fn is_stopped(&self) -> bool {
        let CommandFlags { stop, abort, .. } = self.flags.get();
        stop || abort
    }

    /// Returns true if the run was aborted.
    pub(crate) fn is_aborted(&self) -> bool {
        self.flags.get().abort
    }

    /// Returns true if no device needs to wait for deliveries any longer.
    pub(crate) fn has_all_deliveries(&self) -> bool {
        let CommandFlags { all_delivered, abort, .. } = self.flags.get();
        all_delivered || abort
    }

    /// Returns the end of the load.
    pub(crate) fn load_end_ns(&self) -> u64 {
        self.load_end_ns.get()
    }

    /// Returns the time before which a message must be due to be sent: the end of the load, or the end of its released part.
    #[inline]
    pub(crate) fn released_ns(&self) -> u64 {
        self.load_end_ns.get().min(self.released_ns.get())
    }

    /// Returns the end of the drain.
    pub(crate) fn drain_end_ns(&self) -> u64 {
        self.load_end_ns.get() + nanos(self.plan.drain)
    }

    /// Applies a command and wakes the devices.
    pub(crate) fn apply(&self, command: Command, now: Instant) {
        let mut flags = self.flags.get();
        match command {
            Command::Append(segment) => self.append(segment, now),
            Command::ChangeOnline(change) => self.change_online(change, now),
            Command::Release(until) => self.released_ns.set(nanos(until)),
            Command::Stop => flags.stop = true,
            Command::AllDelivered => flags.all_delivered = true,
            Command::Abort => flags.abort = true,
        }
        self.flags.set(flags);
        if self.is_stopped() {
            self.load_end_ns.set(self.load_end_ns.get().min(self.ns(now)));
        }
        self.deadlines.wake_all();
    }

    /// Extends the load. Devices compute their next message when they are woken. After the end of the load, the segment is
    /// refused, because devices may already have disconnected.
    fn append(&self, segment: Segment, now: Instant) {
        if self.ns(now) < self.load_end_ns() && self.loads.append(segment) {
            self.load_end_ns.set(self.loads.end_ns());
        } else {
            self.report(Report::LateAppend);
        }
    }

    /// Changes the number of online devices. Each device finds the change when it is woken at the end of the load that is known now.
    fn change_online(&self, change: OnlineChange, now: Instant) {
        if self.ns(now) >= self.load_end_ns() || !self.loads.change_online(change) {
            self.report(Report::LateAppend);
        }
    }

    /// Returns when a device must be offline, although its span may last longer: a command limits the number of online devices.
    #[inline]
    pub(crate) fn offline_from_ns(&self, device: DeviceRef) -> u64 {
        self.loads.online().offline_from_ns(device.fleet, device.index)
    }

    /// Returns when a device may be online in a span, as far as it is known. `None` if commands keep it offline for now.
    pub(crate) fn online_from_ns(&self, device: DeviceRef, span: Span) -> Option<u64> {
        let from_ns = self.loads.online().online_from_ns(device.fleet, device.index, span.from_ns)?;
        (from_ns < span.to_ns).then_some(from_ns)
    }

    /// Returns whether commands limit the number of online devices.
    pub(crate) fn limits_online(&self) -> bool {
        self.loads.online().is_limited()
    }

    /// Reports the TLS parameters, once per worker.
    pub(crate) fn report_tls(&self, facts: crate::link::TlsFacts) {
        if !self.tls_reported.replace(true) {
            self.report(Report::Tls(facts));
        }
    }

    /// Sends a report. The coordinator outlives the workers unless it panicked; the report is dropped then.
    pub(crate) fn report(&self, report: Report) {
        drop(self.reports.send(report));
    }
}

#[cfg(test)]
mod tests;
