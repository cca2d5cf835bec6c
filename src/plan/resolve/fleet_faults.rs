//! Resolves `[[fleet.NAME.fault]]`: their kinds, times and devices, and contradictions between them. Used by `resolve`. Faults of the
//! built-in hub are in `faults`, whose rules for times and shares apply here too.

use super::faults::{check_end, report_contradiction, share, start};
use crate::plan::model::{FleetFault, FleetPlan};
use crate::plan::schedule::Schedule;
use crate::policy::fault::{Fault, FaultKind, Length, choose_indices};
use crate::policy::network::Network;
use crate::scenario::{Errors, FaultSpec, FleetSpec};
use crate::units::human_duration;
use std::collections::HashSet;
use std::time::Duration;

/// The number of the first fault on the generator's side. Faults of the built-in hub have lower numbers, so each fault chooses its devices
/// independently.
const FIRST_NUMBER: u16 = 1 << 15;

/// Resolves the faults of all fleets.
pub(super) fn resolve(
    specs: &[FleetSpec],
    schedule: &Schedule,
    seed: u64,
    fleets: &mut [FleetPlan],
    errors: &mut Errors,
) {
    let mut numbers = FIRST_NUMBER..=u16::MAX;
    for (spec, fleet) in specs.iter().zip(fleets) {
        let mut found: Vec<(&FaultSpec, FleetFault)> = Vec::new();
        for one in &spec.faults {
            let number = numbers.next().unwrap_or(u16::MAX);
            let fault = fault(one, schedule, errors);
            let share = share(one.share.as_ref(), errors);
            if let (Some(fault), Some(share)) = (fault, share) {
                found.push((one, chosen(fault, share, (seed, number), fleet)));
            }
        }
        check_contradictions(&found, errors);
        fleet.faults = found.into_iter().map(|(_, fault)| fault).collect();
    }
}

fn chosen(fault: Fault, share: f64, (seed, number): (u64, u16), fleet: &FleetPlan) -> FleetFault {
    let chosen = (share < 1.0)
        .then(|| choose_indices(seed, number, share, fleet.devices, |index| fleet.device_id(index)));
    FleetFault { fault, share, chosen }
}

fn fault(spec: &FaultSpec, schedule: &Schedule, errors: &mut Errors) -> Option<Fault> {
    let kind = kind(spec, errors)?;
    let keys_fit = check_keys(spec, kind, errors);
    let lasts = kind.takes_length() == Length::ToEnd;
    let at = start(spec, schedule, lasts.then_some(Duration::ZERO), errors)?;
    let length = spec.length.as_ref().map(|length| length.value);
    let length = length.unwrap_or_else(|| if lasts { to_end(spec, schedule, at) } else { Duration::ZERO });
    let ends_in_time = check_end(spec, (at, length), schedule.end(), errors);
    (keys_fit && ends_in_time).then(|| Fault {
        by: spec.by.as_ref().map_or(Duration::ZERO, |by| by.value),
        network: network(spec),
        profile: spec.profile.as_ref().map(|profile| profile.value),
        at,
        length,
        ..Fault::new(kind)
    })
}

/// Returns the kind, which `kind` or `profile` gives.
fn kind(spec: &FaultSpec, errors: &mut Errors) -> Option<FaultKind> {
    if spec.is_wrong {
        return None;
    }
    match (&spec.kind, &spec.profile) {
        (Some(kind), None) => Some(kind.value),
        (None, Some(_)) => Some(FaultKind::Profile),
        (Some(_), Some(profile)) => {
            let problem = errors.add(&profile.place, "a fault has either a kind or a profile");
            problem.fix("remove one of them; a profile contains a latency and a bandwidth");
            None
        }
        (None, None) => {
            let problem = errors.add(&spec.place.below("kind"), "missing");
            problem.fix("add kind = \"stall\", or profile = \"3g\"");
            None
        }
    }
}

/// Checks which keys a kind has. Returns true if they fit.
fn check_keys(spec: &FaultSpec, kind: FaultKind, errors: &mut Errors) -> bool {
    let name = kind.name();
    let places = [
        ("by", spec.by.as_ref().map(|by| &by.place), kind.takes_by(), "by = \"500ms\""),
        ("jitter", spec.jitter.as_ref().map(|it| &it.place), kind == FaultKind::Latency, ""),
        (
            "rate",
            spec.rate.as_ref().map(|rate| &rate.place),
            kind == FaultKind::Bandwidth,
            "rate = \"250kbit/s\"",
        ),
    ];
    let mut fits = true;
    for (key, place, is_taken, example) in places {
        match place {
            Some(place) if !is_taken => {
                fits = false;
                errors.add(place, format!("{name} has no {key}")).fix(format!("remove {key}"));
            }
            None if is_taken && !example.is_empty() => {
                fits = false;
                let problem = errors.add(&spec.place.below(key), format!("missing for {name}"));
                problem.fix(format!("add {example}"));
            }
            _ => {}
        }
    }
    if let (Some(by), Some(jitter)) = (&spec.by, &spec.jitter)
        && jitter.value > by.value
    {
        fits = false;
        let problem = errors.add(&jitter.place, "longer than the latency");
        problem.found(human_duration(jitter.value)).allowed(format!("up to {}", human_duration(by.value)));
        problem.fix(format!("jitter = {:?}, or a longer by", by.text));
    }
    fits
}

/// Returns the time from `at` to the end of the phase, or of the load if the fault names no phase.
fn to_end(spec: &FaultSpec, schedule: &Schedule, at: Duration) -> Duration {
    let named = |name: &str| schedule.phases().iter().find(|phase| phase.name == name);
    let phase = spec.phase.as_ref().and_then(|name| named(&name.value));
    phase.map_or(schedule.end(), |phase| phase.end).saturating_sub(at)
}

fn network(spec: &FaultSpec) -> Network {
    if let Some(profile) = &spec.profile {
        return profile.value.network;
    }
    let rate = spec.rate.as_ref().map_or(0, |rate| rate.value);
    let is_latency = spec.kind.as_ref().is_some_and(|kind| kind.value == FaultKind::Latency);
    Network {
        round_trip: spec.by.as_ref().filter(|_| is_latency).map_or(Duration::ZERO, |by| by.value),
        jitter: spec.jitter.as_ref().map_or(Duration::ZERO, |jitter| jitter.value),
        up_bits_per_s: rate,
        down_bits_per_s: rate,
    }
}

/// Reports faults that affect the same device at the same time and contradict each other.
fn check_contradictions(faults: &[(&FaultSpec, FleetFault)], errors: &mut Errors) {
    for (index, (spec, one)) in faults.iter().enumerate() {
        for (other_spec, two) in faults.iter().take(index) {
            let shared = || match (&one.chosen, &two.chosen) {
                (Some(ones), Some(twos)) => {
                    let ones: HashSet<u32> = ones.iter().copied().collect();
                    twos.iter().filter(|index| ones.contains(index)).count() as u64
                }
                (Some(some), None) | (None, Some(some)) => some.len() as u64,
                (None, None) => u64::MAX,
            };
            report_contradiction((spec, &one.fault), (other_spec, &two.fault), shared, errors);
        }
    }
}

#[cfg(test)]
mod tests;
