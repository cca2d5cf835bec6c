//! Resolves `[[fleet.NAME.send]]`: due times, topic and payload of a message stream. Used by `fleets`.

use super::context::ResolveContext;
use super::mqtt_limits::{check_packet, check_qos, check_string, check_topic};
use super::payloads;
use super::quoting::quoted;
use super::templates::parse_template;
use super::timing::arrival;
use crate::iothub::message_size::message_bytes;
use crate::iothub::{limits, properties, topics};
use crate::measure::Operation;
use crate::plan::model::{SendPlan, TargetKind};
use crate::plan::payload::{Payload, Template, TemplateContext};
use crate::plan::schedule::{Arrival, Spread};
use crate::scenario::{Errors, MessageSpec, SendSpec, Timing, Written};
use crate::units::exact_bytes;

/// Resolves one `[[fleet.NAME.send]]`.
pub(super) fn resolve(
    spec: &SendSpec,
    devices: u32,
    longest: &str,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<SendPlan> {
    let hub = context.kind == Some(TargetKind::IotHub);
    let payload = payload(spec, hub, context, errors);
    let (topic, bag) =
        if hub { hub_topic(spec, errors) } else { (broker_topic(spec, context, errors), String::new()) };
    if let (Some(payload), true) = (&payload, hub) {
        let bytes = message_bytes(payload.bytes_max(longest.len()), &bag);
        if bytes > limits::TELEMETRY_BYTES_MAX {
            let place = spec.payload.as_ref().map_or(&spec.place, |payload| &payload.place);
            let problem = errors.add(place, "too large for an IoT hub");
            problem.found(format!("up to {} with properties", exact_bytes(bytes)));
            problem.allowed(exact_bytes(limits::TELEMETRY_BYTES_MAX));
        }
    }
    if let Some(topic) = &topic {
        let rendered = topic.render(&TemplateContext { device: longest, index: devices - 1 });
        match &spec.topic {
            Some(written) if !hub => check_topic(&rendered, written, errors),
            // With an IoT hub, the user does not choose the topic, so the error is reported for the whole send.
            _ => check_string(&rendered, "the topic", &spec.place, errors),
        }
        if let (Some(payload), Some(written)) = (&payload, &spec.payload) {
            check_packet(payload.bytes_max(longest.len()), rendered.len(), &written.place, errors);
        }
    }
    let qos = spec.qos.as_ref().map_or(1, |qos| check_qos(qos, context.kind, errors));
    let arrival = match &spec.replay {
        Some(replay) => {
            replay.file.as_ref().map(|_| Arrival { spread: Spread::Replay, rate_hz: 0.0, burst: 1 })
        }
        None => {
            let timing = Timing { spacing: spec.spacing, arrival: spec.arrival, burst: spec.burst };
            arrival(&timing, &spec.place, devices, errors)
        }
    };
    Some(SendPlan {
        arrival: arrival?,
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

/// Returns the payload. That of a replay is empty: the rows of a recording are read when the schedules are known.
fn payload(spec: &SendSpec, hub: bool, context: &ResolveContext<'_>, errors: &mut Errors) -> Option<Payload> {
    if spec.replay.is_some() {
        return Some(Payload::empty());
    }
    let written = spec.payload.as_ref()?;
    let parsed = match &written.value {
        MessageSpec::FileLines { path, shuffled } => {
            return payloads::read_lines(path, context, errors).map(|lines| Payload::lines(lines, *shuffled));
        }
        MessageSpec::Payload(value) => {
            Written { value: value.clone(), text: written.text.clone(), place: written.place.clone() }
        }
    };
    if hub { payloads::payload_without_stamp(&parsed, errors) } else { payloads::payload(&parsed, errors) }
}

/// Returns the telemetry topic, including the property bag, and the encoded bag.
fn hub_topic(spec: &SendSpec, errors: &mut Errors) -> (Option<Template>, String) {
    if let Some(topic) = &spec.topic {
        let problem = errors.add(&topic.place, "the topic of telemetry to an IoT hub is fixed");
        problem.found(quoted(&topic.text)).fix("remove it, or use kind = \"mqtt\" for a plain broker");
    }
    let mut bag = Vec::new();
    for (name, value) in &spec.properties {
        if value.value.contains("${") {
            let problem = errors.add(&value.place, "not supported yet: templates in properties");
            problem.found(quoted(&value.text)).fix("write fixed text; the payload may contain templates");
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

fn broker_topic(spec: &SendSpec, context: &ResolveContext<'_>, errors: &mut Errors) -> Option<Template> {
    if context.kind.is_some() {
        if let Some((_, value)) = spec.properties.first() {
            let problem =
                errors.add(&value.place, "MQTT 3.1.1 has no properties; the target is a plain broker");
            problem.fix("remove them, or put them into the payload");
        }
        // The rows of a recording may have topics.
        if spec.topic.is_none() && spec.replay.is_none() {
            let problem = errors.add(&spec.place.below("topic"), "missing: a plain broker needs a topic");
            problem.fix("add topic = \"bench/${device}\"");
        }
    }
    match &spec.topic {
        Some(topic) => parse_template(topic, errors),
        None => spec.replay.as_ref().and_then(|_| Template::parse("").ok()),
    }
}
