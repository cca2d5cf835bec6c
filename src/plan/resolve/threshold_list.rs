//! Reports a threshold whose value is not a list of expressions, such as `telemetry = "p99<500"` or `telemetry.p99 = "500ms"`, with the
//! complete line to write. Used by `thresholds`. Must not depend on the plan.

use super::threshold_expression::{several_valid, valid};
use crate::scenario::{Errors, Meant, Place, ThresholdSpec, meant};

/// Reports the error. `measured` are the metrics to suggest.
pub(super) fn report(spec: &ThresholdSpec, measured: &[&str], errors: &mut Errors) {
    let (metric, text) = (spec.metric.value.trim(), &spec.expression.value);
    let (metric, expressions) =
        meant_threshold(metric, text).unwrap_or_else(|| (metric.to_owned(), vec![EXAMPLE.to_owned()]));
    let metric = known_metric(&metric, measured).unwrap_or(metric);
    let place: &Place = &spec.expression.place;
    let fix = match place.line() {
        None => format!("write --set 'thresholds.{metric}={expressions:?}'"),
        Some(_) => format!("write {metric:?} = {expressions:?}"),
    };
    let problem = errors.add(place, "not a list of expressions");
    problem.found(format!("{text:?}")).allowed("a list of expressions: [\"p(99) < 500ms\"]").fix(fix);
}

/// The expression to suggest if the value does not contain one.
const EXAMPLE: &str = "p(99) < 500ms";

/// Returns the metric and the expressions that a key and its value probably mean.
fn meant_threshold(metric: &str, text: &str) -> Option<(String, Vec<String>)> {
    if let Some(expressions) = several_valid(text) {
        return Some((metric.to_owned(), expressions));
    }
    // `publish.p99 = "500ms"`: the end of the key belongs to the expression.
    metric.match_indices('.').find_map(|(at, _)| {
        let expression = valid(&format!("{} < {text}", &metric[at + 1..]))?;
        Some((metric[..at].to_owned(), vec![expression]))
    })
}

/// Returns the key with the metric that is probably meant by one that does not exist or is never measured.
fn known_metric(key: &str, measured: &[&str]) -> Option<String> {
    let name = key.split('{').next()?.trim();
    if measured.contains(&name) {
        return None;
    }
    match meant(name, measured)? {
        Meant::Word(word) => Some(key.replacen(name, word, 1)),
        Meant::Fix(_) => None,
    }
}
