//! The numbers of a comparison in words: values, changes, intervals, tolerances, and the compared results. Used by `view`.
//! Independent of any markup; the texts contain untrusted names.

use crate::compare::model::{ComparedRun, Comparison, Effect, Metric, Outcome};
use crate::report::format::{self, NONE, plain, plural};
use crate::report::metric::value_text;
use crate::result::metric::MetricUnit;
use crate::result::model::{Host, Status, Target, Tool};

/// Returns the outcome as a word for a heading, a mark, and the CSS class of the page's header.
pub(super) fn banner(outcome: Outcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Regressed => ("Regressed", "✗", "fail"),
        Outcome::SameOrBetter => ("Same or better", "✓", "pass"),
        Outcome::Inconclusive => ("Inconclusive", "?", "invalid"),
        Outcome::Invalid => ("Invalid", "?", "invalid"),
        Outcome::NoBase => ("No base", "–", "invalid"),
    }
}

/// Returns the metrics with those that decided the outcome first, otherwise in their order.
pub(super) fn most_important_first(comparison: &Comparison) -> Vec<&Metric> {
    let mut metrics: Vec<&Metric> = comparison.metrics.iter().collect();
    metrics.sort_by_key(|metric| match metric.outcome {
        Outcome::Regressed => 0,
        Outcome::Invalid | Outcome::Inconclusive | Outcome::NoBase => 1,
        Outcome::SameOrBetter => 2,
    });
    metrics
}

/// Formats a value of a metric.
pub(super) fn value(metric: &Metric, value: Option<f64>) -> String {
    let unit = MetricUnit::from_name(&metric.unit).unwrap_or(MetricUnit::Count);
    value.filter(|value| value.is_finite()).map_or_else(|| NONE.to_owned(), |value| value_text(unit, value))
}

/// Formats a change: `+4.2%`, or `-0.02 points` for a difference of shares. Positive is worse.
fn change(effect: Effect, change: f64) -> String {
    match effect {
        Effect::Ratio => format!("{:+.1}%", change * 100.0),
        Effect::Difference => format!("{:+.3} points", change * 100.0),
    }
}

/// Returns the observed change with its interval: `+4.2% (-1.0% to +9.8%)`.
pub(super) fn change_with_interval(metric: &Metric) -> String {
    let text = |end: Option<f64>| end.filter(|end| end.is_finite()).map(|end| change(metric.effect, end));
    let Some(observed) = text(metric.change) else { return NONE.to_owned() };
    match (text(metric.low), text(metric.high)) {
        (Some(low), Some(high)) => format!("{observed} ({low} to {high})"),
        (Some(low), None) => format!("{observed} ({low} or more)"),
        (None, Some(high)) => format!("{observed} ({high} or less)"),
        (None, None) => observed,
    }
}

/// Returns the tolerance: `+10.0%`.
pub(super) fn tolerance(metric: &Metric) -> String {
    change(metric.effect, metric.tolerance)
}

/// Returns the reasons of a metric, and how many more runs would settle it.
pub(super) fn reasons(metric: &Metric) -> String {
    let mut parts: Vec<String> = metric.reasons.iter().map(|reason| plain(reason)).collect();
    let says_runs = parts.iter().any(|part| part.contains("more run"));
    if let Some(runs) = metric.more_runs.filter(|_| !says_runs) {
        parts.push(format!("About {} would settle it", plural(runs, "more run", "more runs")));
    }
    parts.join(". ")
}

/// A fact about both sides: its name, the base, and the new side.
pub(super) type Fact = (&'static str, String, String);

/// Returns what was compared: files, dates, verdicts, machines, versions, targets.
pub(super) fn facts(comparison: &Comparison) -> Vec<Fact> {
    let sides = |name: &'static str, fact: &dyn Fn(&ComparedRun) -> String| {
        let [base, new] = [&comparison.base, &comparison.new].map(|runs| distinct(runs.iter().map(fact)));
        (name, base, new)
    };
    let count = |runs: &[ComparedRun]| match runs.len() {
        0 => "none".to_owned(),
        n => plural(n as u64, "result", "results"),
    };
    let dates = |runs: &[ComparedRun]| {
        let date = |run: Option<&ComparedRun>| run.map_or_else(String::new, |run| format::date(&run.started));
        match runs {
            [_, _, ..] => format!("{} to {}", date(runs.first()), date(runs.last())),
            _ => date(runs.first()),
        }
    };
    vec![
        ("Results", count(&comparison.base), count(&comparison.new)),
        sides("Scenario", &|run| plain(&run.scenario)),
        ("Started", dates(&comparison.base), dates(&comparison.new)),
        sides("Verdict", &|run| status(run.status).to_owned()),
        sides("Host", &|run| host(&run.host)),
        sides("Version", &|run| version(&run.tool)),
        sides("Target", &|run| target(&run.target)),
        sides("File", &|run| plain(&run.file)),
    ]
}

/// Returns the machine that generated the load.
pub(super) fn host(host: &Host) -> String {
    let cores = plural(host.cores.into(), "core", "cores");
    format!("{}, {}, {cores}", plain(&host.os), plain(&host.cpu))
}

/// Returns the version of hubstorm.
pub(super) fn version(tool: &Tool) -> String {
    let git = tool.git.as_ref().map_or_else(String::new, |git| format!(" ({})", plain(git)));
    format!("{}{git}", plain(&tool.version))
}

/// Returns the target of the load.
pub(super) fn target(target: &Target) -> String {
    match target.embedded {
        true => "the built-in hub".to_owned(),
        false => format!("{} at {}:{}", plain(&target.kind), plain(&target.host), target.port),
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Invalid => "invalid",
    }
}

/// Joins the distinct values of several results. Of many, only the first are named.
fn distinct(values: impl Iterator<Item = String>) -> String {
    const NAMED: usize = 3;
    let mut named: Vec<String> = Vec::new();
    for value in values {
        if !named.contains(&value) {
            named.push(value);
        }
    }
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}
