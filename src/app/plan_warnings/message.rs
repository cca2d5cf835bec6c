//! The severity of a message about a plan, and how messages name a threshold. Independent of the checks.

use crate::measure::threshold_label;
use crate::plan::{Plan, Threshold};

/// The severity of a message about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A mistake: the run fails, measures nothing, or sends wrong messages or secrets. `check --strict` makes it an error.
    Warning,
    /// A fact that may be intended.
    Note,
}

/// Formats a threshold as in a scenario, on one line.
pub(super) fn format_threshold(plan: &Plan, threshold: &Threshold) -> String {
    let phase = threshold.phase.and_then(|phase| plan.schedule.phases().get(usize::from(phase)));
    let fleet = threshold.fleet.and_then(|fleet| plan.fleets.get(usize::from(fleet)));
    let (phase, fleet) = (phase.map(|phase| &*phase.name), fleet.map(|fleet| &*fleet.name));
    let label = threshold_label(threshold.metric.name(), phase, fleet, threshold.without_faults);
    format!("{label} {}", threshold.expression)
}
