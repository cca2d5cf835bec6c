//! The whole plan, and the scenario it came from. Data only.

use super::{DrivePlan, EmulatorPlan, FleetPlan, Target, Threshold};
use crate::measure::Limits;
use crate::plan::deliveries::Deliveries;
use crate::plan::schedule::Schedule;
use std::path::PathBuf;
use std::time::Duration;

/// A resolved run.
#[derive(Debug)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Where the scenario came from.
    pub source: Source,
    /// Same seed, same arrivals, same payloads.
    pub seed: u64,
    /// What is loaded.
    pub target: Target,
    /// The built-in hub, when it is the target.
    pub emulator: Option<EmulatorPlan>,
    /// Who makes the load.
    pub fleets: Vec<FleetPlan>,
    /// The largest packet that a device takes, in mebibytes.
    pub packet_mib_max: u16,
    /// What the service side does to their devices.
    pub drives: Vec<DrivePlan>,
    /// Phases, planned online share and load over time.
    pub schedule: Schedule,
    /// Which messages come back to the run's own subscribers.
    pub deliveries: Deliveries,
    /// How long acks may come in after the last phase.
    pub drain: Duration,
    /// How long all devices may be offline against the plan before that ends the run; `None`: for ever.
    pub abort_when_unreachable: Option<Duration>,
    /// What counts as good.
    pub thresholds: Vec<Threshold>,
    /// When the load counts as really offered.
    pub validity: Limits,
}

/// Where a scenario came from, for the result file. No secret is in it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The path as given.
    pub file: String,
    /// The text as read; `${env.NAME}` unexpanded.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
    /// `--set` overrides as `key=value`.
    pub overrides: Vec<String>,
    /// The files that were read: the scenario, and those that it names. Nothing may be written over them.
    pub files: Vec<PathBuf>,
}
