//! Resolves fleets. Used by `resolve`. Each part of a fleet is resolved in a separate file in this folder.

use super::context::ResolveContext;
use super::quoting::quoted;
use super::{authentication, device_ids, sends, subscriptions, twin_methods, will};
use crate::plan::model::{FleetPlan, Offline, TargetKind};
use crate::plan::payload::TemplateContext;
use crate::plan::sdk::{self, DevicePreset};
use crate::policy::backoff::{BackOff, Jitter, Reconnect};
use crate::scenario::{BackOffSpec, Errors, FleetSpec, GiveUpSpec, ReconnectSpec};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const IN_FLIGHT: u16 = 16;

/// Defaults for `reconnect`.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

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
        device_ids::check_unique(specs, &fleets, errors);
    }
    fleets
}

fn fleet(spec: &FleetSpec, first: u64, context: &ResolveContext<'_>, errors: &mut Errors) -> FleetPlan {
    let devices = spec.devices.unwrap_or(1);
    let id = device_ids::resolve(spec, devices, context, errors);
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
    let twin_and_methods = twin_methods::resolve(spec, devices, &longest, (&preset, context), errors);
    sends.extend(twin_and_methods.requests);
    let subscribe = subscriptions::resolve(spec, &longest, context, errors);
    if context.kind == Some(TargetKind::IotHub) {
        twin_methods::check_subscribed(spec, &subscribe, errors);
    }
    if spec.unsubscribe && spec.subscribe.is_empty() {
        let problem = errors.add(&spec.place.below("unsubscribe"), "the fleet has no subscriptions");
        problem.fix("remove unsubscribe, or add a subscription");
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
        twin: twin_and_methods.twin,
        methods: twin_and_methods.methods,
        faults: Vec::new(),
        own_schedule: None,
    }
}

fn preset(spec: &FleetSpec, context: &ResolveContext<'_>, errors: &mut Errors) -> DevicePreset {
    if let (Some(sdk), Some(TargetKind::Mqtt)) = (&spec.sdk, context.kind) {
        let problem = errors.add(&sdk.place, "SDK presets are for IoT hubs; the target is a plain broker");
        problem.found(quoted(&sdk.text)).fix("remove it");
    }
    sdk::device_preset(spec.sdk.as_ref().map(|sdk| sdk.value))
}

fn reconnect(spec: ReconnectSpec) -> Reconnect {
    let ReconnectSpec::Retry { back_off, jitter, start_delay, give_up } = spec else {
        return BackOff::Never.into();
    };
    let back_off = match (back_off, jitter) {
        (BackOffSpec::Fixed { delay }, None | Some(Jitter::None)) => {
            BackOff::Fixed { delay: delay.unwrap_or(BACKOFF_BASE) }
        }
        // An exponential back-off that cannot grow.
        (BackOffSpec::Fixed { delay }, Some(jitter)) => {
            let delay = delay.unwrap_or(BACKOFF_BASE);
            BackOff::Exponential { base: delay, max: delay, jitter }
        }
        (BackOffSpec::Exponential { base, max }, jitter) => {
            let base = base.unwrap_or(BACKOFF_BASE);
            let max = max.unwrap_or(BACKOFF_MAX).max(base);
            BackOff::Exponential { base, max, jitter: jitter.unwrap_or(Jitter::Full) }
        }
    };
    let (gives_up_after, gives_up_attempts) = match give_up {
        None => (None, None),
        Some(GiveUpSpec::After(limit)) => (Some(limit), None),
        Some(GiveUpSpec::Attempts(limit)) => (None, Some(limit)),
    };
    Reconnect { first: start_delay, gives_up_after, gives_up_attempts, ..back_off.into() }
}
