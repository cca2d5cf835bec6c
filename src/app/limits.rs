//! Compares a run with the limits of the hub's tier. Used by `build_result`. The load comes from the run's own counts; the built-in hub adds
//! the numbers of delayed and refused operations. Pure.

use super::cost;
use crate::capacity::call_kib;
use crate::emulator::ThrottleStats;
use crate::fleet::Finished;
use crate::iothub::limits::UNLIMITED;
use crate::iothub::throttles::{Class, HubSize};
use crate::measure::{Measurement, Operation, OperationTotals, Outcome, Row};
use crate::plan::{CallPlan, Plan};
use crate::report::limits::QUOTA;
use crate::result::model::LimitUse;
use std::collections::BTreeMap;
use std::time::Duration;

const DAY_S: f64 = 86_400.0;
const US_PER_S: u64 = 1_000_000;

/// Returns the name of the hub's tier, if it is known.
pub(super) fn tier_name(plan: &Plan) -> Option<String> {
    let unlimited = plan.emulator.is_some().then_some(UNLIMITED);
    plan.hub_size().map(|size| size.tier.name()).or(unlimited).map(str::to_owned)
}

/// Returns the use of each limit that the run touched, and of the daily quota. Empty if the hub's tier is not known.
pub(super) fn limits(plan: &Plan, finished: &Finished, stats: Option<&ThrottleStats>) -> Vec<LimitUse> {
    let run = Run {
        plan,
        measurement: &finished.measurement,
        seconds: finished.load_ended.as_secs_f64(),
        zero_us: u64::try_from(finished.zero_unix_at_end.as_micros()).unwrap_or(u64::MAX),
        stats,
    };
    run.limits()
}

/// A finished run.
struct Run<'r> {
    plan: &'r Plan,
    measurement: &'r Measurement,
    /// Length of the load.
    seconds: f64,
    /// Start of the run, in microseconds since the Unix epoch.
    zero_us: u64,
    /// The counts of the built-in hub; `None` for other hubs.
    stats: Option<&'r ThrottleStats>,
}

impl Run<'_> {
    fn limits(&self) -> Vec<LimitUse> {
        let Some(size) = self.plan.hub_size() else { return Vec::new() };
        let classes = Class::ALL.into_iter().filter_map(|class| self.class(class, size));
        classes.chain(self.quota(size)).collect()
    }

    fn class(&self, class: Class, size: HubSize) -> Option<LimitUse> {
        let limit = f64_of(size.per_minute(class)?) / 60.0;
        let load = Load::of(self.plan, self.measurement, class)?;
        let counts = self.stats.map(|stats| stats.classes.get(class.name()).copied().unwrap_or_default());
        let first_us = counts.and_then(|counts| self.since_start(counts.first_unix_us));
        Some(LimitUse {
            class: class.name().to_owned(),
            limit,
            unit: if class == Class::Methods { "KiB/s" } else { "msg/s" }.to_owned(),
            offered_peak: load.offered_peak,
            admitted_peak: load.admitted_peak,
            share: load.offered_peak / limit,
            delayed: counts.map(|counts| counts.delayed),
            rejected: counts.map(|counts| counts.rejected),
            first_us,
            offered_at_first: first_us.map(|at_us| load.offered_at(at_us)),
        })
    }

    fn quota(&self, size: HubSize) -> Option<LimitUse> {
        let billed = match (self.stats, self.plan.emulator.and_then(|options| options.tier)) {
            (Some(stats), Some(tier)) => f64_of(stats.billed.saturating_sub(tier.quota_used)),
            _ => self.measurement.operations.iter().map(|part| self.billed(part, size)).sum(),
        };
        let limit = f64_of(size.messages_per_day());
        let refused = self.stats.map_or(0, |stats| stats.quota_refused);
        let [admitted, offered] =
            [billed, billed + f64_of(refused)].map(|count| count * DAY_S / self.seconds.max(1.0));
        let first_us = self.stats.and_then(|stats| self.since_start(stats.quota_first_unix_us));
        (offered > 0.0).then(|| LimitUse {
            class: QUOTA.to_owned(),
            limit,
            unit: "msg/day".to_owned(),
            offered_peak: offered,
            admitted_peak: admitted,
            share: offered / limit,
            // The quota refuses, but does not delay.
            delayed: self.stats.map(|_| 0),
            rejected: self.stats.map(|_| refused),
            first_us,
            offered_at_first: None,
        })
    }

    /// Returns the number of messages that a hub bills for operations. Operations that did not reach the hub, or that it refused, are free.
    fn billed(&self, part: &OperationTotals, size: HubSize) -> f64 {
        let fleet = self.plan.fleets.iter().position(|fleet| *fleet.name == *part.fleet);
        let free = [Outcome::Refused, Outcome::Throttled, Outcome::Expired, Outcome::Offline];
        let free: u64 = free.into_iter().map(|outcome| part.outcome(outcome)).sum();
        let each = fleet.map_or(0.0, |fleet| cost::blocks_each(self.plan, fleet, part.operation, size.tier));
        f64_of(part.due.saturating_sub(free)) * each
    }

    fn since_start(&self, unix_us: u64) -> Option<u64> {
        (unix_us > 0).then(|| unix_us.saturating_sub(self.zero_us))
    }
}

/// The load of one class.
struct Load {
    offered_peak: f64,
    admitted_peak: f64,
    /// Offered load from each of these times on, in microseconds since the start of the run.
    offered: Vec<(u64, f64)>,
}

impl Load {
    /// Returns the load of a class, or `None` if there was none.
    fn of(plan: &Plan, measurement: &Measurement, class: Class) -> Option<Load> {
        let operations: &[Operation] = match class {
            Class::Connections => &[Operation::Connect],
            Class::D2c => &[Operation::Telemetry, Operation::TelemetryQos0],
            Class::C2d => &[Operation::ServiceC2d],
            Class::TwinReads => &[Operation::TwinGet],
            Class::TwinUpdates => &[Operation::TwinReport, Operation::ServiceDesired],
            Class::Methods => &[Operation::ServiceMethod],
            Class::Registry | Class::Queries => return None,
        };
        let each = if class == Class::Methods { mean_call_kib(plan) } else { 1.0 };
        let parts = measurement.operations.iter().filter(|part| operations.contains(&part.operation));
        let mut changes = BTreeMap::new();
        for part in parts {
            add_changes(&mut changes, measurement, part, each);
        }
        let mut now = 0.0;
        let offered: Vec<(u64, f64)> = changes
            .into_iter()
            .map(|(at_us, change)| {
                now += change;
                (at_us, now)
            })
            .collect();
        let row_s = Duration::from_micros(measurement.series.interval_us).as_secs_f64();
        let admitted = |row: &Row| {
            let ok = operations.iter().map(|operation| row.interval.response.of(*operation).count()).sum();
            each * f64_of(ok) / row_s
        };
        let admitted_peak = measurement.series.rows.iter().map(admitted).fold(0.0, f64::max);
        let offered_peak = offered.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        (offered_peak > 0.0).then_some(Load { offered_peak, admitted_peak, offered })
    }

    /// Returns the load that was offered at a time.
    fn offered_at(&self, at_us: u64) -> f64 {
        let before = self.offered.partition_point(|(from_us, _)| *from_us <= at_us);
        before.checked_sub(1).map_or(0.0, |index| self.offered[index].1)
    }
}

/// Adds the changes of the offered load over time that these operations cause. Batches are at most as long as a phase divided by 64, and at
/// least a second.
fn add_changes(
    changes: &mut BTreeMap<u64, f64>,
    measurement: &Measurement,
    part: &OperationTotals,
    each: f64,
) {
    let phase = measurement.phase(&part.phase);
    let length_us = part.batches.length_us.max(US_PER_S);
    for batch in &part.batches.list {
        let end_us = batch.t_us.saturating_add(length_us);
        // The last batch may be longer than the rest of its phase.
        let end_us = phase.map_or(end_us, |phase| {
            let phase_end_s = phase.end_us.max(batch.t_us + 1).div_ceil(US_PER_S);
            end_us.min(phase_end_s.saturating_mul(US_PER_S))
        });
        let seconds = Duration::from_micros(end_us - batch.t_us).as_secs_f64();
        let rate = each * f64_of(batch.due) / seconds;
        *changes.entry(batch.t_us).or_default() += rate;
        *changes.entry(end_us).or_default() -= rate;
    }
}

/// Returns the mean number of KiB that a method call of the plan uses.
fn mean_call_kib(plan: &Plan) -> f64 {
    let (mut kib, mut calls) = (0.0, 0.0);
    for drive in plan.drives.iter().filter(|drive| matches!(drive.call, CallPlan::Method { .. })) {
        let Some(fleet) = plan.fleets.get(usize::from(drive.fleet)) else { continue };
        kib += drive.arrival.rate_hz * call_kib(fleet, drive);
        calls += drive.arrival.rate_hz;
    }
    if calls > 0.0 { kib / calls } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn f64_of(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
