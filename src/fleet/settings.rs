//! The input and output of [`run`](super::run) besides the plan: the settings, the finished run, and the error. Plain data.

use super::observer::Observer;
use super::tally::JournalEntry;
use super::trace::Tracer;
use super::usage::Usage;
use crate::clock::WallClock;
use crate::link::{Endpoint, TlsFacts};
use crate::measure::{Latency, Measurement};
use crate::plan::Segment;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// The settings of a run that are not in its plan.
#[derive(Clone)]
pub struct Settings {
    /// Number of worker threads.
    pub workers: usize,
    /// The hosts that devices connect to, in the order of the plan; at least one.
    pub endpoints: Arc<[Endpoint]>,
    /// Traces the packets of one device, if set.
    pub trace: Option<Tracer>,
    /// Whether to send the measurement so far as an event once per second.
    pub measured: bool,
    /// Makes the run a staged run. See [`Observer`].
    pub observer: Option<Observer>,
    /// Receives the entries of the run's journal, if it has one.
    pub journal: Option<SyncSender<JournalEntry>>,
    /// This machine's wall clock. Tests use one that they can step.
    pub wall: WallClock,
}

/// The outcome of a run, complete or not.
pub struct Finished {
    /// All recorded numbers.
    pub measurement: Measurement,
    /// Lag of the workers' heartbeats.
    pub heartbeat: Latency,
    /// Wall-clock time at the start of the first phase.
    pub started_unix: Duration,
    /// The same instant, computed from the wall clock at the end of the run. Another process on this machine that computes it in the same
    /// way gets the same value, even if the clock was set in between.
    pub zero_unix_at_end: Duration,
    /// When the last worker ended, measured from the start of the run.
    pub ended: Duration,
    /// When the load ended, measured from the start of the run: as planned, or at the interruption.
    pub load_ended: Duration,
    /// Segments that extended the load beyond the plan's end. They belong to the plan's last phase.
    pub appended: Vec<Segment>,
    /// False if the run was interrupted or a worker ended early.
    pub complete: bool,
    /// TLS parameters of the first connection.
    pub tls: Option<TlsFacts>,
    /// By fleet, how many connections or packets each fault on the generator's side affected. Empty without such faults.
    pub faults_applied: Vec<Vec<u64>>,
    /// Resource usage of the load generator.
    pub usage: Usage,
}

/// Why a run could not start, or why one of its workers failed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A thread or its runtime could not start, or its timer failed.
    #[error("worker {worker} of the load generator failed: {source}")]
    Worker {
        /// Worker number.
        worker: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// A worker panicked, which is a bug in hubstorm.
    #[error(
        "worker {0} of the load generator panicked; this is a bug in hubstorm, please report it with the output on stderr"
    )]
    WorkerPanicked(usize),
}

/// Returns the nanoseconds of a duration; saturates after 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
