//! The page: one file that opens from anywhere, without network and without scripts. Called by `app`.
//!
//! `templates/report.html` holds the words and the structure, `templates/report.css` the looks; this file brings
//! the numbers into the shape in which the template shows them. Askama escapes whatever is not marked safe, and
//! only what this crate drew itself is: charts, bars and the style sheet of the colours.

use super::charts::spectrum::{self, Spectrum};
use super::charts::theme;
use super::charts::timeline::{self, Panel};
use super::format::{self, NONE, plain, plain_lines};
use super::summary::{Part, Summary, during, length, not_ok, per_second};
use super::text::{cpu_average, culprit, metric, target};
use super::{ReportError, exit, from_hub, margin};
use crate::measure::{Latency, Operation, Phase, Totals};
use crate::result::model::{RunResult, Severity, Status, ThresholdStatus};
use crate::units::{human_bytes, human_count};
use askama::Template;

/// The page of a run.
///
/// # Errors
/// A histogram of the result that does not decode.
pub fn html(result: &RunResult) -> Result<String, ReportError> {
    let summary = Summary::of(result);
    let main = summary.main_operation();
    let main_operation = main.map_or(Operation::Telemetry, |main| main.operation);
    let main_name = main_operation.name();
    let spectrum = match main {
        Some(main) => spectrum::draw(main.operation, main.scope(), main.headline().0)?,
        None => None,
    };
    let page = Page {
        palette: theme::css(),
        result,
        verdict: VerdictView::of(result),
        headlines: headlines(result, &summary),
        thresholds: thresholds(result),
        facts: facts(result),
        scenario: plain_lines(&result.run.scenario.text),
        panels: timeline::panels(result, main_operation)?,
        phases: result.measurement.phases.iter().map(|phase| phase_row(result, &summary, phase)).collect(),
        spectrum,
        main_name: main_name.to_owned(),
        operations: summary.operations.iter().map(OperationView::of).collect(),
        fleets: fleets(result),
        from_hub: from_hub::table(result),
        streams: streams(result),
        foreign: human_count(result.measurement.count(|counts| counts.foreign)),
        errors: errors(result),
        findings: findings(result),
        health: health(result),
        emulator: emulator(result),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    palette: String,
    result: &'a RunResult,
    verdict: VerdictView,
    headlines: Vec<Headline>,
    thresholds: Vec<ThresholdView>,
    facts: Vec<(&'static str, String)>,
    scenario: String,
    panels: Vec<Panel>,
    phases: Vec<PhaseRow>,
    spectrum: Option<Spectrum>,
    main_name: String,
    operations: Vec<OperationView>,
    fleets: Vec<[String; 8]>,
    from_hub: from_hub::Table,
    streams: Vec<[String; 6]>,
    foreign: String,
    errors: Vec<ErrorView>,
    findings: Vec<FindingView>,
    health: Vec<(&'static str, String)>,
    emulator: Vec<(&'static str, String)>,
}

struct VerdictView {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    meaning: String,
    /// What a reader must know before any number; empty most of the time.
    warnings: Vec<&'static str>,
    name: String,
    started: String,
    lasted: String,
    reasons: Vec<String>,
}

impl VerdictView {
    fn of(result: &RunResult) -> VerdictView {
        let lag = result.generator.lag.quantile(0.99);
        let kept_up = lag.map_or_else(
            || "Every threshold held.".to_owned(),
            |lag| format!("The load generator kept up: 99% of messages were picked within {} of when they were due.", format::us(Some(lag))),
        );
        let (mut class, mut mark, mut word, mut meaning) = match result.verdict.status {
            Status::Pass => ("pass", "✓", "Pass", kept_up),
            Status::Fail => ("fail", "✗", "Fail", "The run did not meet its thresholds.".to_owned()),
            Status::Invalid => (
                "invalid",
                "?",
                "Invalid",
                "No latency on this page may be read as the hub’s. What happened:".to_owned(),
            ),
        };
        if result.verdict.exit_code == exit::INTERRUPTED {
            meaning = format!("Until then: {word}. {meaning}");
            (class, mark, word) = ("interrupted", "!", "Interrupted");
        }
        let mut warnings = Vec::new();
        if result.run.target.tls.as_ref().is_some_and(|tls| !tls.verified) {
            warnings.push("TLS certificates were not checked.");
        }
        VerdictView {
            class,
            mark,
            word,
            meaning,
            warnings,
            name: plain(&result.run.scenario.name),
            started: format::date(&result.run.started),
            lasted: format::span(result.run.duration_us),
            reasons: result.verdict.reasons.iter().map(|reason| plain(reason)).collect(),
        }
    }
}

struct Headline {
    label: String,
    value: String,
    unit: &'static str,
    note: String,
}

fn headlines(result: &RunResult, summary: &Summary) -> Vec<Headline> {
    let suspect = if result.verdict.status == Status::Invalid { "; not the hub’s" } else { "" };
    let scope = if summary.warmup_only { "in warm-up" } else { "outside warm-up" };
    let messages = &summary.messages;
    let empty = Totals::default();
    let main = summary.main_operation().map_or((&empty, scope), |main| (main.headline().0, main.scope()));
    let connect = summary.operation(Operation::Connect).map_or(&empty, |connect| &connect.all);
    let latency = |label: String, totals: &Totals, scope: &str| {
        let at = |quantile| totals.response.quantile(quantile);
        let (value, unit) = split_unit(&format::us(at(0.99)));
        let note = format!("median {}, {scope}{suspect}", micro(&format::us(at(0.5))));
        Headline { label, value, unit, note }
    };
    let name = summary.main_operation().map_or("message", |main| main.name());
    vec![
        Headline {
            label: "Devices online, peak".to_owned(),
            value: human_count(summary.online_peak),
            unit: "",
            note: format!("of {}", human_count(summary.devices)),
        },
        Headline {
            label: "Messages ok".to_owned(),
            value: format::share(messages.ok(), messages.due),
            unit: "",
            note: format!("{} of {} due {scope}", human_count(messages.ok()), human_count(messages.due)),
        },
        Headline {
            label: "Messages achieved".to_owned(),
            value: format::rate(summary.achieved_rate()),
            unit: "/s",
            note: format!("{}/s offered, mean {scope}", format::rate(summary.offered_rate())),
        },
        latency(format!("Response p99, {}", plain(name)), main.0, main.1),
        latency("Connect p99".to_owned(), connect, "whole run"),
    ]
}

/// `67.8 ms` as its number and its unit; what has no unit stays whole.
fn split_unit(text: &str) -> (String, &'static str) {
    for (suffix, unit) in [(" µs", "µs"), (" ms", "ms"), (" s", "s")] {
        if let Some(number) = text.strip_suffix(suffix) {
            return (number.to_owned(), unit);
        }
    }
    (text.to_owned(), "")
}

/// Number and unit on one line.
fn micro(text: &str) -> String {
    text.replace(" µs", "\u{a0}µs").replace(" ms", "\u{a0}ms").replace(" s", "\u{a0}s")
}

struct ThresholdView {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    metric: String,
    expression: String,
    observed: String,
    words: String,
    samples: String,
    bar: String,
}

fn thresholds(result: &RunResult) -> Vec<ThresholdView> {
    result
        .thresholds
        .iter()
        .map(|threshold| {
            let (class, mark, word) = match margin::status(threshold) {
                ThresholdStatus::Passed => ("passed", "✓", "passed"),
                ThresholdStatus::Undecided => ("undecided", "?", "undecided"),
                ThresholdStatus::InsufficientSamples => ("failed", "?", "not enough data"),
                ThresholdStatus::Failed => ("failed", "✗", "failed"),
            };
            ThresholdView {
                class,
                mark,
                word,
                metric: metric(threshold),
                // One piece, unless it is longer than a line.
                expression: plain(&threshold.expression).replace(' ', "\u{a0}"),
                observed: micro(&plain(&threshold.observed_text)),
                words: margin::words(threshold),
                samples: human_count(threshold.samples),
                bar: bar(margin::used(threshold), threshold.passed),
            }
        })
        .collect()
}

/// What was used of the limit, on a track with the limit marked; its words stand beside it.
fn bar(used: Option<f64>, passed: bool) -> String {
    let at = margin::LIMIT_AT * 100.0;
    let length = used.map_or(0.0, |used| (used * at).min(100.0));
    let colour = if passed { "good" } else { "bad" };
    format!(
        "<svg class=\"bar {colour}\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" fill=\"#D9DEE5\" y=\"3\" width=\"100\" height=\"4\"/>\
         <rect class=\"used\" y=\"3\" width=\"{length:.1}\" height=\"4\"/>\
         <rect class=\"limit\" x=\"{at:.1}\" width=\"0.8\" height=\"10\"/></svg>"
    )
}

fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let run = &result.run;
    let mut facts = vec![
        ("Scenario", plain(&run.scenario.file)),
        ("Target", target(result)),
        ("Command", plain(&run.argv.join(" "))),
    ];
    if !run.overrides.is_empty() {
        facts.push(("Overrides", plain(&run.overrides.join(", "))));
    }
    let git = result.tool.git.as_ref().map(|git| format!(" ({})", plain(git))).unwrap_or_default();
    let cores = format::plural(run.host.cores.into(), "core", "cores");
    facts.extend([
        ("Seed", run.seed.to_string()),
        ("Load from", format!("{}, {}, {cores}", plain(&run.host.os), plain(&run.host.cpu))),
        ("Made by", format!("{} {}{git}", plain(&result.tool.name), plain(&result.tool.version))),
        ("Run id", plain(&run.id)),
    ]);
    facts
}

struct PhaseRow {
    name: String,
    warmup: bool,
    cells: [String; 9],
}

fn phase_row(result: &RunResult, summary: &Summary, phase: &Phase) -> PhaseRow {
    let length_us = phase.end_us.saturating_sub(phase.start_us);
    let main =
        summary.main_operation().and_then(|main| main.phases.iter().find(|part| part.name == phase.name));
    let inside = result
        .measurement
        .series
        .rows
        .iter()
        .filter(|row| (phase.start_us..phase.end_us).contains(&row.t_us));
    let online = inside.clone().map(|row| row.online).max();
    let cpu = inside.clone().map(|row| row.cpu_percent).fold(0.0, f64::max);
    let seconds = length(phase);
    let totals = main.map(|part| &part.totals);
    let due = totals.map(|totals| per_second(totals.due, seconds));
    // By when they were acked: an overloaded hub shows here.
    let acked = summary.main_operation().map(|main| {
        let acks = during(&result.measurement, phase, |row| row.interval.response.of(main.operation).count());
        if seconds > 0.0 { acks / seconds } else { 0.0 }
    });
    let per_s = |rate: Option<f64>| rate.map_or_else(|| NONE.to_owned(), format::rate);
    let at = |quantile| micro(&format::us(totals.and_then(|totals| totals.response.quantile(quantile))));
    PhaseRow {
        name: plain(&phase.name),
        warmup: phase.warmup,
        cells: [
            format!("{} + {}", format::instant(phase.start_us), format::span(length_us)),
            span_percent(phase.planned_online),
            online.map_or_else(|| NONE.to_owned(), human_count),
            span_percent(phase.planned_load),
            per_s(due),
            per_s(acked),
            totals.map_or_else(|| NONE.to_owned(), |totals| human_count(totals.due - totals.ok())),
            format!("{} / {}", at(0.5), at(0.99)),
            format!("{cpu:.0}%"),
        ],
    }
}

/// `0% → 100%`, or one number where it stays.
fn span_percent([from, to]: [f64; 2]) -> String {
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    if (from - to).abs() < 1e-9 { percent(from) } else { format!("{} → {}", percent(from), percent(to)) }
}

struct OperationView {
    name: String,
    no_ack: bool,
    closed_loop: bool,
    rows: Vec<OperationRow>,
}

struct OperationRow {
    label: String,
    note: &'static str,
    total: bool,
    cells: [String; 9],
    not_ok: String,
}

impl OperationView {
    fn of(operation: &super::summary::OperationSummary) -> OperationView {
        let mut rows: Vec<OperationRow> = Vec::new();
        // A total of one part would say the same twice.
        if operation.phases.iter().filter(|part| !part.warmup).count() > 1 {
            rows.push(operation_row("total", "without warm-up", true, &operation.total));
        }
        rows.extend(operation.phases.iter().map(part_row));
        if operation.fleets.len() > 1 {
            let fleets = operation.fleets.iter();
            rows.extend(fleets.map(|part| {
                operation_row(&format!("fleet {}", part.name), "without warm-up", false, &part.totals)
            }));
        }
        let (no_ack, closed_loop) = (operation.all.no_ack, operation.all.closed_loop);
        OperationView { name: operation.name().to_owned(), no_ack, closed_loop, rows }
    }
}

fn part_row(part: &Part) -> OperationRow {
    operation_row(&part.name, if part.warmup { "warm-up" } else { "" }, false, &part.totals)
}

fn operation_row(label: &str, note: &'static str, total: bool, totals: &Totals) -> OperationRow {
    let response = |quantile| micro(&format::us(totals.response.quantile(quantile)));
    let not_ok = not_ok(totals)
        .iter()
        .map(|(name, count)| format!("{} {name}", human_count(*count)))
        .collect::<Vec<_>>();
    OperationRow {
        label: plain(label),
        note,
        total,
        cells: [
            human_count(totals.ok()),
            human_count(totals.due),
            format::share(totals.ok(), totals.due),
            response(0.5),
            response(0.95),
            response(0.99),
            response(0.999),
            micro(&format::us(totals.response.max())),
            micro(&format::us(totals.service.quantile(0.99))),
        ],
        not_ok: plain(&not_ok.join(", ")),
    }
}

fn fleets(result: &RunResult) -> Vec<[String; 8]> {
    let row = |fleet: &crate::measure::Fleet| {
        [
            plain(&fleet.name),
            human_count(fleet.devices),
            human_count(fleet.connected_peak),
            human_count(fleet.counts.reconnects),
            human_count(fleet.counts.renewals),
            human_count(fleet.counts.late_acks),
            human_bytes(fleet.counts.bytes_sent),
            human_bytes(fleet.counts.bytes_received),
        ]
    };
    result.measurement.fleets.iter().map(row).collect()
}

/// What became of each tracked stream.
fn streams(result: &RunResult) -> Vec<[String; 6]> {
    let row = |stream: &crate::measure::Stream| {
        let [ok, lost, duplicates, reordered] =
            [stream.ok, stream.lost, stream.duplicates, stream.reordered].map(human_count);
        [plain(&stream.fleet), plain(&stream.topic), ok, lost, duplicates, reordered]
    };
    result.measurement.streams.iter().map(row).collect()
}

struct ErrorView {
    class: String,
    culprit: String,
    count: String,
    first: String,
    last: String,
    example: String,
}

fn errors(result: &RunResult) -> Vec<ErrorView> {
    let view = |error: &crate::measure::ErrorTotals| ErrorView {
        class: plain(&error.class),
        culprit: culprit(error.culprit).to_owned(),
        count: human_count(error.count),
        first: format::instant(error.first_us),
        last: format::instant(error.last_us),
        example: plain(&error.example),
    };
    result.measurement.errors.iter().map(view).collect()
}

struct FindingView {
    warning: bool,
    text: String,
    evidence: String,
}

fn findings(result: &RunResult) -> Vec<FindingView> {
    let view = |finding: &crate::result::model::Finding| FindingView {
        warning: finding.severity == Severity::Warning,
        text: plain(&finding.text),
        evidence: plain(&finding.evidence),
    };
    result.findings.iter().map(view).collect()
}

fn health(result: &RunResult) -> Vec<(&'static str, String)> {
    let generator = &result.generator;
    let messages = generator.lag.count();
    vec![
        ("Workers", human_count(generator.workers.into())),
        ("CPU, mean", format!("{} of one core", cpu_average(result))),
        ("CPU, peak", format!("{:.0}% of one core", generator.cpu_peak_percent)),
        ("Memory, peak", human_bytes(generator.rss_peak_bytes)),
        ("Open descriptors, peak", human_count(generator.fd_peak)),
        ("Lag (picked up late)", quantiles(&generator.lag)),
        (
            "Over 100 ms late",
            format!("{} of {}", human_count(generator.late), format::plural(messages, "message", "messages")),
        ),
        ("Heartbeat lateness", quantiles(&generator.heartbeat)),
    ]
}

fn quantiles(latency: &Latency) -> String {
    if latency.is_empty() {
        return "no samples".to_owned();
    }
    let [p99, p999, max] =
        [latency.quantile(0.99), latency.quantile(0.999), latency.max()].map(|us| micro(&format::us(us)));
    format!("p99 {p99}, p99.9 {p999}, worst {max}")
}

fn emulator(result: &RunResult) -> Vec<(&'static str, String)> {
    let Some(emulator) = &result.emulator else { return Vec::new() };
    let mut rows = vec![
        ("CPU time", micro(&format::us(Some(emulator.cpu_us)))),
        ("Memory, peak", human_bytes(emulator.rss_peak_bytes)),
        ("CONNECTs accepted", human_count(emulator.accepted)),
        ("CONNECTs refused", human_count(emulator.refused)),
        ("Telemetry taken", human_count(emulator.telemetry)),
    ];
    // Those that did not happen are not worth a line.
    rows.extend(
        [
            ("Connections taken over", emulator.taken_over),
            ("Connections ended with their token", emulator.expired),
            ("Connections that broke a rule", emulator.protocol_errors),
            ("Connections that failed in TLS", emulator.tls_failed),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| (what, human_count(count))),
    );
    rows
}
