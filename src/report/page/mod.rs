//! The page. The input is a result; the output is a self-contained HTML file without scripts or external resources. Called by `app`.
//! Uses only the result.
//!
//! `templates/report.html` contains text and structure, `templates/report.css` the style. The files in this folder turn numbers into the
//! strings for the template. Askama escapes everything that is not marked safe. Only the charts, the bars and the style sheet for colors
//! are marked safe.

mod health;
mod thresholds;
mod tiles;
mod unit;

use super::banner::Banner;
use super::charts::{Panel, headline, spectrum, theme, timeline};
use super::format::{self, NONE, plain, plain_lines};
use super::summary::{Part, Summary, length, not_ok, per_second, sum_during};
use super::text::{culprit, target};
use super::{ReportError, from_hub, margin};
use crate::measure::{Operation, Phase, Totals};
use crate::result::model::{RunResult, Severity};
use crate::units::{human_bytes, human_count};
use askama::Template;
use health::SourceRow;
use thresholds::ThresholdView;
use tiles::Tile;
use unit::keep_together;

/// Renders the page of a run.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(result: &RunResult) -> Result<String, ReportError> {
    let summary = Summary::of(result);
    let main = summary.main_operation();
    let main_operation = main.map_or(Operation::Telemetry, |main| main.operation);
    let main_name = main_operation.name();
    let spectrum = match main {
        Some(main) => spectrum::draw(main.operation, main.scope(), main.headline().0)?,
        None => None,
    };
    let thresholds = thresholds::thresholds(result);
    let page = Page {
        palette: theme::css(),
        result,
        banner: Banner::of(result),
        warnings: warnings(result),
        name: plain(&result.run.scenario.name),
        started: format::date(&result.run.started),
        lasted: format::span(result.run.duration_us),
        tiles: tiles::tiles(result, &summary),
        thresholds_caption: thresholds::caption(&thresholds),
        thresholds,
        undecided: margin::undecided_note(&result.thresholds),
        facts: facts(result),
        scenario: plain_lines(&result.run.scenario.text),
        panels: timeline::panels(result, main_operation)?,
        phases: result.measurement.phases.iter().map(|phase| phase_row(result, &summary, phase)).collect(),
        headline: headline::draw(result, main_operation)?,
        spectrum,
        main_name: main_name.to_owned(),
        operations: summary.operations.iter().map(OperationView::of).collect(),
        fleets: fleets(result),
        from_hub: from_hub::table(result),
        streams: streams(result),
        foreign: human_count(result.measurement.count(|counts| counts.foreign)),
        errors: errors(result),
        findings: findings(result),
        sources: health::source_rows(result),
        generator: health::generator(result),
        emulator: health::emulator(result),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    palette: String,
    result: &'a RunResult,
    banner: Banner,
    /// Warnings that apply to every number. Usually empty.
    warnings: Vec<&'static str>,
    name: String,
    started: String,
    lasted: String,
    tiles: Vec<Tile>,
    thresholds: Vec<ThresholdView>,
    thresholds_caption: &'static str,
    undecided: Option<String>,
    facts: Vec<(&'static str, String)>,
    scenario: String,
    panels: Vec<Panel>,
    phases: Vec<PhaseRow>,
    headline: Option<Panel>,
    spectrum: Option<Panel>,
    main_name: String,
    operations: Vec<OperationView>,
    fleets: Vec<[String; 8]>,
    from_hub: from_hub::FromHubTable,
    streams: Vec<[String; 6]>,
    foreign: String,
    errors: Vec<ErrorView>,
    findings: Vec<FindingView>,
    sources: Vec<SourceRow>,
    generator: Vec<(&'static str, String)>,
    emulator: Vec<(&'static str, String)>,
}

fn warnings(result: &RunResult) -> Vec<&'static str> {
    let unverified = result.run.target.tls.as_ref().is_some_and(|tls| !tls.verified);
    if unverified { vec!["TLS certificates were not checked."] } else { Vec::new() }
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
        ("Load generator", format!("{}, {}, {cores}", plain(&run.host.os), plain(&run.host.cpu))),
        ("Version", format!("{} {}{git}", plain(&result.tool.name), plain(&result.tool.version))),
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
    // Count acknowledgments in the phase in which they arrived, not in the one in which the message was due: that shows whether the
    // hub is overloaded.
    let acked = summary.main_operation().map(|main| {
        let acks =
            sum_during(&result.measurement, phase, |row| row.interval.response.of(main.operation).count());
        if seconds > 0.0 { acks / seconds } else { 0.0 }
    });
    let per_s = |rate: Option<f64>| rate.map_or_else(|| NONE.to_owned(), format::rate);
    let at =
        |quantile| keep_together(&format::us(totals.and_then(|totals| totals.response.quantile(quantile))));
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

/// Formats a range as `0% → 100%`, or as one number if both ends are equal.
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
        // With a single phase, the total would repeat the phase's row.
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
    let response = |quantile| keep_together(&format::us(totals.response.quantile(quantile)));
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
            keep_together(&format::us(totals.response.max())),
            keep_together(&format::us(totals.service.quantile(0.99))),
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

/// Returns the deliveries of each tracked stream.
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

#[cfg(test)]
mod tests;
