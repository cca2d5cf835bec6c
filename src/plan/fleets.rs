//! The fleets of a plan: ids, credentials and messages, checked against what MQTT and an IoT hub allow. A part of
//! `resolve`.

use super::arrival::{Arrival, Spread, Turns};
use super::authentication;
use super::payload::{self, Payload};
use super::template::{self, Names, Template};
use super::types::{FleetPlan, Offline, SendPlan, Subscription, TargetKind};
use crate::iothub::{limits, names, properties, sas, topics};
use crate::measure::Operation;
use crate::policy::backoff::{BackOff, Jitter};
use crate::scenario::{
    ArrivalKind, Errors, FileText, FleetSpec, PayloadSpec, ReconnectSpec, SendSpec, Spacing, Written, nearest,
};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

/// MQTT's strings carry their length in 16 bits (MQTT 3.1.1 §1.5.3).
pub(super) const STRING_BYTES_MAX: usize = 65_535;

const KEEP_ALIVE_S: u16 = 240;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const IN_FLIGHT: u16 = 16;
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What fleets are resolved against.
pub(super) struct Setting<'a> {
    /// The target's kind; `None` after an error in it.
    pub(super) kind: Option<TargetKind>,
    /// True when the built-in hub is the target.
    pub(super) embedded: bool,
    /// For fleets that bring no keys to the built-in hub.
    pub(super) group_key: sas::Key,
    /// The target's host; empty for the built-in hub.
    pub(super) host: &'a str,
    /// The scenario's file name.
    pub(super) scenario: &'a str,
    /// Reads the files that it names.
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

/// Resolves all fleets.
pub(super) fn resolve(specs: &[FleetSpec], setting: &Setting<'_>, errors: &mut Errors) -> Vec<FleetPlan> {
    let mut first = 0;
    let mut fleets = Vec::new();
    for spec in specs {
        let fleet = fleet(spec, first, setting, errors);
        first += u64::from(fleet.devices);
        fleets.push(fleet);
    }
    if errors.is_empty() {
        ids_differ(specs, &fleets, errors);
    }
    fleets
}

fn fleet(spec: &FleetSpec, first: u64, setting: &Setting<'_>, errors: &mut Errors) -> FleetPlan {
    let devices = spec.devices.unwrap_or(1);
    let id = id(spec, devices, setting, errors);
    let highest = id.render(&Names { device: "", index: devices - 1 });
    let ack_timeout = spec.ack_timeout.unwrap_or(ACK_TIMEOUT);
    let auth = authentication::resolve(spec, &id, &highest, setting, errors);
    let longest = auth.listed().map_or(highest, |devices| devices.longest_id().to_owned());
    let sends =
        spec.sends.iter().filter_map(|send| self::send(send, devices, &longest, setting, errors)).collect();
    FleetPlan {
        name: spec.name.clone(),
        devices,
        first,
        id,
        auth,
        keep_alive_s: spec.keep_alive_s.unwrap_or(KEEP_ALIVE_S),
        clean_session: spec.clean_session.unwrap_or(setting.kind == Some(TargetKind::Mqtt)),
        reconnect: reconnect(spec.reconnect),
        connect_timeout: spec.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        ack_timeout,
        send_by: spec.send_by.unwrap_or(ack_timeout),
        offline: if spec.offline_skip == Some(true) { Offline::Skip } else { Offline::Queue },
        in_flight: spec.in_flight.unwrap_or(IN_FLIGHT),
        subscribe: subscriptions(spec, &longest, setting, errors),
        sends,
    }
}

fn reconnect(spec: Option<ReconnectSpec>) -> BackOff {
    match spec {
        Some(ReconnectSpec::Never) => BackOff::Never,
        Some(ReconnectSpec::Fixed { delay }) => BackOff::Fixed { delay: delay.unwrap_or(BACKOFF_BASE) },
        Some(ReconnectSpec::Exponential { base, max, jitter }) => {
            let base = base.unwrap_or(BACKOFF_BASE);
            let max = max.unwrap_or(BACKOFF_MAX).max(base);
            BackOff::Exponential { base, max, jitter: jitter.unwrap_or(Jitter::Full) }
        }
        None => BackOff::Exponential { base: BACKOFF_BASE, max: BACKOFF_MAX, jitter: Jitter::Full },
    }
}

fn id(spec: &FleetSpec, devices: u32, setting: &Setting<'_>, errors: &mut Errors) -> Template {
    let default = format!("{}-{{index:05}}", spec.name);
    let template = match &spec.id {
        Some(written) => parse(written, errors),
        None => Template::parse(&default).ok(),
    };
    // After an error any template will do: the plan is not used.
    let Some(template) = template else { return Template::literal(&spec.name) };
    let place = spec.id.as_ref().map_or_else(|| spec.place.below("id"), |written| written.place.clone());
    let text = spec.id.as_ref().map_or(default.clone(), |written| written.text.clone());
    if template.uses_device() {
        let problem = errors.add(&place, "an id cannot contain the id");
        problem
            .found(shown(&text))
            .allowed("{index}, or {index:05} for leading zeros")
            .fix(format!("id = \"{default}\""));
        return template;
    }
    let render = |index| template.render(&Names { device: "", index });
    if devices > 1 && render(0) == render(1) {
        let problem = errors.add(&place, "every device would have the same id");
        problem.found(shown(&text)).fix(format!("id = \"{}-{{index:05}}\"", text.trim_end_matches('-')));
    }
    let longest = render(devices - 1);
    if setting.kind == Some(TargetKind::IotHub) && !names::is_device_id(&longest) {
        let problem = errors.add(&place, "not a device id of an IoT hub");
        problem
            .found(shown(&longest))
            .allowed("1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '");
    } else {
        fits(&longest, "a client id", &place, errors);
    }
    template
}

/// Indices make ids differ within a fleet; two fleets may still meet.
fn ids_differ(specs: &[FleetSpec], fleets: &[FleetPlan], errors: &mut Errors) {
    if fleets.len() < 2 {
        return;
    }
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (number, (fleet, spec)) in fleets.iter().zip(specs).enumerate() {
        for index in 0..fleet.devices {
            let Some(owner) =
                owners.insert(fleet.device_id(index), number).and_then(|owner| fleets.get(owner))
            else {
                continue;
            };
            let place = spec.id.as_ref().map_or_else(|| spec.place.below("id"), |id| id.place.clone());
            let problem = errors.add(&place, format!("fleet {} has the same id", owner.name));
            problem.found(shown(&fleet.device_id(index)));
            problem.fix(match fleet.auth.listed() {
                Some(_) => "give each fleet a file of its own, or an id that names its devices".to_owned(),
                None => format!("id = \"{}-{{index:05}}\"", fleet.name),
            });
            break;
        }
    }
}

fn subscriptions(
    spec: &FleetSpec,
    longest: &str,
    setting: &Setting<'_>,
    errors: &mut Errors,
) -> Vec<Subscription> {
    let mut found: Vec<Subscription> = Vec::new();
    for written in &spec.subscribe {
        let subscription = match setting.kind {
            Some(TargetKind::IotHub) => hub_subscription(written, errors),
            Some(TargetKind::Mqtt) => filter(written, longest, errors),
            None => None,
        };
        let Some(subscription) = subscription else { continue };
        if found.contains(&subscription) {
            errors
                .add(&written.place, "given twice")
                .found(shown(&written.text))
                .fix("remove one of the two");
            continue;
        }
        found.push(subscription);
    }
    found
}

fn hub_subscription(written: &Written<String>, errors: &mut Errors) -> Option<Subscription> {
    match written.value.as_str() {
        "c2d" => Some(Subscription::C2d),
        "twin" => Some(Subscription::Twin),
        "methods" => {
            let problem = errors.add(&written.place, "not built yet: \"methods\" (direct methods)");
            problem.fix("remove it; a later version will read it");
            None
        }
        other => {
            let problem = errors.add(&written.place, "unknown subscription of an IoT hub");
            problem.found(shown(&written.text)).allowed("\"c2d\", \"twin\"");
            if let Some(near) = nearest(other, ["c2d", "twin", "methods"]) {
                problem.fix(format!("did you mean \"{near}\"?"));
            }
            None
        }
    }
}

fn filter(written: &Written<String>, longest: &str, errors: &mut Errors) -> Option<Subscription> {
    let template = parse(written, errors)?;
    let rendered = template.render(&Names { device: longest, index: 0 });
    fits(&rendered, "a topic filter", &written.place, errors);
    let levels: Vec<&str> = rendered.split('/').collect();
    let last = levels.len() - 1;
    let sound = levels.iter().enumerate().all(|(index, level)| match *level {
        "+" => true,
        "#" => index == last,
        level => !level.contains(['+', '#']),
    });
    if !sound {
        // MQTT 3.1.1 §4.7.1.
        let problem = errors.add(&written.place, "not a topic filter").found(shown(&written.text));
        problem.allowed("+ stands alone between slashes, # alone at the end");
    }
    Some(Subscription::Filter(template))
}

fn send(
    spec: &SendSpec,
    devices: u32,
    longest: &str,
    setting: &Setting<'_>,
    errors: &mut Errors,
) -> Option<SendPlan> {
    let payload = payload(spec, errors);
    let hub = setting.kind == Some(TargetKind::IotHub);
    let (topic, bag_bytes) =
        if hub { hub_topic(spec, errors) } else { (broker_topic(spec, setting, errors), 0) };
    if let (Some(payload), true) = (&payload, hub) {
        let bytes = payload.bytes_max(longest.len()) + bag_bytes;
        if bytes > limits::TELEMETRY_BYTES_MAX {
            let place = spec.payload.as_ref().map_or(&spec.place, |payload| &payload.place);
            let problem = errors.add(place, "too large for an IoT hub");
            problem.found(format!("up to {bytes} bytes with properties"));
            problem.allowed(format!("{} bytes", limits::TELEMETRY_BYTES_MAX));
        }
    }
    if let Some(topic) = &topic {
        let place = spec.topic.as_ref().map_or(&spec.place, |topic| &topic.place);
        let rendered = topic.render(&Names { device: longest, index: devices - 1 });
        fits(&rendered, "a topic", place, errors);
        if !hub && rendered.contains(['+', '#']) {
            // MQTT 3.1.1 §3.3.2.1.
            errors
                .add(place, "wildcards are for subscriptions")
                .found(shown(&rendered))
                .allowed("a topic without + and #");
        }
    }
    let qos = qos(spec, setting.kind, errors);
    Some(SendPlan {
        arrival: arrival(spec, devices, errors)?,
        operation: match (hub, qos) {
            (true, 0) => Operation::TelemetryQos0,
            (true, _) => Operation::Telemetry,
            (false, 0) => Operation::PublishQos0,
            (false, _) => Operation::Publish,
        },
        topic: topic?,
        qos,
        payload: payload?,
        properties_bytes: bag_bytes,
    })
}

fn arrival(spec: &SendSpec, devices: u32, errors: &mut Errors) -> Option<Arrival> {
    let poisson = spec.arrival == Some(ArrivalKind::Poisson);
    let (rate_hz, regular) = match spec.spacing? {
        Spacing::Every(every) => (1.0 / every.as_secs_f64(), Spread::Regular),
        Spacing::Rate(rate) => {
            (rate.as_per_second() / f64::from(devices), Spread::Stratified(Turns::of(devices)))
        }
    };
    if rate_hz <= 0.0 {
        errors
            .add(&spec.place.below("rate"), "nothing would be sent")
            .allowed("more than 0/s")
            .fix("remove this send");
        return None;
    }
    Some(Arrival { spread: if poisson { Spread::Poisson } else { regular }, rate_hz })
}

fn payload(spec: &SendSpec, errors: &mut Errors) -> Option<Payload> {
    let written = spec.payload.as_ref()?;
    match &written.value {
        PayloadSpec::Size(bytes) => Some(Payload::filler(usize::try_from(*bytes).unwrap_or(usize::MAX))),
        PayloadSpec::Template(text) => match Payload::template(text) {
            Ok(payload) => Some(payload),
            Err(error) => {
                let problem = errors.add(&written.place, error.to_string()).allowed(payload::ALLOWED);
                let name = error.placeholder().unwrap_or_default();
                if let Some(near) = nearest(name, payload::PLACEHOLDERS).filter(|near| *near != name) {
                    problem.fix(format!("did you mean ${{{near}}}?"));
                }
                None
            }
        },
    }
}

fn qos(spec: &SendSpec, kind: Option<TargetKind>, errors: &mut Errors) -> u8 {
    let Some(qos) = &spec.qos else { return 1 };
    if qos.value == 2 && kind == Some(TargetKind::IotHub) {
        let problem = errors.add(&qos.place, "an IoT hub closes the connection at QoS 2");
        problem.found("2").allowed("0 or 1").fix("qos = 1");
    } else if qos.value == 2 {
        errors.add(&qos.place, "not built yet: QoS 2").found("2").allowed("0 or 1").fix("qos = 1");
    }
    qos.value
}

/// The topic of telemetry with its bag, and how much of the hub's limit the bag takes.
fn hub_topic(spec: &SendSpec, errors: &mut Errors) -> (Option<Template>, usize) {
    if let Some(topic) = &spec.topic {
        let problem =
            errors.add(&topic.place, "an IoT hub has one topic for telemetry: it is chosen for you");
        problem.found(shown(&topic.text)).fix("remove it, or use kind = \"mqtt\" for a plain broker");
    }
    let mut bag = Vec::new();
    for (name, value) in &spec.properties {
        if value.value.contains("${") {
            let problem = errors.add(&value.place, "not built yet: templates in properties");
            problem.found(shown(&value.text)).fix("write a fixed text; the payload may contain templates");
        }
        if name.is_empty() {
            errors.add(&value.place, "a property needs a name");
        }
        bag.push((name.as_str(), value.value.as_str()));
    }
    let bytes = bag.iter().map(|(name, value)| name.len() + value.len()).sum();
    let topic = format!("{}{}", topics::telemetry("${device}"), properties::encode(&bag));
    (Template::parse(&topic).ok(), bytes)
}

fn broker_topic(spec: &SendSpec, setting: &Setting<'_>, errors: &mut Errors) -> Option<Template> {
    if setting.kind.is_some() {
        if let Some((_, value)) = spec.properties.first() {
            let problem =
                errors.add(&value.place, "MQTT 3.1.1 has no properties; the target is a plain broker");
            problem.fix("remove them, or put them into the payload");
        }
        if spec.topic.is_none() {
            let problem = errors.add(&spec.place.below("topic"), "missing: a plain broker needs one");
            problem.fix("add topic = \"bench/${device}\"");
        }
    }
    parse(spec.topic.as_ref()?, errors)
}

pub(super) fn parse(written: &Written<String>, errors: &mut Errors) -> Option<Template> {
    match Template::parse(&written.value) {
        Ok(template) => Some(template),
        Err(error) => {
            let problem = errors.add(&written.place, error.to_string());
            problem.found(shown(&written.text)).allowed(template::ALLOWED);
            None
        }
    }
}

/// A longer string, or one with a NUL, would corrupt the stream (MQTT 3.1.1 §1.5.3).
pub(super) fn fits(rendered: &str, what: &str, place: &crate::scenario::Place, errors: &mut Errors) {
    if rendered.len() > STRING_BYTES_MAX {
        let problem = errors.add(place, format!("{what} is too long for MQTT"));
        problem.found(format!("{} bytes", rendered.len())).allowed(format!("{STRING_BYTES_MAX} bytes"));
    }
    if rendered.contains('\0') {
        errors.add(place, format!("{what} must not contain a NUL"));
    }
}

/// In double quotes, shortened to what fits on a line.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() == text.len() {
        return format!("{short:?}");
    }
    format!("{short:?}... ({} characters)", text.chars().count())
}
