//! Scenario to Plan: defaults applied, names resolved, contradictions found. Everything that is wrong is noted in
//! the same `Errors` that reading filled, so that one look shows all of it.

use super::fleets;
use super::schedule::Schedule;
use super::threshold::{self, Known};
use super::types::{EmulatorPlan, FleetPlan, Plan, Source, Target, TargetKind, TlsPlan, Validity};
use crate::iothub::{limits, sas};
use crate::measure::Operation;
use crate::scenario::{Errors, Input, Place, Scenario};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The seed of a scenario that names none: a run without a seed repeats too.
const SEED: u64 = 1;
/// Acks may come in this long after the last phase, if `ack_timeout` is not shorter.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Reads a scenario and resolves it.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(input: &Input<'_>, rng: &mut impl rand::Rng) -> Result<Plan, Errors> {
    let (scenario, errors) = crate::scenario::read(input);
    resolve(&scenario, errors, rng)
}

/// Resolves a scenario. `errors` holds what was wrong with reading it; `rng` makes the group key of a run that
/// brings neither a target nor keys.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn resolve(scenario: &Scenario, mut errors: Errors, rng: &mut impl rand::Rng) -> Result<Plan, Errors> {
    if scenario.unreadable {
        return Err(errors);
    }
    let (target, kind) = target(scenario, &mut errors);
    let schedule = schedule(scenario, &mut errors);
    let setting =
        fleets::Setting { kind, embedded: scenario.target.is_none(), group_key: sas::Key::random(rng) };
    let fleets = fleets::resolve(&scenario.fleets, &setting, &mut errors);
    let thresholds = {
        let phases: Vec<String> = schedule.phases().iter().map(|phase| phase.name.clone()).collect();
        let names: Vec<String> = scenario.fleets.iter().map(|fleet| fleet.name.clone()).collect();
        let never = never_measured(kind, &target, &fleets);
        let known = Known { phases: &phases, fleets: &names, never: &never };
        threshold::resolve(&scenario.thresholds, &known, &mut errors)
    };
    let longest_ack = fleets.iter().map(|fleet| fleet.ack_timeout).max().unwrap_or(DRAIN_MAX);
    let plan = Plan {
        name: scenario.name.clone().unwrap_or_else(|| stem(&scenario.file)),
        source: source(scenario),
        seed: scenario.seed.unwrap_or(SEED),
        emulator: emulator(scenario, &mut errors),
        target,
        fleets,
        schedule,
        drain: scenario.drain.unwrap_or(longest_ack.min(DRAIN_MAX)),
        thresholds,
        validity: validity(scenario),
    };
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

fn stem(file: &str) -> String {
    Path::new(file)
        .file_stem()
        .map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn source(scenario: &Scenario) -> Source {
    let mut sha256 = String::new();
    for byte in Sha256::digest(scenario.text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    Source {
        file: scenario.file.clone(),
        text: scenario.text.clone(),
        sha256,
        overrides: scenario.overrides.clone(),
    }
}

/// The target, and its kind where that was readable: what depends on a kind that was not stays unsaid.
fn target(scenario: &Scenario, errors: &mut Errors) -> (Target, Option<TargetKind>) {
    let Some(spec) = &scenario.target else {
        let tls = Some(TlsPlan { ca: None, verify: true });
        let target = Target { kind: TargetKind::IotHub, host: String::new(), port: 0, tls };
        return (target, Some(TargetKind::IotHub));
    };
    let hub = spec.kind == Some(TargetKind::IotHub);
    if let Some(tls) = spec.tls.as_ref().filter(|tls| !tls.on) {
        if hub {
            let problem = errors.add(&tls.place, "an IoT hub speaks MQTT over TLS only");
            problem.found("false").fix("remove it, or use kind = \"mqtt\" for a plain broker");
        }
        if let Some(ca) = &spec.ca {
            errors.add(&ca.place, "ca and tls = false contradict each other").fix("remove one of the two");
        }
    }
    let on = spec.tls.as_ref().map_or(hub || spec.ca.is_some(), |tls| tls.on);
    let tls = on.then(|| TlsPlan {
        ca: spec.ca.as_ref().map(|ca| ca.value.clone()),
        verify: spec.tls.as_ref().is_none_or(|tls| tls.verify),
    });
    if let Some(host) = &spec.host {
        let bad = |c: char| c == '/' || c == '@' || c.is_whitespace() || c.is_control();
        // Longer names do not exist (RFC 1035 §2.3.4), and this one stands in user names.
        if host.value.contains(bad) || host.value.len() > 253 {
            let problem = errors.add(&host.place, "not a host name");
            problem.found(host.text.clone()).allowed("a name or address alone: no scheme, no port, no path");
        }
    }
    let target = Target {
        kind: spec.kind.unwrap_or(TargetKind::IotHub),
        host: spec.host.as_ref().map(|host| host.value.clone()).unwrap_or_default(),
        port: spec.port.unwrap_or(if on { 8883 } else { 1883 }),
        tls,
    };
    (target, spec.kind)
}

fn emulator(scenario: &Scenario, errors: &mut Errors) -> Option<EmulatorPlan> {
    let spec = &scenario.emulator;
    let tier = spec.tier.and_then(limits::Tier::from_name).unwrap_or(limits::Tier::S1);
    if let Some(units) = &spec.units {
        if units.value > tier.units_max() {
            let problem = errors.add(&units.place, "more units than the tier has");
            problem.found(units.text.clone()).allowed(format!(
                "1 to {} of {}",
                tier.units_max(),
                tier.name()
            ));
        }
    }
    scenario.target.is_none().then(|| EmulatorPlan {
        tier: tier.name().to_owned(),
        units: spec.units.as_ref().map_or(1, |units| units.value),
        expiry_grace: spec.expiry_grace.unwrap_or(limits::EXPIRY_GRACE),
    })
}

fn schedule(scenario: &Scenario, errors: &mut Errors) -> Schedule {
    let mut names: Vec<&str> = Vec::new();
    if scenario.phases.len() > usize::from(u16::MAX) {
        let place = Place { key: "phase".to_owned(), ..Place::default() };
        errors.add(&place, "too many phases").allowed("65535 at most");
    }
    for phase in &scenario.phases {
        let Some(name) = &phase.name else { continue };
        if names.contains(&name.value.as_str()) {
            let problem = errors.add(&name.place, "two phases have this name");
            problem.found(name.text.clone()).fix(format!("rename one, such as {}-2", name.value));
        }
        names.push(&name.value);
    }
    Schedule::new(scenario.phases.iter().map(|phase| {
        let name = phase.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let duration = phase.duration.unwrap_or(Duration::from_secs(1));
        (name, phase.warmup, duration, phase.online.unwrap_or([1.0; 2]), phase.load.unwrap_or([1.0; 2]))
    }))
}

/// A threshold on one of these would never see a sample.
fn never_measured(
    kind: Option<TargetKind>,
    target: &Target,
    fleets: &[FleetPlan],
) -> Vec<(Operation, &'static str)> {
    let mut never = Vec::new();
    match kind {
        Some(TargetKind::IotHub) => never.push((Operation::Publish, "for an IoT hub, use telemetry")),
        Some(TargetKind::Mqtt) => never.push((Operation::Telemetry, "for a plain broker, use publish")),
        None => return never,
    }
    if target.tls.is_none() {
        never.push((Operation::ConnectTls, "turn TLS on, or remove it"));
    }
    if fleets.iter().all(|fleet| fleet.subscribe.is_empty()) {
        never.push((Operation::Subscribe, "give a fleet something to subscribe to, or remove it"));
    }
    never
}

fn validity(scenario: &Scenario) -> Validity {
    let spec = &scenario.validity;
    let default = Validity::default();
    Validity {
        lag_p99: spec.lag_p99.unwrap_or(default.lag_p99),
        lag_share: spec.lag_share.map_or(default.lag_share, |share| share.as_fraction()),
        late_after: spec.late_after.unwrap_or(default.late_after),
        late_share: spec.late_share.map_or(default.late_share, |share| share.as_fraction()),
        heartbeat_p999: spec.heartbeat_p999.unwrap_or(default.heartbeat_p999),
    }
}
