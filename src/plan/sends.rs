//! The messages of a plan's fleets, checked against what MQTT and an IoT hub allow: when they are due, where they go and what
//! they contain. A part of `fleets`.

use super::arrival::{Arrival, RoundRobin, Spread};
use super::fleets::{ResolveContext, fits, parse, shown, told};
use super::lines::Lines;
use super::payload::{self, Payload};
use super::template::{Template, TemplateContext};
use super::types::{SendPlan, TargetKind};
use crate::iothub::message_size::message_bytes;
use crate::iothub::{limits, properties, topics};
use crate::measure::Operation;
use crate::scenario::{
    ArrivalKind, Errors, MessageSpec, PayloadSpec, Place, SendSpec, Spacing, Timing, Written, located,
    nearest,
};
use crate::text_file;
use crate::wire::{REMAINING_BYTES_MAX, STRING_BYTES_MAX};
use std::path::PathBuf;
use std::time::Duration;

/// For what a closed loop comes to at most: no ack is thought to come sooner.
const CLOSED_ACK_MIN: Duration = Duration::from_millis(1);

/// Resolves one `[[fleet.NAME.send]]`.
pub(super) fn resolve(
    spec: &SendSpec,
    devices: u32,
    longest: &str,
    context: &ResolveContext,
    errors: &mut Errors,
) -> Option<SendPlan> {
    let hub = context.kind == Some(TargetKind::IotHub);
    let payload = spec.payload.as_ref().and_then(|written| {
        let made = match &written.value {
            MessageSpec::Lines { path, shuffled } => {
                return lines(path, context, errors).map(|lines| Payload::lines(lines, *shuffled));
            }
            MessageSpec::Made(value) => {
                Written { value: value.clone(), text: written.text.clone(), place: written.place.clone() }
            }
        };
        if hub { payload(&made, errors) } else { any_payload(&made, errors) }
    });
    let (topic, bag) =
        if hub { hub_topic(spec, errors) } else { (broker_topic(spec, context, errors), String::new()) };
    if let (Some(payload), true) = (&payload, hub) {
        let bytes = message_bytes(payload.bytes_max(longest.len()), &bag);
        if bytes > limits::TELEMETRY_BYTES_MAX {
            let place = spec.payload.as_ref().map_or(&spec.place, |payload| &payload.place);
            let problem = errors.add(place, "too large for an IoT hub");
            problem.found(format!("up to {bytes} bytes with properties"));
            problem.allowed(format!("{} bytes", limits::TELEMETRY_BYTES_MAX));
        }
    }
    if let Some(topic) = &topic {
        let rendered = topic.render(&TemplateContext { device: longest, index: devices - 1 });
        match &spec.topic {
            Some(written) if !hub => topic_name(&rendered, written, errors),
            // The topic of an IoT hub is not the user's doing.
            _ => fits(&rendered, "a topic", &spec.place, errors),
        }
        if let (Some(payload), Some(written)) = (&payload, &spec.payload) {
            packet_fits(payload.bytes_max(longest.len()), rendered.len(), &written.place, errors);
        }
    }
    let qos = spec.qos.as_ref().map_or(1, |qos| self::qos(qos, context.kind, errors));
    let timing = Timing { spacing: spec.spacing, arrival: spec.arrival, burst: spec.burst };
    Some(SendPlan {
        arrival: arrival(&timing, &spec.place, devices, errors)?,
        operation: match (hub, qos) {
            (true, 0) => Operation::TelemetryQos0,
            (true, _) => Operation::Telemetry,
            (false, 0) => Operation::PublishQos0,
            (false, _) => Operation::Publish,
        },
        topic: topic?,
        qos,
        retain: spec.retain,
        payload: payload?,
        properties_bytes: message_bytes(0, &bag),
    })
}

pub(super) fn arrival(timing: &Timing, place: &Place, devices: u32, errors: &mut Errors) -> Option<Arrival> {
    let poisson = timing.arrival == Some(ArrivalKind::Poisson);
    let (rate_hz, regular) = match timing.spacing? {
        Spacing::Every(every) => (1.0 / every.as_secs_f64(), Spread::Regular),
        Spacing::Rate(rate) => {
            (rate.as_per_second() / f64::from(devices), Spread::Stratified(RoundRobin::new(devices)))
        }
        Spacing::Think(think) => {
            let think_ns = u64::try_from(think.as_nanos()).unwrap_or(u64::MAX);
            let rate_hz = 1.0 / (think + CLOSED_ACK_MIN).as_secs_f64();
            return Some(Arrival { spread: Spread::Closed { think_ns }, rate_hz, burst: 1 });
        }
    };
    if rate_hz <= 0.0 {
        errors.add(&place.below("rate"), "nothing would be sent").allowed("more than 0/s").fix("remove it");
        return None;
    }
    let burst = timing.burst.unwrap_or(1);
    // `every` is between bursts, `rate` counts messages.
    let rate_hz =
        if matches!(timing.spacing, Some(Spacing::Every(_))) { rate_hz * f64::from(burst) } else { rate_hz };
    Some(Arrival { spread: if poisson { Spread::Poisson } else { regular }, rate_hz, burst })
}

/// A payload that nobody of this run receives.
pub(super) fn payload(written: &Written<PayloadSpec>, errors: &mut Errors) -> Option<Payload> {
    let payload = any_payload(written, errors)?;
    if payload.has_stamp() {
        let problem = errors.add(&written.place, "${stamp} is for what the devices of a plain broker send");
        problem.fix("remove it; ${seq} and ${now} tell messages apart");
    }
    Some(payload)
}

fn any_payload(written: &Written<PayloadSpec>, errors: &mut Errors) -> Option<Payload> {
    match &written.value {
        PayloadSpec::Size(bytes) => Some(Payload::filler(usize::try_from(*bytes).unwrap_or(usize::MAX))),
        PayloadSpec::Template(text) => match Payload::template(text) {
            Ok(payload) => Some(payload),
            Err(error) => {
                let as_written = *text == written.text;
                let problem = errors.add(&written.place, told(&error, as_written)).allowed(payload::ALLOWED);
                let name = error.placeholder().filter(|_| as_written).unwrap_or_default();
                if let Some(near) = nearest(name, payload::PLACEHOLDERS).filter(|near| *near != name) {
                    problem.fix(format!("did you mean ${{{near}}}?"));
                }
                None
            }
        },
    }
}

/// The lines of a file with messages.
fn lines(path: &Written<PathBuf>, context: &ResolveContext, errors: &mut Errors) -> Option<Lines> {
    let file = located(context.scenario, &path.place, &path.value);
    let bytes = (context.files)(&file);
    let text = bytes.as_deref().map_err(ToString::to_string);
    match text.and_then(|text| text_file::skip_bom(text).map_err(|error| error.to_string())) {
        Ok(text) => {
            let lines = Lines::of(text);
            if lines.is_none() {
                let what = format!("{} has no line with something on it", file.display());
                errors.add(&path.place, what).allowed("a message on each line");
            }
            lines
        }
        Err(error) => {
            let problem = errors.add(&path.place, format!("cannot read {}: {error}", file.display()));
            problem
                .fix("a path in the scenario is relative to its folder; check the name and who may read it");
            None
        }
    }
}

pub(super) fn qos(qos: &Written<u8>, kind: Option<TargetKind>, errors: &mut Errors) -> u8 {
    if qos.value == 2 && kind == Some(TargetKind::IotHub) {
        let problem = errors.add(&qos.place, "an IoT hub closes the connection at QoS 2");
        problem.found("2").allowed("0 or 1").fix("qos = 1");
    }
    qos.value
}

/// The topic of telemetry with its bag, and the encoded bag.
fn hub_topic(spec: &SendSpec, errors: &mut Errors) -> (Option<Template>, String) {
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
    let bag = properties::encode(&bag);
    let topic = format!("{}{bag}", topics::telemetry("${device}"));
    (Template::parse(&topic).ok(), bag)
}

fn broker_topic(spec: &SendSpec, context: &ResolveContext, errors: &mut Errors) -> Option<Template> {
    if context.kind.is_some() {
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

/// What a PUBLISH may name (MQTT 3.1.1 §3.3.2.1).
pub(super) fn topic_name(rendered: &str, written: &Written<String>, errors: &mut Errors) {
    fits(rendered, "a topic", &written.place, errors);
    if rendered.contains(['+', '#']) {
        errors
            .add(&written.place, "wildcards are for subscriptions")
            .found(shown(&written.text))
            .allowed("a topic without + and #");
    }
}

/// A PUBLISH with a packet id, whose remaining length has four bytes of seven bits (MQTT 3.1.1 §2.2.3).
fn packet_fits(payload_bytes: usize, topic_bytes: usize, place: &Place, errors: &mut Errors) {
    let most = REMAINING_BYTES_MAX - 2 - 2 - topic_bytes.min(STRING_BYTES_MAX);
    if payload_bytes > most {
        let problem = errors.add(place, "too large for MQTT");
        problem.found(format!("up to {payload_bytes} bytes"));
        problem.allowed(format!("{most} bytes, with a topic of {topic_bytes}"));
    }
}
