//! The events of a run, as owned data. `fleet` sends them during the run; `live` and `app` read them. Events identify phases
//! by their index in the plan.

use super::collector::Live;
use super::measurement::Measurement;
use std::time::Duration;

/// An event in a run. All times are since the start of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The workers are ready, and the load starts.
    Started {
        /// Wall-clock time at the start of the run, since the Unix epoch.
        unix: Duration,
    },
    /// A phase started. Sent together with the second in which the phase started.
    PhaseStarted {
        /// Index of the phase in the plan.
        phase: u16,
        /// Start of the phase.
        at: Duration,
    },
    /// The load was extended: the last phase lasts longer.
    LoadAppended {
        /// New end of the load.
        until: Duration,
        /// Load factor at the start and end of the new segment.
        factor: [f64; 2],
    },
    /// The measurement so far. If `fleet::Settings` requests it, sent before the event of each second.
    Measured {
        /// End of the second.
        at: Duration,
        /// The measurement up to that time.
        measurement: Box<Measurement>,
    },
    /// A second has passed.
    Second(Second),
    /// A message for the user, for example about a shortage on this machine or a refused command.
    Noted {
        /// The message: a sentence or a fragment.
        text: String,
    },
    /// The load has ended. The run is waiting for the last acknowledgments.
    Draining {
        /// End of the load.
        at: Duration,
    },
    /// The last worker has finished. This is the last event.
    Stopped {
        /// End of the run.
        at: Duration,
        /// Why the run ended.
        why: Ending,
    },
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// End of the second.
    pub at: Duration,
    /// Index of the phase at that time; after the load, the index of the last phase.
    pub phase: u16,
    /// Planned messages per second; `None` with a closed loop, whose rate depends on the target.
    pub planned_per_s: Option<f64>,
    /// Figures of this second.
    pub live: Live,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The load is complete.
    Complete,
    /// A command stopped the run, which then waited for the last acknowledgments.
    Stopped,
    /// A command ended the run immediately.
    Aborted,
    /// A worker failed.
    WorkerFailed,
}
