//! Resolves the twin requests and direct methods of a fleet. Used by `fleets`.

use super::context::ResolveContext;
use super::quoting::quoted;
use super::{payloads, timing};
use crate::iothub::{limits, topics};
use crate::measure::Operation;
use crate::plan::model::{AnswerPlan, MethodPlan, SendPlan, Subscription, TargetKind, TwinPlan};
use crate::plan::payload::{Payload, Template};
use crate::plan::schedule::Arrival;
use crate::plan::sdk::DevicePreset;
use crate::scenario::{Errors, FleetSpec, MethodSpec, PayloadSpec, Place, Written};
use crate::units::exact_bytes;
use crate::wire::QoS;
use serde_json::Value;
use std::time::Duration;

/// Timeout for a twin request in Azure's .NET and C SDKs.
const TWIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Default status in the answer to a method call.
const STATUS: u32 = 200;

/// Twin requests and direct methods of a fleet.
pub(super) struct TwinAndMethods {
    pub(super) twin: TwinPlan,
    /// Scheduled twin requests.
    pub(super) requests: Vec<SendPlan>,
    pub(super) methods: Vec<MethodPlan>,
}

/// Resolves `twin`, `report` and `methods` of a fleet.
pub(super) fn resolve(
    spec: &FleetSpec,
    devices: u32,
    longest: &str,
    (preset, context): (&DevicePreset, &ResolveContext<'_>),
    errors: &mut Errors,
) -> TwinAndMethods {
    if context.kind == Some(TargetKind::Mqtt) {
        reject_for_brokers(spec, errors);
    }
    let get = spec.twin.as_ref();
    let qos = get.and_then(|twin| twin.qos).unwrap_or(preset.twin_qos);
    let mut requests = Vec::new();
    for report in &spec.reports {
        let arrival = timing::arrival(&report.timing, &report.place, devices, errors);
        let payload =
            report.payload.as_ref().and_then(|written| reported_properties(written, longest, errors));
        let (Some(arrival), Some(payload)) = (arrival, payload) else { continue };
        requests.push(request(Operation::TwinReport, arrival, qos, payload));
    }
    if let Some((twin, timing)) = get.and_then(|twin| Some((twin, twin.timing?)))
        && let Some(arrival) = timing::arrival(&timing, &twin.place, devices, errors)
    {
        requests.push(request(Operation::TwinGet, arrival, qos, Payload::empty()));
    }
    let twin = TwinPlan {
        get_on_connect: get.is_some_and(|twin| twin.get_on_connect),
        qos,
        timeout: get.and_then(|twin| twin.timeout).unwrap_or(TWIN_TIMEOUT),
    };
    let methods = spec.methods.iter().filter_map(|method| self::method(method, longest, errors));
    TwinAndMethods { twin, requests, methods: methods.collect() }
}

fn request(operation: Operation, arrival: Arrival, qos: u8, payload: Payload) -> SendPlan {
    let topic = if operation == Operation::TwinGet { topics::TWIN_GET } else { topics::TWIN_REPORT };
    SendPlan {
        arrival,
        operation,
        topic: Template::literal(topic),
        qos,
        retain: false,
        payload,
        properties_bytes: 0,
    }
}

fn reject_for_brokers(spec: &FleetSpec, errors: &mut Errors) {
    let twin = spec.twin.iter().map(|twin| (&twin.place, "twins"));
    let reports = spec.reports.iter().map(|report| (&report.place, "twins"));
    let methods = spec.methods.iter().map(|method| (&method.place, "direct methods"));
    for (place, what) in twin.chain(reports).chain(methods) {
        errors
            .add(place, format!("a plain broker has no {what}"))
            .fix("remove it, or use kind = \"iot-hub\"");
    }
}

/// Checks that the fleet subscribes to the answers and calls that it needs.
pub(super) fn check_subscribed(spec: &FleetSpec, subscriptions: &[Subscription], errors: &mut Errors) {
    let twin = spec.twin.as_ref().map(|twin| &twin.place);
    let twin = twin.or_else(|| spec.reports.first().map(|report| &report.place));
    let methods = spec.methods.first().map(|method| &method.place);
    for (place, needed, name, what) in [
        (twin, Subscription::Twin, "twin", "answers to twin requests"),
        (methods, Subscription::Methods, "methods", "method calls"),
    ] {
        let Some(place) = place.filter(|_| !subscriptions.contains(&needed)) else { continue };
        errors
            .add(place, format!("a hub sends {what} only to devices that subscribe to them"))
            .fix(format!("add \"{name}\" to fleet.{}.subscribe", spec.name));
    }
}

/// Resolves a change to reported properties: a JSON object.
fn reported_properties(
    written: &Written<PayloadSpec>,
    longest: &str,
    errors: &mut Errors,
) -> Option<Payload> {
    let mut payload = payloads::payload_without_stamp(written, errors)?;
    let why = match payloads::first_message(&payload, longest) {
        Ok(Value::Object(_)) => {
            payload.require_json(true);
            return Some(payload);
        }
        Ok(_) => String::new(),
        Err(why) => format!(", and the rendered payload is not JSON: {why}"),
    };
    let problem = errors.add(&written.place, format!("reported properties must be a JSON object{why}"));
    problem.found(quoted(&written.text)).allowed("an object such as '{\"uptime\":${uptime}}'");
    None
}

fn method(spec: &MethodSpec, longest: &str, errors: &mut Errors) -> Option<MethodPlan> {
    if spec.name.is_empty() || spec.name.contains(['/', '+', '#', '\0']) {
        let problem = errors.add(&spec.place, "a method's name is part of a topic");
        problem.found(quoted(&spec.name)).allowed("a name without /, + or #");
    }
    let payload = match &spec.payload {
        Some(written) => answer_payload(written, longest, errors)?,
        None => Payload::empty(),
    };
    let answer = AnswerPlan {
        status: spec.status.unwrap_or(STATUS),
        payload,
        qos: spec.qos.and_then(QoS::from_u8).unwrap_or(QoS::AtMostOnce),
    };
    Some(MethodPlan {
        name: spec.name.clone(),
        answer: spec.answer.then_some(answer),
        after: spec.after.unwrap_or_default(),
        then_reconnect: spec.then_reconnect,
    })
}

fn answer_payload(written: &Written<PayloadSpec>, longest: &str, errors: &mut Errors) -> Option<Payload> {
    let mut payload = payloads::payload_without_stamp(written, errors)?;
    let (bytes, place): (usize, &Place) = (payload.bytes_max(longest.len()), &written.place);
    if bytes > limits::METHOD_BYTES_MAX {
        let problem = errors.add(place, "too large for the answer to a direct method");
        problem.found(format!("up to {}", exact_bytes(bytes))).allowed(exact_bytes(limits::METHOD_BYTES_MAX));
    }
    if let Err(why) = payloads::first_message(&payload, longest) {
        let what = "the answer to a direct method must be JSON";
        let problem = errors.add(place, format!("{what}: {why}"));
        problem.found(quoted(&written.text)).allowed("JSON such as '{\"ok\":true}', or no payload");
        return None;
    }
    payload.require_json(false);
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, test_support};

    fn plan(fleet: &str) -> Result<Plan, String> {
        let text = format!("[fleet.a]\ndevices = 2\n{fleet}\n[[phase]]\nname = \"p\"\nduration = \"10s\"\n");
        test_support::load(&text)
    }

    #[test]
    fn twin_requests_are_streams_after_the_messages() {
        let plan = plan(
            "subscribe = [\"twin\"]\ntwin = { get = \"on-connect\", every = \"10s\", qos = 1 }\n\
             [[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[fleet.a.report]]\nrate = \"4/s\"\narrival = \"poisson\"\npayload = '{\"t\":${uptime}}'\n",
        )
        .unwrap();
        let fleet = &plan.fleets[0];
        let streams: Vec<_> =
            fleet.sends.iter().map(|send| (send.operation, send.qos, send.arrival.rate_hz)).collect();
        assert_eq!(
            streams,
            [(Operation::Telemetry, 1, 1.0), (Operation::TwinReport, 1, 2.0), (Operation::TwinGet, 1, 0.1)]
        );
        let timeout = Duration::from_secs(60);
        assert_eq!(fleet.twin, TwinPlan { get_on_connect: true, qos: 1, timeout });
        assert!(fleet.makes_twin_requests());
    }

    #[test]
    fn fleet_makes_no_twin_requests_by_default() {
        let quiet = plan("subscribe = [\"twin\", \"methods\"]").unwrap();
        let fleet = &quiet.fleets[0];
        assert!(!fleet.makes_twin_requests() && fleet.sends.is_empty() && fleet.methods.is_empty());
        let qos = |sdk| plan(&format!("sdk = {sdk:?}")).unwrap().fleets[0].twin.qos;
        assert_eq!((fleet.twin.qos, qos("python"), qos("node")), (0, 1, 0));
    }

    #[test]
    fn reported_properties_must_be_an_object() {
        let report = |payload: &str| {
            plan(&format!(
                "subscribe = [\"twin\"]\n[[fleet.a.report]]\nevery = \"1s\"\npayload = {payload}\n"
            ))
            .map(|_| ())
        };
        assert_eq!(
            report("'{\"a\":${uniform(min=0.00, max=1)},\"b\":\"${now}\",\"c\":\"${device}\"}'"),
            Ok(())
        );
        for bad in ["'x'", "'[1]'", "'{\"a\":${device}}'", "{ size = 20 }", "''"] {
            let error = report(bad).unwrap_err();
            assert!(error.contains("reported properties must be a JSON object"), "{bad}: {error}");
        }
    }

    #[test]
    fn methods_have_defaults() {
        let plan = plan(
            "subscribe = [\"methods\"]\n[fleet.a.methods.reboot]\nafter = \"200ms\"\nthen = \"reconnect\"\n\
             [fleet.a.methods.sleep]\nanswer = false\n\
             [fleet.a.methods.read]\nstatus = 404\nqos = 1\npayload = '{\"n\":${seq}}'\n",
        )
        .unwrap();
        let methods: Vec<_> = plan.fleets[0]
            .methods
            .iter()
            .map(|method| {
                let answer = method.answer.as_ref().map(|answer| (answer.status, answer.qos));
                (method.name.as_str(), answer, method.after.as_millis(), method.then_reconnect)
            })
            .collect();
        assert_eq!(
            methods,
            [
                ("reboot", Some((200, QoS::AtMostOnce)), 200, true),
                ("sleep", None, 0, false),
                ("read", Some((404, QoS::AtLeastOnce)), 0, false),
            ]
        );
    }
}
