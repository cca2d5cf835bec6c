//! What the devices of one worker share: the plan, the recorder, buffers, and whether to go on. One per worker,
//! behind an `Rc`; no lock, no atomic.

use super::command::Command;
use super::delivery_tracker::DeliveryTracker;
use super::trace::Tracer;
use super::{Report, nanos};
use crate::clock::RunClock;
use crate::link::{Deadlines, Endpoint, Resolver, SharedBuffers};
use crate::measure::{Key, Operation, Recorder};
use crate::plan::{Plan, RunLoad, Segment};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Which commands have come. Flags, so that their order decides nothing: what was aborted stays so.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    stop: bool,
    arrived: bool,
    abort: bool,
}

/// What the devices of one worker share.
pub struct Context {
    /// The run.
    pub plan: Arc<Plan>,
    /// Where devices connect to.
    pub endpoint: Arc<Endpoint>,
    /// The run's zero on both clocks; the wall clock is for token expiry and `${now}`.
    pub clock: RunClock,
    /// This worker's load: the plan's, and what was appended to it.
    pub(crate) load: RunLoad,
    /// This worker's numbers.
    pub recorder: RefCell<Recorder>,
    /// This worker's part of what is published and delivered.
    pub(crate) ledger: RefCell<DeliveryTracker>,
    /// Where devices learn the endpoint's addresses.
    pub(crate) resolver: Resolver,
    /// Scratch for the links.
    pub buffers: SharedBuffers,
    /// Scratch for payloads.
    pub payload: RefCell<Vec<u8>>,
    /// Scratch for topics that no other message has.
    pub topic: RefCell<String>,
    /// Whose packets are told.
    pub trace: Option<Tracer>,
    /// What the worker's tasks wait for; all of them are woken by a command.
    pub deadlines: Rc<Deadlines>,
    told: Cell<Told>,
    /// Nothing is due from here on: an append moves it back, a stop forward.
    load_end_ns: Cell<u64>,
    reports: mpsc::UnboundedSender<Report>,
    tls_told: Cell<bool>,
    /// A device of this worker has been online: the target speaks what it is spoken to.
    pub(crate) understood: Cell<bool>,
}

impl Context {
    /// The shared state of a worker.
    pub(crate) fn new(
        plan: Arc<Plan>,
        endpoint: Arc<Endpoint>,
        clock: RunClock,
        (buffers, deadlines): (SharedBuffers, Rc<Deadlines>),
        reports: mpsc::UnboundedSender<Report>,
    ) -> Context {
        let recorder = RefCell::new(Recorder::new(super::layout(&plan)));
        let ledger = RefCell::new(DeliveryTracker::new(&plan));
        let load = RunLoad::new(plan.schedule.load());
        let load_end_ns = Cell::new(nanos(plan.schedule.end()));
        Context {
            plan,
            endpoint,
            clock,
            load,
            recorder,
            ledger,
            resolver: Resolver::default(),
            buffers,
            payload: RefCell::default(),
            topic: RefCell::default(),
            trace: None,
            deadlines,
            told: Cell::default(),
            load_end_ns,
            reports,
            tls_told: Cell::new(false),
            understood: Cell::new(false),
        }
    }

    /// The one who tells this device's packets, if somebody asked to see them.
    pub(crate) fn tracer(&self, fleet: u16, index: u32) -> Option<&Tracer> {
        self.trace.as_ref().filter(|trace| (trace.fleet, trace.index) == (fleet, index))
    }

    /// Nanoseconds from the run's zero.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        self.clock.ns(at)
    }

    /// The instant of a time since the run's zero.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.clock.at(ns)
    }

    /// The wall clock at an instant.
    pub(crate) fn unix(&self, at: Instant) -> Duration {
        self.clock.unix(at)
    }

    /// Where a number belongs that was due at `due_ns`.
    pub(crate) fn key(&self, operation: Operation, fleet: u16, due_ns: u64) -> Key {
        Key { operation, fleet, phase: self.plan.schedule.phase_at(due_ns) }
    }

    /// The run was told to end before its load does.
    pub(crate) fn is_stopped(&self) -> bool {
        let Told { stop, abort, .. } = self.told.get();
        stop || abort
    }

    /// The run was told to end at once.
    pub(crate) fn is_aborted(&self) -> bool {
        self.told.get().abort
    }

    /// No device needs to wait for deliveries any more.
    pub(crate) fn has_all_deliveries(&self) -> bool {
        let Told { arrived, abort, .. } = self.told.get();
        arrived || abort
    }

    /// Nothing is due from here on.
    pub(crate) fn load_end_ns(&self) -> u64 {
        self.load_end_ns.get()
    }

    /// When waiting for acks ends.
    pub(crate) fn drain_end_ns(&self) -> u64 {
        self.load_end_ns.get() + nanos(self.plan.drain)
    }

    /// Applies a command and wakes the devices.
    pub(crate) fn apply(&self, command: Command, now: Instant) {
        let mut told = self.told.get();
        match command {
            Command::Append(segment) => self.append(segment, now),
            Command::Stop => told.stop = true,
            Command::Arrived => told.arrived = true,
            Command::Abort => told.abort = true,
        }
        self.told.set(told);
        if self.is_stopped() {
            self.load_end_ns.set(self.load_end_ns.get().min(self.ns(now)));
        }
        self.deadlines.wake_all();
    }

    /// Extends the load. Devices find their next message when they are woken. Once the load is over, they may have left already:
    /// the load then stays as it is.
    fn append(&self, segment: Segment, now: Instant) {
        if self.ns(now) < self.load_end_ns() && self.load.append(segment) {
            self.load_end_ns.set(self.load.end_ns());
        } else {
            self.tell(Report::LateAppend);
        }
    }

    /// Reports what TLS agreed on: once a worker is enough.
    pub(crate) fn tell_tls(&self, facts: crate::link::TlsFacts) {
        if !self.tls_told.replace(true) {
            self.tell(Report::Tls(facts));
        }
    }

    /// The collector outlives the workers unless it panicked, and then nobody is left to tell.
    pub(crate) fn tell(&self, report: Report) {
        drop(self.reports.send(report));
    }
}
