//! Reads `[[fleet.NAME.send]]`, `will` and `subscribe`, and the keys that reports and calls share with them: timing, payload and
//! properties. Used by `fleet`, `twin_methods` and `drive`.

use crate::scenario::error::Origin;
use crate::scenario::model::{
    ArrivalKind, MessageSpec, PayloadSpec, ReplaySpec, SendSpec, Spacing, SubscribeSpec, Timing, WillSpec,
};
use crate::scenario::node::{Entry, Node, Value};
use crate::scenario::reader::{Fields, Reader};
use crate::scenario::value::Written;

/// Upper bound for a payload size: the maximum size of an MQTT packet without its fixed header (MQTT 3.1.1 §2.2.3). `plan` applies the
/// exact limit, which also includes the topic.
const SIZE_BYTES_MAX: i64 = 268_435_455;
/// The largest burst. A larger value is probably a typo.
const BURST_MAX: i64 = 1_000_000;

/// Reads a fleet's `send`.
pub(super) fn sends(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<SendSpec> {
    let Some(node) = fields.take("send") else { return Vec::new() };
    let elements = reader.list(node, "a list of tables: [[fleet.NAME.send]]");
    elements.iter().filter_map(|element| send(reader, element)).collect()
}

fn send(reader: &mut Reader<'_>, node: &Node) -> Option<SendSpec> {
    let mut fields = reader.table(node, "a table with the keys every and payload")?;
    let arrival = arrival(reader, &mut fields, &[("replay", ArrivalKind::Replay)]);
    let replay = replay(reader, &mut fields, arrival);
    let (Timing { spacing, burst, .. }, payload) = match replay {
        Some(_) => (Timing::default(), None),
        None => (
            timing_of(reader, &mut fields, arrival),
            fields.require(reader, "payload", "payload = '{\"seq\":${seq}}'"),
        ),
    };
    let spec = SendSpec {
        place: node.place.clone(),
        spacing,
        arrival,
        burst,
        qos: fields.take("qos").and_then(|node| reader.integer(node, 0..=2)),
        retain: fields.take("retain").and_then(|node| reader.boolean(node)).unwrap_or(false),
        topic: fields.take("topic").and_then(|node| reader.text(node, "a topic; ${device} is allowed")),
        properties: properties(reader, &mut fields),
        payload: payload.and_then(|node| message(reader, node)),
        replay,
    };
    fields.finish(reader, &[("constant", "fleet rates that do not follow the online share")]);
    Some(spec)
}

/// Reads `file`, `speed` and `repeat`, which belong to `arrival = "replay"`.
fn replay(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    arrival: Option<ArrivalKind>,
) -> Option<ReplaySpec> {
    if arrival != Some(ArrivalKind::Replay) {
        for (key, fix) in [
            (
                "file",
                "set arrival = \"replay\", or write payload = { file = \"messages.txt\" } to send the lines of a file",
            ),
            ("speed", "remove it, or set arrival = \"replay\" and file"),
            ("repeat", "remove it, or set arrival = \"replay\" and file"),
        ] {
            if let Some(node) = fields.take(key) {
                reader.errors.add(&node.place, "requires arrival = \"replay\"").fix(fix);
            }
        }
        return None;
    }
    for key in ["every", "rate", "burst", "think_time", "payload"] {
        if let Some(node) = fields.take(key) {
            let problem = reader.errors.add(&node.place, "not allowed with arrival = \"replay\"");
            problem
                .allowed("file, which has the time and the payload of each message")
                .fix(format!("remove {key}"));
        }
    }
    let file = fields.require(reader, "file", "file = \"recording.csv\"");
    Some(ReplaySpec {
        file: file.and_then(|node| reader.path(node, "the path of a CSV file with a message on each row")),
        speed: fields.take("speed").and_then(|node| reader.speed(node)).unwrap_or(1.0),
        repeat: fields.take("repeat").and_then(|node| reader.boolean(node)).unwrap_or(false),
    })
}

/// Reads the keys that determine when the messages of a stream are due.
pub(super) fn timing(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Timing {
    let arrival = arrival(reader, fields, &[]);
    timing_of(reader, fields, arrival)
}

/// Reads `arrival`. `more` are the arrivals of this kind of stream that others do not have.
fn arrival(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    more: &[(&'static str, ArrivalKind)],
) -> Option<ArrivalKind> {
    let arrivals = [
        ("regular", ArrivalKind::Regular),
        ("poisson", ArrivalKind::Poisson),
        ("closed", ArrivalKind::Closed),
    ];
    fields.take("arrival").and_then(|node| reader.choice(node, &[&arrivals[..], more].concat(), &[]))
}

/// Reads the keys that determine when the messages of a stream with this arrival are due.
fn timing_of(reader: &mut Reader<'_>, fields: &mut Fields<'_>, arrival: Option<ArrivalKind>) -> Timing {
    let spacing = match arrival {
        Some(ArrivalKind::Closed) => think_time(reader, fields),
        _ => {
            if let Some(node) = fields.take("think_time") {
                let problem = reader.errors.add(&node.place, "think_time requires arrival = \"closed\"");
                problem.fix("remove think_time, or set arrival = \"closed\" and remove every and rate");
            }
            spacing(reader, fields)
        }
    };
    let burst = fields.take("burst").and_then(|node| reader.integer(node, 1..=BURST_MAX));
    Timing { spacing, arrival, burst: burst.map(|burst| burst.value) }
}

/// Reads the timing of a closed loop. A closed loop has no rate, because the server's responses determine when the next message is sent.
fn think_time(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Spacing> {
    for key in ["rate", "every", "burst"] {
        if let Some(node) = fields.take(key) {
            let problem = reader.errors.add(&node.place, "not allowed with arrival = \"closed\"");
            problem
                .allowed("think_time, from the end of a message to the next one")
                .fix(format!("remove {key}"));
        }
    }
    let node = fields.require(reader, "think_time", "think_time = \"1s\"")?;
    reader.duration_or_zero(node).map(Spacing::Think)
}

/// Reads `every` or `rate`.
pub(super) fn spacing(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Spacing> {
    let every = fields.take("every");
    let rate = fields.take("rate");
    match (every, rate) {
        (Some(node), None) => reader.duration(node).map(Spacing::Every),
        (None, Some(node)) => reader.rate(node).map(Spacing::Rate),
        (Some(every), Some(node)) => {
            // An override cannot remove a key of the file.
            let is_set = |node: &Node| matches!(node.place.origin, Origin::Set(_));
            let fix = match (is_set(every), is_set(node)) {
                (false, true) => {
                    "the file sets every: override every instead, or replace every by rate in the file"
                }
                (true, false) => {
                    "the file sets rate: override rate instead, or replace rate by every in the file"
                }
                _ => "remove one of the two",
            };
            reader
                .errors
                .add(&node.place, "rate and every are mutually exclusive")
                .allowed("every (per device), or rate (for the whole fleet)")
                .fix(fix);
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

/// Reads `properties`.
pub(super) fn properties(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<(String, Written<String>)> {
    let Some(node) = fields.take("properties") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in reader.named(node, "a table of strings: { unit = \"kWh\" }") {
        if let Some(value) = reader.string(&entry.node, "a string") {
            found.push((entry.key.clone(), value));
        }
    }
    found
}

/// Reads a fleet's `will`.
pub(super) fn will(reader: &mut Reader<'_>, node: &Node) -> Option<WillSpec> {
    let mut fields =
        reader.table(node, "a table such as { topic = \"gone/${device}\", payload = \"gone\" }")?;
    let payload = fields.require(reader, "payload", "payload = \"gone\"");
    let spec = WillSpec {
        place: node.place.clone(),
        topic: fields.take("topic").and_then(|node| reader.text(node, "a topic; ${device} is allowed")),
        payload: payload.and_then(|node| self::payload(reader, node)),
        qos: fields.take("qos").and_then(|node| reader.integer(node, 0..=2)),
        retain: fields.take("retain").and_then(|node| reader.boolean(node)).unwrap_or(false),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

/// Reads a fleet's `subscribe`.
pub(super) fn subscribe(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<SubscribeSpec> {
    let Some(node) = fields.take("subscribe") else { return Vec::new() };
    let elements = reader.list(node, "a list such as [\"c2d\", \"twin\"]");
    elements.iter().filter_map(|element| subscription(reader, element)).collect()
}

fn subscription(reader: &mut Reader<'_>, node: &Node) -> Option<SubscribeSpec> {
    if !matches!(node.value, Value::Table(_)) {
        let filter = reader.text(node, "a string, or a table such as { filter = \"a/#\", qos = 2 }")?;
        return Some(SubscribeSpec { filter, qos: None });
    }
    let mut fields = reader.table(node, "a table such as { filter = \"a/#\", qos = 2 }")?;
    let filter = fields.require(reader, "filter", "filter = \"command/${device}/#\"");
    let filter = filter.and_then(|node| reader.text(node, "a topic filter; ${device} is allowed"));
    let qos = fields.take("qos").and_then(|node| reader.integer(node, 0..=2));
    fields.finish(reader, &[]);
    Some(SubscribeSpec { filter: filter?, qos })
}

/// Reads the `payload` of a stream, which can also be the lines of a file.
fn message(reader: &mut Reader<'_>, node: &Node) -> Option<Written<MessageSpec>> {
    let from_file = |entries: &[Entry]| entries.iter().any(|entry| entry.key == "file");
    if !matches!(&node.value, Value::Table(entries) if from_file(entries)) {
        let allowed =
            "a template such as '{\"seq\":${seq}}', or { size = 256 }, or { file = \"messages.txt\" }";
        let Written { value, text, place } = payload_or(reader, node, allowed)?;
        return Some(Written { value: MessageSpec::Payload(value), text, place });
    }
    let mut fields = reader.table(node, "a table such as { file = \"messages.txt\" }")?;
    let file = fields.take("file")?;
    let path = reader.path(file, "the path of a file with a message on each line");
    let orders = [("sequential", false), ("random", true)];
    let order = fields.take("order").map(|node| reader.choice(node, &orders, &[]));
    fields.finish(reader, &[]);
    let (path, shuffled) = (path?, order.unwrap_or(Some(false))?);
    let (text, place) = (path.text.clone(), node.place.clone());
    Some(Written { value: MessageSpec::FileLines { path, shuffled }, text, place })
}

/// Reads `payload`.
pub(super) fn payload(reader: &mut Reader<'_>, node: &Node) -> Option<Written<PayloadSpec>> {
    payload_or(reader, node, "a template such as '{\"seq\":${seq}}', or { size = 256 }")
}

/// Reads a payload. `allowed` describes the payloads that the key accepts.
fn payload_or(reader: &mut Reader<'_>, node: &Node, allowed: &str) -> Option<Written<PayloadSpec>> {
    if let Value::Integer(bytes) = node.value {
        reader.wrong_type(node, allowed).fix(format!("write payload = {{ size = {bytes} }}"));
        return None;
    }
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
    let Some(size) = size else {
        // Users of other tools write the fields of a JSON message here.
        let problem = reader.errors.add(&node.place, "a table has no size").allowed(allowed);
        problem.fix(if fields.entry("file").is_some() {
            "write the text itself, or { size = 256 }: only messages of [[fleet.NAME.send]] can come from a file"
        } else if fields.entry("order").is_some() {
            "add file = \"messages.txt\", or remove order"
        } else {
            "write a JSON message as a string, such as payload = '{\"temp\":20}', or add size = 256"
        });
        return None;
    };
    let size = reader.integer(size, 0..=SIZE_BYTES_MAX);
    fields.finish(reader, &[]);
    let size: Written<u32> = size?;
    Some(Written { value: PayloadSpec::Size(size.value), text: size.text, place: node.place.clone() })
}
