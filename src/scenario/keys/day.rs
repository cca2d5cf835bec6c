//! Reads `[[day.part]]`: how long each phase lasts on a day of the real fleet. Used by `keys`.

use crate::scenario::model::{DayPartSpec, DaySpec};
use crate::scenario::node::{Node, Value};
use crate::scenario::reader::{Reader, number_of};

/// A day has this number of hours.
const DAY_HOURS: f64 = 24.0;

/// Reads `day`.
pub(super) fn day(reader: &mut Reader<'_>, node: &Node) -> Option<DaySpec> {
    let mut fields = reader.table(node, "a table with the list [[day.part]]")?;
    let parts = fields.require(reader, "part", "[[day.part]] with phase = \"steady\" and hours = 20");
    let parts = parts.map(|node| {
        let list = reader.list(node, "a list of tables: [[day.part]]");
        list.iter().filter_map(|element| part(reader, element)).collect()
    });
    fields.finish(reader, &[]);
    Some(DaySpec { place: node.place.clone(), parts: parts? })
}

fn part(reader: &mut Reader<'_>, node: &Node) -> Option<DayPartSpec> {
    let mut fields = reader.table(node, "a table such as { phase = \"steady\", hours = 20 }")?;
    let phase = fields.require(reader, "phase", "phase = \"steady\"");
    let hours = fields.require(reader, "hours", "hours = 20");
    let spec = DayPartSpec {
        place: node.place.clone(),
        phase: phase.and_then(|node| reader.text(node, "the name of a phase")),
        hours: hours.and_then(|node| self::hours(reader, node)),
    };
    fields.finish(reader, &[]);
    Some(spec)
}

#[expect(clippy::cast_precision_loss, reason = "an integer that loses precision is out of range")]
fn hours(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    let allowed = "a number above 0 and up to 24";
    let hours = match node.value {
        Value::Integer(hours) => hours as f64,
        Value::Float(hours) => hours,
        _ => {
            reader.wrong_type(node, allowed);
            return None;
        }
    };
    if hours > 0.0 && hours <= DAY_HOURS {
        return Some(hours);
    }
    let found = number_of(node).unwrap_or_default();
    reader.errors.add(&node.place, "out of range").found(found).allowed(allowed);
    None
}
