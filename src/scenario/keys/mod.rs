//! Reads the keys of the format: the top-level keys here, and each table in a file of its own. `docs/scenario.md` describes the same keys.
//! Called by `scenario::read`. Planned keys are refused as "not supported yet", so that users do not believe they have an effect. These files
//! must not depend on TOML or JSON.

mod auth;
mod day;
mod drive;
mod faults;
mod fleet;
mod hosts;
mod messages;
mod phase;
mod reconnect;
mod target;
mod thresholds;
mod twin_methods;

use super::model::{Scenario, ThresholdsOnly};
use super::node::Node;
use super::reader::Reader;

/// Reads the top-level keys.
pub(super) fn scenario(reader: &mut Reader<'_>, root: &Node, out: &mut Scenario) {
    let Some(mut fields) = reader.table(root, "the scenario's keys") else { return };
    if let Some(node) = fields.take("name") {
        out.name = reader.text(node, "a name for the report").map(|name| name.value);
    }
    if let Some(node) = fields.take("seed") {
        out.seed = reader.integer(node, 0..=i64::MAX).map(|seed| seed.value);
    }
    out.target = fields.take("target").and_then(|node| target::target(reader, node));
    if let Some(node) = fields.take("emulator") {
        out.emulator = target::emulator(reader, node);
    }
    if let Some(node) = fields.require(reader, "fleet", "a table [fleet.NAME] with devices = 100") {
        for entry in reader.named(node, "one table per fleet: [fleet.NAME]") {
            out.fleets.extend(fleet::fleet(reader, entry));
        }
    }
    if let Some(node) =
        fields.require(reader, "phase", "[[phase]] with name = \"steady\" and duration = \"1m\"")
    {
        for element in reader.list(node, "a list of tables: [[phase]]") {
            out.phases.extend(phase::phase(reader, element));
        }
    }
    out.day = fields.take("day").and_then(|node| day::day(reader, node));
    out.drain = fields.take("drain").and_then(|node| reader.duration_or_zero(node));
    out.abort_when_unreachable =
        fields.take("abort_when_unreachable").and_then(|node| reader.duration_or_never(node));
    if let Some(node) = fields.take("thresholds") {
        out.thresholds = thresholds::thresholds(reader, node);
    }
    if let Some(node) = fields.take("validity") {
        out.validity = thresholds::validity(reader, node);
    }
    if let Some(node) = fields.take("drive") {
        for element in reader.list(node, "a list of tables: [[drive]]") {
            out.drives.extend(drive::drive(reader, element));
        }
    }
    if let Some(node) = fields.take("$schema") {
        // Only editors use `$schema`. hubstorm always uses its built-in schema.
        reader.text(node, "the path or URL of the JSON Schema");
    }
    fields.finish(reader, &[]);
}

/// The top-level keys that [`thresholds_only`] does not read.
const SKIPPED: [&str; 11] = [
    "name",
    "seed",
    "target",
    "emulator",
    "phase",
    "day",
    "drain",
    "abort_when_unreachable",
    "validity",
    "drive",
    "$schema",
];

/// Reads only the thresholds and the names of the fleets. The rest may be missing, or need secrets that are not set here. Unknown
/// top-level keys are errors, so that a typo does not hide the thresholds.
pub(super) fn thresholds_only(reader: &mut Reader<'_>, root: &Node, out: &mut ThresholdsOnly) {
    let Some(mut fields) = reader.table(root, "the scenario's keys") else { return };
    if let Some(node) = fields.take("fleet") {
        let fleets = reader.named(node, "one table per fleet: [fleet.NAME]");
        out.fleets.extend(fleets.iter().map(|entry| entry.key.clone()));
    }
    for key in SKIPPED {
        fields.take(key);
    }
    if let Some(node) =
        fields.require(reader, "thresholds", "[thresholds] with telemetry = [\"p(99) < 500ms\"]")
    {
        out.thresholds = thresholds::thresholds(reader, node);
        if out.thresholds.is_empty() && reader.errors.is_empty() {
            let problem = reader.errors.add(&node.place, "no thresholds");
            problem.fix("add a threshold, such as telemetry = [\"p(99) < 500ms\"]");
        }
    }
    fields.finish(reader, &[]);
}
