//! Compares a run with the limits of the hub's tier. Used by `build_result`. The load comes from the run's own counts; the built-in hub adds
//! what it delayed and refused. Pure.

use crate::emulator::ThrottleStats;
use crate::fleet::Finished;
use crate::iothub::limits::UNLIMITED;
use crate::iothub::throttles::{Class, HubSize, method_kib};
use crate::measure::{Measurement, Operation, Row};
use crate::plan::{CallPlan, Plan};
use crate::report::limits::QUOTA;
use crate::result::model::LimitUse;
use std::time::Duration;

const DAY_S: f64 = 86_400.0;

/// Returns the size of the hub, if it is known.
pub(super) fn size(plan: &Plan) -> Option<HubSize> {
    match plan.emulator {
        Some(options) => options.tier.map(|tier| tier.size),
        None => plan.target.size,
    }
}

/// Returns the name of the hub's tier, if it is known.
pub(super) fn tier_name(plan: &Plan) -> Option<String> {
    let unlimited = plan.emulator.is_some().then_some(UNLIMITED);
    size(plan).map(|size| size.tier.name()).or(unlimited).map(str::to_owned)
}

/// Returns the use of each limit that the run touched, and of the daily quota. Empty if the hub's tier is not known.
pub(super) fn limits(plan: &Plan, finished: &Finished, stats: Option<&ThrottleStats>) -> Vec<LimitUse> {
    let Some(size) = size(plan) else { return Vec::new() };
    let measurement = &finished.measurement;
    let zero_us = u64::try_from(finished.zero_unix_at_end.as_micros()).unwrap_or(u64::MAX);
    let since_start = |unix_us: u64| (unix_us > 0).then(|| unix_us.saturating_sub(zero_us));
    let classes = Class::ALL.into_iter().filter_map(|class| {
        let limit = f64_of(size.per_minute(class)?) / 60.0;
        let load = Load::of(plan, measurement, class)?;
        let counts = stats.map(|stats| stats.classes.get(class.name()).copied().unwrap_or_default());
        let first_us = counts.and_then(|counts| since_start(counts.first_unix_us));
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
            offered_at_first: first_us.map(|at_us| load.offered_at(measurement, at_us)),
        })
    });
    classes.chain(quota(plan, finished, size, stats, since_start)).collect()
}

fn quota(
    plan: &Plan,
    finished: &Finished,
    size: HubSize,
    stats: Option<&ThrottleStats>,
    since_start: impl Fn(u64) -> Option<u64>,
) -> Option<LimitUse> {
    let seconds = finished.ended.as_secs_f64();
    let billed = match (stats, plan.emulator.and_then(|options| options.tier)) {
        (Some(stats), Some(tier)) => f64_of(stats.quota_used.saturating_sub(tier.quota_used)),
        // A run that ended early sent less than planned.
        _ => super::cost::billed(plan) * (seconds / plan.schedule.end().as_secs_f64()).min(1.0),
    };
    let limit = f64_of(size.messages_per_day());
    let per_day = billed * DAY_S / seconds.max(1.0);
    let first_us = stats.and_then(|stats| since_start(stats.quota_first_unix_us));
    (billed > 0.0 || first_us.is_some()).then(|| LimitUse {
        class: QUOTA.to_owned(),
        limit,
        unit: "msg/day".to_owned(),
        offered_peak: per_day,
        admitted_peak: per_day,
        share: per_day / limit,
        // The quota refuses, but does not delay.
        delayed: stats.map(|_| 0),
        rejected: stats.map(|stats| stats.quota_refused),
        first_us,
        offered_at_first: None,
    })
}

/// The load of one class.
struct Load {
    offered_peak: f64,
    admitted_peak: f64,
    /// Offered load in the rows of the series. Only messages have one; other operations have the average of their phase.
    rows: Option<Vec<f64>>,
    phases: Vec<(u64, f64)>,
}

impl Load {
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
        let each = if class == Class::Methods { method_call_kib(plan) } else { 1.0 };
        let is_of = |operation: Operation| operations.contains(&operation);
        measurement.operations.iter().find(|part| is_of(part.operation) && part.totals.due > 0)?;
        let phases: Vec<(u64, f64)> = measurement
            .phases
            .iter()
            .map(|phase| {
                let due = measurement.sum(|part| is_of(part.operation) && part.phase == phase.name).due;
                let length = Duration::from_micros(phase.end_us.saturating_sub(phase.start_us)).as_secs_f64();
                (phase.start_us, each * f64_of(due) / length.max(1.0))
            })
            .collect();
        let row_s = Duration::from_micros(measurement.series.interval_us).as_secs_f64();
        let series = &measurement.series.rows;
        let admitted = |row: &Row| {
            let ok: u64 =
                operations.iter().map(|operation| row.interval.response.of(*operation).count()).sum();
            each * f64_of(ok) / row_s
        };
        // A row counts the due messages of all kinds together.
        let only =
            measurement.operations.iter().all(|part| !part.operation.is_message() || is_of(part.operation));
        let rows = (class == Class::D2c && only)
            .then(|| series.iter().map(|row| f64_of(row.interval.offered) / row_s).collect::<Vec<f64>>());
        let admitted_peak = series.iter().map(admitted).fold(0.0, f64::max);
        let offered = phases.iter().map(|(_, rate)| *rate).chain(rows.iter().flatten().copied());
        let offered_peak = offered.fold(admitted_peak, f64::max);
        Some(Load { offered_peak, admitted_peak, rows, phases })
    }

    /// Returns the load that was offered at a time.
    fn offered_at(&self, measurement: &Measurement, at_us: u64) -> f64 {
        let row = usize::try_from(at_us / measurement.series.interval_us.max(1)).unwrap_or(usize::MAX);
        let of_row = self.rows.as_ref().and_then(|rows| rows.get(row).copied());
        let phase = self.phases.iter().rev().find(|(start_us, _)| *start_us <= at_us);
        of_row.or(phase.map(|(_, rate)| *rate)).unwrap_or(self.offered_peak)
    }
}

/// Returns the number of KiB that the largest method call of the plan uses.
fn method_call_kib(plan: &Plan) -> f64 {
    let calls = plan.drives.iter().filter(|drive| matches!(drive.call, CallPlan::Method { .. }));
    let kib = calls.filter_map(|drive| {
        let fleet = plan.fleets.get(usize::from(drive.fleet))?;
        let id_bytes = fleet.device_id(fleet.devices.saturating_sub(1)).len();
        Some(method_kib(drive.payload.bytes_max(id_bytes) as u64))
    });
    f64_of(kib.max().unwrap_or(0))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn f64_of(count: u64) -> f64 {
    count as f64
}
