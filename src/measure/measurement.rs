//! The measurement of a run: complete, serializable and mergeable. Filled by the collector, judged and rendered by
//! `report`, and stored as the body of the result file. It contains names instead of indices, so that it can be read
//! without the plan.

use super::batches::{BATCHES_MAX, Batches, FINE_MAX, TOTAL_MAX};
use super::disturbance::Disturbance;
use super::errors::{self, ErrorTotals};
use super::fleet_counts::FleetCounts;
use super::health::{ClockStep, Health, Source};
use super::operation::{Key, Operation};
use super::series::Series;
use super::target_totals::TargetTotals;
use super::totals::{Totals, is_zero};
use crate::stalls::StallEntry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The maximum number of clock steps to keep. Further steps would not change the verdict.
const CLOCK_STEPS_MAX: usize = 64;

/// The measurement of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Fleets, in the order of the scenario.
    pub fleets: Vec<Fleet>,
    /// Phases, as they were executed.
    pub phases: Vec<Phase>,
    /// Outcomes and latencies by operation, fleet and phase, sorted by phase, then by fleet.
    pub operations: Vec<OperationTotals>,
    /// Reconciliation of the messages that the run published for its own subscribers, by `[[fleet.NAME.send]]`.
    /// Untracked messages are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
    /// The run over time.
    pub series: Series,
    /// Moments from which devices lost their connections, with the number of online devices after each. `recoveries` are computed from
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<Disturbance>,
    /// Number of further disturbances, of which nothing was kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disturbances_left_out: u64,
    /// Errors by class, most frequent first.
    pub errors: Vec<ErrorTotals>,
    /// The hosts of a target that has several, in the order of the scenario. Left out for a target with one host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetTotals>,
    /// How well each part of hubstorm on this machine kept up, by source and phase.
    #[serde(default)]
    pub health: Vec<Health>,
    /// Steps of this machine's wall clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_steps: Vec<ClockStep>,
    /// Failures that broke the measurement, such as a worker or the built-in hub ending early.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakdowns: Vec<String>,
    /// Highest value that the histograms can record; 0 if it is unknown.
    #[serde(default)]
    pub highest_us: u64,
}

/// A fleet and its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// Name of the fleet in the scenario.
    pub name: String,
    /// Number of devices.
    pub devices: u64,
    /// Largest number of devices online at the same time.
    pub connected_peak: u64,
    /// Counters other than operations.
    #[serde(flatten)]
    pub counts: FleetCounts,
}

/// A phase, as it was executed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Name of the phase in the scenario.
    pub name: String,
    /// True for a warm-up phase, which thresholds without a phase ignore.
    pub warmup: bool,
    /// Start of the phase.
    pub start_us: u64,
    /// End of the phase; the actual end if the run ended early.
    pub end_us: u64,
    /// Planned share of online devices at the start and at the end, as fractions of 1.
    pub planned_online: [f64; 2],
    /// Planned load factor at the start and at the end.
    pub planned_load: [f64; 2],
    /// Number of steps from the first load factor to the last; left out if the load changes linearly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_load_steps: Option<u32>,
    /// The fleets whose plan for this phase differs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fleets: BTreeMap<String, FleetPhase>,
}

/// The plan of one fleet for a phase, where it differs from that of the other fleets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetPhase {
    /// Planned share of the fleet's online devices at the start and at the end, as fractions of 1.
    pub planned_online: [f64; 2],
    /// Planned load factor of the fleet at the start and at the end.
    pub planned_load: [f64; 2],
    /// Number of steps from the first load factor to the last; left out if the load changes linearly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_load_steps: Option<u32>,
}

/// The totals of one operation, fleet and phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationTotals {
    /// Name of the operation.
    pub operation: Operation,
    /// Name of the fleet.
    pub fleet: String,
    /// Name of the phase in which the operations were due.
    pub phase: String,
    /// Outcomes and latencies.
    #[serde(flatten)]
    pub totals: Totals,
    /// The part of these operations that a fault on the generator's side affected: the device was under the fault at some time between
    /// the due time and the end, or had a backlog from it. Left out if there are none, and in files from earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_fault: Option<Box<Totals>>,
    /// The same operations over time, by due time. Left out for the steps of connection attempts, and in files from earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Batches::is_empty")]
    pub batches: Batches,
}

/// Reconciliation of one stream: the copies that subscribers in the same run should have received, compared with the
/// copies that they received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// Name of the fleet that sends the stream.
    pub fleet: String,
    /// Index of the stream in its fleet, starting at 0.
    pub send: u64,
    /// Topic, as in the scenario.
    pub topic: String,
    /// Copies that arrived, each counted once.
    pub ok: u64,
    /// Expected copies that did not arrive.
    pub lost: u64,
    /// Copies that arrived again.
    pub duplicates: u64,
    /// Copies in `ok` that arrived after a later message in their stream.
    pub reordered: u64,
}

impl std::ops::Deref for OperationTotals {
    type Target = Totals;

    fn deref(&self) -> &Totals {
        &self.totals
    }
}

impl Measurement {
    /// Returns the sum of all parts that `wanted` selects. Histograms and counters are added; nothing is averaged.
    #[must_use]
    pub fn sum(&self, wanted: impl Fn(&OperationTotals) -> bool) -> Totals {
        let mut sum = Totals::default();
        for part in self.operations.iter().filter(|part| wanted(part)) {
            sum.add(&part.totals);
        }
        sum
    }

    /// Like [`sum`](Measurement::sum), without the operations that a fault on the generator's side affected.
    #[must_use]
    pub fn sum_without_faults(&self, wanted: impl Fn(&OperationTotals) -> bool) -> Totals {
        let mut sum = Totals::default();
        for part in self.operations.iter().filter(|part| wanted(part)) {
            match &part.under_fault {
                Some(under_fault) => sum.add(&part.totals.without(under_fault)),
                None => sum.add(&part.totals),
            }
        }
        sum
    }

    /// Returns the sum of an operation over all fleets and phases.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Totals {
        self.sum(|part| part.operation == operation)
    }

    /// Returns the phase with this name.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// Returns true for a warm-up phase, which thresholds without a phase ignore.
    #[must_use]
    pub fn is_warmup(&self, phase: &str) -> bool {
        self.phase(phase).is_some_and(|phase| phase.warmup)
    }

    /// Returns the number of devices in all fleets.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.fleets.iter().map(|fleet| fleet.devices).sum()
    }

    /// Returns the sum of a counter over all fleets.
    pub fn count(&self, count: impl Fn(&FleetCounts) -> u64) -> u64 {
        self.fleets.iter().map(|fleet| count(&fleet.counts)).fold(0, u64::saturating_add)
    }

    /// Returns the number of errors of a class, for all culprits.
    #[must_use]
    pub fn errors_of(&self, class: &str) -> u64 {
        self.errors.iter().filter(|error| error.class == class).map(|error| error.count).sum()
    }

    /// Returns the phase at `t_us`; after the end of the load, the last phase.
    #[must_use]
    pub fn phase_at(&self, t_us: u64) -> Option<&Phase> {
        self.phases.iter().find(|phase| t_us < phase.end_us).or(self.phases.last())
    }

    /// Returns the health of a source in a phase, creating it if necessary.
    pub fn health_mut(&mut self, source: Source, phase: &str) -> &mut Health {
        let known = self.health.iter().position(|health| health.source == source && health.phase == phase);
        let index = known.unwrap_or_else(|| {
            self.health.push(Health::new(source, phase));
            self.health.len() - 1
        });
        &mut self.health[index]
    }

    /// Adds stalls of a source, split at the phase boundaries. Times are in microseconds since the start of the run.
    pub fn add_stall(&mut self, source: Source, entry: StallEntry) {
        self.for_each_phase(entry.from_us, entry.to_us, |measurement, phase, from_us, to_us| {
            let health = measurement.health_mut(source, phase);
            let stalled_us = entry.stalled_us.min(to_us - from_us);
            health.stall_us = health.stall_us.saturating_add(stalled_us);
            health.stalls.add_entry(StallEntry { from_us, to_us, stalled_us });
        });
    }

    /// Adds a step of the wall clock, unless another worker has already reported it.
    pub fn add_clock_step(&mut self, step: ClockStep) {
        if self.clock_steps.len() < CLOCK_STEPS_MAX
            && !self.clock_steps.iter().any(|known| known.is_same_step(&step))
        {
            self.clock_steps.push(step);
        }
    }

    /// Adds an interval in which a source was saturated.
    pub fn add_saturated(&mut self, source: Source, from_us: u64, to_us: u64) {
        self.for_each_phase(from_us, to_us, |measurement, phase, from_us, to_us| {
            measurement.health_mut(source, phase).saturated.add(from_us, to_us);
        });
    }

    /// Splits an interval at the phase boundaries, and calls `each` for each part. The drain belongs to the last
    /// phase, because operations from that phase end in the drain.
    fn for_each_phase(
        &mut self,
        from_us: u64,
        to_us: u64,
        mut each: impl FnMut(&mut Measurement, &str, u64, u64),
    ) {
        let last = self.phases.len().saturating_sub(1);
        let parts: Vec<(String, u64, u64)> = (0..)
            .zip(&self.phases)
            .map(|(index, phase)| {
                let end_us = if index == last { u64::MAX } else { phase.end_us };
                (phase.name.clone(), from_us.max(phase.start_us), to_us.min(end_us))
            })
            .filter(|(_, from_us, to_us)| from_us < to_us)
            .collect();
        for (phase, from_us, to_us) in parts {
            each(self, &phase, from_us, to_us);
        }
    }

    /// Adds the measurement from another process in the same run. The sum is exact: histograms, counters and stalls
    /// are merged; nothing is averaged.
    pub fn merge(&mut self, other: &Measurement) {
        for theirs in &other.fleets {
            match self.fleets.iter_mut().find(|mine| mine.name == theirs.name) {
                Some(mine) => {
                    mine.devices += theirs.devices;
                    mine.connected_peak += theirs.connected_peak;
                    mine.counts.add(&theirs.counts);
                }
                None => self.fleets.push(theirs.clone()),
            }
        }
        for theirs in &other.phases {
            match self.phases.iter_mut().find(|mine| mine.name == theirs.name) {
                Some(mine) => mine.end_us = mine.end_us.max(theirs.end_us),
                None => self.phases.push(theirs.clone()),
            }
        }
        for theirs in &other.operations {
            let mine = self.operation_mut(theirs.operation, &theirs.fleet, &theirs.phase);
            mine.totals.add(&theirs.totals);
            if let Some(under_fault) = &theirs.under_fault {
                mine.under_fault.get_or_insert_default().add(under_fault);
            }
            mine.batches.merge(&theirs.batches);
        }
        for theirs in &other.streams {
            let same = |mine: &&mut Stream| mine.fleet == theirs.fleet && mine.send == theirs.send;
            match self.streams.iter_mut().find(same) {
                Some(mine) => {
                    mine.ok += theirs.ok;
                    mine.lost += theirs.lost;
                    mine.duplicates += theirs.duplicates;
                    mine.reordered += theirs.reordered;
                }
                None => self.streams.push(theirs.clone()),
            }
        }
        self.series.merge(&other.series);
        for theirs in &other.disturbances {
            match self.disturbances.iter_mut().find(|mine| mine.is_same(theirs)) {
                Some(mine) => mine.merge(theirs),
                None => self.disturbances.push(theirs.clone()),
            }
        }
        self.disturbances_left_out = self.disturbances_left_out.max(other.disturbances_left_out);
        other.errors.iter().for_each(|error| errors::merge(&mut self.errors, error));
        TargetTotals::merge_list(&mut self.targets, &other.targets);
        for theirs in &other.health {
            self.health_mut(theirs.source, &theirs.phase).merge(theirs);
        }
        other.clock_steps.iter().for_each(|step| self.add_clock_step(*step));
        self.breakdowns.extend(other.breakdowns.iter().cloned());
        self.highest_us = self.highest_us.max(other.highest_us);
        self.limit_batches();
        self.sort();
    }

    /// Makes the histograms of batches coarser if the operations have more than [`FINE_MAX`] batches together, and makes the batches
    /// longer if there are more than [`TOTAL_MAX`].
    pub(super) fn limit_batches(&mut self) {
        let count = |measurement: &Measurement| -> usize {
            measurement.operations.iter().map(|part| part.batches.list.len()).sum()
        };
        if count(self) > FINE_MAX {
            self.operations.iter_mut().for_each(|part| part.batches.coarsen());
        }
        let mut most = BATCHES_MAX;
        while most > 1 && count(self) > TOTAL_MAX {
            most /= 2;
            self.operations.iter_mut().for_each(|part| part.batches.shrink_to(most));
        }
    }

    fn operation_mut(&mut self, operation: Operation, fleet: &str, phase: &str) -> &mut OperationTotals {
        let same = |part: &OperationTotals| {
            part.operation == operation && part.fleet == fleet && part.phase == phase
        };
        let index = self.operations.iter().position(same).unwrap_or_else(|| {
            let (fleet, phase) = (fleet.to_owned(), phase.to_owned());
            let (totals, batches) = (Totals::default(), Batches::default());
            let under_fault = None;
            self.operations.push(OperationTotals { operation, fleet, phase, totals, under_fault, batches });
            self.operations.len() - 1
        });
        &mut self.operations[index]
    }

    /// Sorts everything into the order used in files.
    pub(super) fn sort(&mut self) {
        let (phases, fleets) = (&self.phases, &self.fleets);
        let phase_index = |name: &str| phases.iter().position(|phase| phase.name == name);
        let fleet_index = |name: &str| fleets.iter().position(|fleet| fleet.name == name);
        self.operations.sort_by_cached_key(|part| {
            let rank = Operation::ALL.iter().position(|known| *known == part.operation);
            (phase_index(&part.phase), fleet_index(&part.fleet), rank)
        });
        self.health.sort_by_cached_key(|health| (health.source, phase_index(&health.phase)));
        self.errors.sort_by(|a, b| {
            (b.count, &a.class, a.culprit.name()).cmp(&(a.count, &b.class, b.culprit.name()))
        });
        self.targets.iter_mut().for_each(TargetTotals::sort);
        self.clock_steps.sort_by_key(|step| step.at_us);
        self.disturbances.sort_by_key(|one| (one.start_us, one.cause));
        self.breakdowns.sort();
    }

    /// Returns the names of a key's fleet and phase.
    pub(super) fn names(&self, key: Key) -> (String, String) {
        let fleet = self.fleets.get(usize::from(key.fleet)).map(|fleet| fleet.name.clone());
        let phase = self.phases.get(usize::from(key.phase)).map(|phase| phase.name.clone());
        (
            fleet.unwrap_or_else(|| format!("#{}", key.fleet)),
            phase.unwrap_or_else(|| format!("#{}", key.phase)),
        )
    }
}
