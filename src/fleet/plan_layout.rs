//! Derives the shape of a measurement from the plan: the histograms' range, the names of fleets and phases, and the tracked
//! streams. Called by workers, the coordinator and tests.

use super::delivery_tracker::StreamTotals;
use super::nanos;
use crate::measure::{Collector, Fleet, FleetPhase, Layout, Phase, Stream, TargetTotals};
use crate::plan::{FleetPlan, PhasePlan, Plan};
use std::collections::BTreeMap;

/// Returns the layout of a recorder. Its histograms cover the longest wait that the plan allows, so that no value is clipped.
#[must_use]
pub fn layout(plan: &Plan) -> Layout {
    plan.layout()
}

/// Returns a collector for the plan's fleets and phases.
#[must_use]
pub fn collector(plan: &Plan) -> Collector {
    let fleet = |fleet: &FleetPlan| Fleet {
        name: fleet.name.clone(),
        devices: fleet.devices.into(),
        ..Fleet::default()
    };
    let phase = |(phase, number): (&PhasePlan, usize)| Phase {
        name: phase.name.clone(),
        warmup: phase.warmup,
        start_us: nanos(phase.start) / 1_000,
        end_us: nanos(phase.end) / 1_000,
        planned_online: phase.online,
        planned_load: phase.load,
        planned_load_steps: phase.load_steps,
        fleets: fleet_phases(plan, number),
    };
    let fleets = plan.fleets.iter().map(fleet).collect();
    let phases = plan.schedule.phases().iter().zip(0..).map(phase).collect();
    let mut collector = Collector::new(layout(plan), fleets, phases);
    collector.schedule(plan.disturbances());
    collector.with_targets(targets(plan))
}

/// Returns the hosts of a target that has several, with the number of devices that start at each.
fn targets(plan: &Plan) -> Vec<TargetTotals> {
    let (devices, count) = (plan.devices(), u64::from(plan.target.host_count()));
    if count == 1 {
        return Vec::new();
    }
    let hosts = plan.target.hosts().zip(0_u64..);
    let totals = |((host, port), index): ((&str, u16), u64)| TargetTotals {
        host: host.to_owned(),
        port,
        devices: devices / count + u64::from(index < devices % count),
        ..TargetTotals::default()
    };
    hosts.map(totals).collect()
}

/// Returns the fleets whose plan for a phase differs from that of the other fleets.
fn fleet_phases(plan: &Plan, number: usize) -> BTreeMap<String, FleetPhase> {
    let Some(common) = plan.schedule.phases().get(number) else { return BTreeMap::new() };
    let own = plan.fleets.iter().filter_map(|fleet| {
        let phase =
            fleet.own_schedule.as_ref()?.phases().get(number).filter(|phase| !phase.same_course(common))?;
        let own = FleetPhase {
            planned_online: phase.online,
            planned_load: phase.load,
            planned_load_steps: phase.load_steps,
        };
        Some((fleet.name.clone(), own))
    });
    own.collect()
}

/// Returns the tracked streams with their names, in the order of the plan.
pub(super) fn named_streams(plan: &Plan, totals: &[StreamTotals]) -> Vec<Stream> {
    let fleets = plan.fleets.iter().zip(0_u16..);
    let sends = fleets
        .flat_map(|(fleet, number)| fleet.sends.iter().zip(0_u16..).map(move |send| (fleet, number, send)));
    let tracked = sends
        .zip(totals)
        .filter(|((_, number, (_, stream)), _)| plan.deliveries.is_tracked(*number, *stream));
    let named = tracked.map(|((fleet, _, (send, stream)), totals)| Stream {
        fleet: fleet.name.clone(),
        send: stream.into(),
        topic: send.topic.to_string(),
        ok: totals.ok,
        lost: totals.lost,
        duplicates: totals.duplicates,
        reordered: totals.reordered,
    });
    named.collect()
}
