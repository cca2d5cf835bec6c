//! Resolves `[thresholds]`, in k6's syntax, with units: `"telemetry{phase:steady}" = ["p(99) < 500ms", "rate(ok) > 99.9%"]`.
//! Used by `resolve`. All names must exist, so that a typo is an error and not a threshold that always passes.

use super::threshold_expression::expression;
use super::threshold_list;
use crate::measure::{Operation, Outcome, Test};
use crate::plan::model::Threshold;
use crate::scenario::{Errors, Meant, Place, ThresholdSpec, Written, meant, nearest};

/// Metrics that later versions will support.
const LATER_METRICS: [&str; 3] = ["connect.ws", "twin.desired", "register"];

/// The names that a threshold may contain.
pub(in crate::plan) struct KnownNames<'a> {
    /// Names of phases, in order.
    pub(in crate::plan) phases: &'a [String],
    /// Names of fleets, in order.
    pub(in crate::plan) fleets: &'a [String],
    /// Names of the scenario's other fleets, which do not run. Thresholds that need them are left out.
    pub(in crate::plan) left_out: &'a [String],
    /// Metrics that this plan never measures, each with a fix.
    pub(in crate::plan) unmeasured: &'a [(Operation, &'static str)],
}

#[derive(Clone, Copy)]
struct Selector {
    metric: Operation,
    phase: Option<u16>,
    fleet: Option<u16>,
    without_faults: bool,
}

/// The key of a threshold.
#[derive(Clone, Copy)]
enum Selected {
    /// It is valid.
    Known(Selector),
    /// It needs a fleet that does not run.
    LeftOut,
    /// It has an error.
    Wrong,
}

/// Resolves all thresholds. Also returns, as written, those that need fleets that do not run.
pub(in crate::plan) fn resolve(
    specs: &[ThresholdSpec],
    known: &KnownNames<'_>,
    errors: &mut Errors,
) -> (Vec<Threshold>, Vec<String>) {
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    let mut last: Option<(&Place, Selected)> = None;
    for spec in specs {
        if !spec.listed {
            threshold_list::report(spec, &measured(known), errors);
            continue;
        }
        // All expressions under a key share its selector, so an error in the selector is reported once.
        let selected = match last {
            Some((place, selected)) if *place == spec.metric.place => selected,
            _ => selector(&spec.metric.value, &spec.metric.place, known, errors),
        };
        last = Some((&spec.metric.place, selected));
        let test = expression(&spec.expression.value, &spec.expression.place, errors);
        if let (Selected::LeftOut, Some(_)) = (selected, test) {
            left_out.push(format!("{} {}", spec.metric.value.trim(), spec.expression.value.trim()));
        }
        if let (Selected::Known(Selector { metric, phase, fleet, without_faults }), Some(test)) =
            (selected, test)
        {
            if metric == Operation::C2d && never_fails(test) {
                reject_c2d(spec, errors);
                continue;
            }
            if metric != Operation::Online && matches!(test, Test::Recovery { .. }) {
                let problem = errors.add(&spec.expression.place, "only online has recoveries");
                let key = spec.metric.value.trim();
                let online = key.find('{').map_or(String::new(), |brace| key[brace..].to_owned());
                problem.found(&spec.expression.text).fix(format!("write it under \"online{online}\""));
                continue;
            }
            let expression = spec.expression.value.trim().to_owned();
            let abort_after = spec.abort.then(|| spec.after.unwrap_or_default());
            let line = spec.expression.place.line();
            found.push(Threshold {
                metric,
                phase,
                fleet,
                without_faults,
                expression,
                test,
                abort_after,
                line,
            });
        }
    }
    (found, left_out)
}

/// Returns whether a `c2d` threshold passes regardless of what happens to the messages.
fn never_fails(test: Test) -> bool {
    match test {
        Test::Rate { .. } => true,
        Test::Count { outcome, .. } => outcome != Outcome::Ok,
        Test::Percentile { .. } | Test::Mean { .. } | Test::Max { .. } | Test::Recovery { .. } => false,
    }
}

fn reject_c2d(spec: &ThresholdSpec, errors: &mut Errors) {
    let Written { text, place, .. } = &spec.expression;
    let what =
        "this threshold cannot detect losses: only c2d messages that arrive are recorded, always as ok";
    let problem = errors.add(place, what).found(text).allowed("p(99), med, avg, max, count(ok)");
    problem.fix("use service.c2d to test whether sends succeed; missing messages are reported as a finding");
}

fn selector(text: &str, place: &Place, known: &KnownNames<'_>, errors: &mut Errors) -> Selected {
    let (name, tags) = match text.split_once('{') {
        None => (text, ""),
        Some((name, rest)) => match rest.trim_end().strip_suffix('}') {
            Some(tags) => (name, tags),
            None => {
                errors
                    .add(place, "a brace is not closed")
                    .found(text)
                    .allowed("metric{phase:NAME,fleet:NAME}");
                return Selected::Wrong;
            }
        },
    };
    let metric = metric(name.trim(), place, known, errors);
    let (mut phase, mut fleet) = (None, None);
    let (mut complete, mut left_out, mut without_faults) = (true, false, false);
    for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
        let (slot, names) = match key.trim() {
            "fleet" if known.left_out.iter().any(|name| name == value.trim()) => {
                left_out = true;
                continue;
            }
            "fault" => {
                without_faults = true;
                complete &= is_none(value.trim(), place, errors);
                continue;
            }
            "phase" => (&mut phase, known.phases),
            "fleet" => (&mut fleet, known.fleets),
            _ => {
                let problem = errors
                    .add(place, "unknown selector")
                    .found(tag)
                    .allowed("phase:NAME, fleet:NAME, fault:none");
                problem.fix = meant_tag(tag, known).map(|meant| format!("did you mean {meant}?"));
                complete = false;
                continue;
            }
        };
        *slot = index_of(key.trim(), value.trim(), names, place, errors);
        complete &= slot.is_some();
    }
    let Some(metric) = metric.filter(|_| complete) else { return Selected::Wrong };
    match known.unmeasured.iter().find(|(unmeasured, _)| *unmeasured == metric) {
        _ if left_out => Selected::LeftOut,
        None => Selected::Known(Selector { metric, phase, fleet, without_faults }),
        // A fleet that does not run may measure it.
        Some(_) if !known.left_out.is_empty() => Selected::LeftOut,
        Some((_, fix)) => {
            errors.add(place, "this scenario never measures this metric").found(metric.name()).fix(*fix);
            Selected::Wrong
        }
    }
}

/// Checks the value of `fault`, of which there is only one.
fn is_none(value: &str, place: &Place, errors: &mut Errors) -> bool {
    let is_none = value == "none";
    if !is_none {
        let problem = errors.add(place, "unknown selector").found(format!("fault:{value}"));
        problem
            .allowed("fault:none")
            .fix("use fault:none, for the operations that no fault of a fleet affected");
    }
    is_none
}

/// Returns the tag that a name without its kind (`steady`) or another separator (`phase=steady`) probably means.
fn meant_tag(tag: &str, known: &KnownNames<'_>) -> Option<String> {
    let name = tag.split(['=', ':', ' ', '"']).rfind(|part| !part.is_empty())?;
    let kind =
        |kind, names: &[String]| names.iter().any(|known| known == name).then(|| format!("{kind}:{name}"));
    kind("phase", known.phases).or_else(|| kind("fleet", known.fleets)).or_else(|| {
        nearest(name, known.phases.iter().map(String::as_str)).map(|near| format!("phase:{near}"))
    })
}

fn metric(name: &str, place: &Place, known: &KnownNames<'_>, errors: &mut Errors) -> Option<Operation> {
    if let Some(operation) = Operation::from_name(name) {
        return Some(operation);
    }
    if LATER_METRICS.contains(&name) {
        errors.not_supported_yet(place, &format!("the metric {name}"));
        return None;
    }
    let names = Operation::ALL.map(Operation::name);
    let problem = errors.add(place, "unknown metric");
    problem.found(name).allowed(names.join(", "));
    if let Some(Meant::Word(near)) = meant(name, &measured(known)) {
        problem.fix(format!("did you mean {near}?"));
    }
    None
}

/// Returns the metrics to suggest.
fn measured(known: &KnownNames<'_>) -> Vec<&'static str> {
    let is_measured = |name: &&str| !known.unmeasured.iter().any(|(metric, _)| metric.name() == *name);
    Operation::ALL.map(Operation::name).into_iter().chain(LATER_METRICS).filter(is_measured).collect()
}

fn index_of(kind: &str, name: &str, names: &[String], place: &Place, errors: &mut Errors) -> Option<u16> {
    let index = names.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok());
    if index.is_none() {
        let problem = errors.add(place, format!("unknown {kind}"));
        // Duplicate names are a separate error, so list each name once.
        let mut allowed: Vec<&str> = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !allowed.contains(&name.as_str()) {
                allowed.push(name);
            }
        }
        problem.found(name).allowed(allowed.join(", "));
        if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            problem.fix(format!("did you mean {kind}:{near}?"));
        }
    }
    index
}

#[cfg(test)]
mod tests;
