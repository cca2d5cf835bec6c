//! What the devices of one worker share: the plan, the recorder, buffers, and whether to go on. One per worker,
//! behind an `Rc`; no lock, no atomic.

use super::command::Command;
use super::delivery_tracker::DeliveryTracker;
use super::heartbeat_timer::HeartbeatTimer;
use super::trace::Tracer;
use super::{DeviceRef, Report, nanos};
use crate::clock::{RunClock, StepWatch, WallClock, is_step};
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
struct CommandFlags {
    stop: bool,
    all_delivered: bool,
    abort: bool,
}

/// What the devices of one worker share.
pub struct Context {
    /// The run.
    pub plan: Arc<Plan>,
    /// Where devices connect to.
    pub endpoint: Arc<Endpoint>,
    /// The run's zero on both clocks.
    pub clock: RunClock,
    /// The wall clock, for token expiry and `${now}`.
    pub wall: WallClock,
    /// The steps of `wall`.
    pub(super) steps: RefCell<StepWatch>,
    /// The hub's clock is known to have made every step before this instant too, because it accepted a token that is valid only by such
    /// a clock.
    pub(super) hub_stepped_until: Cell<Option<Instant>>,
    /// Until when a connection that was lost after a stall excuses failures.
    pub(super) stall_excuse_ns: Cell<u64>,
    /// This worker's load: the plan's, and what was appended to it.
    pub(crate) load: RunLoad,
    /// This worker's numbers.
    pub recorder: RefCell<Recorder>,
    /// This worker's part of what is published and delivered.
    pub(crate) delivery_tracker: RefCell<DeliveryTracker>,
    /// Where devices learn the endpoint's addresses.
    pub(crate) resolver: Resolver,
    /// Scratch for the links.
    pub buffers: SharedBuffers,
    /// Scratch for payloads.
    pub payload: RefCell<Vec<u8>>,
    /// Scratch for topics that no other message has.
    pub topic: RefCell<String>,
    /// Whose packets are flags.
    pub trace: Option<Tracer>,
    /// What the worker's tasks wait for; all of them are woken by a command.
    pub deadlines: Rc<Deadlines>,
    /// When the worker's heartbeat is due.
    pub(super) heartbeat_timer: HeartbeatTimer,
    flags: Cell<CommandFlags>,
    /// Nothing is due from here on: an append moves it back, a stop forward.
    load_end_ns: Cell<u64>,
    reports: mpsc::UnboundedSender<Report>,
    tls_reported: Cell<bool>,
}

impl Context {
    /// The shared state of a worker.
    pub(crate) fn new(
        plan: Arc<Plan>,
        endpoint: Arc<Endpoint>,
        (clock, wall): (RunClock, WallClock),
        (buffers, deadlines): (SharedBuffers, Rc<Deadlines>),
        reports: mpsc::UnboundedSender<Report>,
    ) -> Context {
        deadlines.stalls().restart(clock.zero);
        let heartbeat_timer = HeartbeatTimer::new(&deadlines, crate::clock::now());
        let recorder = RefCell::new(Recorder::new(super::layout(&plan), deadlines.stalls().clone()));
        let delivery_tracker = RefCell::new(DeliveryTracker::new(&plan));
        let load = RunLoad::new(plan.schedule.load());
        let load_end_ns = Cell::new(nanos(plan.schedule.end()));
        Context {
            plan,
            endpoint,
            clock,
            wall,
            steps: RefCell::new(StepWatch::new(clock.reading())),
            hub_stepped_until: Cell::default(),
            stall_excuse_ns: Cell::default(),
            load,
            recorder,
            delivery_tracker,
            resolver: Resolver::default(),
            buffers,
            payload: RefCell::default(),
            topic: RefCell::default(),
            trace: None,
            deadlines,
            heartbeat_timer,
            flags: Cell::default(),
            load_end_ns,
            reports,
            tls_reported: Cell::new(false),
        }
    }

    /// The one who tells this device's packets, if somebody asked to see them.
    pub(crate) fn tracer(&self, device: DeviceRef) -> Option<&Tracer> {
        self.trace.as_ref().filter(|trace| trace.device == device)
    }

    /// Reads the clock. Stalls of this worker are noted before anything is done at that instant.
    pub(crate) fn now(&self) -> Instant {
        let now = crate::clock::now();
        self.deadlines.observe(now);
        now
    }

    /// Nanoseconds from the run's zero.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        self.clock.ns(at)
    }

    /// The instant of a time since the run's zero.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.clock.at(ns)
    }

    /// Reads the wall clock. `now` is the present instant.
    pub(crate) fn unix(&self, now: Instant) -> Duration {
        self.wall.unix(now)
    }

    /// Reads both clocks and compares them with the last reading: they diverge if the wall clock was set or the machine was suspended.
    /// Returns the wall clock.
    pub(crate) fn compare_clocks(&self, now: Instant) -> Duration {
        let reading = self.wall.read(now);
        let by_us = self.steps.borrow_mut().compare(reading);
        self.recorder.borrow_mut().clocks_diverged(self.ns(now), by_us, is_step(by_us));
        reading.unix
    }

    /// Where a number belongs that was due at `due_ns`.
    pub(crate) fn key(&self, operation: Operation, fleet: u16, due_ns: u64) -> Key {
        Key { operation, fleet, phase: self.plan.schedule.phase_at(due_ns) }
    }

    /// The run was flags to end before its load does.
    pub(crate) fn is_stopped(&self) -> bool {
        let CommandFlags { stop, abort, .. } = self.flags.get();
        stop || abort
    }

    /// The run was flags to end at once.
    pub(crate) fn is_aborted(&self) -> bool {
        self.flags.get().abort
    }

    /// No device needs to wait for deliveries any more.
    pub(crate) fn has_all_deliveries(&self) -> bool {
        let CommandFlags { all_delivered, abort, .. } = self.flags.get();
        all_delivered || abort
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
        let mut flags = self.flags.get();
        match command {
            Command::Append(segment) => self.append(segment, now),
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

    /// Extends the load. Devices find their next message when they are woken. Once the load is over, they may have left already:
    /// the load then stays as it is.
    fn append(&self, segment: Segment, now: Instant) {
        if self.ns(now) < self.load_end_ns() && self.load.append(segment) {
            self.load_end_ns.set(self.load.end_ns());
        } else {
            self.report(Report::LateAppend);
        }
    }

    /// Reports what TLS agreed on: once a worker is enough.
    pub(crate) fn report_tls(&self, facts: crate::link::TlsFacts) {
        if !self.tls_reported.replace(true) {
            self.report(Report::Tls(facts));
        }
    }

    /// The collector outlives the workers unless it panicked, and then nobody is left to report.
    pub(crate) fn report(&self, report: Report) {
        drop(self.reports.send(report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Buffers;
    use crate::scenario::Input;

    /// A worker's context in a load of 10 s, and what it reports.
    fn context() -> (Context, mpsc::UnboundedReceiver<Report>) {
        let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n[fleet.a]\ndevices = 1\n\
                    [[phase]]\nname = \"p\"\nduration = \"10s\"\n";
        let files = &crate::scenario::no_files;
        let input = Input { file: "context.toml", text, overrides: &[], env: &|_| None, files };
        let plan = Arc::new(crate::plan::load(&input, &mut rand::rng()).unwrap());
        let clock = RunClock { zero: crate::clock::now(), zero_unix: Duration::ZERO };
        let (reports, reported) = mpsc::unbounded_channel();
        let shared = (Buffers::shared(), Deadlines::new());
        let clocks = (clock, WallClock::of(clock.zero, clock.zero_unix));
        (Context::new(plan, Arc::new(Endpoint::default()), clocks, shared, reports), reported)
    }

    const S: u64 = 1_000_000_000;

    fn until(seconds: u64) -> Command {
        Command::Append(Segment { until: Duration::from_secs(seconds), factor: [1.0; 2] })
    }

    #[test]
    fn abort_holds_in_whatever_order_commands_come() {
        use Command::{Abort, AllDelivered, Stop};
        for commands in [
            vec![Stop, Abort],
            vec![Abort, Stop],
            vec![Abort, AllDelivered],
            vec![AllDelivered, Abort],
            vec![Abort],
        ] {
            let (context, _reported) = context();
            for command in &commands {
                context.apply(command.clone(), context.at(3 * S));
            }
            assert!(context.is_aborted() && context.is_stopped(), "{commands:?}");
            assert!(context.has_all_deliveries(), "{commands:?}");
            assert_eq!(context.load_end_ns(), 3 * S, "{commands:?}");
        }
    }

    #[test]
    fn the_first_stop_ends_the_load() {
        let (context, _reported) = context();
        context.apply(Command::Stop, context.at(3 * S));
        context.apply(Command::Stop, context.at(5 * S));
        assert!(context.is_stopped() && !context.is_aborted() && !context.has_all_deliveries());
        assert_eq!(context.load_end_ns(), 3 * S);
    }

    #[test]
    fn deliveries_that_are_all_in_do_not_stop_the_load() {
        let (context, _reported) = context();
        context.apply(Command::AllDelivered, context.at(3 * S));
        assert!(context.has_all_deliveries() && !context.is_stopped());
        assert_eq!(context.load_end_ns(), 10 * S);
    }

    #[test]
    fn append_extends_the_load_and_its_drain() {
        let (context, mut reported) = context();
        let drain_ns = context.drain_end_ns() - context.load_end_ns();
        context.apply(until(15), context.at(9 * S));
        context.apply(until(20), context.at(12 * S));
        assert_eq!((context.load_end_ns(), context.drain_end_ns()), (20 * S, 20 * S + drain_ns));
        assert_eq!(context.key(Operation::Telemetry, 0, 19 * S).phase, 0);
        assert!(reported.try_recv().is_err());
    }

    #[test]
    fn append_after_the_load_is_reported_and_ignored() {
        let (context, mut reported) = context();
        context.apply(until(15), context.at(10 * S));
        assert_eq!((context.load_end_ns(), context.load.end_ns()), (10 * S, 10 * S));
        assert!(matches!(reported.try_recv(), Ok(Report::LateAppend)));
        context.apply(Command::Stop, context.at(3 * S));
        context.apply(until(15), context.at(4 * S));
        assert_eq!(context.load_end_ns(), 3 * S);
        assert!(matches!(reported.try_recv(), Ok(Report::LateAppend)));
    }
}
