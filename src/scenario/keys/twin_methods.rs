//! Reads the keys of a fleet that only an IoT hub supports: `twin`, `[[fleet.NAME.report]]` and `[fleet.NAME.methods.*]`. Used by `fleet`.

use super::messages::{payload, timing};
use crate::scenario::model::{MethodSpec, ReportSpec, TwinSpec};
use crate::scenario::node::{Entry, Node};
use crate::scenario::reader::{Fields, Reader};

/// The maximum status. Azure's SDKs store it as a signed 32-bit integer.
const STATUS_MAX: i64 = 2_147_483_647;

/// The keys that `timing` reads.
const TIMING: [&str; 5] = ["every", "rate", "arrival", "think_time", "burst"];

/// Reads a fleet's `twin`.
pub(super) fn twin(reader: &mut Reader<'_>, node: &Node) -> Option<TwinSpec> {
    let mut fields = reader.table(node, "a table such as { get = \"on-connect\", every = \"10m\" }")?;
    let get = fields.take("get").and_then(|node| reader.choice(node, &[("on-connect", ())], &[]));
    let scheduled = TIMING.iter().any(|key| fields.entry(key).is_some());
    let timing = scheduled.then(|| timing(reader, &mut fields));
    if timing.is_none() {
        for key in TIMING {
            // Mark the key as known.
            fields.take(key);
        }
    }
    let spec = TwinSpec {
        place: node.place.clone(),
        get_on_connect: get.is_some(),
        timing,
        qos: qos(reader, &mut fields),
        timeout: fields.take("timeout").and_then(|node| reader.duration(node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

fn qos(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<u8> {
    fields.take("qos").and_then(|node| reader.integer(node, 0..=1)).map(|qos| qos.value)
}

/// Reads a fleet's `report`.
pub(super) fn reports(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<ReportSpec> {
    let Some(node) = fields.take("report") else { return Vec::new() };
    let elements = reader.list(node, "a list of tables: [[fleet.NAME.report]]");
    elements.iter().filter_map(|element| report(reader, element)).collect()
}

fn report(reader: &mut Reader<'_>, node: &Node) -> Option<ReportSpec> {
    let mut fields = reader.table(node, "a table with the keys every and payload")?;
    let timing = timing(reader, &mut fields);
    let payload = fields.require(reader, "payload", "payload = '{\"uptime\":${uptime}}'");
    let spec = ReportSpec {
        place: node.place.clone(),
        timing,
        payload: payload.and_then(|node| self::payload(reader, node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

/// Reads a fleet's `methods`.
pub(super) fn methods(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<MethodSpec> {
    let Some(node) = fields.take("methods") else { return Vec::new() };
    let entries = reader.named(node, "one table per method: [fleet.NAME.methods.reboot]");
    entries.iter().filter_map(|entry| method(reader, entry)).collect()
}

fn method(reader: &mut Reader<'_>, entry: &Entry) -> Option<MethodSpec> {
    let mut fields = reader.table(&entry.node, "a table such as { status = 200, after = \"200ms\" }")?;
    fields.place = entry.place.clone();
    let payload = fields.take("payload");
    let then = fields.take("then").and_then(|node| reader.choice(node, &[("reconnect", ())], &[]));
    let status = fields.take("status").and_then(|node| reader.integer(node, 0..=STATUS_MAX));
    let spec = MethodSpec {
        name: entry.key.clone(),
        place: entry.place.clone(),
        status: status.map(|status| status.value),
        payload: payload.and_then(|node| self::payload(reader, node)),
        after: fields.take("after").and_then(|node| reader.duration_or_zero(node)),
        qos: qos(reader, &mut fields),
        answer: fields.take("answer").and_then(|node| reader.boolean(node)).unwrap_or(true),
        then_reconnect: then.is_some(),
    };
    if !spec.answer {
        for key in ["status", "payload", "qos"] {
            if let Some(entry) = fields.entry(key) {
                let problem = reader.errors.add(&entry.place, "not allowed with answer = false");
                problem.fix("remove one of the two");
            }
        }
    }
    fields.finish(reader, &[]);
    Some(spec)
}
