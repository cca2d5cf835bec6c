//! Reads `[target]` and `[emulator]`. Used by `keys`.

use super::{faults, hosts};
use crate::scenario::model::{EmulatorSpec, SizeSpec, TargetKind, TargetSpec, ThrottleSpec, TlsSpec};
use crate::scenario::node::{Node, Value};
use crate::scenario::reader::{Fields, Reader};
use crate::scenario::value::Written;
use core::net::IpAddr; // `core::net` has addresses but no sockets.

/// Azure's tiers.
const TIERS: [&str; 7] = ["F1", "B1", "B2", "B3", "S1", "S2", "S3"];

/// The largest number of units of any tier.
const UNITS_MAX: i64 = 200;

/// Reads `[target]`.
pub(super) fn target(reader: &mut Reader<'_>, node: &Node) -> Option<TargetSpec> {
    let mut fields = reader.table(node, "a table with the keys kind and host")?;
    let kinds = [("iot-hub", TargetKind::IotHub), ("mqtt", TargetKind::Mqtt)];
    let kind = fields.require(reader, "kind", "kind = \"iot-hub\" or kind = \"mqtt\" to [target]");
    let host = fields.require(reader, "host", "host = \"example.azure-devices.net\"");
    let spec = TargetSpec {
        place: node.place.clone(),
        kind: kind.and_then(|node| reader.choice(node, &kinds, &[])),
        hosts: host.map_or_else(Vec::new, |node| hosts::hosts(reader, node)),
        failover: fields.take("failover").and_then(|node| failover(reader, node)),
        port: fields.take("port").and_then(|node| reader.integer(node, 1..=65_535)).map(|port| port.value),
        tls: fields.take("tls").and_then(|node| tls(reader, node)),
        ca: fields.take("ca").and_then(|node| reader.path(node, "the path of a PEM file")),
        source_ips: fields.take("source_ips").map_or_else(Vec::new, |node| source_ips(reader, node)),
        size: SizeSpec {
            tier: fields.take("tier").and_then(|node| tier(reader, node, &TIERS)),
            units: fields.take("units").and_then(|node| reader.integer(node, 1..=UNITS_MAX)),
        },
    };
    fields.finish(reader, &[("transport", "MQTT over WebSocket"), ("websocket", "MQTT over WebSocket")]);
    Some(spec)
}

fn failover(reader: &mut Reader<'_>, node: &Node) -> Option<Written<bool>> {
    let value = reader.choice(node, &[("none", false), ("next", true)], &[])?;
    let text = if value { "next" } else { "none" };
    Some(Written { value, text: text.to_owned(), place: node.place.clone() })
}

fn source_ips(reader: &mut Reader<'_>, node: &Node) -> Vec<Written<IpAddr>> {
    let elements = reader.list(node, "a list of this machine's addresses: [\"10.0.0.2\", \"10.0.0.3\"]");
    elements.iter().filter_map(|element| reader.address(element)).collect()
}

fn tls(reader: &mut Reader<'_>, node: &Node) -> Option<TlsSpec> {
    let place = node.place.clone();
    if let Value::Boolean(on) = node.value {
        return Some(TlsSpec { place, on, verify: true, resumption: false });
    }
    let mut fields =
        reader.table(node, "true, false, or a table such as { verify = true, resumption = \"on\" }")?;
    let verify = fields.take("verify").and_then(|node| reader.boolean(node)).unwrap_or(true);
    let resumption = resumption(reader, &mut fields);
    fields.finish(reader, &[]);
    Some(TlsSpec { place, on: true, verify, resumption })
}

/// Reads `resumption`: true for `"on"`.
fn resumption(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> bool {
    let Some(node) = fields.take("resumption") else { return false };
    let on = match &node.value {
        Value::Boolean(on) => *on,
        Value::String(text) if text == "true" || text == "yes" => true,
        _ => return reader.choice(node, &[("off", false), ("on", true)], &[]).unwrap_or(false),
    };
    let word = if on { "on" } else { "off" };
    reader.invalid(node, "unknown value", "\"off\", \"on\"").fix(format!("did you mean {word:?}?"));
    false
}

/// Reads `tls` of the built-in hub, which always has TLS.
fn emulator_tls(reader: &mut Reader<'_>, node: &Node) -> bool {
    let Some(mut fields) = reader.table(node, "a table such as { resumption = \"on\" }") else {
        return false;
    };
    let resumption = resumption(reader, &mut fields);
    fields.finish(reader, &[]);
    resumption
}

/// Reads `[emulator]`.
pub(super) fn emulator(reader: &mut Reader<'_>, node: &Node) -> EmulatorSpec {
    let Some(mut fields) = reader.table(node, "a table such as { expiry_grace = \"5m\" }") else {
        return EmulatorSpec::default();
    };
    let tiers: Vec<&str> = ["unlimited"].into_iter().chain(TIERS).collect();
    let spec = EmulatorSpec {
        expiry_grace: fields.take("expiry_grace").and_then(|node| reader.duration_or_zero(node)),
        lenient_properties: fields.take("lenient_properties").and_then(|node| reader.boolean(node)),
        resumption: fields.take("tls").is_some_and(|node| emulator_tls(reader, node)),
        size: SizeSpec {
            tier: fields.take("tier").and_then(|node| tier(reader, node, &tiers)),
            units: fields.take("units").and_then(|node| reader.integer(node, 1..=UNITS_MAX)),
        },
        quota_used: fields.take("quota_used").and_then(|node| reader.integer(node, 0..=i64::from(u32::MAX))),
        throttle: fields.take("throttle").and_then(|node| throttle(reader, node)),
        faults: fields.take("fault").map_or_else(Vec::new, |node| {
            let elements = reader.list(node, "a list of tables: [[emulator.fault]]");
            elements.iter().filter_map(|element| faults::fault(reader, element)).collect()
        }),
        chaos: fields.take("chaos").and_then(|node| faults::chaos(reader, node)),
    };
    fields.finish(reader, &[]);
    spec
}

fn tier(reader: &mut Reader<'_>, node: &Node, tiers: &[&'static str]) -> Option<Written<&'static str>> {
    let words: Vec<_> = tiers.iter().map(|tier| (*tier, *tier)).collect();
    let value = reader.choice(node, &words, &[])?;
    Some(Written { value, text: value.to_owned(), place: node.place.clone() })
}

/// Reads `[emulator.throttle]`.
fn throttle(reader: &mut Reader<'_>, node: &Node) -> Option<ThrottleSpec> {
    let mut fields = reader.table(node, "a table such as { burst = \"10s\" }")?;
    let spec = ThrottleSpec {
        place: node.place.clone(),
        burst: fields.take("burst").and_then(|node| reader.duration_or_zero(node)),
        queue: fields.take("queue").and_then(|node| reader.duration_or_zero(node)),
        connect_wait: fields.take("connect_wait").and_then(|node| reader.duration_or_zero(node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}
