//! Who runs where and when: worker threads, devices, the ramp, the stop, and the measured numbers even when the
//! run was cut short. Called by `app`; it knows plans and links, and neither result files nor reports.
//!
//! A run is W worker threads, each with one tokio `LocalRuntime`; a device never changes its worker. Workers
//! send what they recorded once a second; the collector (this thread) merges it. Nothing flows back but
//! cleared histograms and one small control value.

mod caller;
mod calling;
mod context;
mod device;
mod device_recorder;
mod device_ref;
mod idle;
mod ledger;
mod life;
mod messages;
mod open;
mod requests;
mod seen;
mod trace;
mod usage;
mod worker;

use crate::link::{Endpoint, TlsFacts};
use crate::measure::{Key, Layout, Measurement, Operation, Outcome, Recorder, Snapshot};
use crate::plan::Plan;
use calling::Calling;
use ledger::Progress;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

pub use caller::{Answered, Ask, Call};
pub use calling::Service;
pub use context::{Context, Control};
pub use device::Device;
pub use device_ref::DeviceRef;
pub use ledger::{Inbox, Ledger, StreamTotals};
pub use seen::Arrival;
pub use trace::Tracer;
pub use usage::{Usage, process as own_usage, raise_descriptor_limit};
#[cfg(test)]
pub(crate) use {caller::Caller, device::ConnectionEnd};

/// How long the workers may take to make their devices before the first phase begins.
const LEAD: Duration = Duration::from_millis(250);

/// What a run needs besides its plan.
#[derive(Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// Where devices connect to.
    pub endpoint: Arc<Endpoint>,
    /// Whose packets are told, if anybody's.
    pub trace: Option<Tracer>,
}

/// What a run leaves behind, complete or not.
pub struct Finished {
    /// Everything that was recorded.
    pub measurement: Measurement,
    /// The wall clock when the first phase began.
    pub started_unix: Duration,
    /// When the last worker was done, since the run's zero.
    pub ended: Duration,
    /// When nothing was due any more, since the run's zero: the plan's end, or the interruption.
    pub load_ended: Duration,
    /// False when it was interrupted, or a worker ended before its time.
    pub complete: bool,
    /// What became of what the run published for itself, by send in the order of the plan; empty where nobody knows.
    pub streams: Vec<StreamTotals>,
    /// What TLS agreed on, on the first connection.
    pub tls: Option<TlsFacts>,
    /// What the generator itself used.
    pub usage: Usage,
    /// What makes the measurement invalid, in words: this machine ran short of something, or a worker failed.
    pub environment: Vec<String>,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A thread or its runtime could not be made, or its timer failed.
    #[error("worker {worker} of the load generator failed: {source}")]
    Worker {
        /// Which.
        worker: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A worker panicked: a defect of hubstorm.
    #[error(
        "worker {0} of the load generator ended unexpectedly; this is a defect of hubstorm, please report it with what stderr says"
    )]
    WorkerGone(usize),
}

/// What workers tell the collector.
pub(crate) enum Report {
    Snapshot {
        worker: usize,
        snapshot: Snapshot,
    },
    /// How far a worker is with what is to arrive, once nothing is due any more.
    Progress {
        worker: usize,
        progress: Progress,
    },
    /// A worker's books, when its last device is gone.
    Ledger(Box<Ledger>),
    Tls(TlsFacts),
    Environment(&'static str),
    /// A worker failed; how it did is known once it is joined.
    Gone,
}

/// Runs the plan to its end, or until `control` says stop; `tick` is called once a second. A plan with calls of the service
/// side needs a `service` that carries them: without one they stay unanswered.
///
/// # Errors
/// Only when workers cannot be started. What goes wrong on the wire is counted; a worker that dies ends the load, and costs
/// what it had not yet told, never the result.
pub async fn run(
    plan: Arc<Plan>,
    settings: Settings,
    service: Option<Service>,
    mut control: watch::Receiver<Control>,
    mut tick: impl FnMut(&Measurement, Duration),
) -> Result<Finished, FleetError> {
    let layout = layout(&plan);
    let mut measurement = Measurement::new(layout);
    let (sender, mut reports) = mpsc::unbounded_channel();
    // What workers are told: what `control` says, or to stop because one of them is gone.
    let (tell, told) = watch::channel(Control::Run);
    let mut workers = worker::spawn_all(&plan, &settings, &told, &sender)?;
    drop(sender);
    let mut usage = Usage::start();
    let (zero, started_unix) = (crate::clock::now() + LEAD, crate::clock::unix() + LEAD);
    workers.go((zero, started_unix));
    let mut calling = Calling::new(&plan, (zero, started_unix), service);

    let end = plan.schedule.end();
    let (mut tls, mut environment) = (None, Vec::<String>::new());
    let mut load_ended = end;
    let mut complete = true;
    let mut books = Books { progress: vec![None; settings.workers], ledgers: Vec::new() };
    let mut second = 1_u32;
    loop {
        let due = zero + Duration::from_secs(u64::from(second)) + worker::SWAP_GRACE;
        tokio::select! {
            report = reports.recv() => match report {
                Some(Report::Snapshot { worker, snapshot }) => {
                    measurement.add(&snapshot, worker);
                    workers.recycle(worker, snapshot);
                }
                Some(Report::Progress { worker, progress }) => {
                    if books.all_arrived(worker, progress) {
                        tell.send_modify(|told| *told = (*told).max(Control::Arrived));
                    }
                }
                Some(Report::Ledger(ledger)) => books.ledgers.push(*ledger),
                Some(Report::Tls(facts)) => tls = tls.or(Some(facts)),
                Some(Report::Environment(class)) => remember(&mut environment, class),
                // Half a load measures nothing: the others stop too.
                Some(Report::Gone) => {
                    let since_zero = crate::clock::now().saturating_duration_since(zero);
                    (complete, load_ended) = (false, load_ended.min(since_zero));
                    calling.stop();
                    tell.send_modify(|told| *told = (*told).max(Control::Stop));
                }
                None => break,
            },
            () = calling.step() => {}
            () = tokio::time::sleep_until(due.into()) => {
                calling.tell(&mut measurement, settings.workers);
                close_row(&mut measurement, &plan, &mut usage, second);
                tick(&measurement, Duration::from_secs(u64::from(second)));
                second += 1;
            }
            Ok(()) = control.changed() => {
                tell.send_modify(|told| *told = (*told).max(*control.borrow_and_update()));
                let since_zero = crate::clock::now().saturating_duration_since(zero);
                if complete && since_zero < end {
                    (complete, load_ended) = (false, since_zero);
                    calling.stop();
                } else if *control.borrow() == Control::Abort {
                    complete = false;
                }
            }
        }
    }
    if *control.borrow() != Control::Abort {
        calling.take_last(zero + load_ended + plan.drain).await;
    }
    calling.end(&mut measurement, settings.workers);
    let ended = crate::clock::now().saturating_duration_since(zero);
    let aborted = *control.borrow() == Control::Abort;
    let streams = books.balance(&plan, &mut measurement, ended, aborted);
    close_row(&mut measurement, &plan, &mut usage, second);
    for failed in workers.join() {
        complete = false;
        environment.push(failed.to_string());
    }
    Ok(Finished { measurement, started_unix, ended, load_ended, complete, streams, tls, usage, environment })
}

/// Histograms cover the longest wait that the plan allows; nothing is clipped silently.
#[must_use]
pub fn layout(plan: &Plan) -> Layout {
    let longest = Duration::from_micros(plan.highest_us());
    Layout::new(plan.fleets.len(), plan.schedule.phases().len(), longest, plan.validity.late_after)
}

/// What was published and delivered, by all workers.
struct Books {
    progress: Vec<Option<Progress>>,
    ledgers: Vec<Ledger>,
}

impl Books {
    /// A worker says how far it is: whether all of them now have everything.
    fn all_arrived(&mut self, worker: usize, progress: Progress) -> bool {
        if let Some(known) = self.progress.get_mut(worker) {
            *known = Some(progress);
        }
        ledger::all_arrived(&self.progress)
    }

    /// Counts as lost what never arrived; of a run that was cut short, as unfinished, and then no stream is judged. Without
    /// the books of a worker that died, nobody knows.
    fn balance(
        self,
        plan: &Plan,
        measurement: &mut Measurement,
        ended: Duration,
        aborted: bool,
    ) -> Vec<StreamTotals> {
        let workers = self.progress.len();
        if self.ledgers.len() < workers {
            return Vec::new();
        }
        let mut recorder = Recorder::new(*measurement.layout());
        let (lost, streams) = ledger::balance(plan, self.ledgers);
        for lost in lost {
            let key = Key { operation: Operation::Deliver, fleet: lost.fleet, phase: lost.phase };
            if aborted {
                // Which of them was due when is not known: they are as old as their phase.
                let phase = plan.schedule.phases().get(usize::from(lost.phase));
                let due_ns = phase.map_or(0, |phase| nanos(phase.start));
                for _ in 0..lost.count {
                    recorder.due(key, due_ns);
                    recorder.ended(key, Outcome::Unfinished, due_ns, nanos(ended));
                }
            } else {
                recorder.lost(key, lost.count, nanos(ended));
            }
        }
        // As one more worker, behind the service side's, which has no devices.
        measurement.add(&recorder.swap(), workers + 1);
        if aborted { Vec::new() } else { streams }
    }
}

fn close_row(measurement: &mut Measurement, plan: &Plan, usage: &mut Usage, second: u32) {
    let t_ns = u64::from(second) * 1_000_000_000;
    measurement.tick(t_ns, usage.interval(), plan.planned_online(t_ns));
}

fn remember(environment: &mut Vec<String>, class: &'static str) {
    let text = format!("the load generator's machine ran short: {class}");
    if !environment.contains(&text) {
        environment.push(text);
    }
}

/// Nanoseconds of a duration; saturates after 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds from `zero` to `at`; 0 for anything before it.
pub(crate) fn since(zero: Instant, at: Instant) -> u64 {
    nanos(at.saturating_duration_since(zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Operation;
    use crate::policy::backoff::BackOff;
    use crate::scenario::Input;

    /// Two workers with a device each that nobody lets in. The second's back-off ends after the end of time, which
    /// panics.
    #[tokio::test]
    async fn a_worker_that_panics_ends_the_load_and_not_the_result() {
        let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = 9\ntls = false\n\
                    [fleet.a]\ndevices = 1\n[fleet.b]\ndevices = 1\n\
                    [[phase]]\nname = \"p\"\nduration = \"1h\"\n";
        let input = Input {
            file: "panic.toml",
            text,
            overrides: &[],
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        let mut plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        plan.fleets[1].reconnect = BackOff::Fixed { delay: Duration::MAX }.into();
        // A port that was free a moment ago refuses.
        let free = crate::link::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let endpoint =
            Arc::new(Endpoint { host: free.ip().to_string(), port: free.port(), ..Endpoint::default() });
        let settings = Settings { workers: 2, endpoint, trace: None };
        let (_control, controlled) = watch::channel(Control::Run);
        let finished = run(Arc::new(plan), settings, None, controlled, |_, _| {}).await.unwrap();
        assert!(!finished.complete && finished.load_ended < Duration::from_secs(3_600));
        assert!(
            finished.environment.iter().any(|text| text.contains("worker 1")),
            "{:?}",
            finished.environment
        );
        // It may have been stopped before its first attempt; that it was to be online is counted all the same.
        let online = finished.measurement.sum(|key| key.operation == Operation::Online && key.fleet == 0);
        assert_eq!(online.due, 1, "what the other worker measured is there");
    }
}
