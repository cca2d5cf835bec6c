//! The fleets of a plan: ids, credentials and subscriptions, checked against what MQTT and an IoT hub allow. A part of
//! `resolve`.

use super::authentication;
use super::sdk::{self, DevicePreset};
use super::template::{self, Template, TemplateContext};
use super::types::{FleetPlan, Offline, Subscription, TargetKind};
use super::{device, sends, will};
use crate::iothub::{names, sas};
use crate::policy::backoff::{BackOff, Jitter, Reconnect};
use crate::scenario::{Errors, FileText, FleetSpec, Place, ReconnectSpec, SubscribeSpec, Written, nearest};
use crate::wire::{QoS, STRING_BYTES_MAX};
use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const IN_FLIGHT: u16 = 16;
/// A longer id is not repeated in what it could become.
const ID_CHARS_REPEATED: usize = 40;
/// Of a `reconnect` that leaves them out.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What fleets are resolved against.
pub(super) struct ResolveContext<'a> {
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
pub(super) fn resolve(
    specs: &[FleetSpec],
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Vec<FleetPlan> {
    let mut first = 0;
    let mut fleets = Vec::new();
    for spec in specs {
        let fleet = fleet(spec, first, context, errors);
        first += u64::from(fleet.devices);
        fleets.push(fleet);
    }
    if errors.is_empty() {
        ids_differ(specs, &fleets, errors);
    }
    fleets
}

fn fleet(spec: &FleetSpec, first: u64, context: &ResolveContext<'_>, errors: &mut Errors) -> FleetPlan {
    let devices = spec.devices.unwrap_or(1);
    let id = id(spec, devices, context, errors);
    let highest = id.render(&TemplateContext { device: "", index: devices - 1 });
    let ack_timeout = spec.ack_timeout.unwrap_or(ACK_TIMEOUT);
    let preset = preset(spec, context, errors);
    let auth = authentication::resolve(spec, &id, &highest, &preset, context, errors);
    let longest = auth.device_list().map_or(highest, |devices| devices.longest_id().to_owned());
    let mut sends: Vec<_> = spec
        .sends
        .iter()
        .filter_map(|send| sends::resolve(send, devices, &longest, context, errors))
        .collect();
    let device = device::resolve(spec, devices, &longest, (&preset, context), errors);
    sends.extend(device.requests);
    let subscribe = subscriptions(spec, &longest, context, errors);
    if context.kind == Some(TargetKind::IotHub) {
        device::subscribed(spec, &subscribe, errors);
    }
    if spec.unsubscribe && spec.subscribe.is_empty() {
        let problem = errors.add(&spec.place.below("unsubscribe"), "the fleet subscribes to nothing");
        problem.fix("remove it, or let the fleet subscribe to something");
    }
    let will =
        spec.will.as_ref().and_then(|will| will::resolve(will, devices, &longest, (&auth, context), errors));
    FleetPlan {
        name: spec.name.clone(),
        devices,
        first,
        sdk: spec.sdk.as_ref().map(|sdk| sdk.value),
        id,
        auth,
        keep_alive_s: spec.keep_alive_s.unwrap_or(preset.keep_alive_s),
        pings: preset.pings,
        clean_session: spec.clean_session.unwrap_or(context.kind == Some(TargetKind::Mqtt)),
        reconnect: spec.reconnect.map_or(preset.reconnect, reconnect),
        connect_timeout: spec.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        ack_timeout,
        send_by: spec.send_by.unwrap_or(ack_timeout),
        offline: if spec.offline_skip == Some(true) { Offline::Skip } else { Offline::Queue },
        in_flight: spec.in_flight.unwrap_or(IN_FLIGHT),
        subscribe,
        unsubscribe: spec.unsubscribe,
        subscribe_qos: preset.subscribe_qos,
        will,
        sends,
        twin: device.twin,
        methods: device.methods,
    }
}

fn preset(spec: &FleetSpec, context: &ResolveContext<'_>, errors: &mut Errors) -> DevicePreset {
    if let (Some(sdk), Some(TargetKind::Mqtt)) = (&spec.sdk, context.kind) {
        let problem = errors.add(&sdk.place, "these are SDKs of IoT hubs; the target is a plain broker");
        problem.found(shown(&sdk.text)).fix("remove it");
    }
    sdk::device_preset(spec.sdk.as_ref().map(|sdk| sdk.value))
}

fn reconnect(spec: ReconnectSpec) -> Reconnect {
    let back_off = match spec {
        ReconnectSpec::Never => BackOff::Never,
        ReconnectSpec::Fixed { delay } => BackOff::Fixed { delay: delay.unwrap_or(BACKOFF_BASE) },
        ReconnectSpec::Exponential { base, max, jitter } => {
            let base = base.unwrap_or(BACKOFF_BASE);
            let max = max.unwrap_or(BACKOFF_MAX).max(base);
            BackOff::Exponential { base, max, jitter: jitter.unwrap_or(Jitter::Full) }
        }
    };
    back_off.into()
}

fn id(spec: &FleetSpec, devices: u32, context: &ResolveContext<'_>, errors: &mut Errors) -> Template {
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
    let render = |index| template.render(&TemplateContext { device: "", index });
    if devices > 1 && render(0) == render(1) {
        let problem = errors.add(&place, "every device would have the same id");
        problem.found(shown(&text)).fix(match text.chars().count() {
            ..=ID_CHARS_REPEATED => format!("id = \"{}-{{index:05}}\"", text.trim_end_matches('-')),
            _ => format!("id = \"{default}\""),
        });
    }
    let longest = render(devices - 1);
    if context.kind == Some(TargetKind::IotHub) && !names::is_device_id(&longest) {
        let problem = errors.add(&place, "not a device id of an IoT hub");
        problem
            .found(shown(spec.id.as_ref().filter(|id| id.value != id.text).map_or(&longest, |id| &id.text)))
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
            problem.fix(match fleet.auth.device_list() {
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
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Vec<Subscription> {
    let mut found: Vec<Subscription> = Vec::new();
    for asked in &spec.subscribe {
        let written = &asked.filter;
        let subscription = match context.kind {
            Some(TargetKind::IotHub) => hub_subscription(asked, errors),
            Some(TargetKind::Mqtt) => filter(asked, longest, errors),
            None => None,
        };
        let Some(subscription) = subscription else { continue };
        if found.iter().any(|other| other.same_filter(&subscription)) {
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

fn hub_subscription(asked: &SubscribeSpec, errors: &mut Errors) -> Option<Subscription> {
    let written = &asked.filter;
    if let Some(qos) = &asked.qos {
        let problem = errors.add(&qos.place, "an IoT hub's subscriptions have their own QoS");
        problem.found(qos.text.clone()).fix(format!("write \"{}\" alone", written.text));
    }
    match written.value.as_str() {
        "c2d" => Some(Subscription::C2d),
        "twin" => Some(Subscription::Twin),
        "methods" => Some(Subscription::Methods),
        other => {
            let problem = errors.add(&written.place, "unknown subscription of an IoT hub");
            problem.found(shown(&written.text)).allowed("\"c2d\", \"twin\", \"methods\"");
            if let Some(near) = nearest(other, ["c2d", "twin", "methods"]) {
                problem.fix(format!("did you mean \"{near}\"?"));
            }
            None
        }
    }
}

fn filter(asked: &SubscribeSpec, longest: &str, errors: &mut Errors) -> Option<Subscription> {
    let written = &asked.filter;
    let template = parse(written, errors)?;
    let rendered = template.render(&TemplateContext { device: longest, index: 0 });
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
    let qos = asked.qos.as_ref().and_then(|qos| QoS::from_u8(qos.value)).unwrap_or(QoS::AtLeastOnce);
    Some(Subscription::Filter(template, qos))
}

pub(super) fn parse(written: &Written<String>, errors: &mut Errors) -> Option<Template> {
    match Template::parse(&written.value) {
        Ok(template) => Some(template),
        Err(error) => {
            let problem = errors.add(&written.place, told(&error, written.value == written.text));
            problem.found(shown(&written.text)).allowed(template::ALLOWED);
            None
        }
    }
}

/// What is wrong with a template. Where `${env.NAME}` was filled in, its placeholder may be a secret, and is not said.
pub(super) fn told(error: &impl Display, as_written: bool) -> String {
    if as_written {
        return error.to_string();
    }
    "a placeholder cannot be read once ${env.NAME} is filled in".to_owned()
}

/// A longer string, or one with a NUL, would corrupt the stream (MQTT 3.1.1 §1.5.3).
pub(super) fn fits(rendered: &str, what: &str, place: &Place, errors: &mut Errors) {
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
