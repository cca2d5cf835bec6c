//! The format `metrics`: OpenMetrics text (version 1.0), for GitLab's metrics reports and for Prometheus. Called by `formats`. Uses only
//! the result.
//!
//! The text is written here, and not by a client library: such a library instruments a running program, and has no type for percentiles
//! that are already computed (`summary`).

use super::super::format::plain;
use super::super::margin;
use super::super::summary::{OperationSummary, Summary};
use crate::measure::{Latency, Totals};
use crate::result::model::{RunResult, Severity, Status, ThresholdResult, ThresholdStatus};
use std::collections::HashSet;
use std::fmt::Write as _;

const QUANTILES: [(&str, f64); 5] =
    [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999), ("1.0", 1.0)];

type Labels<'a> = [(&'a str, &'a str)];

/// Renders the metrics of a result.
pub(super) fn metrics(result: &RunResult) -> String {
    let mut out = Metrics { text: String::new(), known: HashSet::new() };
    let summary = Summary::of(result);
    run(&mut out, result, &summary);
    thresholds(&mut out, &result.thresholds);
    operations(&mut out, &summary);
    errors_and_findings(&mut out, result);
    generator(&mut out, result);
    out.text.push_str("# EOF\n");
    out.text
}

struct Metrics {
    text: String,
    /// The samples written so far. Each may appear only once, but a scenario may contain the same threshold twice.
    known: HashSet<String>,
}

impl Metrics {
    /// Starts a metric. The unit, if any, is the end of its name.
    fn metric(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let key = format!("{name}{labels}");
        if !self.known.contains(&key) {
            let _ = writeln!(self.text, "{key} {value}");
            self.known.insert(key);
        }
    }

    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: f64) {
        self.metric(name, "gauge", unit, help);
        self.sample(name, &[], value);
    }

    fn latency(&mut self, name: &str, labels: &Labels<'_>, latency: &Latency) {
        for (quantile, q) in QUANTILES {
            let Some(us) = latency.quantile(q) else { return };
            self.sample(name, &[labels, &[("quantile", quantile)]].concat(), seconds(us));
        }
        let count = float(latency.count());
        self.sample(&format!("{name}_count"), labels, count);
        let sum_us = latency.mean().unwrap_or(0.0) * count;
        self.sample(&format!("{name}_sum"), labels, sum_us.round() / 1e6);
    }
}

/// Escapes a label's value. Control characters are replaced, so it has no line breaks.
fn escaped(value: &str) -> String {
    plain(value).replace('\\', "\\\\").replace('"', "\\\"")
}

#[expect(clippy::cast_precision_loss, reason = "counts and times stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn seconds(us: u64) -> f64 {
    float(us) / 1e6
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn run(out: &mut Metrics, result: &RunResult, summary: &Summary) {
    let run = &result.run;
    out.metric("hubstorm_run", "info", "", "The scenario, the target, and the version of hubstorm.");
    // Values that differ between runs, such as the seed, would make it a new metric each time.
    let labels = [
        ("scenario", run.scenario.name.as_str()),
        ("target_kind", &run.target.kind),
        ("target", &run.target.host),
        ("version", &result.tool.version),
    ];
    out.sample("hubstorm_run_info", &labels, 1.0);
    out.metric("hubstorm_verdict", "stateset", "", "The verdict of the run.");
    let statuses = [("pass", Status::Pass), ("fail", Status::Fail), ("invalid", Status::Invalid)];
    for (name, status) in statuses {
        out.sample("hubstorm_verdict", &[("hubstorm_verdict", name)], flag(result.verdict.status == status));
    }
    let exit_code = f64::from(result.verdict.exit_code);
    out.gauge("hubstorm_exit_code", "", "The exit code of the run.", exit_code);
    out.gauge("hubstorm_complete", "", "1 if the run was not interrupted.", flag(run.complete));
    let duration = seconds(run.duration_us);
    out.gauge("hubstorm_duration_seconds", "seconds", "The duration of the run.", duration);
    out.gauge("hubstorm_devices", "", "The number of devices.", float(summary.devices));
    let peak = float(summary.online_peak);
    out.gauge("hubstorm_devices_online_peak", "", "The largest number of devices online at once.", peak);
    let help = "Due messages per second, mean outside warm-up.";
    out.gauge("hubstorm_offered_per_second", "", help, summary.offered_rate());
    let help = "Acknowledged messages per second, mean outside warm-up.";
    out.gauge("hubstorm_achieved_per_second", "", help, summary.achieved_rate());
}

fn thresholds(out: &mut Metrics, thresholds: &[ThresholdResult]) {
    if thresholds.is_empty() {
        return;
    }
    let scaled = |threshold: &ThresholdResult, value: f64| {
        if threshold.unit == "us" { value / 1e6 } else { value }
    };
    let help = "1 if the threshold passed.";
    for_each(out, "passed", help, thresholds, |threshold| Some(flag(threshold.passed)));
    let help = "1 if the load generator may have changed the outcome.";
    for_each(out, "undecided", help, thresholds, |threshold| {
        Some(flag(margin::status(threshold) == ThresholdStatus::Undecided))
    });
    let help = "The limit, in seconds, as a fraction of 1, or as a count.";
    for_each(out, "limit", help, thresholds, |threshold| Some(scaled(threshold, threshold.limit)));
    let help = "The observed value, in the unit of the limit. Missing if it is unknown or above every limit.";
    for_each(out, "observed", help, thresholds, |threshold| {
        threshold.observed.map(|value| scaled(threshold, value))
    });
}

/// Writes the metric `hubstorm_threshold_NAME`.
fn for_each(
    out: &mut Metrics,
    name: &str,
    help: &str,
    thresholds: &[ThresholdResult],
    value: impl Fn(&ThresholdResult) -> Option<f64>,
) {
    let name = format!("hubstorm_threshold_{name}");
    out.metric(&name, "gauge", "", help);
    for threshold in thresholds {
        let Some(value) = value(threshold) else { continue };
        let mut labels = vec![("metric", threshold.metric.as_str())];
        labels.extend(threshold.phase.as_deref().map(|phase| ("phase", phase)));
        labels.extend(threshold.fleet.as_deref().map(|fleet| ("fleet", fleet)));
        labels.push(("expression", &threshold.expression));
        out.sample(&name, &labels, value);
    }
}

fn operations(out: &mut Metrics, summary: &Summary) {
    if summary.operations.is_empty() {
        return;
    }
    let each = |write: &mut dyn FnMut(&Labels<'_>, &Totals)| {
        for operation in &summary.operations {
            let (totals, scope) = OperationSummary::headline(operation);
            write(&[("operation", operation.name()), ("scope", scope)], totals);
        }
    };
    let help = "Due operations by outcome. Scope total: all phases except warm-ups.";
    out.metric("hubstorm_operations", "counter", "", help);
    each(&mut |labels, totals| {
        for (outcome, count) in totals.outcomes.iter() {
            let labels = [labels, &[("outcome", outcome.name())]].concat();
            out.sample("hubstorm_operations_total", &labels, float(count));
        }
    });
    out.metric("hubstorm_ok_ratio", "gauge", "ratio", "The share of due operations that ended ok.");
    each(&mut |labels, totals| {
        if let Some(rate) = totals.rate_ok() {
            out.sample("hubstorm_ok_ratio", labels, rate);
        }
    });
    let name = "hubstorm_response_seconds";
    out.metric(name, "summary", "seconds", "From the due time to the acknowledgment, of ok operations.");
    each(&mut |labels, totals| out.latency(name, labels, &totals.response));
    let name = "hubstorm_service_seconds";
    out.metric(name, "summary", "seconds", "From sending to the acknowledgment, of ok operations.");
    each(&mut |labels, totals| out.latency(name, labels, &totals.service));
}

fn errors_and_findings(out: &mut Metrics, result: &RunResult) {
    let errors = &result.measurement.errors;
    if !errors.is_empty() {
        out.metric("hubstorm_errors", "counter", "", "Errors by class and probable cause.");
    }
    for error in errors {
        let labels = [("class", error.class.as_str()), ("culprit", error.culprit.name())];
        out.sample("hubstorm_errors_total", &labels, float(error.count));
    }
    out.metric("hubstorm_findings", "gauge", "", "Findings by severity.");
    for (name, severity) in [("warning", Severity::Warning), ("note", Severity::Note)] {
        let count = result.findings.iter().filter(|finding| finding.severity == severity).count();
        out.sample("hubstorm_findings", &[("severity", name)], float(count as u64));
    }
}

fn generator(out: &mut Metrics, result: &RunResult) {
    let generator = &result.generator;
    let name = "hubstorm_generator_cpu_seconds";
    out.metric(name, "counter", "seconds", "CPU time of the load generator.");
    out.sample(&format!("{name}_total"), &[], seconds(generator.cpu_us));
    let memory = float(generator.rss_peak_bytes);
    out.gauge("hubstorm_generator_memory_bytes", "bytes", "Peak memory of the load generator.", memory);
    let name = "hubstorm_generator_lag_seconds";
    out.metric(name, "summary", "seconds", "How late the load generator started messages.");
    out.latency(name, &[], &generator.lag);
}
