//! Resolves a fleet's `will`. Used by `fleets`.

use super::context::ResolveContext;
use super::mqtt_limits::{check_qos, check_topic};
use super::payloads;
use super::quoting::quoted;
use super::templates::parse_template;
use crate::iothub::{limits, names, sas, topics};
use crate::plan::credentials::{Auth, Keys};
use crate::plan::model::{TargetKind, WillPlan};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, WillSpec};
use crate::units::exact_bytes;
use crate::wire::{QoS, STRING_BYTES_MAX};

/// Resolves `will`.
pub(super) fn resolve(
    spec: &WillSpec,
    devices: u32,
    longest: &str,
    (auth, context): (&Auth, &ResolveContext<'_>),
    errors: &mut Errors,
) -> Option<WillPlan> {
    let topic = topic(spec, context, errors);
    if let (Some(topic), Some(written)) = (&topic, &spec.topic) {
        let rendered = topic.render(&TemplateContext { device: longest, index: devices - 1 });
        check_topic(&rendered, written, errors);
    }
    let written = spec.payload.as_ref()?;
    let payload = payloads::payload_without_stamp(written, errors)?;
    let bytes = payload.bytes_max(longest.len());
    if bytes > STRING_BYTES_MAX {
        // MQTT 3.1.1 §3.1.3.3.
        let problem = errors.add(&written.place, "the will is too long for MQTT");
        problem.found(format!("up to {}", exact_bytes(bytes))).allowed(exact_bytes(STRING_BYTES_MAX));
    } else if context.is_built_in_hub
        && let Some(most) = built_in_hub_bytes_max(longest, auth)
        && bytes > most
    {
        let problem = errors.add(&written.place, "the will is too long for the built-in hub");
        problem.found(format!("up to {}", exact_bytes(bytes))).allowed(format!(
            "{}: a CONNECT packet may be up to {} long, including the will, user name and token",
            exact_bytes(most),
            exact_bytes(limits::CONNECT_BYTES_MAX)
        ));
        problem.fix("make the payload smaller, or use another target");
    }
    let qos = spec.qos.as_ref().map_or(1, |qos| check_qos(qos, context.kind, errors));
    let qos = QoS::from_u8(qos).unwrap_or(QoS::AtLeastOnce);
    Some(WillPlan { topic: topic?, payload, qos, retain: spec.retain })
}

/// Returns the maximum size of a payload that fits into a CONNECT to the built-in hub with all other fields (MQTT 3.1.1 §3.1).
fn built_in_hub_bytes_max(longest: &str, auth: &Auth) -> Option<usize> {
    // The host name that a run uses to connect to the built-in hub.
    const HOST: &str = "localhost";
    const FIXED_HEADER_BYTES: usize = 5;
    const VARIABLE_HEADER_BYTES: usize = 10;
    const LENGTH_BYTES: usize = 2;
    let Auth::Sas { keys, api_version, .. } = auth else { return None };
    let policy = match keys {
        Keys::Policy { policy, .. } => Some(policy.as_str()),
        Keys::Group(_) | Keys::PerDevice(_) => None,
    };
    let fields = [
        longest.len(),
        topics::telemetry(longest).len(),
        0,
        names::user_name_at(HOST, longest, api_version).len(),
        sas::token_bytes_max(&names::resource(HOST, longest), policy),
    ];
    let fields: usize = fields.iter().map(|bytes| LENGTH_BYTES + bytes).sum();
    Some(limits::CONNECT_BYTES_MAX.saturating_sub(FIXED_HEADER_BYTES + VARIABLE_HEADER_BYTES + fields))
}

/// Resolves the topic. An IoT hub treats a will as telemetry ("Communicate with an IoT hub using the MQTT protocol").
fn topic(spec: &WillSpec, context: &ResolveContext<'_>, errors: &mut Errors) -> Option<Template> {
    match (context.kind?, &spec.topic) {
        (TargetKind::IotHub, None) => Template::parse(&topics::telemetry("${device}")).ok(),
        (TargetKind::IotHub, Some(topic)) => {
            let problem = errors
                .add(&topic.place, "the topic of a will is fixed: an IoT hub treats wills as telemetry");
            problem.found(quoted(&topic.text)).fix("remove it");
            None
        }
        (TargetKind::Mqtt, Some(topic)) => parse_template(topic, errors),
        (TargetKind::Mqtt, None) => {
            let problem = errors.add(&spec.place.below("topic"), "missing: a plain broker needs a topic");
            problem.fix("add topic = \"gone/${device}\"");
            None
        }
    }
}
