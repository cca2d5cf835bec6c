//! The events of a run, as owned data. `fleet` sends them while the run goes on; `live` and `app` read them. Events identify
//! phases by their index; names are in the plan.

use super::collector::Live;
use super::measurement::Measurement;
use std::time::Duration;

/// An event of a run. All times count from the run's zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The workers are ready, and the load starts.
    Started {
        /// Wall-clock time at the run's zero, since the Unix epoch.
        unix: Duration,
    },
    /// A phase started. Sent with the second in which it started.
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
    /// The measurement so far. Sent before each second's event if `fleet::Settings` request it.
    Measured {
        /// End of the second.
        at: Duration,
        /// The measurement up to then.
        measurement: Box<Measurement>,
    },
    /// A second has passed.
    Second(Second),
    /// Something that a person should know, such as a shortage on this machine or a refused command.
    Noted {
        /// A sentence or fragment for a person.
        text: String,
    },
    /// The load has ended. The run waits for the last acknowledgments.
    Draining {
        /// End of the load.
        at: Duration,
    },
    /// The last worker has ended. This is the last event.
    Stopped {
        /// End of the run.
        at: Duration,
        /// Reason.
        why: Ending,
    },
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// End of the second.
    pub at: Duration,
    /// Index of the phase at that time; after the load, of the last phase.
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
    /// A command ended the run at once.
    Aborted,
    /// A worker failed.
    WorkerFailed,
}
