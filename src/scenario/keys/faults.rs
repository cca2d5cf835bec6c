//! Reads `[[emulator.fault]]`, `chaos` and `[[fleet.NAME.fault]]`. Used by `target` and `fleet`. Which keys a kind has is checked when the
//! scenario is resolved.

use crate::policy::fault::{CODES, FaultKind};
use crate::policy::network::PROFILES;
use crate::scenario::model::{ChaosSpec, FaultSpec};
use crate::scenario::node::Node;
use crate::scenario::reader::{Fields, Reader, text_of};
use crate::scenario::value::Written;

/// Reads one `[[emulator.fault]]`.
pub(super) fn fault(reader: &mut Reader<'_>, node: &Node) -> Option<FaultSpec> {
    let mut fields = reader.table(node, "a table with the keys kind, at and for")?;
    let kind = fields.require(reader, "kind", "kind = \"close\"");
    let kind = kind.and_then(|node| Some(written(node, self::kind(reader, node)?)));
    let spec = FaultSpec {
        is_wrong: kind.is_none(),
        kind,
        fleet: fields.take("fleet").and_then(|node| reader.text(node, "the name of a fleet")),
        code: fields.take("code").and_then(|node| code(reader, node)),
        by: fields.take("by").and_then(|node| Some(written(node, reader.duration(node)?))),
        ..common(reader, node, &mut fields)
    };
    fields.finish(reader, &[]);
    Some(spec)
}

/// Reads one `[[fleet.NAME.fault]]`.
pub(super) fn fleet_fault(reader: &mut Reader<'_>, node: &Node) -> Option<FaultSpec> {
    let mut fields = reader.table(node, "a table with the keys kind, at and for")?;
    let kinds = FaultKind::FLEET.map(|kind| (kind.name(), kind));
    let profiles: Vec<_> = PROFILES.iter().map(|profile| (profile.name, profile)).collect();
    let (kind, profile) = (fields.take("kind"), fields.take("profile"));
    let (by, rate) = (fields.take("by"), fields.take("rate"));
    let is_written = [kind, profile, by, rate].map(|node| node.is_some());
    let kind = kind.and_then(|node| Some(written(node, reader.choice(node, &kinds, &[])?)));
    let profile = profile.and_then(|node| Some(written(node, reader.choice(node, &profiles, &[])?)));
    let by = by.and_then(|node| Some(written(node, reader.duration(node)?)));
    let rate = rate.and_then(|node| Some(written(node, reader.bits_per_s(node)?)));
    let spec = FaultSpec {
        is_wrong: is_written != [kind.is_some(), profile.is_some(), by.is_some(), rate.is_some()],
        kind,
        profile,
        by,
        rate,
        jitter: fields.take("jitter").and_then(|node| Some(written(node, reader.duration(node)?))),
        ..common(reader, node, &mut fields)
    };
    fields.finish(reader, &[]);
    Some(spec)
}

/// Reads the keys that all faults have.
fn common(reader: &mut Reader<'_>, node: &Node, fields: &mut Fields<'_>) -> FaultSpec {
    FaultSpec {
        place: node.place.clone(),
        kind: None,
        profile: None,
        phase: fields.take("phase").and_then(|node| reader.name(node, "the name of a phase")),
        at: fields.take("at").and_then(|node| Some(written(node, reader.duration_or_zero(node)?))),
        length: fields.take("for").and_then(|node| Some(written(node, reader.duration(node)?))),
        share: fields.take("share").and_then(|node| Some(written(node, reader.percent(node, 1.0)?))),
        fleet: None,
        code: None,
        by: None,
        jitter: None,
        rate: None,
        is_wrong: false,
    }
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
    let kinds = FaultKind::HUB.map(|kind| (kind.name(), kind));
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
