//! Reads `[[emulator.fault]]` and `chaos`. Used by `target`. Which keys a kind has is checked when the scenario is resolved.

use crate::policy::fault::{CODES, FaultKind};
use crate::scenario::model::{ChaosSpec, FaultSpec};
use crate::scenario::node::Node;
use crate::scenario::reader::{Reader, text_of};
use crate::scenario::value::Written;

/// Reads one `[[emulator.fault]]`.
pub(super) fn fault(reader: &mut Reader<'_>, node: &Node) -> Option<FaultSpec> {
    let mut fields = reader.table(node, "a table with the keys kind, at and for")?;
    let kind = fields.require(reader, "kind", "kind = \"close\"");
    let spec = FaultSpec {
        place: node.place.clone(),
        kind: kind.and_then(|node| self::kind(reader, node)),
        phase: fields.take("phase").and_then(|node| reader.name(node, "the name of a phase")),
        at: fields.take("at").and_then(|node| Some(written(node, reader.duration_or_zero(node)?))),
        length: fields.take("for").and_then(|node| Some(written(node, reader.duration(node)?))),
        share: fields.take("share").and_then(|node| Some(written(node, reader.percent(node, 1.0)?))),
        fleet: fields.take("fleet").and_then(|node| reader.text(node, "the name of a fleet")),
        code: fields.take("code").and_then(|node| code(reader, node)),
        by: fields.take("by").and_then(|node| Some(written(node, reader.duration(node)?))),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

/// Reads `chaos`.
pub(super) fn chaos(reader: &mut Reader<'_>, node: &Node) -> Option<ChaosSpec> {
    let mut fields = reader.table(node, "a table such as { rate = \"2/1m\" }")?;
    let rate = fields.require(reader, "rate", "rate = \"2/1m\"");
    let rate = rate.and_then(|node| Some(written(node, reader.rate(node)?)));
    let kinds = fields.take("kinds").map(|node| {
        let elements = reader.list(node, "a list of kinds of faults: [\"close\", \"hold-acks\"]");
        elements.iter().filter_map(|element| kind(reader, element)).collect()
    });
    let spec = ChaosSpec {
        place: node.place.clone(),
        rate,
        kinds,
        length: fields.take("for").and_then(|node| reader.duration(node)),
        share: fields.take("share").and_then(|node| Some(written(node, reader.percent(node, 1.0)?))),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<FaultKind> {
    let kinds = FaultKind::ALL.map(|kind| (kind.name(), kind));
    reader.choice(node, &kinds, &[("rest-5xx", "answers of the service's REST API")])
}

fn code(reader: &mut Reader<'_>, node: &Node) -> Option<Written<u8>> {
    let code: Written<u8> = reader.integer(node, 0..=255)?;
    if !CODES.contains(&code.value) {
        let problem = reader.errors.add(&node.place, "not a code with which IoT Hub refuses devices");
        problem
            .found(code.text)
            .allowed("3 (server unavailable), 5 (not authorized)")
            .fix("code = 3, or code = 5");
        return None;
    }
    Some(code)
}

fn written<T>(node: &Node, value: T) -> Written<T> {
    Written { value, text: text_of(node).unwrap_or_default(), place: node.place.clone() }
}
