//! The collector: combines the snapshots from all sources into a [`Measurement`], and computes the live figures. `fleet` calls
//! it once per second. Independent of devices: it only distinguishes sources.

use super::batches::{Batch, Batches};
use super::disturbance::Disturbance;
use super::disturbance_tracker::DisturbanceTracker;
use super::errors::{self, ErrorTotals};
use super::fleet_row::{FLEETS_MAX, FleetRow};
use super::health::{Busy, ClockStep, Source};
use super::interval::{Interval, NS_PER_S};
use super::latency::{Latency, Pool, to_us};
use super::layout::{DIGITS_TOTAL, Layout};
use super::measurement::{Fleet, Measurement, OperationTotals, Phase, Stream};
use super::operation::{Culprit, Key, Operation, Outcome};
use super::snapshot::{Divergence, Online, Snapshot};
use super::target_totals::TargetTotals;
use super::totals::Totals;
use crate::stalls::StallEntry;
use std::collections::BTreeMap;

/// The figures of the last interval, and the errors so far. For progress, and to decide whether a run ends early.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// End of the interval.
    pub t_ns: u64,
    /// Number of devices online.
    pub online: u64,
    /// Number of devices that should be online according to the plan.
    pub planned_online: u64,
    /// Due messages per second.
    pub offered_per_s: f64,
    /// Acknowledged messages per second.
    pub achieved_per_s: f64,
    /// Response p99 of each operation that ended ok in the interval, without the steps of connection attempts.
    pub p99_us: Vec<(Operation, u64)>,
    /// Number of operations that ended in the interval with any outcome, without the steps of connection attempts.
    pub ended: u64,
    /// Number of connection attempts that ended in the interval with any outcome.
    pub attempts: u64,
    /// Number of operations since the start of the run whose outcome is not ok.
    pub errors: u64,
    /// Errors by class, most frequent first.
    pub classes: Vec<LiveErrors>,
}

/// The errors of one class while the run is in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveErrors {
    /// Stable name.
    pub class: String,
    /// Probable cause.
    pub culprit: Culprit,
    /// Number of errors in the interval.
    pub count: u64,
    /// Number of errors since the start of the run.
    pub total: u64,
    /// The message of one of these errors.
    pub example: String,
}

/// Accumulates the measurement of a run while the run is in progress.
#[derive(Debug)]
pub struct Collector {
    layout: Layout,
    measurement: Measurement,
    /// Index of each key's totals in the measurement; `None` until the key is first used.
    cell_indices: Vec<Option<u32>>,
    heartbeat: Latency,
    /// Busy time by source and phase.
    busy: BTreeMap<(Source, usize), Busy>,
    /// Number of online devices, by source and fleet.
    online: BTreeMap<Source, Vec<Online>>,
    disturbances: DisturbanceTracker,
    since_tick: Interval,
    /// The numbers of each fleet since the last tick. Empty if the run has one fleet, or too many for a chart.
    fleets_since_tick: Vec<FleetRow>,
    /// Ended operations and connection attempts since the last tick.
    ended: u64,
    attempts: u64,
    live: Live,
}

impl Collector {
    /// Creates a collector for these fleets and phases, in the order of the plan.
    #[must_use]
    pub fn new(layout: Layout, fleets: Vec<Fleet>, phases: Vec<Phase>) -> Collector {
        let highest_us = layout.highest_us;
        Collector {
            layout,
            measurement: Measurement { fleets, phases, highest_us, ..Measurement::default() },
            cell_indices: vec![None; layout.cells()],
            heartbeat: Latency::default(),
            busy: BTreeMap::new(),
            online: BTreeMap::new(),
            disturbances: DisturbanceTracker::new(layout.fleets),
            since_tick: Interval::default(),
            fleets_since_tick: match layout.fleets {
                2..=FLEETS_MAX => vec![FleetRow::default(); layout.fleets],
                _ => Vec::new(),
            },
            ended: 0,
            attempts: 0,
            live: Live::default(),
        }
    }

    /// Adds the hosts of a target that has several.
    #[must_use]
    pub fn with_targets(mut self, targets: Vec<TargetTotals>) -> Collector {
        self.measurement.targets = targets;
        self
    }

    /// Creates a collector whose fleets and phases are named after their numbers, for tests.
    #[cfg(test)]
    pub(crate) fn unnamed(layout: Layout) -> Collector {
        let fleet = |number| Fleet { name: format!("fleet-{number}"), devices: 1, ..Fleet::default() };
        let phase = |number| Phase {
            name: format!("phase-{number}"),
            start_us: number as u64 * 60_000_000,
            end_us: (number as u64 + 1) * 60_000_000,
            ..Phase::default()
        };
        Collector::new(
            layout,
            (0..layout.fleets).map(fleet).collect(),
            (0..layout.phases).map(phase).collect(),
        )
    }

    /// Sets the disturbances with a known start: planned disconnects and faults.
    pub fn schedule(&mut self, known: Vec<Disturbance>) {
        self.disturbances.schedule(known);
    }

    /// Ends a second of the disturbances. `planned` is the planned number of online devices of each fleet: at the end of each 100 ms of
    /// the second, or a single number if they are equal.
    pub fn tick_planned(&mut self, t_ns: u64, planned: &[Vec<u64>]) {
        self.disturbances.tick(t_ns, planned, &mut self.measurement);
    }

    /// Adds a snapshot from a source.
    pub fn add(&mut self, snapshot: &Snapshot, source: Source) {
        for (key, totals) in &snapshot.cells {
            let sum = match self.cell_indices[self.layout.index(*key)] {
                Some(index) => &mut self.measurement.operations[index as usize].totals,
                None => {
                    let (fleet, phase) = self.measurement.names(*key);
                    let operations = &mut self.measurement.operations;
                    self.cell_indices[self.layout.index(*key)] = u32::try_from(operations.len()).ok();
                    operations.push(OperationTotals {
                        operation: key.operation,
                        fleet,
                        phase,
                        totals: Totals::default(),
                        under_fault: None,
                        batches: Batches::default(),
                    });
                    let index = operations.len() - 1;
                    &mut operations[index].totals
                }
            };
            sum.add(totals);
            if key.operation.is_message()
                && let Some(fleet) = self.fleets_since_tick.get_mut(usize::from(key.fleet))
            {
                fleet.count(totals, key.operation.has_ack());
            }
            if !key.operation.is_step() {
                self.ended = self.ended.saturating_add(totals.ended());
            }
            if key.operation == Operation::Connect {
                self.attempts = self.attempts.saturating_add(totals.ended());
            }
            if key.operation.is_message() || totals.clipped > 0 {
                let phase = self.measurement.names(*key).1;
                let health = self.measurement.health_mut(source, &phase);
                health.clipped = health.clipped.saturating_add(totals.clipped);
                if key.operation.is_message() {
                    health.lag.add(&totals.lag);
                }
            }
        }
        for (key, totals) in &snapshot.under_fault {
            // The operation is in `cells` too, so its totals exist.
            if let Some(index) = self.cell_indices[self.layout.index(*key)] {
                let part = &mut self.measurement.operations[index as usize];
                part.under_fault.get_or_insert_default().add(totals);
            }
        }
        self.add_batches(snapshot);
        for (second, interval) in snapshot.seconds.iter() {
            self.measurement.series.add(second, interval);
            self.since_tick.merge(interval);
        }
        let online = self.online.entry(source).or_insert_with(|| vec![Online::default(); self.layout.fleets]);
        let fleets = self.measurement.fleets.iter_mut().zip(online);
        for ((fleet, online), (counts, now)) in fleets.zip(&snapshot.fleets) {
            fleet.counts.add(counts);
            *online = Online { now: now.now, peak: online.peak.max(now.peak) };
        }
        for (sum, part) in self.measurement.targets.iter_mut().zip(&snapshot.targets) {
            sum.add(part);
        }
        self.disturbances.add(&snapshot.connections, &mut self.measurement);
        self.add_health(snapshot, source);
    }

    /// Adds each operation to the batch of its due time. Nearly all of them were due in the snapshot's second.
    fn add_batches(&mut self, snapshot: &Snapshot) {
        let parts = snapshot.cells.iter().filter(|(key, _)| !key.operation.is_step());
        for (key, totals) in parts {
            let mut timely = Batch::of_second(snapshot.second, totals);
            let strays = snapshot.strays.iter().filter(|stray| stray.key == *key);
            for stray in strays {
                timely.subtract(&stray.batch);
                self.add_batch(*key, &stray.batch);
            }
            self.add_batch(*key, &timely);
        }
    }

    fn add_batch(&mut self, key: Key, batch: &Batch) {
        let index = self.cell_indices[self.layout.index(key)].filter(|_| !batch.is_empty());
        let Some(index) = index else { return };
        let batches = &mut self.measurement.operations[index as usize].batches;
        if batches.is_empty() {
            let phase = self.measurement.phases.get(usize::from(key.phase));
            *batches =
                phase.map_or_else(Batches::default, |phase| Batches::of_phase(phase.start_us, phase.end_us));
        }
        batches.add(batch);
    }

    /// Ends the open operations of a recovered run as unfinished. `ages` returns, for each age in nanoseconds, a number of open
    /// operations of a key.
    pub(super) fn end_open(&mut self, at_ns: u64, ages: impl Fn(Key, &Totals) -> Vec<(u64, u64)>) {
        let mut pool = Pool::new(DIGITS_TOTAL, self.layout.highest_us);
        for key in self.layout.keys() {
            let Some(index) = self.cell_indices[self.layout.index(key)] else { continue };
            let part = &mut self.measurement.operations[index as usize];
            let mut unfinished = Totals::default();
            for (age_ns, count) in ages(key, &part.totals) {
                unfinished.outcomes[Outcome::Unfinished] += count;
                unfinished.clipped += unfinished.unfinished_age.record_n(to_us(age_ns), count, &mut pool);
            }
            part.totals.add(&unfinished);
            part.batches.end_open();
            if !key.operation.is_step() {
                let errors = unfinished.outcomes.sum();
                self.measurement.series.add(at_ns / NS_PER_S, &Interval { errors, ..Interval::default() });
            }
        }
    }

    fn add_health(&mut self, snapshot: &Snapshot, source: Source) {
        self.heartbeat.add(&snapshot.heartbeat);
        for error in &snapshot.errors {
            errors::merge(&mut self.measurement.errors, error);
            if error.culprit == Culprit::Generator
                && let Some(phase) = self.measurement.phase_at(error.last_us).map(|phase| phase.name.clone())
            {
                let health = self.measurement.health_mut(source, &phase);
                health.environment_errors = health.environment_errors.saturating_add(error.count);
            }
        }
        let phases: Vec<String> = self.measurement.phases.iter().map(|phase| phase.name.clone()).collect();
        for (number, (phase, busy)) in phases.iter().zip(&snapshot.busy).enumerate() {
            if busy.passed_ns > 0 {
                let sum = self.busy.entry((source, number)).or_default();
                sum.add(*busy);
                self.measurement.health_mut(source, phase).busy_share = sum.share();
            }
        }
        for [from_ns, to_ns] in &snapshot.stalls {
            let (from_us, to_us) = (from_ns / 1_000, to_ns / 1_000);
            self.measurement.add_stall(source, StallEntry { from_us, to_us, stalled_us: to_us - from_us });
        }
        for [from_ns, to_ns] in &snapshot.saturated {
            self.measurement.add_saturated(source, from_ns / 1_000, to_ns / 1_000);
        }
        for Divergence { at_ns, by_us, is_step } in &snapshot.divergences {
            let at_us = at_ns / 1_000;
            if let Some(phase) = self.measurement.phase_at(at_us).map(|phase| phase.name.clone()) {
                let health = self.measurement.health_mut(source, &phase);
                health.clock_drift_us = health.clock_drift_us.max(by_us.unsigned_abs());
            }
            if *is_step {
                self.measurement.add_clock_step(ClockStep { at_us, by_us: *by_us });
            }
        }
    }

    /// Ends an interval at `t_ns`: stores the gauges in the series, including the CPU usage if it was read, and updates the
    /// live figures.
    #[expect(clippy::cast_precision_loss, reason = "rates are approximate")]
    pub fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, planned_online: u64) {
        self.update_peaks();
        for online in self.online.values_mut().flatten() {
            online.peak = online.now;
        }
        let online = (0..self.layout.fleets).map(|fleet| self.online_now(fleet)).sum();
        self.measurement.series.tick(t_ns, cpu_percent, online, planned_online);
        self.tick_fleets(t_ns);

        let seconds = (t_ns.saturating_sub(self.live.t_ns) as f64 / 1e9).max(1e-3);
        let response = self.since_tick.response.iter();
        let p99 = response.filter_map(|(operation, latency)| Some((operation, latency.quantile(0.99)?)));
        self.live = Live {
            t_ns,
            online,
            planned_online,
            offered_per_s: self.since_tick.offered as f64 / seconds,
            achieved_per_s: self.since_tick.achieved as f64 / seconds,
            p99_us: p99.collect(),
            ended: std::mem::take(&mut self.ended),
            attempts: std::mem::take(&mut self.attempts),
            errors: self.live.errors.saturating_add(self.since_tick.errors),
            classes: self.classes(),
        };
        self.since_tick = Interval::default();
    }

    fn tick_fleets(&mut self, t_ns: u64) {
        let mut rows = std::mem::take(&mut self.fleets_since_tick);
        for (fleet, row) in rows.iter_mut().enumerate() {
            row.online = self.online_now(fleet);
        }
        let names = self.measurement.fleets.iter().map(|fleet| fleet.name.as_str());
        self.measurement.series.add_fleets(t_ns, names.zip(&rows));
        self.fleets_since_tick = vec![FleetRow::default(); rows.len()];
    }

    /// Returns the errors by class. The count of each is the difference to the last tick.
    fn classes(&self) -> Vec<LiveErrors> {
        let known = |error: &ErrorTotals| {
            let mut known = self.live.classes.iter();
            known.find(|known| known.class == error.class && known.culprit == error.culprit)
        };
        let classes = self.measurement.errors.iter().map(|error| LiveErrors {
            class: error.class.clone(),
            culprit: error.culprit,
            count: error.count - known(error).map_or(0, |known| known.total),
            total: error.count,
            example: error.example.clone(),
        });
        let mut classes: Vec<LiveErrors> = classes.collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.total));
        classes
    }

    /// Returns the figures of the last tick.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Returns the measurement so far.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// Returns how late the workers' heartbeats were.
    #[must_use]
    pub fn heartbeat(&self) -> &Latency {
        &self.heartbeat
    }

    /// Returns the complete measurement, sorted. Phases are cut off at `load_ended_us`; phases that never started are left
    /// out.
    #[must_use]
    pub fn finish(
        mut self,
        load_ended_us: u64,
        streams: Vec<Stream>,
        breakdowns: Vec<String>,
    ) -> Measurement {
        self.update_peaks();
        self.disturbances.finish(load_ended_us, &mut self.measurement);
        let mut measurement = self.measurement;
        measurement.streams = streams;
        measurement.breakdowns = breakdowns;
        measurement.phases.retain(|phase| phase.start_us < load_ended_us);
        for phase in &mut measurement.phases {
            phase.end_us = phase.end_us.min(load_ended_us);
        }
        measurement.limit_batches();
        measurement.sort();
        measurement
    }

    /// Updates the fleets' peaks. All sources peak within the same interval, so a fleet's peak is the sum of its sources'
    /// peaks.
    fn update_peaks(&mut self) {
        for (number, fleet) in self.measurement.fleets.iter_mut().enumerate() {
            let peak: i64 =
                self.online.values().filter_map(|source| source.get(number)).map(|o| o.peak).sum();
            fleet.connected_peak = fleet.connected_peak.max(u64::try_from(peak).unwrap_or(0));
        }
    }

    fn online_now(&self, fleet: usize) -> u64 {
        let now: i64 = self.online.values().filter_map(|source| source.get(fleet)).map(|o| o.now).sum();
        u64::try_from(now).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
