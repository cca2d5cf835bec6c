//! The coordinator of a run: merges the numbers from the workers and the service client, forwards commands, and sends events.
//! Created and driven by `run` on its own thread. Only the coordinator knows the state of the whole run.

use super::reconciliation::Reconciliation;
use super::service_task::{ServiceChannel, ServiceTask};
use super::tally::{Tally, tls_text};
use super::usage::Usage;
use super::worker::{SWAP_GRACE, Workers};
use super::{Command, Finished, Report, Settings, nanos, plan_layout};
use crate::clock::{self, RunClock, WallClock};
use crate::link::TlsFacts;
use crate::measure::{Ending, Event, Second, SecondEnd, Source};
use crate::plan::{OnlineChange, Plan, RunLoads, Segment};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Time for the workers to create their devices before the first phase begins.
const START_LEAD: Duration = Duration::from_millis(250);

/// Minimum time between the arrival of an appended segment and the end of the load, so that every worker receives the segment
/// before its devices disconnect.
const APPEND_LEAD: Duration = Duration::from_millis(100);

/// The state of a running load.
pub(super) struct Coordinator {
    plan: Arc<Plan>,
    clock: RunClock,
    wall: WallClock,
    workers: Workers,
    pub(super) service: ServiceTask,
    events: mpsc::UnboundedSender<Event>,
    /// Whether to send the measurement so far once per second.
    measured: bool,
    tally: Tally,
    reconciliation: Reconciliation,
    usage: Usage,
    /// The next second to close.
    second: u32,
    /// The plan's loads and the appended segments.
    loads: RunLoads,
    appended: Vec<Segment>,
    /// End of the load.
    load_end: Duration,
    /// Number of phases whose start was announced.
    phases_announced: u16,
    drain_announced: bool,
    complete: bool,
    aborted: bool,
    worker_failed: bool,
    tls: Option<TlsFacts>,
    /// By fleet, how many connections or packets each fault on the generator's side affected.
    faults_applied: Vec<Vec<u64>>,
    breakdowns: Vec<String>,
}

impl Coordinator {
    /// Starts the run. Its first phase begins after [`START_LEAD`].
    pub(super) fn start(
        plan: Arc<Plan>,
        settings: &Settings,
        workers: Workers,
        service: Option<ServiceChannel>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Coordinator {
        let usage = Usage::start();
        let wall = settings.wall.clone();
        let clock = RunClock::starts_in(START_LEAD, &wall);
        workers.start(clock);
        let mut coordinator = Coordinator {
            service: ServiceTask::new(&plan, (clock, wall.clone()), service, settings.observer.clone()),
            tally: Tally::start(plan_layout::collector(&plan), settings.journal.clone(), clock.zero_unix),
            reconciliation: Reconciliation::new(workers.count()),
            loads: plan.run_loads(),
            load_end: plan.schedule.load_end(),
            plan,
            clock,
            wall,
            workers,
            events,
            measured: settings.measured,
            usage,
            second: 1,
            appended: Vec::new(),
            phases_announced: 0,
            drain_announced: false,
            complete: true,
            aborted: false,
            worker_failed: false,
            tls: None,
            faults_applied: Vec::new(),
            breakdowns: Vec::new(),
        };
        coordinator.emit(Event::Started { unix: clock.zero_unix });
        coordinator.announce_phases(Duration::ZERO);
        coordinator
    }

    /// Returns when the numbers for the next second will be complete.
    pub(super) fn next_second(&self) -> Instant {
        self.clock.zero + Duration::from_secs(self.second.into()) + SWAP_GRACE
    }

    /// Handles a report from a worker.
    pub(super) fn handle_report(&mut self, report: Report) {
        match report {
            Report::Snapshot { worker, snapshot } => {
                self.tally.add(&snapshot, Source::Worker(worker));
                self.workers.recycle(worker, snapshot);
            }
            Report::Progress { worker, progress } => {
                if self.reconciliation.all_arrived(worker, progress) {
                    self.workers.send(&Command::AllDelivered);
                }
            }
            Report::Deliveries(tracker) => self.reconciliation.add(*tracker),
            Report::FaultsApplied(applied) => self.add_applied(&applied),
            Report::Tls(facts) => self.tls = self.tls.or(Some(facts)),
            Report::LateAppend => {
                self.record_breakdown(
                    "a worker received an appended segment only after its load had ended".to_owned(),
                );
            }
            // Without this worker's devices, the result would be meaningless, so the other workers stop too.
            Report::WorkerFailed => {
                self.worker_failed = true;
                self.stop();
                self.complete = false;
                self.workers.send(&Command::Stop);
            }
        }
    }

    /// Handles a command and forwards it to the workers.
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Append(segment) => return self.append(segment),
            Command::ChangeOnline(change) => return self.change_online(change),
            Command::Release(until) => self.service.release(until),
            Command::Stop => self.stop(),
            Command::Abort => {
                self.stop();
                (self.complete, self.aborted) = (false, true);
            }
            Command::AllDelivered => {}
        }
        self.workers.send(&command);
    }

    /// Ends the load now, unless it has already ended.
    fn stop(&mut self) {
        let now = self.clock.since(clock::now());
        if now < self.load_end {
            (self.complete, self.load_end) = (false, now);
            self.service.stop();
            self.announce_drain(now);
        }
    }

    fn append(&mut self, segment: Segment) {
        let Segment { until, factor } = segment;
        let in_time = self.clock.since(clock::now()) + APPEND_LEAD < self.load_end;
        if !in_time || !self.loads.append(segment) {
            let text = format!(
                "the load could not be extended to {until:?}: the segment arrived too late, ends too early, or has no valid load"
            );
            return self.emit(Event::Noted { text });
        }
        self.load_end = until;
        self.appended.push(segment);
        self.service.append(segment);
        self.workers.send(&Command::Append(segment));
        self.emit(Event::LoadAppended { until, factor });
    }

    fn change_online(&mut self, change: OnlineChange) {
        let in_time = self.clock.since(clock::now()) + APPEND_LEAD < self.load_end;
        if !in_time || !self.loads.change_online(change.clone()) {
            let text = format!(
                "the number of devices could not be changed from {:?}: the change arrived too late, or begins too early",
                change.from
            );
            return self.emit(Event::Noted { text });
        }
        self.service.change_online(change.clone());
        self.workers.send(&Command::ChangeOnline(change));
    }

    /// Closes a second whose snapshots have arrived.
    pub(super) fn close_second(&mut self) {
        let at = self.close_row(None);
        self.second += 1;
        self.announce_phases(at);
        if at >= self.load_end {
            self.announce_drain(self.load_end);
        }
        if self.measured {
            let measurement = Box::new(self.tally.collector.measurement().clone());
            self.emit(Event::Measured { at, measurement });
        }
        let at_ns = nanos(at);
        let from_ns = at_ns.saturating_sub(1_000_000_000);
        self.emit(Event::Second(Second {
            at,
            phase: self.plan.schedule.phase_at(at_ns),
            planned_per_s: self.plan.offered_per_s(&self.loads, from_ns, at_ns),
            live: self.tally.collector.live().clone(),
        }));
    }

    /// Closes the row of the current second. `ended` is the end of the run, if this is its last row.
    fn close_row(&mut self, ended: Option<Duration>) -> Duration {
        self.service.report(&mut self.tally);
        let at = Duration::from_secs(self.second.into());
        let cpu_percent = self.usage.interval();
        let end = SecondEnd {
            row_ns: nanos(at),
            until_ns: nanos(ended.unwrap_or(at)),
            cpu_percent,
            planned_online: self.plan.planned_online_in(&self.loads, nanos(at)),
            planned_by_fleet: self.plan.planned_by_fleet(&self.loads, nanos(at)),
            load_end_us: nanos(self.load_end) / 1_000,
            generator: (&self.usage).into(),
            tls: self.tls.map(tls_text),
            breakdowns: self.breakdowns.clone(),
        };
        if let Some(text) = self.tally.close(&end) {
            self.emit(Event::Noted { text });
        }
        at
    }

    /// Completes the run after the workers have ended.
    pub(super) async fn finish(mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Finished {
        if !self.aborted {
            let drain_end = self.clock.zero + self.load_end + self.plan.drain;
            tokio::select! {
                () = self.service.take_last_results(drain_end) => {}
                () = wait_for_abort(commands) => self.aborted = true,
            }
        }
        while let Ok(command) = commands.try_recv() {
            self.aborted |= command == Command::Abort;
        }
        self.service.settle(&mut self.tally);
        let ended = self.clock.since(clock::now());
        let reconciliation = std::mem::replace(&mut self.reconciliation, Reconciliation::new(0));
        let streams = reconciliation.reconcile(&self.plan, &mut self.tally.collector, ended, self.aborted);
        self.close_row(Some(ended));
        for failed in self.workers.join() {
            (self.complete, self.worker_failed) = (false, true);
            self.record_breakdown(failed.to_string());
        }
        self.announce_drain(ended.min(self.load_end));
        let why = match (self.worker_failed, self.aborted, self.complete) {
            (true, ..) => Ending::WorkerFailed,
            (_, true, _) => Ending::Aborted,
            (.., false) => Ending::Stopped,
            (.., true) => Ending::Complete,
        };
        self.emit(Event::Stopped { at: ended, why });
        let reading = self.wall.read(clock::now());
        let heartbeat = self.tally.collector.heartbeat().clone();
        let streams = plan_layout::named_streams(&self.plan, &streams);
        let measurement = self.tally.collector.finish(nanos(self.load_end) / 1_000, streams, self.breakdowns);
        Finished {
            measurement,
            heartbeat,
            started_unix: self.clock.zero_unix,
            zero_unix_at_end: reading.unix.saturating_sub(self.clock.since(reading.at)),
            ended,
            load_ended: self.load_end,
            appended: self.appended,
            complete: self.complete,
            tls: self.tls,
            faults_applied: self.faults_applied,
            usage: self.usage,
        }
    }

    /// Adds a worker's counts of the faults on the generator's side.
    fn add_applied(&mut self, applied: &[Vec<u64>]) {
        self.faults_applied.resize_with(applied.len().max(self.faults_applied.len()), Vec::new);
        for (sum, applied) in self.faults_applied.iter_mut().zip(applied) {
            sum.resize(applied.len().max(sum.len()), 0);
            sum.iter_mut().zip(applied).for_each(|(sum, count)| *sum += count);
        }
    }

    fn record_breakdown(&mut self, text: String) {
        if !self.breakdowns.contains(&text) {
            self.emit(Event::Noted { text: text.clone() });
            self.breakdowns.push(text);
        }
    }

    fn announce_phases(&mut self, by: Duration) {
        let plan = self.plan.clone();
        for phase in plan.schedule.phases().iter().skip(self.phases_announced.into()) {
            if phase.start > by || phase.start >= self.load_end {
                break;
            }
            self.emit(Event::PhaseStarted { phase: self.phases_announced, at: phase.start });
            self.phases_announced += 1;
        }
    }

    /// Announces the end of the load, once.
    fn announce_drain(&mut self, at: Duration) {
        if !std::mem::replace(&mut self.drain_announced, true) {
            self.announce_phases(at);
            self.emit(Event::Draining { at });
        }
    }

    fn emit(&self, event: Event) {
        // Ignore the error: the run continues even if nothing receives its events.
        drop(self.events.send(event));
    }
}

/// Waits for `Command::Abort`, forever if it does not arrive.
async fn wait_for_abort(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if command == Command::Abort {
            return;
        }
    }
    std::future::pending().await
}
