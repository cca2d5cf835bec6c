//! Resolves `[[emulator.fault]]` and `chaos`: their times, their devices, and contradictions between them. Used by `resolve`.

use super::quoting::quoted;
use crate::plan::model::{FaultPlan, FleetPlan};
use crate::plan::schedule::Schedule;
use crate::policy::fault::chaos::Chaos;
use crate::policy::fault::{CODE_DEFAULT, Fault, FaultKind, Length, choose};
use crate::scenario::{ChaosSpec, Errors, FaultSpec, Scenario, Written, nearest};
use crate::units::{human_duration, written_duration};
use std::collections::HashSet;
use std::time::Duration;

/// Length of a random fault by default (our choice).
const CHAOS_LENGTH: Duration = Duration::from_secs(10);
/// Share of the devices that a random fault affects by default (our choice).
const CHAOS_SHARE: f64 = 0.1;
/// The maximum number of random faults in a run (our choice). More could not be told apart in a report.
const CHAOS_MAX: f64 = 1_000.0;

/// The parts of a plan that faults depend on.
#[derive(Clone, Copy)]
pub(super) struct FaultContext<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) fleets: &'a [FleetPlan],
    pub(super) seed: u64,
}

/// Resolves the faults and the random faults of `[emulator]`. With another target, they have no effect.
pub(super) fn resolve(
    scenario: &Scenario,
    context: FaultContext<'_>,
    errors: &mut Errors,
) -> (Vec<FaultPlan>, Option<Chaos>) {
    let spec = &scenario.emulator;
    let mut faults: Vec<(&FaultSpec, FaultPlan)> = Vec::new();
    for one in &spec.faults {
        let left_out =
            one.fleet.as_ref().is_some_and(|fleet| scenario.left_out.fleets.contains(&fleet.value));
        if !left_out && let Some(plan) = fault(one, context, errors) {
            faults.push((one, plan));
        }
    }
    let chaos = spec.chaos.as_ref().and_then(|spec| chaos(spec, context.schedule, errors));
    if errors.is_empty() {
        for (number, (_, plan)) in (0_u16..).zip(&mut faults) {
            choose_devices(plan, number, context);
        }
        check_contradictions(&faults, errors);
    }
    let mut faults: Vec<FaultPlan> = faults.into_iter().map(|(_, plan)| plan).collect();
    if let Some(chaos) = chaos.as_ref().filter(|_| errors.is_empty() && scenario.target.is_none()) {
        for fault in chaos.faults(context.seed, context.schedule.end()) {
            let number = u16::try_from(faults.len()).unwrap_or(u16::MAX);
            let mut plan = FaultPlan { share: fault.share, fault, fleet: None, devices: 0, random: true };
            choose_devices(&mut plan, number, context);
            faults.push(plan);
        }
    }
    if scenario.target.is_some() {
        faults.clear();
    }
    (faults, chaos.filter(|_| scenario.target.is_none()))
}

fn fault(spec: &FaultSpec, context: FaultContext<'_>, errors: &mut Errors) -> Option<FaultPlan> {
    let kind = spec.kind.as_ref()?.value;
    let keys_fit = check_keys(spec, kind, errors);
    let at = start(spec, context.schedule, None, errors);
    let fleet = fleet(spec, context.fleets, errors);
    let share = share(spec.share.as_ref(), errors);
    let length = spec.length.as_ref().map_or(Duration::ZERO, |length| length.value);
    let (at, fleet, share) = (at?, fleet?, share?);
    let ends_in_time = check_end(spec, (at, length), context.schedule.end(), errors);
    (keys_fit && ends_in_time).then(|| FaultPlan {
        fault: Fault {
            code: spec.code.as_ref().map_or(CODE_DEFAULT, |code| code.value),
            by: spec.by.as_ref().map_or(Duration::ZERO, |by| by.value),
            at,
            length,
            ..Fault::new(kind)
        },
        share,
        fleet,
        devices: 0,
        random: false,
    })
}

/// Checks which keys a kind has. Returns true if they fit.
fn check_keys(spec: &FaultSpec, kind: FaultKind, errors: &mut Errors) -> bool {
    let mut fits = true;
    let name = kind.name();
    let extra = [
        ("code", spec.code.as_ref().map(|code| &code.place).filter(|_| !kind.takes_code())),
        ("by", spec.by.as_ref().map(|by| &by.place).filter(|_| !kind.takes_by())),
        ("for", spec.length.as_ref().map(|it| &it.place).filter(|_| kind.takes_length() == Length::Never)),
    ];
    for (key, place) in extra {
        if let Some(place) = place {
            fits = false;
            let what = match key {
                "for" => format!("{name} happens once, so it has no length"),
                _ => format!("{name} has no {key}"),
            };
            errors.add(place, what).fix(format!("remove {key}"));
        }
    }
    let missing = [
        ("for", "for = \"10s\"", spec.length.is_none() && kind.takes_length() == Length::Required),
        ("by", "by = \"500ms\"", spec.by.is_none() && kind.takes_by()),
    ];
    for (key, example, is_missing) in missing {
        if is_missing {
            fits = false;
            errors.add(&spec.place.below(key), format!("missing for {name}")).fix(format!("add {example}"));
        }
    }
    fits
}

/// Returns the start, measured from the start of the run. `default` applies without `at` and `phase`.
pub(super) fn start(
    spec: &FaultSpec,
    schedule: &Schedule,
    default: Option<Duration>,
    errors: &mut Errors,
) -> Option<Duration> {
    let at = spec.at.as_ref().map(|at| at.value).or(default);
    let Some(name) = &spec.phase else {
        if at.is_none() {
            let problem = errors.add(&spec.place.below("at"), "missing");
            problem.fix("add at = \"30s\", or phase = \"NAME\" for the start of a phase");
        }
        return at;
    };
    let phases = schedule.phases();
    let Some(phase) = phases.iter().find(|phase| phase.name == name.value) else {
        unknown(name, "phase", phases.iter().map(|phase| phase.name.as_str()), errors);
        return None;
    };
    let (at, length) = (at.unwrap_or_default(), phase.end - phase.start);
    if at >= length {
        let place = spec.at.as_ref().map_or(&name.place, |at| &at.place);
        let problem = errors.add(place, format!("phase {} is over at that time", phase.name));
        problem.found(human_duration(at)).allowed(format!("less than {}", human_duration(length)));
        problem.fix("use an earlier time, or another phase");
        return None;
    }
    Some(phase.start + at)
}

/// Checks that a fault ends before the run.
pub(super) fn check_end(
    spec: &FaultSpec,
    (at, length): (Duration, Duration),
    end: Duration,
    errors: &mut Errors,
) -> bool {
    if at < end && at + length <= end {
        return true;
    }
    let starts_late = at >= end;
    let written = spec.length.as_ref().filter(|_| !starts_late).or(spec.at.as_ref());
    let place = written.map_or(&spec.place, |written| &written.place);
    let what = if starts_late {
        "the fault starts after the end of the run"
    } else {
        "the fault ends after the run"
    };
    let problem = errors.add(place, what);
    problem.found(format!("{} after the start of the run", human_duration(at + length)));
    problem.allowed(format!("up to {}, when the last phase ends", human_duration(end)));
    problem.fix(match starts_late {
        true => "use an earlier time, or a longer phase".to_owned(),
        false => format!("for = \"{}\", or a longer phase", written_duration(end - at)),
    });
    false
}

/// Returns the index of the fleet, or `None` inside for all fleets.
#[expect(clippy::option_option, reason = "the outer `None` is an error")]
fn fleet(spec: &FaultSpec, fleets: &[FleetPlan], errors: &mut Errors) -> Option<Option<u16>> {
    let Some(name) = &spec.fleet else { return Some(None) };
    let found = fleets.iter().zip(0_u16..).find(|(fleet, _)| fleet.name == name.value);
    if found.is_none() {
        unknown(name, "fleet", fleets.iter().map(|fleet| fleet.name.as_str()), errors);
    }
    found.map(|(_, number)| Some(number))
}

fn unknown<'a>(
    name: &Written<String>,
    what: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    errors: &mut Errors,
) {
    let problem = errors.add(&name.place, format!("unknown {what}")).found(quoted(&name.text));
    problem.allowed(names.clone().collect::<Vec<_>>().join(", "));
    if let Some(near) = nearest(&name.value, names) {
        problem.fix(format!("did you mean {near}?"));
    }
}

pub(super) fn share(written: Option<&Written<crate::units::Percent>>, errors: &mut Errors) -> Option<f64> {
    let Some(written) = written else { return Some(1.0) };
    let share = written.value.as_fraction();
    if share <= 0.0 {
        let problem = errors.add(&written.place, "a share of 0% chooses no devices");
        problem.allowed("above 0%, up to 100%").fix("share = \"10%\", or remove the fault");
        return None;
    }
    Some(share)
}

fn chaos(spec: &ChaosSpec, schedule: &Schedule, errors: &mut Errors) -> Option<Chaos> {
    let share = match &spec.share {
        Some(_) => share(spec.share.as_ref(), errors),
        None => Some(CHAOS_SHARE),
    };
    if spec.kinds.as_ref().is_some_and(Vec::is_empty) && errors.is_empty() {
        let problem = errors.add(&spec.place.below("kinds"), "no kinds to choose from");
        problem.fix("kinds = [\"close\"], or remove kinds for all of them");
        return None;
    }
    let rate = spec.rate.as_ref()?;
    let (rate_hz, end) = (rate.value.as_per_second(), schedule.end());
    let count = rate_hz * end.as_secs_f64();
    if rate_hz <= 0.0 || count > CHAOS_MAX {
        let what = if rate_hz <= 0.0 { "a rate of 0 makes no faults" } else { "too many random faults" };
        let problem = errors.add(&rate.place, what);
        problem.found(format!("{} in {}", rate.text, human_duration(end)));
        problem.allowed(format!("up to {CHAOS_MAX} faults in the run")).fix("rate = \"2/1m\"");
        return None;
    }
    let kinds = spec.kinds.clone().unwrap_or_else(|| FaultKind::HUB.to_vec());
    Some(Chaos { rate_hz, kinds, length: spec.length.unwrap_or(CHAOS_LENGTH), share: share? })
}

/// Chooses the devices of a fault. It lists them, unless it affects all devices.
fn choose_devices(plan: &mut FaultPlan, number: u16, context: FaultContext<'_>) {
    let fleets = context.fleets.iter().zip(0_u16..);
    let candidates: Vec<&FleetPlan> =
        fleets.filter(|(_, n)| plan.fleet.is_none_or(|fleet| fleet == *n)).map(|(fleet, _)| fleet).collect();
    plan.fault.share = 1.0;
    plan.devices = candidates.iter().map(|fleet| u64::from(fleet.devices)).sum();
    let affects_all = plan.share >= 1.0 && candidates.len() == context.fleets.len();
    if affects_all {
        return;
    }
    let ids =
        candidates.iter().flat_map(|fleet| (0..fleet.devices).map(|index| fleet.device_id(index).into()));
    let chosen = choose(context.seed, number, plan.share, ids.collect());
    plan.devices = chosen.len() as u64;
    plan.fault.devices = Some(chosen);
}

/// Reports faults that affect the same device at the same time and contradict each other.
fn check_contradictions(faults: &[(&FaultSpec, FaultPlan)], errors: &mut Errors) {
    for (index, (spec, plan)) in faults.iter().enumerate() {
        for (other_spec, other) in faults.iter().take(index) {
            let shared = || shared_devices(plan, other);
            report_contradiction((spec, &plan.fault), (other_spec, &other.fault), shared, errors);
        }
    }
}

/// Reports two faults if they contradict each other. `shared` returns the number of devices that both affect; `u64::MAX` means all devices
/// of the fleet.
pub(super) fn report_contradiction(
    (spec, one): (&FaultSpec, &Fault),
    (other_spec, two): (&FaultSpec, &Fault),
    shared: impl Fn() -> u64,
    errors: &mut Errors,
) {
    let Some(why) = one.contradicts(two).filter(|_| one.overlaps(two)) else { return };
    let devices = match shared() {
        0 => return,
        u64::MAX => "all devices of the fleet".to_owned(),
        shared => format!("{shared} of the same devices"),
    };
    let what = format!("contradicts {} ({})", other_spec.place.key, two.kind.name());
    let problem = errors.add(&spec.place, what);
    let (other, own) = (two.kind.name(), one.kind.name());
    let from = human_duration(one.at.max(two.at));
    problem.found(format!("{other} and {own} at {from}, on {devices}: {why}"));
    problem.fix("let one of them start after the other ends, or limit them to different fleets");
}

fn shared_devices(one: &FaultPlan, two: &FaultPlan) -> u64 {
    match (&one.fault.devices, &two.fault.devices) {
        (Some(ids), Some(others)) => {
            let ids: HashSet<&str> = ids.iter().map(|id| &**id).collect();
            others.iter().filter(|id| ids.contains(&***id)).count() as u64
        }
        _ => one.devices.min(two.devices),
    }
}

#[cfg(test)]
mod tests;
