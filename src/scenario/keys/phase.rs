//! Reads `[[phase]]` and `[phase.fleet.NAME]`. Used by `keys`.

use crate::policy::disconnect::Disconnect;
use crate::scenario::model::{ChurnSpec, CourseSpec, DisconnectSpec, PhaseFleetSpec, PhaseSpec};
use crate::scenario::node::{Entry, Node};
use crate::scenario::reader::{Fields, Reader};
use crate::units::Rate;

/// The largest load factor: 10,000%, which is 100 times the rates in the file. A larger value is probably a typo.
const LOAD_MAX: f64 = 100.0;

/// Reads one `[[phase]]`.
pub(super) fn phase(reader: &mut Reader<'_>, node: &Node) -> Option<PhaseSpec> {
    let mut fields = reader.table(node, "a table with the keys name and duration")?;
    let name_node = fields.require(reader, "name", "name = \"steady\"");
    let name = name_node.and_then(|node| reader.name(node, "a name"));
    let duration = fields.require(reader, "duration", "duration = \"1m\"");
    let mut spec = PhaseSpec {
        place: node.place.clone(),
        name,
        warmup: fields.take("warmup").and_then(|node| reader.boolean(node)).unwrap_or(false),
        duration: duration.and_then(|node| reader.duration(node)),
        connect_rate: fields.take("connect_rate").and_then(|node| connect_rate(reader, node)),
        course: course(reader, &mut fields),
        fleets: Vec::new(),
    };
    if let Some(node) = fields.take("fleet") {
        for entry in reader.named(node, "one table per fleet: [phase.fleet.NAME]") {
            spec.fleets.extend(phase_fleet(reader, entry));
        }
    }
    fields.finish(reader, &[("pause", "pauses"), ("faults", "network faults")]);
    Some(spec)
}

/// Reads one `[phase.fleet.NAME]`.
fn phase_fleet(reader: &mut Reader<'_>, entry: &Entry) -> Option<PhaseFleetSpec> {
    let mut fields = reader.table(&entry.node, "a table with keys of the phase, such as load")?;
    let course = course(reader, &mut fields);
    fields.finish(reader, &[]);
    Some(PhaseFleetSpec { name: entry.key.clone(), place: entry.node.place.clone(), course })
}

/// Reads the keys that a phase and its fleets have in common.
fn course(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> CourseSpec {
    CourseSpec {
        online: fields.take("online").and_then(|node| reader.change(node, 1.0)),
        load: fields.take("load").and_then(|node| reader.load(node, LOAD_MAX)),
        disconnect: fields.take("disconnect").and_then(|node| disconnect(reader, node)),
        churn: fields.take("churn").and_then(|node| churn(reader, node)),
    }
}

fn churn(reader: &mut Reader<'_>, node: &Node) -> Option<ChurnSpec> {
    let mut fields = reader.table(node, "a table such as { rate = \"5%/1m\", away = \"10s\" }")?;
    let rate = fields.require(reader, "rate", "rate = \"5%/1m\"");
    let away = fields.require(reader, "away", "away = \"10s\"");
    let spec = ChurnSpec {
        place: node.place.clone(),
        rate_hz: rate.and_then(|node| reader.share_per_time(node)),
        how: fields.take("how").and_then(|node| reader.choice(node, &Disconnect::NAMES, &[])),
        away: away.and_then(|node| reader.duration(node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

fn connect_rate(reader: &mut Reader<'_>, node: &Node) -> Option<Rate> {
    let rate = reader.rate(node)?;
    if rate.as_per_second() <= 0.0 {
        reader.errors.add(&node.place, "must be above zero").allowed("a rate such as 50/s");
        return None;
    }
    Some(rate)
}

fn disconnect(reader: &mut Reader<'_>, node: &Node) -> Option<DisconnectSpec> {
    let mut fields =
        reader.table(node, "a table such as { share = \"100%\", how = \"close\", over = \"1s\" }")?;
    let how = fields.require(reader, "how", "how = \"close\"");
    let spec = DisconnectSpec {
        place: node.place.clone(),
        share: fields.take("share").and_then(|node| reader.percent(node, 1.0)),
        how: how.and_then(|node| reader.choice(node, &Disconnect::NAMES, &[])),
        over: fields.take("over").and_then(|node| reader.duration_or_zero(node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}
