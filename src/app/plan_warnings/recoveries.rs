//! Warnings about thresholds on recoveries that can only fail: nothing disconnects the devices, or the phase ends too early. Uses only the
//! plan.

use super::message::{Weight, format_threshold};
use crate::measure::{Disturbance, HOLD_US, Test};
use crate::plan::{Plan, Threshold};
use crate::units::human_us;

/// Warns about each threshold on a disturbance whose last disconnect is less than 2 s before the end of its phase, or before the next
/// disturbance.
pub(super) fn unreachable(plan: &Plan) -> impl Iterator<Item = String> {
    let all = plan.disturbances();
    let next_us = all.iter().map(|one| {
        let later = all.iter().map(|next| next.start_us).filter(|next| *next > one.start_us);
        later.min().unwrap_or(u64::MAX)
    });
    let cut: Vec<(Disturbance, bool)> = all.iter().cloned().zip(next_us).filter_map(too_short).collect();
    recoveries(plan).filter_map(move |threshold| {
        let (one, by_next) = cut.iter().find(|(one, _)| covers(plan, threshold, one))?;
        let (ends, fix) = if *by_next {
            ("the next disturbance begins", "move one of them")
        } else {
            ("the phase ends", "lengthen the phase")
        };
        Some(format!(
            "threshold {} can only fail: in phase {}, {ends} {} after the last disconnect, and devices count as recovered when they were online for {}; {fix}",
            format_threshold(plan, threshold),
            one.phase,
            human_us(one.until_us.saturating_sub(one.settled_us)),
            human_us(HOLD_US)
        ))
    })
}

/// Returns the disturbance with the end of its search, and whether the next one is that end, if a recovery does not fit.
fn too_short((mut one, next_us): (Disturbance, u64)) -> Option<(Disturbance, bool)> {
    let by_next = next_us < one.until_us;
    one.until_us = one.until_us.min(next_us);
    (one.until_us < one.settled_us.saturating_add(HOLD_US)).then_some((one, by_next))
}

/// Returns messages about thresholds in whose phases nothing is planned to disconnect the devices. A target may do so by itself.
pub(super) fn undisturbed(plan: &Plan) -> impl Iterator<Item = (Weight, String)> {
    let all = plan.disturbances();
    let weight = if plan.emulator.is_some() { Weight::Warning } else { Weight::Note };
    recoveries(plan).filter(move |threshold| !all.iter().any(|one| covers(plan, threshold, one))).map(
        move |threshold| {
            let threshold = format_threshold(plan, threshold);
            let text = format!(
                "threshold {threshold} fails with \"no data\" unless devices lose their connections: nothing in the plan disconnects them there; add `disconnect` to the phase"
            );
            (weight, text)
        },
    )
}

fn recoveries(plan: &Plan) -> impl Iterator<Item = &Threshold> {
    plan.thresholds.iter().filter(|threshold| matches!(threshold.test, Test::Recovery { .. }))
}

/// Returns true if the threshold covers the disturbance. Without a phase, it covers all except warm-ups.
fn covers(plan: &Plan, threshold: &Threshold, one: &Disturbance) -> bool {
    let mut phases = plan.schedule.phases().iter().enumerate();
    phases.any(|(number, phase)| {
        phase.name == one.phase
            && threshold.phase.map_or(!phase.warmup, |wanted| usize::from(wanted) == number)
    })
}
