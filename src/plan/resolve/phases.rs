//! Resolves `[[phase]]` and `[phase.fleet.NAME]`. Used by `resolve`.

use crate::plan::duplicates::Duplicates;
use crate::plan::model::FleetPlan;
use crate::plan::resolve::quoting::quoted;
use crate::plan::schedule::{PhasePlan, Schedule};
use crate::scenario::{DURATION_MAX, Errors, Place, Scenario, nearest};
use crate::units::human_duration;
use std::time::Duration;

/// Resolves all `[[phase]]` tables.
pub(super) fn resolve(scenario: &Scenario, errors: &mut Errors) -> Schedule {
    let mut names = Duplicates::default();
    if scenario.phases.len() > usize::from(u16::MAX) {
        let place = Place { key: "phase".to_owned(), ..Place::default() };
        errors.add(&place, "too many phases").allowed("at most 65535");
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        let Some(name) = &phase.name else { continue };
        if names.first(name.value.as_str(), index).is_some() {
            let problem = errors.add(&name.place, "two phases have this name");
            problem
                .found(format!("{:?}", name.text))
                .fix(format!("rename one of them, for example to {}-2", name.value));
        }
    }
    let whole: Duration = scenario.phases.iter().filter_map(|phase| phase.duration).sum();
    if let Some(last) = scenario.phases.last().filter(|_| whole > DURATION_MAX) {
        let problem = errors.add(&last.place, "the phases together are too long");
        problem.found(human_duration(whole)).allowed(format!("up to {}", human_duration(DURATION_MAX)));
    }
    schedule(scenario, None)
}

/// Gives the fleets that a `[phase.fleet.NAME]` table names their own schedules.
pub(super) fn resolve_fleets(
    scenario: &Scenario,
    plan: &Schedule,
    fleets: &mut [FleetPlan],
    errors: &mut Errors,
) {
    let tables = scenario.phases.iter().flat_map(|phase| &phase.fleets);
    let mut named: Vec<&str> = Vec::new();
    for table in tables {
        if let Some(fleet) = fleets.iter_mut().find(|fleet| fleet.name == table.name) {
            if !named.contains(&&*table.name) {
                let own = schedule(scenario, Some(&table.name));
                fleet.own_schedule = (own.phases() != plan.phases()).then_some(own);
                named.push(&table.name);
            }
        } else if !scenario.left_out.fleets.contains(&table.name) {
            let names: Vec<&str> = scenario.fleets.iter().map(|fleet| fleet.name.as_str()).collect();
            let problem = errors.add(&table.place, "no such fleet");
            problem.found(quoted(&table.name)).allowed(names.join(", "));
            problem.fix =
                nearest(&table.name, names.iter().copied()).map(|name| format!("did you mean {name}?"));
        }
    }
}

/// Returns the schedule of a fleet, or that of the plan.
fn schedule(scenario: &Scenario, fleet: Option<&str>) -> Schedule {
    Schedule::of_phases(scenario.phases.iter().map(|phase| {
        let own = phase.fleets.iter().find(|own| fleet == Some(&*own.name)).map(|own| &own.course);
        let online = own.and_then(|own| own.online).or(phase.course.online).unwrap_or([1.0; 2]);
        let load = own.and_then(|own| own.load).or(phase.course.load);
        let plan = PhasePlan {
            name: phase.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            warmup: phase.warmup,
            online,
            load: load.map_or([1.0; 2], |load| load.ends),
            load_steps: load.and_then(|load| load.steps),
            ..PhasePlan::default()
        };
        (phase.duration.unwrap_or(Duration::from_secs(1)), plan)
    }))
}

#[cfg(test)]
mod tests;
