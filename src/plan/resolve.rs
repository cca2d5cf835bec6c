//! Scenario to Plan: defaults applied, names resolved, contradictions found. Everything that is wrong is noted in
//! the same `Errors` that reading filled, so that one look shows all of it.

use super::deliveries::Deliveries;
use super::drives;
use super::fleets;
use super::schedule::Schedule;
use super::threshold::{self, Known};
use super::token::TokenLife;
use super::totals;
use super::types::{
    DrivePlan, EmulatorPlan, FleetPlan, Plan, Source, Subscription, Target, TargetKind, TlsPlan,
};
use crate::iothub::{limits, sas};
use crate::measure::{Limits, Operation};
use crate::scenario::{DURATION_MAX, Errors, FileText, Input, Place, Scenario, TargetSpec, located};
use crate::units::{Percent, human_duration};
use core::net::IpAddr;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The seed of a scenario that names none: a run without a seed repeats too.
const SEED: u64 = 1;
/// Acks may come in this long after the last phase, if `ack_timeout` is not shorter.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// MQTT over TLS and over plain TCP, as IANA has registered them (`secure-mqtt`, `mqtt`).
const TLS_PORT: u16 = 8883;
const PLAIN_PORT: u16 = 1883;

/// Reads a scenario and resolves it.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(input: &Input<'_>, rng: &mut impl rand::Rng) -> Result<Plan, Errors> {
    let (scenario, errors) = crate::scenario::read(input);
    resolve(&scenario, errors, input.files, rng)
}

/// Resolves a scenario. `errors` holds what was wrong with reading it; `rng` makes the group key of a run that
/// brings neither a target nor keys;
/// `files` reads the lists of devices that it names.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn resolve(
    scenario: &Scenario,
    mut errors: Errors,
    files: &dyn Fn(&Path) -> io::Result<FileText>,
    rng: &mut impl rand::Rng,
) -> Result<Plan, Errors> {
    if scenario.unreadable {
        return Err(errors);
    }
    let (target, kind) = target(scenario, &mut errors);
    let schedule = schedule(scenario, &mut errors);
    let context = fleets::ResolveContext {
        kind,
        embedded: scenario.target.is_none(),
        group_key: sas::Key::random(rng),
        host: &target.host,
        scenario: &scenario.file,
        files,
    };
    let mut fleets = fleets::resolve(&scenario.fleets, &context, &mut errors);
    let deliveries = match kind {
        // After an error the plan is not used, and a fleet's indices may be anything.
        Some(TargetKind::Mqtt) if errors.is_empty() => {
            Deliveries::resolve(&mut fleets, &schedule, rng.next_u64())
        }
        _ => Deliveries::default(),
    };
    if errors.is_empty() {
        totals::check_rate(&scenario.fleets, &fleets, &schedule, &mut errors);
    }
    let drives = drives::resolve(&scenario.drives, &fleets, &context, &mut errors);
    let thresholds = {
        let phases: Vec<String> = schedule.phases().iter().map(|phase| phase.name.clone()).collect();
        let names: Vec<String> = scenario.fleets.iter().map(|fleet| fleet.name.clone()).collect();
        let never = never_measured(kind, &target, &fleets, (&drives, &deliveries));
        let known = Known { phases: &phases, fleets: &names, never: &never };
        threshold::resolve(&scenario.thresholds, &known, &mut errors)
    };
    let longest_ack = fleets.iter().map(|fleet| fleet.ack_timeout).max().unwrap_or(DRAIN_MAX);
    let plan = Plan {
        name: scenario.name.clone().unwrap_or_else(|| stem(&scenario.file)),
        source: source(scenario),
        seed: scenario.seed.unwrap_or(SEED),
        emulator: emulator(scenario),
        target,
        packet_mib_max: totals::packet_mib_max(&fleets),
        fleets,
        drives,
        schedule,
        deliveries,
        drain: scenario.drain.unwrap_or(longest_ack.min(DRAIN_MAX)),
        abort_when_unreachable: scenario.abort_when_unreachable,
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
        files: Vec::new(),
        overrides: scenario.overrides.clone(),
    }
}

/// The target, and its kind where that was readable: what depends on a kind that was not stays unsaid.
fn target(scenario: &Scenario, errors: &mut Errors) -> (Target, Option<TargetKind>) {
    let Some(spec) = &scenario.target else {
        let tls = Some(TlsPlan { ca: None, verify: true });
        let target =
            Target { kind: TargetKind::IotHub, host: String::new(), port: 0, tls, source_ips: Vec::new() };
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
    // A broker on the port of MQTT over TLS speaks TLS: a password must not go in clear because a line was left out.
    let meant = hub || spec.ca.is_some() || spec.port == Some(TLS_PORT);
    let on = spec.tls.as_ref().map_or(meant, |tls| tls.on);
    let tls = on.then(|| TlsPlan {
        ca: spec.ca.as_ref().map(|ca| located(&scenario.file, &ca.place, &ca.value)),
        verify: spec.tls.as_ref().is_none_or(|tls| tls.verify),
    });
    let target = Target {
        kind: spec.kind.unwrap_or(TargetKind::IotHub),
        host: spec.host.as_ref().map(|host| host.value.clone()).unwrap_or_default(),
        port: spec.port.unwrap_or(if on { TLS_PORT } else { PLAIN_PORT }),
        tls,
        source_ips: source_ips(spec, errors),
    };
    (target, spec.kind)
}

fn source_ips(spec: &TargetSpec, errors: &mut Errors) -> Vec<IpAddr> {
    let host: Option<IpAddr> = spec.host.as_ref().and_then(|host| host.value.parse().ok());
    let mut found: Vec<IpAddr> = Vec::new();
    for written in &spec.source_ips {
        let ip = written.value;
        let what = if ip.is_unspecified() || ip.is_multicast() {
            "not an address to connect from"
        } else if host.is_some_and(|host| host.is_ipv4() != ip.is_ipv4()) {
            "the host is of the other kind of address, IPv4 or IPv6"
        } else if found.contains(&ip) {
            "given twice"
        } else {
            found.push(ip);
            continue;
        };
        let problem = errors.add(&written.place, what).found(format!("{:?}", written.text));
        problem.allowed("addresses of this machine, each once, of the same kind as the host's");
    }
    found
}

fn emulator(scenario: &Scenario) -> Option<EmulatorPlan> {
    let spec = &scenario.emulator;
    scenario.target.is_none().then(|| EmulatorPlan {
        expiry_grace: spec.expiry_grace.unwrap_or(limits::EXPIRY_GRACE),
        lenient_properties: spec.lenient_properties.unwrap_or(false),
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
            problem.found(format!("{:?}", name.text)).fix(format!("rename one, such as {}-2", name.value));
        }
        names.push(&name.value);
    }
    let whole: Duration = scenario.phases.iter().filter_map(|phase| phase.duration).sum();
    if let Some(last) = scenario.phases.last().filter(|_| whole > DURATION_MAX) {
        let problem = errors.add(&last.place, "the phases together are too long");
        problem.found(human_duration(whole)).allowed(format!("up to {}", human_duration(DURATION_MAX)));
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
    (drives, deliveries): (&[DrivePlan], &Deliveries),
) -> Vec<(Operation, &'static str)> {
    let mut never = Vec::new();
    if kind.is_some() && !deliveries.tracks_any() {
        never.push((
            Operation::Deliver,
            "let a fleet of a plain broker subscribe to what another sends with ${stamp} in its payload",
        ));
    }
    use Operation::{Publish, PublishQos0, Telemetry, TelemetryQos0};
    let (acked, unacked) = match kind {
        Some(TargetKind::IotHub) => {
            never.extend([Publish, PublishQos0].map(|other| (other, "for an IoT hub, use telemetry")));
            (Telemetry, TelemetryQos0)
        }
        Some(TargetKind::Mqtt) => {
            never.extend([Telemetry, TelemetryQos0].map(|other| (other, "for a plain broker, use publish")));
            never.extend(OF_A_HUB.map(|other| (other, "only an IoT hub has these: remove it")));
            (Publish, PublishQos0)
        }
        None => return never,
    };
    let messages = fleets.iter().flat_map(|fleet| &fleet.sends);
    let mut sends = messages.filter(|send| !send.operation.is_request()).peekable();
    if sends.peek().is_some() {
        let (has_unacked, has_acked) = sends
            .fold((false, false), |(unacked, acked), send| (unacked || send.qos == 0, acked || send.qos > 0));
        if !has_acked {
            never.push((acked, "every stream has qos = 0: its metric ends in .qos0"));
        }
        if !has_unacked {
            never.push((unacked, "no stream has qos = 0: leave .qos0 out"));
        }
    }
    if target.tls.is_none() {
        never.push((Operation::ConnectTls, "turn TLS on, or remove it"));
    }
    if fleets.iter().all(|fleet| fleet.auth.tokens().and_then(TokenLife::renewed_after).is_none()) {
        never.push((Operation::Renewal, "give a fleet tokens that it renews, or remove it"));
    }
    if fleets.iter().all(|fleet| fleet.subscribe.is_empty()) {
        never.push((Operation::Subscribe, "give a fleet something to subscribe to, or remove it"));
    }
    if fleets.iter().all(|fleet| !fleet.unsubscribe) {
        never.push((Operation::Unsubscribe, "give a fleet unsubscribe = true, or remove it"));
    }
    never.extend(never_of_a_device(fleets));
    for call in [Operation::ServiceMethod, Operation::ServiceDesired, Operation::ServiceC2d] {
        if drives.iter().all(|drive| drive.call.operation() != call) {
            never.push((call, "add a [[drive]] that calls it, or remove it"));
        }
    }
    never
}

/// What a plain broker never has.
const OF_A_HUB: [Operation; 8] = [
    Operation::Renewal,
    Operation::TwinGet,
    Operation::TwinReport,
    Operation::Method,
    Operation::C2d,
    Operation::ServiceMethod,
    Operation::ServiceDesired,
    Operation::ServiceC2d,
];

/// The same, of what devices do besides sending messages.
fn never_of_a_device(fleets: &[FleetPlan]) -> impl Iterator<Item = (Operation, &'static str)> {
    let asks =
        |operation| fleets.iter().flat_map(|fleet| &fleet.sends).any(|send| send.operation == operation);
    let gets = asks(Operation::TwinGet) || fleets.iter().any(|fleet| fleet.twin.get_on_connect);
    let has = |wanted| fleets.iter().any(|fleet| fleet.subscribe.contains(&wanted));
    [
        (gets, Operation::TwinGet, "give a fleet twin = { get = \"on-connect\" }, or remove it"),
        (
            asks(Operation::TwinReport),
            Operation::TwinReport,
            "give a fleet a [[fleet.NAME.report]], or remove it",
        ),
        (has(Subscription::Methods), Operation::Method, "let a fleet subscribe to \"methods\", or remove it"),
        (has(Subscription::C2d), Operation::C2d, "let a fleet subscribe to \"c2d\", or remove it"),
    ]
    .into_iter()
    .filter(|(measured, ..)| !measured)
    .map(|(_, operation, instead)| (operation, instead))
}

fn validity(scenario: &Scenario) -> Limits {
    let spec = &scenario.validity;
    let default = Limits::default();
    let share = |given: Option<Percent>, default| given.map_or(default, Percent::as_fraction);
    let us = |given: Duration| u64::try_from(given.as_micros()).unwrap_or(u64::MAX);
    Limits {
        late_after_us: spec.late_after.map_or(default.late_after_us, us),
        late_share: share(spec.late_share, default.late_share),
        sent_share: share(spec.sent_share, default.sent_share),
        busy_share: share(spec.busy_share, default.busy_share),
        closed_loop_share: share(spec.closed_loop_share, default.closed_loop_share),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Auth, Keys, Offline, Spread};
    use crate::policy::backoff::{BackOff, Jitter};
    use rand::SeedableRng;

    const SMALL: &str = "[fleet.meter]\ndevices = 10\n[[fleet.meter.send]]\nevery = \"5s\"\npayload = \"x\"\n\
                         [[phase]]\nname = \"steady\"\nduration = \"1m\"\n";

    fn plan(text: &str, overrides: &[&str]) -> Result<Plan, String> {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let env = |name: &str| (name == "PASSWORD").then(|| "hunter2".to_owned());
        let input = Input {
            file: "some/small.toml",
            text,
            overrides: &overrides,
            env: &env,
            files: &crate::scenario::no_files,
        };
        load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_will_that_the_built_in_hub_does_not_take_is_refused() {
        let will = |bytes: usize, topic: &str, target: &str| {
            let will = format!("fleet.meter.will={{{topic}payload={{size={bytes}}}}}");
            plan(&format!("{SMALL}{target}"), &[&will])
        };
        assert!(will(46 * 1024, "", "").is_ok());
        let error = will(60_000, "", "").unwrap_err();
        for part in ["fleet.meter.will.payload", "too long for the built-in hub", "60000 bytes", "49152"] {
            assert!(error.contains(part), "{error}");
        }
        let broker = "[target]\nhost = \"broker.test\"\nkind = \"mqtt\"\n";
        let other = will(60_000, "topic=\"gone\",", broker).map_or_else(|error| error, |_| String::new());
        assert!(!other.contains("fleet.meter.will"), "only the built-in hub has this limit: {other}");
    }

    #[test]
    fn a_value_that_is_refused_is_not_suggested() {
        let error = plan(SMALL, &["emulator.tier=S9"]).unwrap_err();
        assert!(error.contains("unknown value") && !error.contains("did you mean"), "{error}");
        let error = plan(SMALL, &["emulator.tier=unlimitd"]).unwrap_err();
        assert!(error.contains("did you mean \"unlimited\"?"), "{error}");
    }

    #[test]
    fn any_tier_but_unlimited_is_refused_as_not_built_yet() {
        for tier in limits::Tier::ALL {
            let error = plan(SMALL, &[&format!("emulator.tier={}", tier.name())]).unwrap_err();
            let expected = format!("not built yet: \"{}\" (the throttles and quotas of a tier)", tier.name());
            assert!(error.contains(&expected), "{error}");
        }
        let error = plan(SMALL, &["emulator.units=1"]).unwrap_err();
        assert!(error.contains("not built yet: the throttles and quotas of a tier"), "{error}");
        assert!(plan(SMALL, &["emulator.tier=unlimited"]).is_ok());
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let plan = plan(SMALL, &[]).unwrap();
        assert_eq!((plan.name.as_str(), plan.seed, plan.drain), ("small", 1, Duration::from_secs(10)));
        assert_eq!(plan.validity, Limits::default());
        let emulator = plan.emulator.unwrap();
        assert_eq!((emulator.expiry_grace, emulator.lenient_properties), (Duration::from_secs(300), false));
        assert!(plan.target.tls.is_some_and(|tls| tls.verify && tls.ca.is_none()));
        let fleet = &plan.fleets[0];
        assert_eq!(fleet.device_id(7), "meter-00007");
        assert_eq!((fleet.keep_alive_s, fleet.clean_session, fleet.in_flight), (240, false, 16));
        assert_eq!(fleet.connect_timeout, Duration::from_secs(60));
        assert_eq!((fleet.ack_timeout, fleet.send_by), (Duration::from_secs(30), Duration::from_secs(30)));
        assert_eq!(fleet.offline, Offline::Queue);
        let (base, max) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(fleet.reconnect, BackOff::Exponential { base, max, jitter: Jitter::Full }.into());
        let send = &fleet.sends[0];
        assert_eq!((send.qos, send.operation), (1, Operation::Telemetry));
        assert_eq!((send.arrival.spread, send.arrival.rate_hz), (Spread::Regular, 0.2));
        let names = super::super::TemplateContext { device: "meter-00007", index: 7 };
        assert_eq!(send.topic.render(&names), "devices/meter-00007/messages/events/");
    }

    #[test]
    fn a_preset_sets_what_the_scenario_leaves_out() {
        let fleet = |more: &[&str]| {
            plan(SMALL, &[&["fleet.meter.sdk=python"], more].concat()).unwrap().fleets.remove(0)
        };
        let preset = super::super::device_preset(Some(super::super::Sdk::Python));
        let python = fleet(&[]);
        assert_eq!((python.keep_alive_s, python.reconnect), (preset.keep_alive_s, preset.reconnect));
        assert_eq!(python.subscribe_qos, preset.subscribe_qos);
        assert!(!python.clean_session, "all SDKs ask for a session that is kept");
        let user_name =
            python.auth.credentials(&plan(SMALL, &[]).unwrap().target, "d", 0, Duration::ZERO).user_name;
        assert_eq!(user_name.as_deref(), Some("/d/?api-version=2019-10-01"));
        let auth = "fleet.meter.auth={ kind = \"sas\", ttl = \"10m\" }";
        let own = fleet(&[auth, "fleet.meter.keep_alive=5s", "fleet.meter.reconnect={ kind = \"never\" }"]);
        assert_eq!((own.keep_alive_s, own.reconnect), (5, BackOff::Never.into()));
        let renewed = own.auth.tokens().and_then(|life| life.renewed_after());
        assert_eq!(renewed, Some(Duration::from_secs(8 * 60)), "two minutes before the end of the ten");
    }

    #[test]
    fn a_run_without_target_and_keys_makes_its_own() {
        let auth = plan(SMALL, &[]).unwrap().fleets.remove(0).auth;
        let Auth::Sas { keys: Keys::Group(key), life, .. } = &auth else { panic!("not a group key") };
        assert_eq!((key.to_base64().len(), life.renewed_after()), (88, Some(Duration::from_secs(51 * 60))));
    }

    #[test]
    fn plain_brokers_speak_plain_tcp_unless_told_otherwise() {
        let broker =
            ["target.kind=mqtt", "target.host=localhost", "fleet.meter.send.0.topic=bench/${device}"];
        let with = |more: &[&str]| plan(SMALL, &[&broker, more].concat()).unwrap();
        let target = with(&[]).target;
        assert!(target.tls.is_none());
        assert_eq!(target.port, 1883);
        let verify = ["target.tls={ verify = false }"];
        for tls in [["target.tls=true"], ["target.ca=ca.pem"], verify, ["target.port=8883"]] {
            let target = with(&tls).target;
            assert!(target.tls.is_some(), "{tls:?}");
            assert_eq!(target.port, 8883);
        }
        let target = with(&["target.port=8883", "target.tls=false"]).target;
        assert!(target.tls.is_none(), "it was said in so many words");
        assert!(with(&["target.port=8884"]).target.tls.is_none(), "any other port tells nothing");
        assert!(!with(&["target.tls={ verify = false }"]).target.tls.unwrap().verify);
        let plan = with(&[]);
        assert!(plan.emulator.is_none() && plan.fleets[0].clean_session);
        assert!(matches!(plan.fleets[0].auth, Auth::None));
        assert_eq!(plan.fleets[0].sends[0].operation, Operation::Publish);
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_more() {
        let host = |host: &str| {
            let topic = "fleet.meter.send.0.topic=x";
            plan(SMALL, &["target.kind=mqtt", &format!("target.host={host}"), topic]).map(|_| ())
        };
        for good in ["hub.example", "127.0.0.1", "::1", "fe80::1"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in ["hub:8883", "mqtt://hub", "'[::1]'", "hub/x", "::1:x"] {
            assert!(host(bad).unwrap_err().contains("target.host: "), "{bad}");
        }
    }

    #[test]
    fn source_addresses_are_this_machines_each_once() {
        let sources = |host: &str, list: &str| {
            let host = format!("target.host={host}");
            let list = format!("target.source_ips={list}");
            plan(SMALL, &["target.kind=mqtt", &host, &list, "fleet.meter.send.0.topic=x"])
                .map(|plan| plan.target.source_ips.len())
        };
        assert_eq!(sources("hub.example", "[\"10.0.0.2\", \"::1\"]"), Ok(2));
        assert_eq!(sources("hub.example", "[]"), Ok(0));
        for (host, list, what) in [
            ("hub.example", "[\"10.0.0.2\", \"10.0.0.2\"]", "given twice"),
            ("hub.example", "[\"0.0.0.0\"]", "not an address to connect from"),
            ("::1", "[\"10.0.0.2\"]", "of the other kind"),
            ("hub.example", "[\"10.0.0.2:80\"]", "invalid value"),
            ("hub.example", "\"10.0.0.2\"", "wrong type"),
        ] {
            let error = sources(host, list).unwrap_err();
            assert!(error.contains("--set target.source_ips") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn no_run_is_longer_than_its_clocks_can_count() {
        let error = plan(SMALL, &["phase.steady.duration=101d"]).unwrap_err();
        assert!(error.contains("phase.steady.duration: too long") && error.contains("up to 100d"), "{error}");
        assert!(plan(SMALL, &["phase.steady.duration=100d"]).is_ok());
        let second = format!("{SMALL}[[phase]]\nname = \"more\"\nduration = \"60d\"\n");
        let error = plan(&second, &["phase.steady.duration=50d"]).map(|_| ()).unwrap_err();
        assert!(error.contains("phases together"), "{error}");
    }

    #[test]
    fn thresholds_say_from_when_on_they_end_the_run() {
        let text = "[fleet.a]\ndevices = 1\n[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\n\
                    [[phase]]\nname = \"steady\"\nduration = \"1m\"\n[[phase]]\nname = \"peak\"\nduration = \"1m\"\n";
        let from = |metric: &str, threshold: &str| {
            let threshold = format!("thresholds.\"{metric}\"=[{threshold}]");
            let plan = plan(text, &[&threshold]).unwrap();
            let [threshold] = &plan.thresholds[..] else { panic!("one threshold: {:?}", plan.thresholds) };
            (
                threshold.abort_after.map(|after| after.as_secs()),
                plan.abort_from(threshold).map(|at| at.as_secs()),
            )
        };
        let late = "{ expr = \"max < 1s\", abort = true, after = \"30s\" }";
        assert_eq!(from("connect", late), (Some(30), Some(40)), "from the first phase that is no warm-up");
        assert_eq!(from("connect{phase:ramp}", late), (Some(30), Some(30)));
        assert_eq!(from("connect{phase:peak}", late), (Some(30), Some(100)));
        assert_eq!(from("connect{phase:peak}", "{ expr = \"max < 1s\", abort = true }"), (Some(0), Some(70)));
        for never in ["\"max < 1s\"", "{ expr = \"max < 1s\" }", "{ expr = \"max < 1s\", abort = false }"] {
            assert_eq!(from("connect", never), (None, None), "{never}");
        }
    }

    #[test]
    fn an_unreachable_target_ends_a_run_only_on_request() {
        let unreachable = |more: &[&str]| plan(SMALL, more).map(|plan| plan.abort_when_unreachable);
        assert_eq!(unreachable(&[]), Ok(None));
        assert_eq!(unreachable(&["abort_when_unreachable=never"]), Ok(None));
        assert_eq!(unreachable(&["abort_when_unreachable=30s"]), Ok(Some(Duration::from_secs(30))));
        for bad in ["0s", "-1s", "30", "soon"] {
            let error = unreachable(&[&format!("abort_when_unreachable={bad}")]).unwrap_err();
            assert!(error.contains("--set abort_when_unreachable: "), "{bad}: {error}");
        }
    }

    #[test]
    fn validity_limits_can_be_overridden() {
        let given =
            ["late_after=1s", "late_share=2%", "sent_share=90%", "busy_share=80%", "closed_loop_share=5%"];
        let given = given.map(|text| format!("validity.{text}"));
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let Limits { late_after_us, late_share, sent_share, busy_share, closed_loop_share } =
            plan(SMALL, &given).unwrap().validity;
        assert_eq!(late_after_us, 1_000_000);
        assert_eq!([late_share, sent_share, busy_share, closed_loop_share], [0.02, 0.9, 0.8, 0.05]);
    }

    #[test]
    fn what_is_allowed_is_listed_once() {
        let twice = format!("{SMALL}[[phase]]\nname = \"steady\"\nduration = \"1m\"\n");
        let error = plan(&twice, &["thresholds.\"online{phase:stead}\"=[\"max < 1s\"]"]).unwrap_err();
        assert!(error.contains("allowed: steady\n"), "{error}");
    }

    #[test]
    fn messages_without_an_ack_are_an_operation_of_their_own() {
        let unacked = "fleet.meter.send.0.qos=0";
        let threshold = |metric: &str| format!("thresholds.{metric}=[\"rate(ok) > 99%\"]");
        let operation = |more: &[&str]| plan(SMALL, more).map(|plan| plan.fleets[0].sends[0].operation);
        assert_eq!(operation(&[unacked]), Ok(Operation::TelemetryQos0));
        assert_eq!(operation(&[unacked, &threshold("\"telemetry.qos0\"")]), Ok(Operation::TelemetryQos0));
        let error = operation(&[unacked, &threshold("telemetry")]).unwrap_err();
        assert!(error.contains("never measures") && error.contains("ends in .qos0"), "{error}");
        let error = operation(&[&threshold("\"telemetry.qos0\"")]).unwrap_err();
        assert!(error.contains("never measures") && error.contains("leave .qos0 out"), "{error}");
    }

    #[test]
    fn fleets_count_their_devices_globally_and_share_a_rate() {
        let second =
            format!("[fleet.a]\ndevices = 4\n[[fleet.a.send]]\nrate = \"100/s\"\npayload = \"x\"\n{SMALL}");
        let plan = plan(&second, &[]).unwrap();
        assert_eq!([plan.fleets[0].first, plan.fleets[1].first, plan.devices()], [0, 4, 14]);
        let arrival = plan.fleets[0].sends[0].arrival;
        assert!(matches!(arrival.spread, Spread::Stratified(_)) && arrival.rate_hz == 25.0);
        // 100/s and 10 devices every 5 s, for a minute.
        assert!((plan.planned_messages() - 6120.0).abs() < 1e-6);
    }

    #[test]
    fn properties_travel_in_the_topic() {
        let plan =
            plan(SMALL, &["fleet.meter.send.0.properties={ unit = \"k W&h\", \"$.ct\" = \"x\" }"]).unwrap();
        let names = super::super::TemplateContext { device: "d", index: 0 };
        assert_eq!(
            plan.fleets[0].sends[0].topic.render(&names),
            "devices/d/messages/events/unit=k%20W%26h&%24.ct=x"
        );
    }

    #[test]
    fn a_message_of_262_144_bytes_is_planned_and_one_more_is_not() {
        // TemplateContext and values of user properties and values of system properties count; escapes and separators do not.
        for (properties, bytes) in [
            ("{}", 0),
            ("{ unit = \"k W&h\" }", 9),
            ("{ \"$.ct\" = \"application/json\", \"$.ce\" = \"utf-8\" }", 21),
            ("{ \"ü\" = \"ü\", \"$.mid\" = \"1\" }", 5),
        ] {
            let of = |size: usize| {
                let properties = format!("fleet.meter.send.0.properties={properties}");
                let size = format!("fleet.meter.send.0.payload={{ size = {size} }}");
                plan(SMALL, &[&properties, &size]).map(|plan| plan.fleets[0].sends[0].properties_bytes)
            };
            assert_eq!(of(262_144 - bytes), Ok(bytes), "{properties}");
            let error = of(262_145 - bytes).unwrap_err();
            let expected = "found:   up to 262145 bytes with properties";
            assert!(error.contains("too large for an IoT hub") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_mqtt_cannot_carry_is_refused() {
        let broker = ["target.kind=mqtt", "target.host=localhost"];
        let long = "x".repeat(65_536);
        let topic = format!("fleet.meter.send.0.topic={long}");
        let error = plan(SMALL, &[&broker[..], &[&topic]].concat()).unwrap_err();
        assert!(error.contains("a topic is too long for MQTT") && error.len() < 1000, "{error}");
        let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=a\0b"]].concat()).unwrap_err();
        assert!(error.contains("NUL"), "{error}");
        let id = format!("fleet.meter.id={{index}}{long}");
        let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=x", &id]].concat()).unwrap_err();
        assert!(error.contains("a client id is too long"), "{error}");
        let auth = format!("fleet.meter.auth={{ kind = \"password\", username = \"{long}\" }}");
        let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=x", &auth]].concat()).unwrap_err();
        assert!(error.contains("fleet.meter.auth.password: missing"), "{error}");
    }

    #[test]
    fn a_packet_has_room_for_so_much_and_no_more() {
        let size = |bytes: usize| {
            let size = format!("fleet.meter.send.0.payload={{ size = {bytes} }}");
            let broker = ["target.kind=mqtt", "target.host=localhost", "fleet.meter.send.0.topic=t", &size];
            plan(SMALL, &broker).map(|_| ())
        };
        // The topic with its length, and a packet id.
        assert_eq!(size(268_435_455 - 3 - 2), Ok(()));
        let error = size(268_435_455 - 4).unwrap_err();
        assert!(error.contains("payload: too large for MQTT"), "{error}");
    }

    #[test]
    fn bursts_and_closed_loops() {
        let arrival = |more: &[&str]| plan(SMALL, more).map(|plan| plan.fleets[0].sends[0].arrival);
        let burst = arrival(&["fleet.meter.send.0.burst=4"]).unwrap();
        assert_eq!((burst.rate_hz, burst.burst, burst.is_closed()), (0.8, 4, false));
        let text = SMALL.replace("every = \"5s\"", "rate = \"8/s\"\nburst = 4");
        let shared = plan(&text, &[]).unwrap().fleets[0].sends[0].arrival;
        assert_eq!((shared.rate_hz, shared.burst), (0.8, 4), "a rate counts messages");
        let text = SMALL.replace("every = \"5s\"", "arrival = \"closed\"\nthink_time = \"0s\"");
        let closed = plan(&text, &[]).unwrap().fleets[0].sends[0].arrival;
        assert_eq!((closed.spread, closed.rate_hz), (Spread::Closed { think_ns: 0 }, 1000.0));
    }

    #[test]
    fn the_needs_grow_with_the_fleet() {
        let few = plan(SMALL, &[]).unwrap().needs(1);
        let many = plan(SMALL, &["fleet.meter.devices=10010"]).unwrap().needs(1);
        assert_eq!([many.descriptors - few.descriptors, many.ports], [10_000, 10_010]);
        assert!(many.memory_bytes - few.memory_bytes >= 10_000 * 5 * 1024);
        assert!(few.descriptors > few.ports);
    }

    #[test]
    fn nothing_is_too_long_to_be_recorded() {
        assert_eq!(plan(SMALL, &[]).unwrap().highest_us(), 92_000_000);
        let long = plan(SMALL, &["phase.steady.duration=2h"]).unwrap();
        assert_eq!(long.highest_us(), 7_212_000_000);
    }
}
