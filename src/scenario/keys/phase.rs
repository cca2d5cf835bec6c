//! Reads `[[phase]]`. Used by `keys`.

use crate::scenario::model::PhaseSpec;
use crate::scenario::node::Node;
use crate::scenario::reader::Reader;

/// The largest load factor: 10,000%, which is 100 times the rates in the file. A larger value is probably a typo.
const LOAD_MAX: f64 = 100.0;

/// Reads one `[[phase]]`.
pub(super) fn phase(reader: &mut Reader<'_>, node: &Node) -> Option<PhaseSpec> {
    let mut fields = reader.table(node, "a table with the keys name and duration")?;
    let name_node = fields.require(reader, "name", "name = \"steady\"");
    let name = name_node.and_then(|node| reader.name(node, "a name"));
    let duration = fields.require(reader, "duration", "duration = \"1m\"");
    let spec = PhaseSpec {
        place: node.place.clone(),
        name,
        warmup: fields.take("warmup").and_then(|node| reader.boolean(node)).unwrap_or(false),
        duration: duration.and_then(|node| reader.duration(node)),
        online: fields.take("online").and_then(|node| reader.change(node, 1.0)),
        load: fields.take("load").and_then(|node| reader.change(node, LOAD_MAX)),
    };
    fields.finish(
        reader,
        &[
            ("disconnect", "disconnecting a share of the fleets"),
            ("pause", "pauses"),
            ("churn", "devices that join and leave during the run"),
            ("faults", "network faults"),
        ],
    );
    Some(spec)
}
