//! The keys of `[[fleet.NAME.send]]`: when messages are due, where they go and what they contain.

use super::model::{ArrivalKind, PayloadSpec, SendSpec, Spacing, Written};
use super::node::{Node, Value};
use super::reader::{Fields, Reader};

/// MQTT's largest packet (MQTT 3.1.1 §2.2.3); a topic and its length fit in what is left.
const SIZE_BYTES_MAX: i64 = 268_435_455 - 65_535 - 16;

/// Reads `send` of a fleet.
pub(super) fn sends(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<SendSpec> {
    let Some(node) = fields.take("send") else { return Vec::new() };
    let elements = reader.list(node, "a list of tables: [[fleet.NAME.send]]");
    elements.iter().filter_map(|element| send(reader, element)).collect()
}

fn send(reader: &mut Reader<'_>, node: &Node) -> Option<SendSpec> {
    let mut fields = reader.table(node, "a table with every and payload")?;
    let arrivals = [("regular", ArrivalKind::Regular), ("poisson", ArrivalKind::Poisson)];
    let later_arrivals = [("closed", "closed-loop arrivals"), ("bursts", "arrivals in bursts")];
    let spacing = spacing(reader, &mut fields);
    let payload = fields.require(reader, "payload", "payload = '{\"seq\":${seq}}'");
    let spec = SendSpec {
        place: node.place.clone(),
        spacing,
        arrival: fields.take("arrival").and_then(|node| reader.choice(node, &arrivals, &later_arrivals)),
        qos: fields.take("qos").and_then(|node| reader.integer(node, 0..=2)),
        topic: fields.take("topic").and_then(|node| reader.text(node, "a topic; ${device} is allowed")),
        properties: properties(reader, &mut fields),
        payload: payload.and_then(|node| self::payload(reader, node)),
    };
    fields.finish(
        reader,
        &[
            ("constant", "fleet rates that do not follow the online share"),
            ("think_time", "closed-loop arrivals"),
            ("retain", "retained messages"),
            ("burst", "arrivals in bursts"),
        ],
    );
    Some(spec)
}

fn spacing(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Spacing> {
    let every = fields.take("every");
    let rate = fields.take("rate");
    match (every, rate) {
        (Some(node), None) => reader.duration(node).map(Spacing::Every),
        (None, Some(node)) => reader.rate(node).map(Spacing::Rate),
        (Some(_), Some(node)) => {
            reader
                .errors
                .add(&node.place, "rate and every contradict each other")
                .allowed("every (per device), or rate (for the whole fleet)")
                .fix("remove one of the two");
            None
        }
        (None, None) => {
            reader
                .errors
                .add(&fields.place.below("every"), "missing")
                .allowed("every (per device), or rate (for the whole fleet)")
                .fix("add every = \"15s\"");
            None
        }
    }
}

fn properties(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<(String, Written<String>)> {
    let Some(node) = fields.take("properties") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in reader.named(node, "a table of strings: { unit = \"kWh\" }") {
        if let Some(value) = reader.string(&entry.node, "a string") {
            found.push((entry.key.clone(), value));
        }
    }
    found
}

fn payload(reader: &mut Reader<'_>, node: &Node) -> Option<Written<PayloadSpec>> {
    let allowed = "a template such as '{\"seq\":${seq}}', or { size = 256 }";
    if !matches!(node.value, Value::Table(_)) {
        let text = reader.string(node, allowed)?;
        return Some(Written {
            value: PayloadSpec::Template(text.value),
            text: text.text,
            place: text.place,
        });
    }
    let mut fields = reader.table(node, allowed)?;
    let size = fields.take("size");
    if size.is_none() && fields.entry("file").is_none() {
        reader.errors.add(&node.place.below("size"), "missing").allowed(allowed).fix("add size = 256");
    }
    let size = size.and_then(|node| reader.integer(node, 0..=SIZE_BYTES_MAX));
    fields.finish(reader, &[("file", "payloads from a file"), ("order", "payloads from a file")]);
    let size: Written<u32> = size?;
    Some(Written { value: PayloadSpec::Size(size.value), text: size.text, place: node.place.clone() })
}
