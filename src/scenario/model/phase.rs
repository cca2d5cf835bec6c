//! The content of `[[phase]]`. Filled in by `keys::phase`; `plan` resolves it. Data only.

use crate::policy::disconnect::Disconnect;
use crate::scenario::error::Place;
use crate::scenario::value::Written;
use crate::units::{Percent, Rate};
use std::time::Duration;

/// `[[phase]]`.
#[derive(Clone, Debug)]
pub struct PhaseSpec {
    /// Place of the table.
    pub place: Place,
    /// `name`; `None` if invalid.
    pub name: Option<Written<String>>,
    /// `warmup`.
    pub warmup: bool,
    /// `duration`; `None` if invalid.
    pub duration: Option<Duration>,
    /// `connect_rate`.
    pub connect_rate: Option<Rate>,
    /// The keys that can differ between fleets.
    pub course: CourseSpec,
    /// `[phase.fleet.*]`, in file order.
    pub fleets: Vec<PhaseFleetSpec>,
}

/// The keys of a phase that can differ between fleets.
#[derive(Clone, Debug, Default)]
pub struct CourseSpec {
    /// `online` at the start and end, as fractions of 1.
    pub online: Option<[f64; 2]>,
    /// `load`.
    pub load: Option<LoadSpec>,
    /// `disconnect`.
    pub disconnect: Option<DisconnectSpec>,
    /// `churn`.
    pub churn: Option<ChurnSpec>,
}

/// `churn`.
#[derive(Clone, Debug)]
pub struct ChurnSpec {
    /// Place of the table.
    pub place: Place,
    /// `rate`: the share of the online devices that leave per second; `None` if invalid.
    pub rate_hz: Option<f64>,
    /// `how`.
    pub how: Option<Disconnect>,
    /// `away`; `None` if invalid.
    pub away: Option<Duration>,
}

/// `disconnect`.
#[derive(Clone, Debug)]
pub struct DisconnectSpec {
    /// Place of the table.
    pub place: Place,
    /// `share`.
    pub share: Option<Percent>,
    /// `how`; `None` if invalid.
    pub how: Option<Disconnect>,
    /// `over`.
    pub over: Option<Duration>,
}

/// `[phase.fleet.NAME]`: the keys of a phase that differ for one fleet.
#[derive(Clone, Debug)]
pub struct PhaseFleetSpec {
    /// Name of the fleet.
    pub name: String,
    /// Place of the table.
    pub place: Place,
    /// The keys. A missing key has the phase's value.
    pub course: CourseSpec,
}

/// `load`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadSpec {
    /// Factors at the start and end.
    pub ends: [f64; 2],
    /// Number of steps. `None` for a line.
    pub steps: Option<u32>,
}
