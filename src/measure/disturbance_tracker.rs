//! Finds disturbances and counts the online devices after each, in bins of 100 ms. Owned by the collector, which passes it the
//! connections of all workers: a mass loss shows only in their sum. It keeps a few seconds of bins, and more only while a disturbance
//! is open, so its memory does not grow with the run.

use super::connections::{BIN_NS, Changes, Connections, Outage};
use super::disturbance::{BIN_US, Cause, Disturbance, DisturbedFleet, SEARCH_MAX_US};
use super::latency::{Pool, to_us};
use super::layout::DIGITS_TOTAL;
use super::measurement::Measurement;
use super::recovery::HOLD_US;
use std::collections::{BTreeMap, VecDeque};

/// More than this share of the online devices must be lost for a mass loss, in percent.
const MASS_LOSS_PERCENT: u64 = 10;
/// The time within which they must be lost, in bins.
const MASS_LOSS_BINS: u64 = 20;
/// One lost device is no mass loss, however few there are (our choice).
const MASS_LOSS_MIN: u64 = 2;
/// A bin is closed after this time: a mass loss shows up to 2 s later, and a busy worker may report late.
const LAG_NS: u64 = 3_000_000_000;
/// The maximum number of disturbances to keep. Random faults can cause any number (our choice).
const DISTURBANCES_MAX: usize = 64;
/// The longest outage that the histogram can record: 7 days.
const OUTAGE_MAX_US: u64 = 7 * 86_400 * 1_000_000;

/// What is known about a bin that is not closed yet.
#[derive(Debug, Default)]
struct OpenBin {
    changes: BTreeMap<u16, Changes>,
    /// Planned number of online devices at its end, by fleet. Empty if it is the same as in the previous bin.
    planned: Vec<u64>,
}

/// Finds disturbances while a run is in progress.
#[derive(Debug)]
pub(super) struct DisturbanceTracker {
    /// Disturbances with a known start, in order.
    scheduled: VecDeque<Disturbance>,
    bins: BTreeMap<u64, OpenBin>,
    /// The first bin that is not closed.
    next: u64,
    /// Number of devices online at the start of `next`, by fleet. Negative if a report is missing.
    online: Vec<i64>,
    planned: Vec<u64>,
    /// Indices of the open disturbances, which started at the same time.
    open: Vec<usize>,
    /// Number of successive bins in which all devices were online as planned.
    calm_bins: u64,
    /// Outages that started in bins that are not closed yet.
    outages: Vec<Outage>,
    pool: Pool,
}

impl DisturbanceTracker {
    pub(super) fn new(fleets: usize) -> DisturbanceTracker {
        DisturbanceTracker {
            scheduled: VecDeque::new(),
            bins: BTreeMap::new(),
            next: 0,
            online: vec![0; fleets],
            planned: vec![0; fleets],
            open: Vec::new(),
            calm_bins: 0,
            outages: Vec::new(),
            pool: Pool::growing(DIGITS_TOTAL, OUTAGE_MAX_US),
        }
    }

    /// Sets the disturbances with a known start.
    pub(super) fn schedule(&mut self, mut known: Vec<Disturbance>) {
        known.sort_by_key(|one| one.start_us);
        self.scheduled = known.into();
    }

    /// Adds the connections of a worker.
    pub(super) fn add(&mut self, connections: &Connections, measurement: &mut Measurement) {
        for changes in connections.changes() {
            let bin = self.bins.entry(changes.bin.max(self.next)).or_default();
            bin.changes.entry(changes.fleet).or_default().add(changes);
        }
        for outage in connections.outages() {
            self.outages.push(*outage);
        }
        self.assign_outages(measurement);
    }

    /// Ends a second. `planned` is the planned number of online devices: for each fleet, at the end of each bin of the second, or a single
    /// number if they are equal.
    pub(super) fn tick(&mut self, t_ns: u64, planned: &[Vec<u64>], measurement: &mut Measurement) {
        let last = t_ns / BIN_NS;
        let most = planned.iter().map(Vec::len).max().unwrap_or(0) as u64;
        for (index, bin) in (0..most).zip(last.saturating_sub(most)..last) {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let at = |list: &Vec<u64>| list.get(index).or(list.last()).copied().unwrap_or(0);
            self.bins.entry(bin.max(self.next)).or_default().planned = planned.iter().map(at).collect();
        }
        if most == 1 {
            // The same number in the whole second.
            let all = self.bins.get(&last.saturating_sub(1)).map(|bin| bin.planned.clone());
            let first = last.saturating_sub(1_000_000_000 / BIN_NS).max(self.next);
            self.bins.entry(first).or_default().planned = all.unwrap_or_default();
        }
        self.close_until(t_ns.saturating_sub(LAG_NS) / BIN_NS, measurement);
    }

    /// Closes the remaining bins at the end of the run, and cuts off everything from the end of the load on.
    pub(super) fn finish(&mut self, load_end_us: u64, measurement: &mut Measurement) {
        let phases_end_us = measurement.phases.last().map_or(0, |phase| phase.end_us);
        self.close_until(load_end_us.min(phases_end_us).div_ceil(BIN_US), measurement);
        self.assign_all(measurement);
        measurement.disturbances.retain(|one| one.start_us < load_end_us);
        measurement.disturbances.iter_mut().for_each(|one| one.cut(load_end_us));
    }

    fn close_until(&mut self, end: u64, measurement: &mut Measurement) {
        while self.next < end {
            // Without devices that connect, there is nothing to count, however long the run is.
            let bins = self.bins.keys().next().copied();
            let known = self.scheduled.front().map(|known| known.start_us / BIN_US);
            let busy = bins.into_iter().chain(known).min().unwrap_or(u64::MAX);
            if self.open.is_empty() && busy > self.next {
                self.next = busy.min(end);
                continue;
            }
            self.close(measurement);
        }
        self.assign_outages(measurement);
    }

    /// Closes the next bin.
    fn close(&mut self, measurement: &mut Measurement) {
        let (from_us, to_us) = (self.next * BIN_US, (self.next + 1) * BIN_US);
        while let Some(known) = self.scheduled.pop_front_if(|known| known.start_us < to_us) {
            self.begin(known, measurement);
        }
        self.find_mass_loss(from_us, measurement);
        let bin = self.bins.remove(&self.next).unwrap_or_default();
        if !bin.planned.is_empty() {
            self.planned = bin.planned;
        }
        for index in &self.open {
            let disturbance = &mut measurement.disturbances[*index];
            for (number, fleet) in (0_u16..).zip(&mut disturbance.fleets) {
                let changes = bin.changes.get(&number).copied().unwrap_or_default();
                let online = after(self.online[usize::from(number)], &changes);
                fleet.online.push(u64::try_from(online).unwrap_or(0));
                fleet.planned.push(self.planned.get(usize::from(number)).copied().unwrap_or(0));
                fleet.disconnects.push(changes.disconnected);
                fleet.attempts.push(changes.attempts);
            }
        }
        for (fleet, changes) in &bin.changes {
            if let Some(online) = self.online.get_mut(usize::from(*fleet)) {
                *online = after(*online, changes);
            }
        }
        self.next += 1;
        self.end_if_over(to_us, measurement);
    }

    /// Starts a disturbance, which ends the search of earlier ones.
    fn begin(&mut self, mut new: Disturbance, measurement: &mut Measurement) {
        for index in std::mem::take(&mut self.open) {
            let earlier = &mut measurement.disturbances[index];
            if earlier.start_us == new.start_us {
                self.open.push(index);
            } else {
                earlier.cut(new.start_us);
            }
        }
        if measurement.disturbances.len() >= DISTURBANCES_MAX {
            measurement.disturbances_left_out = measurement.disturbances_left_out.saturating_add(1);
            return;
        }
        let fleet = |(fleet, online): (&super::measurement::Fleet, &i64)| DisturbedFleet {
            fleet: fleet.name.clone(),
            online_before: u64::try_from(*online).unwrap_or(0),
            ..DisturbedFleet::default()
        };
        new.fleets = measurement.fleets.iter().zip(&self.online).map(fleet).collect();
        self.open.push(measurement.disturbances.len());
        self.calm_bins = 0;
        measurement.disturbances.push(new);
    }

    /// Finds a mass loss that starts in the next bin. It is a part of the latest disturbance, or a new one.
    fn find_mass_loss(&mut self, from_us: u64, measurement: &mut Measurement) {
        let lost = |bin: &OpenBin| bin.changes.values().map(|changes| changes.lost).sum::<u64>();
        let Some(first) = self.bins.get(&self.next).filter(|bin| lost(bin) > 0) else { return };
        if from_us < self.losses_until_us(measurement) {
            self.settle((self.next + 1) * BIN_US, measurement);
            return;
        }
        let window = || self.bins.range(self.next..self.next + MASS_LOSS_BINS);
        let sum: u64 = window().map(|(_, bin)| lost(bin)).sum();
        let online: i64 = self.online.iter().sum();
        let online = u64::try_from(online).unwrap_or(0);
        if sum < MASS_LOSS_MIN || sum.saturating_mul(100) <= online.saturating_mul(MASS_LOSS_PERCENT) {
            return;
        }
        let last = window().rfind(|(_, bin)| lost(bin) > 0).map_or(self.next, |(number, _)| *number);
        let settled_us = (last + 1) * BIN_US;
        let open = self.open.iter().map(|index| measurement.disturbances[*index].settled_us).max();
        if open.is_some_and(|settled| from_us <= settled.saturating_add(HOLD_US)) {
            self.settle(settled_us, measurement);
            return;
        }
        let losses = first.changes.values().filter(|changes| changes.lost > 0);
        let start_us = losses.map(|changes| changes.first_lost_ns / 1_000).min().unwrap_or(from_us);
        // A worker that reports late may have lost devices in an earlier bin.
        let start_us = start_us.max(from_us);
        let phase = measurement.phases.iter().find(|phase| start_us < phase.end_us);
        let Some(phase) = phase.map(|phase| (phase.name.clone(), phase.end_us)) else { return };
        let found = Disturbance::known(Cause::Observed, &phase.0, [start_us, settled_us, phase.1]);
        self.begin(found, measurement);
    }

    /// Returns until when each lost connection belongs to an open disturbance.
    fn losses_until_us(&self, measurement: &Measurement) -> u64 {
        self.open.iter().map(|index| measurement.disturbances[*index].losses_until_us).max().unwrap_or(0)
    }

    /// Adds a disconnect to the open disturbances.
    fn settle(&self, at_us: u64, measurement: &mut Measurement) {
        for index in &self.open {
            let known = &mut measurement.disturbances[*index];
            known.settled_us = known.settled_us.max(at_us);
        }
    }

    /// Ends the open disturbances if all devices are online as planned for long enough, or if the search is over.
    fn end_if_over(&mut self, to_us: u64, measurement: &mut Measurement) {
        if self.open.is_empty() {
            return;
        }
        let settled = self.open.iter().map(|index| measurement.disturbances[*index].settled_us).max();
        let mut fleets = self.online.iter().zip(&self.planned);
        let as_planned = fleets.all(|(online, planned)| u64::try_from(*online).unwrap_or(0) >= *planned);
        let settled = settled.max(Some(self.losses_until_us(measurement)));
        let is_calm = as_planned && settled.is_some_and(|settled| to_us >= settled);
        self.calm_bins = if is_calm { self.calm_bins + 1 } else { 0 };
        // Both ends of the time count.
        let is_recovered = self.calm_bins > HOLD_US / BIN_US;
        let is_over = |index: &usize| {
            let one = &measurement.disturbances[*index];
            to_us.saturating_add(BIN_US) > one.until_us || to_us >= one.start_us.saturating_add(SEARCH_MAX_US)
        };
        self.open.retain(|index| !is_recovered && !is_over(index));
    }

    /// Adds the outages that started in closed bins to their disturbance.
    fn assign_outages(&mut self, measurement: &mut Measurement) {
        let next = self.next;
        let (closed, later): (Vec<Outage>, Vec<Outage>) =
            self.outages.drain(..).partition(|outage| outage.from_ns / BIN_NS < next);
        self.outages = later;
        closed.iter().for_each(|outage| self.assign(outage, measurement));
    }

    fn assign_all(&mut self, measurement: &mut Measurement) {
        for outage in std::mem::take(&mut self.outages) {
            self.assign(&outage, measurement);
        }
    }

    fn assign(&mut self, outage: &Outage, measurement: &mut Measurement) {
        let from_us = outage.from_ns / 1_000;
        let bins_end = |one: &Disturbance| {
            let bins = one.fleets.first().map_or(0, |fleet| fleet.online.len()) as u64;
            one.bins_from_us.saturating_add(bins.saturating_mul(BIN_US))
        };
        let holds = |one: &&mut Disturbance| (one.start_us..bins_end(one)).contains(&from_us);
        for disturbance in measurement.disturbances.iter_mut().filter(holds) {
            let Some(fleet) = disturbance.fleets.get_mut(usize::from(outage.fleet)) else { continue };
            let count = fleet.attempts_per_device.entry(outage.attempts).or_default();
            *count = count.saturating_add(1);
            let length_us = to_us(outage.to_ns.saturating_sub(outage.from_ns));
            fleet.outage.record_rare(length_us, &mut self.pool);
            fleet.not_back = fleet.not_back.saturating_add(u64::from(!outage.is_back));
        }
    }
}

/// Returns the number of online devices after the changes.
fn after(online: i64, changes: &Changes) -> i64 {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    online.saturating_add(count(changes.connected)).saturating_sub(count(changes.disconnected))
}

#[cfg(test)]
mod tests;
