//! Reads `reconnect` of a fleet. Used by `fleet`.

use crate::policy::backoff::Jitter;
use crate::scenario::model::{BackOffSpec, GiveUpSpec, ReconnectSpec};
use crate::scenario::node::{Node, Value};
use crate::scenario::reader::{Fields, Reader};

/// The largest number of failed attempts after which a device can give up.
const ATTEMPTS_MAX: i64 = 65_535;

/// Description of `give_up`, for errors.
const GIVE_UP: &str = "a time offline such as \"10m\", or a number of failed attempts from 1 to 65,535";

/// Reads `reconnect`.
pub(super) fn reconnect(reader: &mut Reader<'_>, node: &Node) -> Option<ReconnectSpec> {
    #[derive(Clone, Copy)]
    enum Kind {
        Never,
        Fixed,
        Exponential,
    }
    let mut fields =
        reader.table(node, "a table such as { kind = \"exponential\", base = \"1s\", max = \"60s\" }")?;
    let kinds = [("exponential", Kind::Exponential), ("fixed", Kind::Fixed), ("never", Kind::Never)];
    let kind_node = fields.require(reader, "kind", "kind = \"exponential\"")?;
    let back_off = match reader.choice(kind_node, &kinds, &[])? {
        Kind::Never => {
            fields.finish(reader, &[]);
            return Some(ReconnectSpec::Never);
        }
        Kind::Fixed => {
            BackOffSpec::Fixed { delay: fields.take("delay").and_then(|node| reader.duration(node)) }
        }
        Kind::Exponential => exponential(reader, &mut fields),
    };
    let jitter = fields.take("jitter").and_then(|node| jitter(reader, node, back_off));
    let start_delay = fields.take("start_delay").and_then(|node| reader.duration_or_zero(node));
    let give_up = fields.take("give_up").and_then(|node| give_up(reader, node));
    fields.finish(reader, &[]);
    Some(ReconnectSpec::Retry { back_off, jitter, start_delay, give_up })
}

fn exponential(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> BackOffSpec {
    let base = fields.take("base").and_then(|node| reader.duration(node));
    let max_node = fields.take("max");
    let max = max_node.and_then(|node| reader.duration(node));
    if let (Some(base), Some(max), Some(node)) = (base, max, max_node)
        && max < base
    {
        reader.errors.add(&node.place, "shorter than base").allowed("a duration of at least base");
    }
    BackOffSpec::Exponential { base, max }
}

/// Reads `jitter`. Decorrelated jitter replaces the growth of the delays, so a fixed delay cannot have it.
fn jitter(reader: &mut Reader<'_>, node: &Node, back_off: BackOffSpec) -> Option<Jitter> {
    let words = [
        ("full", Jitter::Full),
        ("equal", Jitter::Equal),
        ("decorrelated", Jitter::Decorrelated),
        ("none", Jitter::None),
    ];
    let jitter = reader.choice(node, &words, &[])?;
    if jitter == Jitter::Decorrelated && matches!(back_off, BackOffSpec::Fixed { .. }) {
        let problem = reader.invalid(
            node,
            "a fixed delay cannot have decorrelated jitter",
            "\"full\", \"equal\", \"none\"",
        );
        problem.fix("use kind = \"exponential\", or jitter = \"full\"");
        return None;
    }
    Some(jitter)
}

/// Reads `give_up`: a duration or a number.
fn give_up(reader: &mut Reader<'_>, node: &Node) -> Option<GiveUpSpec> {
    let never =
        "remove give_up to retry without end, or use kind = \"never\" for devices that do not reconnect";
    match &node.value {
        Value::Integer(number) if (1..=ATTEMPTS_MAX).contains(number) => {
            u16::try_from(*number).ok().map(GiveUpSpec::Attempts)
        }
        Value::Integer(number) => {
            let problem = reader.errors.add(&node.place, "out of range").found(number.to_string());
            problem.allowed(GIVE_UP);
            if *number <= 0 {
                problem.fix(never);
            }
            None
        }
        Value::String(text) if text.trim().parse::<u16>().is_ok() => {
            let fix = format!(
                "did you mean give_up = {0} (failed attempts) or give_up = \"{0}s\" (time offline)?",
                text.trim()
            );
            reader.invalid(node, "needs a unit, or no quotes", GIVE_UP).fix(fix);
            None
        }
        Value::String(_) => {
            let limit = reader.duration_or_zero(node)?;
            if limit.is_zero() {
                reader.invalid(node, "must be longer than zero", GIVE_UP).fix(never);
                return None;
            }
            Some(GiveUpSpec::After(limit))
        }
        _ => {
            reader.wrong_type(node, GIVE_UP);
            None
        }
    }
}
