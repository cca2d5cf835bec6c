//! Finds metrics that a plan never measures. A threshold on such a metric would never have a sample. Used by `resolve`.

use crate::measure::Operation;
use crate::plan::credentials::TokenLife;
use crate::plan::deliveries::Deliveries;
use crate::plan::model::{DrivePlan, FleetPlan, Subscription, Target, TargetKind};

/// Returns the metrics that this plan never measures, each with a fix.
pub(super) fn unmeasured(
    kind: Option<TargetKind>,
    target: &Target,
    fleets: &[FleetPlan],
    (drives, deliveries): (&[DrivePlan], &Deliveries),
) -> Vec<(Operation, &'static str)> {
    let mut found = Vec::new();
    if kind.is_some() && !deliveries.tracks_any() {
        found.push((
            Operation::Deliver,
            "let a fleet subscribe to messages that another fleet sends with ${stamp} in the payload (plain brokers only)",
        ));
    }
    use Operation::{Publish, PublishQos0, Telemetry, TelemetryQos0};
    let (acked, unacked) = match kind {
        Some(TargetKind::IotHub) => {
            found.extend([Publish, PublishQos0].map(|other| (other, "for an IoT hub, use telemetry")));
            (Telemetry, TelemetryQos0)
        }
        Some(TargetKind::Mqtt) => {
            found.extend([Telemetry, TelemetryQos0].map(|other| (other, "for a plain broker, use publish")));
            found.extend(
                HUB_OPERATIONS
                    .map(|other| (other, "only an IoT hub has this operation; remove the threshold")),
            );
            (Publish, PublishQos0)
        }
        None => return found,
    };
    let messages = fleets.iter().flat_map(|fleet| &fleet.sends);
    let mut sends = messages.filter(|send| !send.operation.is_request()).peekable();
    if sends.peek().is_some() {
        let (has_unacked, has_acked) = sends
            .fold((false, false), |(unacked, acked), send| (unacked || send.qos == 0, acked || send.qos > 0));
        if !has_acked {
            found.push((acked, "every stream has qos = 0: use the metric that ends in .qos0"));
        }
        if !has_unacked {
            found.push((unacked, "no stream has qos = 0: remove .qos0 from the metric"));
        }
    }
    if target.tls.is_none() {
        found.push((Operation::ConnectTls, "turn on TLS, or remove the threshold"));
    }
    if !target.tls.as_ref().is_some_and(|tls| tls.resumption) {
        found.push((
            Operation::ConnectTlsResumed,
            "set tls = { resumption = \"on\" } in [target] (or in [emulator], for the built-in hub), or remove the threshold",
        ));
    }
    if fleets.iter().all(|fleet| fleet.auth.tokens().and_then(TokenLife::renewed_after).is_none()) {
        found.push((Operation::Renewal, "let a fleet renew its tokens, or remove the threshold"));
    }
    if fleets.iter().all(|fleet| fleet.subscribe.is_empty()) {
        found.push((Operation::Subscribe, "let a fleet subscribe to something, or remove the threshold"));
    }
    if fleets.iter().all(|fleet| !fleet.unsubscribe) {
        found.push((Operation::Unsubscribe, "set unsubscribe = true in a fleet, or remove the threshold"));
    }
    found.extend(unmeasured_device_operations(fleets));
    for call in [Operation::ServiceMethod, Operation::ServiceDesired, Operation::ServiceC2d] {
        if drives.iter().all(|drive| drive.call.operation() != call) {
            found.push((call, "add a [[drive]] that makes these calls, or remove the threshold"));
        }
    }
    found
}

/// Operations that exist only with an IoT hub.
const HUB_OPERATIONS: [Operation; 8] = [
    Operation::Renewal,
    Operation::TwinGet,
    Operation::TwinReport,
    Operation::Method,
    Operation::C2d,
    Operation::ServiceMethod,
    Operation::ServiceDesired,
    Operation::ServiceC2d,
];

/// Returns the unmeasured operations among twin requests, methods and cloud-to-device messages, each with a fix.
fn unmeasured_device_operations(fleets: &[FleetPlan]) -> impl Iterator<Item = (Operation, &'static str)> {
    let sends =
        |operation| fleets.iter().flat_map(|fleet| &fleet.sends).any(|send| send.operation == operation);
    let gets_twins = sends(Operation::TwinGet) || fleets.iter().any(|fleet| fleet.twin.get_on_connect);
    let has = |wanted| fleets.iter().any(|fleet| fleet.subscribe.contains(&wanted));
    [
        (
            gets_twins,
            Operation::TwinGet,
            "set twin = { get = \"on-connect\" } in a fleet, or remove the threshold",
        ),
        (
            sends(Operation::TwinReport),
            Operation::TwinReport,
            "add a [[fleet.NAME.report]], or remove the threshold",
        ),
        (
            has(Subscription::Methods),
            Operation::Method,
            "let a fleet subscribe to \"methods\", or remove the threshold",
        ),
        (has(Subscription::C2d), Operation::C2d, "let a fleet subscribe to \"c2d\", or remove the threshold"),
    ]
    .into_iter()
    .filter(|(measured, ..)| !measured)
    .map(|(_, operation, fix)| (operation, fix))
}
