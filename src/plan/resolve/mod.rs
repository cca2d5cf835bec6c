//! Turns a scenario into a plan: applies defaults, resolves names, and finds contradictions. A parsed `Scenario` comes in; a [`Plan`] or
//! errors go out. Start here, then read `fleets` and `context`. All errors in a scenario are reported together, so errors found
//! here are added to the `Errors` from parsing.
//!
//! Must not depend on clocks, and must read files only through the function that the caller passes. `recordings` is the exception.

mod authentication;
mod context;
mod day;
mod device_ids;
mod device_lists;
mod drives;
mod faults;
mod fleet_faults;
mod fleets;
mod hosts;
mod mqtt_limits;
mod payloads;
mod phases;
mod quoting;
mod recordings;
mod sends;
mod subscriptions;
mod target;
mod templates;
mod threshold_expression;
mod threshold_list;
mod threshold_suggestion;
pub(super) mod thresholds;
mod tier;
mod timing;
mod twin_methods;
mod unmeasured;
mod warnings;
mod will;

use super::deliveries::Deliveries;
use super::fingerprint::sha256_hex;
use super::forecast::{check_rate, packet_mib_max};
use super::model::{FleetPlan, Plan, Source, TargetKind};
use super::part;
use super::rules::us;
use super::schedule::Schedule;
use crate::iothub::sas;
use crate::measure::Limits;
use crate::scenario::{Errors, FileText, Input, Scenario};
use crate::units::Percent;
use context::ResolveContext;
use faults::FaultContext;
use std::io;
use std::path::Path;
use std::time::Duration;
use thresholds::KnownNames;

/// Seed for scenarios that do not set one, so that they are repeatable too.
const SEED: u64 = 1;
/// The maximum default for `drain`. The default is shorter if every fleet's `ack_timeout` is shorter.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Parses and resolves a scenario.
///
/// # Errors
/// Returns all errors in the scenario.
pub fn load(input: &Input<'_>, rng: &mut impl rand::Rng) -> Result<Plan, Errors> {
    let (scenario, errors) = crate::scenario::read(input);
    resolve(&scenario, errors, input.files, rng)
}

/// Resolves a scenario. `errors` contains the errors from parsing. `rng` generates the group key for a run without a target.
/// `files` reads the files that the scenario names.
///
/// # Errors
/// Returns all errors in the scenario.
pub fn resolve(
    scenario: &Scenario,
    mut errors: Errors,
    files: &dyn Fn(&Path) -> io::Result<FileText>,
    rng: &mut impl rand::Rng,
) -> Result<Plan, Errors> {
    if scenario.unreadable {
        return Err(errors);
    }
    let (target, kind) = target::target(scenario, &mut errors);
    let hosts: Vec<&str> =
        scenario.target.iter().flat_map(|_| target.hosts()).map(|(host, _)| host).collect();
    let schedule = phases::resolve(scenario, &mut errors);
    let context = ResolveContext {
        kind,
        is_built_in_hub: scenario.target.is_none(),
        group_key: sas::Key::random(rng),
        hosts: &hosts,
        scenario: &scenario.file,
        files,
    };
    let mut fleets = fleets::resolve(&scenario.fleets, &context, &mut errors);
    phases::resolve_fleets(scenario, &schedule, &mut fleets, &mut errors);
    phases::share_connect_rates(scenario, &schedule, &mut fleets, &mut errors);
    let seed = scenario.seed.unwrap_or(SEED);
    let mut warnings = recordings::resolve(scenario, &mut fleets, (&schedule, seed), &context, &mut errors);
    let deliveries = deliveries(kind, &mut fleets, &schedule, rng, &errors);
    check_rate(&scenario.fleets, &fleets, &schedule, &mut errors);
    let drives = drives::resolve(&scenario.drives, &fleets, &context, &mut errors);
    fleet_faults::resolve(&scenario.fleets, &schedule, seed, &mut fleets, &mut errors);
    let fault_context = FaultContext { schedule: &schedule, fleets: &fleets, seed };
    let (faults, chaos) = faults::resolve(scenario, fault_context, &mut errors);
    let tier = tier::emulator(&scenario.emulator, &mut errors);
    tier::check_use(scenario, tier, &target, (&fleets, &drives), &mut errors);
    let (thresholds, without) = {
        let phases: Vec<String> = schedule.phases().iter().map(|phase| phase.name.clone()).collect();
        let names: Vec<String> = scenario.fleets.iter().map(|fleet| fleet.name.clone()).collect();
        let unmeasured = unmeasured::unmeasured(kind, &target, &fleets, (&drives, &deliveries));
        let left_out = &scenario.left_out.fleets;
        let known = KnownNames { phases: &phases, fleets: &names, left_out, unmeasured: &unmeasured };
        thresholds::resolve(&scenario.thresholds, &known, &mut errors)
    };
    if errors.is_empty() {
        warnings.extend(warnings::warnings(scenario, &fleets, &drives));
    }
    let longest_ack = fleets.iter().map(|fleet| fleet.ack_timeout).max().unwrap_or(DRAIN_MAX);
    let plan = Plan {
        name: scenario.name.clone().unwrap_or_else(|| stem(&scenario.file)),
        source: source(scenario, &without),
        seed,
        faults,
        chaos,
        emulator: target::emulator(scenario, tier),
        target,
        packet_mib_max: packet_mib_max(&fleets),
        fleets,
        drives,
        day: day::resolve(scenario.day.as_ref(), &schedule, &mut errors),
        schedule,
        deliveries,
        drain: scenario.drain.unwrap_or(longest_ack.min(DRAIN_MAX)),
        abort_when_unreachable: scenario.abort_when_unreachable,
        thresholds,
        validity: validity(scenario),
        warnings,
    };
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

/// Returns the deliveries to expect, or none after an error: the fleets' indices may then be wrong, and the plan is discarded anyway.
fn deliveries(
    kind: Option<TargetKind>,
    fleets: &mut [FleetPlan],
    schedule: &Schedule,
    rng: &mut impl rand::Rng,
    errors: &Errors,
) -> Deliveries {
    match kind {
        Some(TargetKind::Mqtt) if errors.is_empty() => Deliveries::resolve(fleets, schedule, rng.next_u64()),
        _ => Deliveries::default(),
    }
}

fn stem(file: &str) -> String {
    Path::new(file)
        .file_stem()
        .map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Describes the scenario file. `without` are the thresholds that need fleets that do not run.
fn source(scenario: &Scenario, without: &[String]) -> Source {
    Source {
        file: scenario.file.clone(),
        text: scenario.text.clone(),
        sha256: sha256_hex(scenario.text.as_bytes()),
        files: Vec::new(),
        overrides: scenario.overrides.iter().cloned().chain(part::selection(scenario, without)).collect(),
    }
}

fn validity(scenario: &Scenario) -> Limits {
    let spec = &scenario.validity;
    let default = Limits::default();
    let share = |given: Option<Percent>, default| given.map_or(default, Percent::as_fraction);
    Limits {
        late_after_us: spec.late_after.map_or(default.late_after_us, us),
        late_share: share(spec.late_share, default.late_share),
        sent_share: share(spec.sent_share, default.sent_share),
        busy_share: share(spec.busy_share, default.busy_share),
        closed_loop_share: share(spec.closed_loop_share, default.closed_loop_share),
    }
}

#[cfg(test)]
mod suggestion_tests;
#[cfg(test)]
mod tests;
