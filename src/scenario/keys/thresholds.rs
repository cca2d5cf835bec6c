//! Reads `[thresholds]` and `[validity]`, which `report` uses to judge the run. Used by `keys`.

use crate::scenario::mask::may_be_key;
use crate::scenario::model::{ThresholdSpec, ValiditySpec};
use crate::scenario::node::{Entry, Node, Value};
use crate::scenario::reader::{Reader, number_of, text_of};
use crate::scenario::value::Written;
use std::time::Duration;

/// Former keys of `[validity]`, each with its meaning.
const RETIRED: [(&str, &str); 3] = [
    ("lag_p99", "limit on the load generator's p99 lag"),
    ("lag_share", "limit on the load generator's lag as a share of the response time"),
    ("heartbeat_p999", "limit on the load generator's p99.9 timer lag"),
];

/// Reads `[thresholds]`: one entry per expression.
pub(super) fn thresholds(reader: &mut Reader<'_>, node: &Node) -> Vec<ThresholdSpec> {
    let mut found = Vec::new();
    for entry in reader.named(node, "a table: \"telemetry\" = [\"p(99) < 500ms\"]") {
        let metric =
            Written { value: entry.key.clone(), text: entry.key.clone(), place: entry.place.clone() };
        if let Some(spec) = unlisted(entry) {
            found.push(spec);
            continue;
        }
        for element in reader.list(&entry.node, "a list of expressions: [\"p(99) < 500ms\"]") {
            found.extend(threshold(reader, &metric, element));
        }
    }
    found
}

/// Reads a threshold without its list, such as `telemetry = "p99<500"`, `telemetry.p99 = "500ms"`, or `connect.tls = [..]` without
/// quotes around the key. `None` for any other value.
fn unlisted(entry: &Entry) -> Option<ThresholdSpec> {
    let (mut name, mut node) = (entry.key.clone(), &entry.node);
    if matches!(node.value, Value::Array(_)) {
        return None;
    }
    while let Value::Table(entries) = &node.value {
        let first = entries.first()?;
        (name, node) = (format!("{name}.{}", first.key), &first.node);
    }
    let text = match &node.value {
        Value::Array(elements) => elements.iter().map(text_of).collect::<Option<Vec<_>>>()?.join(" && "),
        _ => text_of(node).or_else(|| number_of(node))?,
    };
    let written = |text: String| Written { value: text.clone(), text, place: entry.place.clone() };
    let is_secret = may_be_key(&text) || may_be_key(&name);
    (!is_secret).then(|| ThresholdSpec {
        metric: written(name),
        expression: written(text),
        listed: false,
        abort: false,
        after: None,
    })
}

/// Reads one threshold: an expression, or a table that can end the run early.
fn threshold(reader: &mut Reader<'_>, metric: &Written<String>, node: &Node) -> Option<ThresholdSpec> {
    const EXPRESSION: &str = "an expression such as \"p(99) < 500ms\"";
    const EITHER: &str = "an expression such as \"p(99) < 500ms\", or a table such as { expr = \"p(99) < 500ms\", abort = true, after = \"30s\" }";
    if !matches!(node.value, Value::Table(_)) {
        let expression = reader.text(node, EITHER)?;
        return Some(ThresholdSpec {
            metric: metric.clone(),
            expression,
            listed: true,
            abort: false,
            after: None,
        });
    }
    let mut fields = reader.table(node, EITHER)?;
    let expression = fields
        .require(reader, "expr", "expr = \"p(99) < 500ms\"")
        .and_then(|node| reader.text(node, EXPRESSION));
    let abort_node = fields.take("abort");
    let abort = abort_node.and_then(|node| reader.boolean(node));
    let after = fields.take("after").and_then(|node| after(reader, node));
    // An invalid `abort` may have been meant as `true`, so `after` is not reported.
    let never_aborts = abort_node.is_none() || abort == Some(false);
    if let Some(entry) = fields.entry("after").filter(|_| never_aborts) {
        let problem = reader.errors.add(&entry.place, "`after` has no effect without `abort = true`");
        problem.fix("add `abort = true`, or remove `after`");
    }
    fields.finish(reader, &[]);
    let abort = abort.unwrap_or(false);
    Some(ThresholdSpec { metric: metric.clone(), expression: expression?, listed: true, abort, after })
}

fn after(reader: &mut Reader<'_>, node: &Node) -> Option<Duration> {
    let after = reader.duration_or_zero(node)?;
    if after.is_zero() {
        let problem = reader.invalid(node, "must be longer than zero", "a duration such as 30s or 5m");
        problem.fix("remove `after`; without it, the threshold can end the run at any time");
        return None;
    }
    Some(after)
}

/// Reads `[validity]`.
pub(super) fn validity(reader: &mut Reader<'_>, node: &Node) -> ValiditySpec {
    let Some(mut fields) = reader.table(node, "a table such as { late_share = \"0.1%\" }") else {
        return ValiditySpec::default();
    };
    let spec = ValiditySpec {
        late_after: fields.take("late_after").and_then(|node| reader.duration(node)),
        late_share: fields.take("late_share").and_then(|node| reader.percent(node, 1.0)),
        sent_share: fields.take("sent_share").and_then(|node| reader.percent(node, 1.0)),
        busy_share: fields.take("busy_share").and_then(|node| reader.percent(node, 1.0)),
        closed_loop_share: fields.take("closed_loop_share").and_then(|node| reader.percent(node, 1.0)),
    };
    fields.retire(
        reader,
        &RETIRED,
        "remove it; the verdict now accounts for delays in the load generator (see docs/scenario.md)",
    );
    fields.finish(reader, &[]);
    spec
}
