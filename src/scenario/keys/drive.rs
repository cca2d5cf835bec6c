//! Reads `[[drive]]`: the calls of the service client. Used by `keys`.

use super::messages;
use crate::scenario::model::{ArrivalKind, CallKind, DriveSpec};
use crate::scenario::node::Node;
use crate::scenario::reader::Reader;

/// The allowed response timeouts of a method call, in seconds (Azure: "Understand and invoke direct methods from IoT Hub").
const RESPONSE_TIMEOUT_S: std::ops::RangeInclusive<u64> = 5..=300;
/// The allowed connect timeouts of a method call, in seconds (same source).
const CONNECT_TIMEOUT_S: std::ops::RangeInclusive<u64> = 0..=300;

/// Reads one `[[drive]]`.
pub(super) fn drive(reader: &mut Reader<'_>, node: &Node) -> Option<DriveSpec> {
    let mut fields = reader.table(node, "a table with the keys call, fleet and rate")?;
    let calls = [("method", CallKind::Method), ("desired", CallKind::Desired), ("c2d", CallKind::C2d)];
    let call = fields.require(reader, "call", "call = \"method\", \"desired\" or \"c2d\"");
    let call = call.and_then(|node| reader.choice(node, &calls, &[]));
    let fleet = fields.require(reader, "fleet", "fleet = \"meter\"");
    let arrivals = [("regular", ArrivalKind::Regular), ("poisson", ArrivalKind::Poisson)];
    let mut spec = DriveSpec {
        place: node.place.clone(),
        call,
        fleet: fleet.and_then(|node| reader.text(node, "the name of a fleet")),
        arrival: fields.take("arrival").and_then(|node| reader.choice(node, &arrivals, &[])),
        spacing: messages::spacing(reader, &mut fields),
        payload: fields.take("payload").and_then(|node| messages::payload(reader, node)),
        name: None,
        response_timeout: None,
        connect_timeout: None,
        properties: Vec::new(),
        ttl: None,
    };
    match call {
        Some(CallKind::Method) => {
            let name = fields.require(reader, "name", "name = \"reboot\"");
            spec.name = name.and_then(|node| reader.name(node, "the name of a method"));
            let mut timeout = |key, seconds: std::ops::RangeInclusive<u64>| {
                let node = fields.take(key)?;
                let timeout = reader.duration_or_zero(node)?;
                if timeout.subsec_nanos() > 0 || !seconds.contains(&timeout.as_secs()) {
                    let problem = reader.errors.add(&node.place, "not a timeout that IoT Hub supports");
                    let (least, most) = seconds.into_inner();
                    problem.allowed(format!("whole seconds from {least}s to {most}s"));
                }
                Some(timeout)
            };
            spec.response_timeout = timeout("response_timeout", RESPONSE_TIMEOUT_S);
            spec.connect_timeout = timeout("connect_timeout", CONNECT_TIMEOUT_S);
        }
        Some(CallKind::C2d) => {
            spec.properties = messages::properties(reader, &mut fields);
            spec.ttl = fields.take("ttl").and_then(|node| reader.duration(node));
        }
        Some(CallKind::Desired) => {}
        // Which keys are allowed depends on `call`, which is invalid.
        None => return Some(spec),
    }
    fields.finish(reader, &[]);
    Some(spec)
}
