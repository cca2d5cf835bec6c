//! Who runs where and when: worker threads, devices, the ramp, the stop, and the measured numbers even when the
//! run was cut short. Called by `app`; it knows plans and links, and neither result files nor reports.
//!
//! A run is W worker threads, each with one tokio `LocalRuntime`; a device never changes its worker. Workers
//! send what they recorded once a second; the coordinator merges it on this thread. Cleared histograms and
//! commands flow back.

mod beat;
mod command;
mod context;
mod coordinator;
mod delivery_tracker;
mod device;
mod device_recorder;
mod device_ref;
mod frame;
mod life;
mod messages;
mod open;
mod reconciliation;
mod requests;
mod seen;
mod service_driver;
mod service_task;
mod trace;
mod usage;
mod worker;

#[cfg(test)]
mod run_tests;

use crate::clock::WallClock;
use crate::link::{Endpoint, TlsFacts};
use crate::measure::{Event, Latency, Measurement, Snapshot};
use crate::plan::{Plan, Segment};
use coordinator::Coordinator;
use delivery_tracker::Progress;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub use command::Command;
pub use context::Context;
pub use delivery_tracker::{DeliveryTracker, Inbox, StreamTotals};
pub use device::Device;
pub use device_ref::DeviceRef;
pub use frame::{collector, layout};
pub use seen::Arrival;
pub use service_task::ServiceChannel;
pub use trace::Tracer;
pub use usage::{Usage, process as own_usage, raise_descriptor_limit};
#[cfg(test)]
pub(crate) use {device::ConnectionEnd, service_driver::ServiceDriver};

/// What a run needs besides its plan.
#[derive(Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// Where devices connect to.
    pub endpoint: Arc<Endpoint>,
    /// Whose packets are told, if anybody's.
    pub trace: Option<Tracer>,
    /// Whether the measurement so far is an event of each second.
    pub measured: bool,
    /// This machine's wall clock, or a test's.
    pub wall: WallClock,
}

/// What a run leaves behind, complete or not.
pub struct Finished {
    /// Everything that was recorded.
    pub measurement: Measurement,
    /// Lateness of the workers' own tick.
    pub heartbeat: Latency,
    /// The wall clock when the first phase began.
    pub started_unix: Duration,
    /// The same instant, computed from the wall clock at the run's end. Another process on this machine that computes it in the same way
    /// gets the same value, even if the clock was set in between.
    pub zero_unix_at_end: Duration,
    /// When the last worker was done, since the run's zero.
    pub ended: Duration,
    /// When nothing was due any more, since the run's zero: the load's end, or the interruption.
    pub load_ended: Duration,
    /// The segments by which the load was extended beyond the plan's end. They belong to the plan's last phase.
    pub appended: Vec<Segment>,
    /// False when it was interrupted, or a worker ended before its time.
    pub complete: bool,
    /// What TLS agreed on, on the first connection.
    pub tls: Option<TlsFacts>,
    /// What the generator itself used.
    pub usage: Usage,
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
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are snapshots, and each box would be an allocation"
)]
pub(crate) enum Report {
    Snapshot {
        worker: u16,
        snapshot: Snapshot,
    },
    /// How far a worker is with what is to arrive, once nothing is due any more.
    Progress {
        worker: u16,
        progress: Progress,
    },
    /// A worker's delivery tracker, once its last device is gone.
    Deliveries(Box<DeliveryTracker>),
    Tls(TlsFacts),
    /// A worker heard of more load only after its load had ended.
    LateAppend,
    /// A worker failed; how it did is known once it is joined.
    Gone,
}

/// Runs the plan to its end, or until a command ends it; tells `events` what happens meanwhile. A plan with calls of the service
/// side needs a `service` that carries them: without one they stay unanswered.
///
/// # Errors
/// Only when workers cannot be started. What goes wrong on the wire is counted; a worker that dies ends the load, and costs
/// what it had not yet told, never the result.
pub async fn run(
    plan: Arc<Plan>,
    settings: Settings,
    service: Option<ServiceChannel>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Finished, FleetError> {
    let (sender, mut reports) = mpsc::unbounded_channel();
    let workers = worker::spawn_all(&plan, &settings, &sender)?;
    drop(sender);
    let mut coordinator = Coordinator::start(plan, &settings, workers, service, events);
    loop {
        let due = coordinator.next_second();
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => coordinator.take(report),
                None => break,
            },
            () = coordinator.service.step() => {}
            () = tokio::time::sleep_until(due.into()) => coordinator.close_second(),
            Some(command) = commands.recv() => coordinator.obey(command),
        }
    }
    Ok(coordinator.finish(&mut commands).await)
}

/// Nanoseconds of a duration; saturates after 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
