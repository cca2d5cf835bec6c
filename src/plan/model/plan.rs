//! The whole plan, and the scenario it came from.

use super::{DayPart, DrivePlan, FaultPlan, FleetPlan, Target, Threshold};
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::throttles::HubSize;
use crate::measure::Limits;
use crate::plan::deliveries::Deliveries;
use crate::plan::schedule::{DeviceSeed, RunLoads, Schedule};
use crate::policy::fault::chaos::Chaos;
use crate::scenario::{in_json, is_json};
use std::path::PathBuf;
use std::time::Duration;

/// A resolved scenario.
#[derive(Debug)]
pub struct Plan {
    /// Scenario name.
    pub name: String,
    /// The scenario file.
    pub source: Source,
    /// Seed of all random numbers. The same seed gives the same arrivals and payloads.
    pub seed: u64,
    /// The system under test.
    pub target: Target,
    /// Options of the built-in hub, if it is the target.
    pub emulator: Option<EmulatorOptions>,
    /// Faults on the built-in hub: those of the scenario, then the random ones, each in the order of their numbers.
    pub faults: Vec<FaultPlan>,
    /// The random faults that the scenario asks for; `faults` contains them.
    pub chaos: Option<Chaos>,
    /// The fleets, in the scenario's order.
    pub fleets: Vec<FleetPlan>,
    /// Largest packet that a device accepts, in MiB.
    pub packet_mib_max: u16,
    /// Calls that the service client makes.
    pub drives: Vec<DrivePlan>,
    /// Phases, planned online share, and load over time. A fleet may have its own: see [`schedule_of`](Plan::schedule_of).
    pub schedule: Schedule,
    /// The parts of a day of the real fleet. Empty if the scenario has none. Only the capacity plan reads them.
    pub day: Vec<DayPart>,
    /// Messages that the run's subscribers should receive.
    pub deliveries: Deliveries,
    /// How long to wait for acknowledgments after the last phase.
    pub drain: Duration,
    /// How long all devices must be unexpectedly offline before the run ends early. `None`: the run never ends early for this reason.
    pub abort_when_unreachable: Option<Duration>,
    /// Thresholds from the scenario.
    pub thresholds: Vec<Threshold>,
    /// Limits for delays in the load generator.
    pub validity: Limits,
    /// Mistakes in messages that do not make the scenario invalid, each with its place in the scenario.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Returns the schedule of a fleet.
    #[must_use]
    pub fn schedule_of<'a>(&'a self, fleet: &'a FleetPlan) -> &'a Schedule {
        fleet.own_schedule.as_ref().unwrap_or(&self.schedule)
    }

    /// Returns a device as the seed and the schedule of its fleet see it.
    #[must_use]
    pub fn device_seed(&self, fleet: &FleetPlan, index: u32) -> DeviceSeed {
        let (first, devices) = (fleet.first, u64::from(fleet.devices));
        DeviceSeed { seed: self.seed, first, rank: u64::from(index), devices }
    }

    /// Returns the loads of a running plan, which commands may extend.
    #[must_use]
    pub fn run_loads(&self) -> RunLoads {
        RunLoads::new(&self.schedule, self.fleets.iter().map(|fleet| fleet.own_schedule.as_ref()))
    }
}

/// The scenario as read, for the result file. It contains no secrets.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Path as given.
    pub file: String,
    /// Text as read, with `${env.NAME}` unexpanded.
    pub text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// `--set` overrides as `key=value`, then the options that select a part of the scenario, with their effect.
    pub overrides: Vec<String>,
    /// Files that were read: the scenario, and the files that it names. The run must not overwrite them.
    pub files: Vec<PathBuf>,
}

impl Plan {
    /// Returns the tier and the units of the hub, if they are known.
    #[must_use]
    pub fn hub_size(&self) -> Option<HubSize> {
        match self.emulator {
            Some(options) => options.tier.map(|tier| tier.size),
            None => self.target.size,
        }
    }
}

impl Source {
    /// Returns true if the scenario is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        is_json(&self.file, &self.text)
    }

    /// Returns advice in the language of the scenario. `text` is advice in TOML.
    #[must_use]
    pub fn advice(&self, text: &str) -> String {
        if self.is_json() { in_json(text) } else { text.to_owned() }
    }
}
