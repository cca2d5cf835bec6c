//! What happens in a run, as typed events of owned data. Sent by `fleet`'s collector while the run goes on; read by `live`,
//! and by whatever else follows a run. Events know phases by their index; names are the plan's.

use super::collector::Live;
use super::measurement::Measurement;
use std::time::Duration;

/// Something that happened in a run. All times count from the run's zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The workers are ready, and the load begins at this wall-clock time since the Unix epoch.
    Started {
        /// The wall clock at the run's zero.
        unix: Duration,
    },
    /// A phase began. Sent with the second in which it did.
    PhaseStarted {
        /// Its index in the plan.
        phase: u16,
        /// When it began.
        at: Duration,
    },
    /// The load was extended: the last phase lasts longer.
    LoadAppended {
        /// The load's new end.
        until: Duration,
        /// Load factor at the segment's begin and end.
        factor: [f64; 2],
    },
    /// Everything that was measured so far. Sent before each second's event, if `fleet::Settings` ask for it.
    Measured {
        /// The end of the second.
        at: Duration,
        /// What was measured up to then.
        measurement: Box<Measurement>,
    },
    /// A second is over, and its numbers are in.
    Second(Second),
    /// Something worth knowing that is no number: this machine ran short of something, or a command was refused.
    Noted {
        /// One sentence or fragment for a person.
        text: String,
    },
    /// Nothing becomes due any more; the last acknowledgments are awaited.
    Draining {
        /// When the load ended.
        at: Duration,
    },
    /// The last worker has ended. No event follows.
    Stopped {
        /// When.
        at: Duration,
        /// Why.
        why: Ending,
    },
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// The end of the second.
    pub at: Duration,
    /// The index of the phase at that time; after the load, the last one's.
    pub phase: u16,
    /// Messages per second that the plan has due in it; `None` with a closed loop, whose rate is the target's.
    pub planned_per_s: Option<f64>,
    /// What was measured in it.
    pub live: Live,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It came to the end of its load.
    Complete,
    /// It was told to stop, and drained.
    Stopped,
    /// It was told to end at once.
    Aborted,
    /// A worker failed.
    WorkerFailed,
}
