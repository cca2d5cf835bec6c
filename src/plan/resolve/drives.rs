//! Resolves `[[drive]]`: the service client's calls, checked against the fleets and the limits of an IoT hub. Used by
//! `resolve`.

use super::context::ResolveContext;
use super::payloads;
use super::quoting::quoted;
use crate::iothub::{limits, names};
use crate::plan::model::{CallPlan, DrivePlan, FleetPlan, TargetKind};
use crate::plan::payload::Payload;
use crate::plan::schedule::{Arrival, RoundRobin, Spread};
use crate::scenario::{ArrivalKind, CallKind, DriveSpec, Errors, PayloadSpec, Spacing, Written, nearest};
use crate::units::exact_bytes;
use serde_json::Value;
use std::time::Duration;

/// Added to the timeout of a call, for delays in the hub, the pipe to the hub and this machine (our choice).
const MARGIN: Duration = Duration::from_secs(30);

/// Resolves all `[[drive]]` tables.
pub(super) fn resolve(
    specs: &[DriveSpec],
    fleets: &[FleetPlan],
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Vec<DrivePlan> {
    let Some(first) = specs.first() else { return Vec::new() };
    match context.kind {
        Some(TargetKind::Mqtt) => {
            let problem = errors.add(&first.place, "calls need an IoT hub; the target is a plain broker");
            problem.fix("remove the [[drive]], or let a fleet publish to the devices' topics");
            return Vec::new();
        }
        Some(TargetKind::IotHub) if !context.is_built_in_hub => {
            let what = "not supported yet: service client calls to a hub other than the built-in one";
            errors
                .add(&first.place, what)
                .fix("remove the [[drive]], or remove [target] to use the built-in hub");
            return Vec::new();
        }
        Some(TargetKind::IotHub) | None => {}
    }
    specs.iter().filter_map(|spec| drive(spec, fleets, errors)).collect()
}

fn drive(spec: &DriveSpec, fleets: &[FleetPlan], errors: &mut Errors) -> Option<DrivePlan> {
    let call = call(spec, errors);
    let payload = payload(spec, call.as_ref(), errors);
    let name = spec.fleet.as_ref()?;
    let Some((fleet, number)) = fleets.iter().zip(0_u16..).find(|(fleet, _)| fleet.name == name.value) else {
        let names = || fleets.iter().map(|fleet| fleet.name.as_str());
        let problem = errors.add(&name.place, "unknown fleet").found(quoted(&name.text));
        problem.allowed(names().collect::<Vec<_>>().join(", "));
        if let Some(near) = nearest(&name.value, names()) {
            problem.fix(format!("did you mean {near}?"));
        }
        return None;
    };
    let rate_hz = match spec.spacing? {
        Spacing::Every(every) => f64::from(fleet.devices) / every.as_secs_f64(),
        Spacing::Rate(rate) => rate.as_per_second(),
        // Cannot happen: parsing rejects a think time for calls.
        Spacing::Think(_) => return None,
    };
    if rate_hz <= 0.0 {
        errors.add(&spec.place.below("rate"), "a rate of 0 makes no calls").allowed("more than 0/s");
        return None;
    }
    let spread = if spec.arrival == Some(ArrivalKind::Poisson) { Spread::Poisson } else { Spread::Regular };
    let call = call?;
    let timeout = match &call {
        CallPlan::Method { response_timeout, connect_timeout, .. } => *response_timeout + *connect_timeout,
        CallPlan::Desired | CallPlan::C2d { .. } => Duration::ZERO,
    };
    Some(DrivePlan {
        fleet: number,
        call,
        arrival: Arrival { spread, rate_hz, burst: 1 },
        order: RoundRobin::new(fleet.devices),
        payload: payload?,
        timeout: timeout + MARGIN,
    })
}

fn call(spec: &DriveSpec, errors: &mut Errors) -> Option<CallPlan> {
    Some(match spec.call? {
        CallKind::Method => CallPlan::Method {
            name: spec.name.as_ref()?.value.clone(),
            response_timeout: spec.response_timeout.unwrap_or(limits::METHOD_RESPONSE_TIMEOUT),
            connect_timeout: spec.connect_timeout.unwrap_or(Duration::ZERO),
        },
        CallKind::Desired => CallPlan::Desired,
        CallKind::C2d => {
            if let Some((_, empty)) = spec.properties.iter().find(|(name, _)| name.is_empty()) {
                errors.add(&empty.place, "a property needs a name");
            }
            let properties =
                spec.properties.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect();
            CallPlan::C2d { properties, ttl: spec.ttl }
        }
    })
}

/// Resolves the payload of a call and checks its size. Methods and desired properties must be JSON.
fn payload(spec: &DriveSpec, call: Option<&CallPlan>, errors: &mut Errors) -> Option<Payload> {
    let kind = spec.call?;
    let Some(written) = &spec.payload else {
        // A method call without a payload has an empty body.
        if kind == CallKind::Method {
            return Some(Payload::empty());
        }
        let problem = errors.add(&spec.place.below("payload"), "missing");
        problem.fix(if kind == CallKind::C2d {
            "add payload = \"hello\""
        } else {
            "add payload = '{\"a\":1}'"
        });
        return None;
    };
    let payload = payloads::payload_without_stamp(written, errors)?;
    let limit = match kind {
        CallKind::Method => limits::METHOD_BYTES_MAX,
        // A hub has special rules for the size of these, and reports an error if they are too large.
        CallKind::Desired => usize::MAX,
        CallKind::C2d => limits::C2D_BYTES_MAX,
    };
    let properties_bytes = call.map_or(0, CallPlan::properties_bytes_max);
    let bytes = payload.bytes_max(names::DEVICE_ID_CHARS_MAX) + properties_bytes;
    if bytes > limit {
        let with = if kind == CallKind::C2d { " with properties" } else { "" };
        let problem = errors.add(&written.place, "too large for an IoT hub");
        problem.found(format!("up to {}{with}", exact_bytes(bytes))).allowed(exact_bytes(limit));
    }
    if kind != CallKind::C2d {
        check_json(&payload, written, kind == CallKind::Desired, errors);
    }
    Some(payload)
}

/// Checks that a payload is JSON. Otherwise every call would fail.
fn check_json(payload: &Payload, written: &Written<PayloadSpec>, object: bool, errors: &mut Errors) {
    let what = match payloads::first_message(payload, "device") {
        Ok(Value::Object(_)) => return,
        Ok(_) if !object => return,
        Ok(_) => "not a JSON object".to_owned(),
        Err(why) => format!("not JSON after its placeholders are replaced: {why}"),
    };
    errors.add(&written.place, what).found(quoted(&written.text)).fix("payload = '{\"interval\":${index}}'");
}

#[cfg(test)]
mod tests {
    use crate::plan::{CallPlan, Payload, Plan, test_support};
    use std::time::Duration;

    fn load(drive: &str, more: &str) -> Result<Plan, String> {
        let text = format!(
            "{more}\n[fleet.meter]\ndevices = 10\n[[phase]]\nname = \"p\"\nduration = \"1m\"\n[[drive]]\n{drive}"
        );
        test_support::load(&text)
    }

    #[test]
    fn calls_have_azure_defaults() {
        let plan =
            load("call = \"method\"\nfleet = \"meter\"\nname = \"reboot\"\nevery = \"5s\"", "").unwrap();
        let drive = &plan.drives[0];
        let (response_timeout, connect_timeout) = (Duration::from_secs(30), Duration::ZERO);
        let name = "reboot".to_owned();
        assert_eq!(drive.call, CallPlan::Method { name, response_timeout, connect_timeout });
        assert!((drive.arrival.rate_hz - 2.0).abs() < 1e-9, "ten devices, each called every 5 s");
        assert_eq!(drive.timeout, Duration::from_secs(60));
        assert_eq!(drive.payload, Payload::empty());
    }

    /// The property, the two stamps and the body count toward the size limit. The destination does not.
    #[test]
    fn c2d_messages_count_their_properties() {
        let counted = (1 + 2) + (13 + 20) + (12 + 20);
        let load = |bytes: usize| {
            let properties = "properties = { a = \"b&\", \"$.ct\" = \"\" }";
            load(
                &format!(
                    "call = \"c2d\"\nfleet = \"meter\"\nrate = \"1/s\"\npayload = {{ size = {bytes} }}\n{properties}"
                ),
                "",
            )
        };
        assert!(load(65_536 - counted).is_ok());
        let error = load(65_537 - counted).unwrap_err();
        assert!(error.contains("up to 65,537 bytes with properties"), "{error}");
    }

    #[test]
    fn invalid_calls_are_rejected() {
        let method = "call = \"method\"\nfleet = \"meter\"\nname = \"m\"\nrate = \"1/s\"\n";
        let desired = "call = \"desired\"\nfleet = \"meter\"\nrate = \"1/s\"\n";
        let hub = "[target]\nkind = \"iot-hub\"\nhost = \"h.example\"";
        let broker = "[target]\nkind = \"mqtt\"\nhost = \"h.example\"";
        for (drive, more, expected) in [
            (method.replace("meter", "metre"), "", "did you mean meter?"),
            (method.replace("1/s", "0/s"), "", "a rate of 0 makes no calls"),
            (
                format!("{method}payload = 'x'"),
                "",
                "not JSON after its placeholders are replaced: expected value at line 1 column 1",
            ),
            (format!("{method}response_timeout = \"1s\""), "", "whole seconds from 5s to 300s"),
            (format!("{method}payload = {{ size = 200000 }}"), "", "131,072 bytes"),
            (method.replace("name = \"m\"\n", ""), "", "name = \"reboot\""),
            (desired.to_owned(), "", "payload: missing"),
            (format!("{desired}payload = '[1]'"), "", "not a JSON object"),
            (format!("{desired}name = \"x\"\npayload = '{{}}'"), "", "unknown key"),
            (format!("{desired}call_rate = 1\npayload = '{{}}'"), "", "unknown key"),
            (method.to_owned(), hub, "not supported yet: service client calls"),
            (method.to_owned(), broker, "calls need an IoT hub; the target is a plain broker"),
        ] {
            let error = load(&drive, more).unwrap_err();
            assert!(error.contains(expected), "{drive}: {error}");
        }
    }
}
