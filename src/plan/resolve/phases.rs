//! Resolves `[[phase]]` and `[phase.fleet.NAME]`. Used by `resolve`.

use crate::plan::duplicates::Duplicates;
use crate::plan::model::FleetPlan;
use crate::plan::resolve::quoting::quoted;
use crate::plan::schedule::{ChurnPlan, DisconnectPlan, PhasePlan, Schedule};
use crate::policy::disconnect::Disconnect;
use crate::scenario::{
    ChurnSpec, CourseSpec, DURATION_MAX, DisconnectSpec, Errors, Place, Scenario, nearest,
};
use crate::units::{Percent, Rate, human_duration, written_duration};
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
    let plan = schedule(scenario, None);
    for (number, phase) in scenario.phases.iter().enumerate() {
        let length = phase.duration.unwrap_or(DURATION_MAX);
        check_disconnect(&phase.course, (number, length), &plan, errors);
        check_churn(&phase.course, errors);
    }
    plan
}

/// Checks that a `disconnect` fits into its phase and has devices to disconnect.
fn check_disconnect(
    course: &CourseSpec,
    (number, length): (usize, Duration),
    schedule: &Schedule,
    errors: &mut Errors,
) {
    let Some(spec) = &course.disconnect else { return };
    if let Some(over) = spec.over.filter(|over| *over > length) {
        let problem = errors.add(&spec.place.below("over"), "longer than its phase");
        problem
            .found(written_duration(over))
            .allowed(format!("up to {}, the duration of the phase", written_duration(length)))
            .fix("shorten `over`, or increase the duration of the phase");
    }
    // One device per billion stands for any share above zero.
    if spec.share.is_none_or(|share| share.as_fraction() > 0.0)
        && schedule.online_at_start(number, 1_000_000_000) == 0
    {
        let problem = errors.add(&spec.place, "no device is online when the phase starts");
        problem.fix(if number == 0 {
            "add a [[phase]] before it, in which the devices connect"
        } else {
            "increase `online` at the end of the phase before, and at the start of this phase"
        });
    }
}

/// Checks that devices can return as fast as churn takes them away.
fn check_churn(course: &CourseSpec, errors: &mut Errors) {
    let Some(ChurnSpec { place, rate_hz: Some(rate_hz), away: Some(away), .. }) = &course.churn else {
        return;
    };
    let gone = rate_hz * away.as_secs_f64();
    if gone >= 1.0 {
        let problem = errors.add(place, "the devices leave faster than they can return");
        problem
            .found(format!(
                "{} of the online devices leave within `away`, {}",
                Percent::from_fraction(gone),
                written_duration(*away)
            ))
            .allowed("less than 100%")
            .fix("shorten `away`, or reduce `rate`");
    }
}

fn churn(spec: &ChurnSpec) -> Option<ChurnPlan> {
    let (rate_hz, away) = (spec.rate_hz?, spec.away?);
    (rate_hz > 0.0).then_some(ChurnPlan { rate_hz, how: spec.how.unwrap_or(Disconnect::Close), away })
}

fn disconnect(spec: &DisconnectSpec) -> Option<DisconnectPlan> {
    let share = spec.share.map_or(1.0, Percent::as_fraction);
    let over = spec.over.unwrap_or(Duration::ZERO);
    (share > 0.0).then_some(DisconnectPlan { share, how: spec.how?, over })
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
                for (number, phase) in scenario.phases.iter().enumerate() {
                    let length = phase.duration.unwrap_or(DURATION_MAX);
                    let tables = phase.fleets.iter().filter(|own| own.name == table.name);
                    for table in tables {
                        check_disconnect(&table.course, (number, length), &own, errors);
                        check_churn(&table.course, errors);
                    }
                }
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

/// Checks that the connects fit into the phases that pace them, and gives each fleet its part of the rate. Does nothing after an error.
pub(super) fn share_connect_rates(
    scenario: &Scenario,
    plan: &Schedule,
    fleets: &mut [FleetPlan],
    errors: &mut Errors,
) {
    if !errors.is_empty() {
        return;
    }
    let connecting = |fleet: &FleetPlan, number: usize| {
        fleet.own_schedule.as_ref().unwrap_or(plan).connecting_in(number, fleet.devices.into())
    };
    let counts: Vec<Vec<u64>> = fleets
        .iter()
        .map(|fleet| (0..scenario.phases.len()).map(|number| connecting(fleet, number)).collect())
        .collect();
    let total = |number: usize| counts.iter().map(|counts| counts[number]).sum::<u64>();
    for (number, phase) in scenario.phases.iter().enumerate() {
        if let (Some(rate), Some(duration)) = (phase.connect_rate, phase.duration) {
            check_connect_rate(&phase.place, rate, duration, total(number), errors);
        }
    }
    if fleets.len() == 1 || scenario.phases.iter().all(|phase| phase.connect_rate.is_none()) {
        return;
    }
    for (fleet, counts) in fleets.iter_mut().zip(&counts) {
        #[expect(clippy::cast_precision_loss, reason = "counts of devices")]
        let part = |(number, count): (usize, &u64)| *count as f64 / total(number).max(1) as f64;
        let parts: Vec<f64> = counts.iter().enumerate().map(part).collect();
        fleet.own_schedule.get_or_insert_with(|| plan.clone()).scale_connect_rates(&parts);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of devices")]
fn check_connect_rate(place: &Place, rate: Rate, duration: Duration, connects: u64, errors: &mut Errors) {
    let needed_s = connects as f64 / rate.as_per_second();
    if needed_s > duration.as_secs_f64() {
        let least = (connects as f64 / duration.as_secs_f64()).ceil();
        let needed = Duration::from_secs_f64(needed_s.ceil().min(DURATION_MAX.as_secs_f64()));
        let problem = errors.add(&place.below("connect_rate"), "too slow for the connects of the phase");
        problem
            .found(format!("{}, which takes {needed_s:.1} s for {connects} devices", rate))
            .allowed(format!("at least {least}/s for a phase of {}", written_duration(duration)))
            .fix(format!(
                "write connect_rate = \"{least}/s\", or duration = \"{}\"",
                written_duration(needed)
            ));
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
            disconnect: own
                .and_then(|own| own.disconnect.as_ref())
                .or(phase.course.disconnect.as_ref())
                .and_then(disconnect),
            connect_rate_hz: phase.connect_rate.map(Rate::as_per_second),
            churn: own.and_then(|own| own.churn.as_ref()).or(phase.course.churn.as_ref()).and_then(churn),
            ..PhasePlan::default()
        };
        (phase.duration.unwrap_or(Duration::from_secs(1)), plan)
    }))
}

#[cfg(test)]
mod tests;
