//! What the devices of one worker share: the plan, the recorder, buffers, and whether to go on. One per worker,
//! behind an `Rc`; no lock, no atomic.

use super::ledger::Ledger;
use super::trace::Tracer;
use super::{DeviceRef, Report, nanos, since};
use crate::link::{Deadlines, Endpoint, Resolver, SharedBuffers};
use crate::measure::{Key, Operation, Recorder};
use crate::plan::Plan;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What a run is told from outside: Ctrl-C once, and twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Go on.
    #[default]
    Run,
    /// Nothing becomes due any more: send what already is, drain acks, disconnect.
    Stop,
    /// Whatever was published has arrived: nobody needs to wait for more.
    Arrived,
    /// Count what is open and end now.
    Abort,
}

/// What the devices of one worker share.
pub struct Context {
    /// The run.
    pub plan: Arc<Plan>,
    /// Where devices connect to.
    pub endpoint: Arc<Endpoint>,
    /// The run's zero on the monotonic clock.
    pub zero: Instant,
    /// The run's zero on the wall clock: token expiry and `${now}`.
    pub zero_unix: Duration,
    /// This worker's numbers.
    pub recorder: RefCell<Recorder>,
    /// This worker's part of what is published and delivered.
    pub(crate) ledger: RefCell<Ledger>,
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
    /// What the worker's tasks wait for; all of them are woken when `control` changes.
    pub deadlines: Rc<Deadlines>,
    control: Cell<Control>,
    /// Nothing is due from here on; moved forward by a stop.
    load_end_ns: Cell<u64>,
    reports: mpsc::UnboundedSender<Report>,
    tls_told: Cell<bool>,
    /// A device of this worker has been online: the target speaks what it is spoken to.
    pub(crate) understood: Cell<bool>,
}

impl Context {
    /// The shared state of a worker. `zero_unix` is the wall clock at `zero`.
    pub(crate) fn new(
        plan: Arc<Plan>,
        endpoint: Arc<Endpoint>,
        (zero, zero_unix): (Instant, Duration),
        (buffers, deadlines): (SharedBuffers, Rc<Deadlines>),
        reports: mpsc::UnboundedSender<Report>,
    ) -> Context {
        let recorder = RefCell::new(Recorder::new(super::layout(&plan)));
        let ledger = RefCell::new(Ledger::new(&plan));
        let load_end_ns = Cell::new(nanos(plan.schedule.end()));
        Context {
            plan,
            endpoint,
            zero,
            zero_unix,
            recorder,
            ledger,
            resolver: Resolver::default(),
            buffers,
            payload: RefCell::default(),
            topic: RefCell::default(),
            trace: None,
            deadlines,
            control: Cell::default(),
            load_end_ns,
            reports,
            tls_told: Cell::new(false),
            understood: Cell::new(false),
        }
    }

    /// The one who tells this device's packets, if somebody asked to see them.
    pub(crate) fn tracer(&self, device: DeviceRef) -> Option<&Tracer> {
        self.trace.as_ref().filter(|trace| trace.device == device)
    }

    /// Nanoseconds from the run's zero.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        since(self.zero, at)
    }

    /// The instant of a time since the run's zero.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }

    /// The wall clock at an instant: derived, so that it neither jumps nor costs a second clock reading.
    pub(crate) fn unix(&self, at: Instant) -> Duration {
        self.zero_unix + at.saturating_duration_since(self.zero)
    }

    /// Where a number belongs that was due at `due_ns`.
    pub(crate) fn key(&self, operation: Operation, fleet: u16, due_ns: u64) -> Key {
        Key { operation, fleet, phase: self.plan.schedule.phase_at(due_ns) }
    }

    pub(crate) fn control(&self) -> Control {
        self.control.get()
    }

    /// Nothing is due from here on.
    pub(crate) fn load_end_ns(&self) -> u64 {
        self.load_end_ns.get()
    }

    /// When waiting for acks ends.
    pub(crate) fn drain_end_ns(&self) -> u64 {
        self.load_end_ns.get() + nanos(self.plan.drain)
    }

    /// Applies a control value and wakes the devices.
    pub(crate) fn apply(&self, control: Control, now: Instant) {
        if control > self.control.get() {
            self.control.set(control);
            self.load_end_ns.set(self.load_end_ns.get().min(self.ns(now)));
            self.deadlines.wake_all();
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
