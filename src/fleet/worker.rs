//! One worker: a thread with a tokio `LocalRuntime`, its share of the devices, a heartbeat, and a snapshot of the recorder each
//! second. Started by `run`. It makes no decisions about devices.

use super::delivery_tracker::{DeliveryTracker, Progress};
use super::{Command, Context, FleetError, Report, Settings, device_task};
use crate::clock::RunClock;
use crate::link::{Buffers, Deadlines, Idle, tls};
use crate::measure::Snapshot;
use crate::plan::Plan;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

/// Length of the interval over which a worker's busy time is judged.
const BUSY_WINDOW: Duration = Duration::from_secs(1);

/// Interval between two comparisons of the wall clock and the monotonic clock.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The time from the end of a second until the coordinator closes its row, so that the workers' snapshots can arrive first.
pub(crate) const SWAP_GRACE: Duration = Duration::from_millis(100);

/// The coordinator's handles to the running workers.
pub(crate) struct Workers {
    threads: Vec<JoinHandle<io::Result<()>>>,
    spares: Vec<blocking::Sender<Snapshot>>,
    go: Vec<blocking::Sender<RunClock>>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
}

impl Workers {
    /// Starts the run in all workers, with this clock.
    pub(crate) fn start(&self, clock: RunClock) {
        for go in &self.go {
            // Ignore the error: if a worker has ended, `join` reports why.
            let _ = go.send(clock);
        }
    }

    /// Sends a command to all workers.
    pub(crate) fn send(&self, command: &Command) {
        for worker in &self.commands {
            // Ignore the error: a worker that has ended needs no commands.
            drop(worker.send(command.clone()));
        }
    }

    /// Returns the number of workers.
    pub(crate) fn count(&self) -> usize {
        self.commands.len()
    }

    /// Returns cleared histograms to the worker that sent them.
    pub(crate) fn recycle(&self, worker: u16, snapshot: Snapshot) {
        // Ignore the error: a worker that has ended needs no spares.
        drop(self.spares[usize::from(worker)].send(snapshot));
    }

    /// Waits for the threads, which have already closed their report channels. Returns the errors of the workers that failed.
    pub(crate) fn join(&mut self) -> Vec<FleetError> {
        let ended = self.threads.drain(..).enumerate().filter_map(|(worker, thread)| match thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(source)) => Some(FleetError::Worker { worker, source }),
            Err(_) => Some(FleetError::WorkerPanicked(worker)),
        });
        ended.collect()
    }
}

/// Starts the workers and waits until each is ready. Device `g` (its index over all fleets) belongs to worker `g mod W`.
pub(crate) fn spawn_all(
    plan: &Arc<Plan>,
    settings: &Settings,
    reports: &mpsc::UnboundedSender<Report>,
) -> Result<Workers, FleetError> {
    let mut workers =
        Workers { threads: Vec::new(), spares: Vec::new(), go: Vec::new(), commands: Vec::new() };
    let (ready, readiness) = blocking::channel();
    for worker in (0_u16..).take(settings.workers) {
        let ((spare, spares), (go, clock)) = (blocking::channel(), blocking::channel());
        let (commander, commands) = mpsc::unbounded_channel();
        let thread = WorkerThread {
            worker,
            plan: plan.clone(),
            settings: settings.clone(),
            commands,
            reports: reports.clone(),
            spares,
        };
        let ready = ready.clone();
        let handle = std::thread::Builder::new()
            .name(format!("hubstorm-{worker}"))
            .spawn(move || thread.run(&ready, &clock))
            .map_err(|source| FleetError::Worker { worker: worker.into(), source })?;
        workers.threads.push(handle);
        workers.spares.push(spare);
        workers.go.push(go);
        workers.commands.push(commander);
    }
    for worker in (0_u16..).take(settings.workers) {
        match readiness.recv() {
            Ok((_, Ok(()))) => {}
            Ok((worker, Err(source))) => {
                return Err(FleetError::Worker { worker: worker.into(), source });
            }
            Err(_) => return Err(FleetError::WorkerPanicked(worker.into())),
        }
    }
    Ok(workers)
}

/// The arguments of a worker's thread.
struct WorkerThread {
    worker: u16,
    plan: Arc<Plan>,
    settings: Settings,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: mpsc::UnboundedSender<Report>,
    spares: blocking::Receiver<Snapshot>,
}

impl WorkerThread {
    /// Prepares the runtime, reports that it is ready, waits for the clock of the run, and runs the devices.
    fn run(
        self,
        ready: &blocking::Sender<(u16, io::Result<()>)>,
        clock: &blocking::Receiver<RunClock>,
    ) -> io::Result<()> {
        let idle = Arc::new(Idle::default());
        let (parks, unparks) = (idle.clone(), idle.clone());
        // The runtime is !Send, so it is created on its own thread, which reports whether that succeeded.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || parks.begins())
            .on_thread_unpark(move || unparks.ends())
            .max_blocking_threads(1) // `link::Resolver` runs one lookup of the target's name at a time.
            .build_local(LocalOptions::default());
        tls::warm_up();
        let (runtime, outcome) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Ignore the error: if the coordinator is gone, no worker is needed.
        drop(ready.send((self.worker, outcome)));
        let (Some(runtime), Ok(clock)) = (runtime, clock.recv()) else { return Ok(()) };
        let mut unexpected = FailureReporter { reports: self.reports.clone(), armed: true };
        let worked = runtime.block_on(self.work(clock, idle));
        unexpected.armed = worked.is_err();
        // A pending name lookup must not delay the result.
        runtime.shutdown_background();
        worked
    }

    /// Runs the devices. Returns an error if the worker's timer fails: without it, nothing would ever become due.
    async fn work(self, clock: RunClock, idle: Arc<Idle>) -> io::Result<()> {
        let WorkerThread { worker, plan, settings, mut commands, reports, spares } = self;
        let shared = (Buffers::shared(), Deadlines::precise());
        let clocks = (clock, settings.wall.clone());
        let mut context = Context::new(plan, settings.endpoints.clone(), clocks, shared, reports);
        context.trace = settings.trace.clone();
        context.observe(settings.observer.clone());
        let context = Rc::new(context);
        let deadlines = context.deadlines.clone();
        let mut timer = tokio::task::spawn_local(async move { deadlines.run().await });
        let mut devices = tokio::task::JoinSet::new();
        for (fleet, fleet_plan) in context.plan.fleets.iter().enumerate() {
            for index in 0..fleet_plan.devices {
                if (fleet_plan.first + u64::from(index)) % settings.workers as u64 == u64::from(worker) {
                    devices.spawn_local(device_task::run(context.clone(), fleet, index));
                }
            }
        }
        let now = crate::clock::now();
        let read = (now, idle.total());
        let busy = (now, Duration::ZERO);
        // The first comparison is with the clock reading from which the start of the run was computed.
        context.compare_clocks(now);
        let mut heartbeat =
            Heartbeat { worker, swaps: 0, spares, progress: None, idle, read, busy, compared: now };
        loop {
            tokio::select! {
                (due, now) = context.heartbeat_timer.wait() => heartbeat.tick(&context, due, now),
                Some(command) = commands.recv() => context.apply(command, crate::clock::now()),
                ended = devices.join_next() => match ended {
                    // A device that panicked must not look like an idle one.
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                    Some(Ok(())) => {}
                    None => break,
                },
                failed = &mut timer => return Err(failed.unwrap_or_else(io::Error::other)),
            }
        }
        heartbeat.report_progress(&context);
        heartbeat.swap(&context);
        if let Some(applied) = context.faults_applied() {
            context.report(Report::FaultsApplied(applied));
        }
        let empty = DeliveryTracker::new(&context.plan);
        context.report(Report::Deliveries(Box::new(context.delivery_tracker.replace(empty))));
        Ok(())
    }
}

/// Reports to the coordinator when the worker ends with an error or a panic.
struct FailureReporter {
    reports: mpsc::UnboundedSender<Report>,
    armed: bool,
}

impl Drop for FailureReporter {
    fn drop(&mut self) {
        if self.armed {
            // Ignore the error: if the coordinator is gone, no report is needed.
            drop(self.reports.send(Report::WorkerFailed));
        }
    }
}

/// Handles the worker's heartbeats, and takes a snapshot of the recorder each second.
struct Heartbeat {
    worker: u16,
    swaps: u32,
    spares: blocking::Receiver<Snapshot>,
    /// The last reported counts.
    progress: Option<Progress>,
    idle: Arc<Idle>,
    /// Time of the previous heartbeat, and the thread's idle time until then.
    read: (Instant, Duration),
    /// Start of the interval in which busy time is summed, and the sum.
    busy: (Instant, Duration),
    /// Time of the last comparison of both clocks.
    compared: Instant,
}

impl Heartbeat {
    /// Records a heartbeat and the busy time since the previous one.
    fn tick(&mut self, context: &Context, due: Instant, now: Instant) {
        let (since, idle) = std::mem::replace(&mut self.read, (now, self.idle.total()));
        let [passed_ns, idle_ns] = [now - since, self.read.1 - idle].map(super::nanos);
        // The drain does not belong to any phase.
        if context.ns(since) < context.load_end_ns() {
            let phase = context.plan.schedule.phase_at(context.ns(since));
            context.recorder.borrow_mut().busy(phase, passed_ns.saturating_sub(idle_ns), passed_ns);
        }
        self.record_busy(context, now, Duration::from_nanos(passed_ns.saturating_sub(idle_ns)));
        self.compare_clocks(context, now);
        let mut recorder = context.recorder.borrow_mut();
        recorder.heartbeat(context.ns(now), super::nanos(now.saturating_duration_since(due)));
        context.heartbeat_timer.schedule_next(now, recorder.open() > 0);
        drop(recorder);
        if context.ns(now) >= context.load_end_ns() {
            self.report_progress(context);
        }
        if now >= context.clock.zero + Duration::from_secs(u64::from(self.swaps) + 1) {
            self.swaps += 1;
            self.swap(context);
        }
    }

    /// Records a second in which the worker was busy nearly all of the time. That delays operations, but no deadline shows by how
    /// much.
    fn record_busy(&mut self, context: &Context, now: Instant, busy: Duration) {
        self.busy.1 += busy;
        let (since, sum) = self.busy;
        let passed = now.saturating_duration_since(since);
        if passed < BUSY_WINDOW {
            return;
        }
        if sum.as_secs_f64() > context.plan.validity.busy_share * passed.as_secs_f64() {
            context.recorder.borrow_mut().saturated(context.ns(since), context.ns(now));
        }
        self.busy = (now, Duration::ZERO);
    }

    fn compare_clocks(&mut self, context: &Context, now: Instant) {
        if now.saturating_duration_since(self.compared) >= CLOCK_CHECK_INTERVAL {
            context.compare_clocks(now);
            self.compared = now;
        }
    }

    /// Reports the delivery counts during the drain, once for each change.
    fn report_progress(&mut self, context: &Context) {
        if !context.plan.deliveries.tracks_any() {
            return;
        }
        let progress = context.delivery_tracker.borrow().progress();
        if self.progress.replace(progress) != Some(progress) {
            context.report(Report::Progress { worker: self.worker, progress });
        }
    }

    fn swap(&self, context: &Context) {
        let mut recorder = context.recorder.borrow_mut();
        while let Ok(spare) = self.spares.try_recv() {
            recorder.recycle(spare);
        }
        let snapshot = recorder.swap();
        recorder.open_second(self.swaps.into());
        context.report(Report::Snapshot { worker: self.worker, snapshot });
    }
}
