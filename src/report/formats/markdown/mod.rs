//! The format `markdown`: the verdict with its reasons, thresholds, operations, errors and findings, for pull requests and job summaries.
//! The text is at most 60 KB long, because GitHub refuses longer comments. Called by `formats`. Uses only the result.

pub(in crate::report) mod escape;

use super::super::banner::Banner;
use super::super::format::{self, NONE};
use super::super::hub_view::{self, HubView};
use super::super::recoveries::{self as words, RecoveryWords};
use super::super::summary::{OperationSummary, Summary};
use super::super::{margin, targets, text};
use super::threshold::{limit, most_important_first, status_word};
use crate::measure::Totals;
use crate::result::model::{Finding, RunResult, Severity};
use crate::units::human_count;
use escape::{code, item, prose};

/// The maximum number of bytes of each section. Together with the headings, they stay below 60 KB.
const REASONS_BYTES: usize = 8_000;
const THRESHOLDS_BYTES: usize = 16_000;
const OPERATIONS_BYTES: usize = 9_000;
const HOSTS_BYTES: usize = 3_000;
const RECOVERIES_BYTES: usize = 3_000;
const FINDINGS_BYTES: usize = 8_000;
const HUB_BYTES: usize = 3_000;
const ERRORS_BYTES: usize = 8_000;
const ENVIRONMENT_BYTES: usize = 4_000;

/// Renders a result as Markdown.
pub(super) fn markdown(result: &RunResult, hub: Option<&HubView>) -> String {
    let mut out = String::new();
    verdict(&mut out, result);
    thresholds(&mut out, result);
    operations(&mut out, &Summary::of(result));
    hosts(&mut out, result);
    recoveries(&mut out, result);
    if let Some(view) = hub {
        hub_section(&mut out, view);
    }
    findings(&mut out, &hub_view::with_findings(result, hub));
    errors(&mut out, result);
    environment(&mut out, result);
    out
}

/// Adds a section: a heading, and as many rows as fit into `bytes`. A line says how many rows are left out.
pub(in crate::report) fn section(out: &mut String, heading: &str, rows: &[String], bytes: usize) {
    out.push_str(heading);
    let mut left = bytes;
    let mut added = 0;
    for row in rows {
        if row.len() >= left {
            break;
        }
        left -= row.len();
        added += 1;
        out.push_str(row);
        out.push('\n');
    }
    if added < rows.len() {
        let omitted = format::plural((rows.len() - added) as u64, "more row is", "more rows are");
        out.push_str(&format!("\n{omitted} left out. The result file and the HTML page show everything.\n"));
    }
}

pub(in crate::report) fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Returns the first two lines of a table. `numbers` is the number of columns at its end that are aligned to the right.
pub(in crate::report) fn table(columns: &[&str], numbers: usize) -> String {
    let lines = columns.iter().enumerate().map(|(index, _)| {
        if index + numbers >= columns.len() { " ---: ".to_owned() } else { " --- ".to_owned() }
    });
    format!("| {} |\n|{}|\n", columns.join(" | "), lines.collect::<Vec<_>>().join("|"))
}

fn verdict(out: &mut String, result: &RunResult) {
    let banner = Banner::of(result);
    out.push_str(&format!("## {}: {}\n", banner.word, prose(&result.run.scenario.name)));
    if !banner.meaning.is_empty() {
        out.push_str(&format!("\n{}\n", item(&banner.meaning)));
    }
    if !banner.reasons.is_empty() {
        let rows: Vec<String> = banner.reasons.iter().map(|reason| format!("- {}", item(reason))).collect();
        section(out, "\n", &rows, REASONS_BYTES);
    }
}

fn thresholds(out: &mut String, result: &RunResult) {
    if result.thresholds.is_empty() {
        return;
    }
    let thresholds = most_important_first(result);
    let rows: Vec<String> = thresholds
        .iter()
        .map(|threshold| {
            let margin = margin::words(threshold);
            row(&[
                status_word(margin::status(threshold)).to_owned(),
                code(&text::metric(threshold)),
                code(&threshold.expression),
                prose(&limit(threshold)),
                prose(&margin::observed(threshold)),
                if margin.is_empty() { NONE.to_owned() } else { margin },
            ])
        })
        .collect();
    let columns = ["Result", "Metric", "Threshold", "Limit", "Observed", "Margin"];
    let heading = format!("\n### Thresholds\n\n{}", table(&columns, 0));
    section(out, &heading, &rows, THRESHOLDS_BYTES);
    if let Some(note) = margin::undecided_note(&result.thresholds) {
        out.push_str(&format!("\n{}\n", prose(&note)));
    }
}

fn operations(out: &mut String, summary: &Summary) {
    if summary.operations.is_empty() {
        out.push_str("\n### Operations\n\nNo operations were due.\n");
        return;
    }
    let rows: Vec<String> = summary.operations.iter().flat_map(operation_rows).collect();
    let columns = ["Operation", "Scope", "ok / due", "rate(ok)", "p50", "p95", "p99", "p99.9", "max"];
    let heading = format!("\n### Operations\n\n{}", table(&columns, 7));
    section(out, &heading, &rows, OPERATIONS_BYTES);
    out.push_str(
        "\nLatencies are response times of ok operations, from the due time to the acknowledgment. ",
    );
    out.push_str("The total is without warm-up.\n");
}

/// Returns a row for the total, and for messages a row for each phase outside warm-up if there are several.
fn operation_rows(operation: &OperationSummary) -> Vec<String> {
    let (totals, scope) = operation.headline();
    let mut rows = vec![operation_row(&code(operation.name()), scope, totals)];
    let measured: Vec<_> = operation.phases.iter().filter(|part| !part.warmup).collect();
    if measured.len() > 1 && operation.operation.is_message() {
        rows.extend(measured.iter().map(|part| operation_row("", &code(&part.name), &part.totals)));
    }
    rows
}

fn operation_row(name: &str, scope: &str, totals: &Totals) -> String {
    let response = |quantile| format::us(totals.response.quantile(quantile));
    row(&[
        name.to_owned(),
        scope.to_owned(),
        format!("{} / {}", human_count(totals.ok()), human_count(totals.due)),
        format::share(totals.ok(), totals.due).replace('<', "&lt;"),
        response(0.5),
        response(0.95),
        response(0.99),
        response(0.999),
        format::us(totals.response.max()),
    ])
}

/// Adds the time until shares of the devices were online again after each disturbance.
fn recoveries(out: &mut String, result: &RunResult) {
    let rows: Vec<String> = words::table(result)
        .into_iter()
        .map(|found| {
            let RecoveryWords { start, cause, phase, lowest, reached, attempts, .. } = found;
            let [half, most, nearly_all, all] = reached;
            row(&[start, prose(&cause), code(&phase), lowest, half, most, nearly_all, all, attempts])
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    let columns =
        ["Start", "Disturbance", "Phase", "Lowest online", "50%", "90%", "99%", "100%", "Attempts, peak"];
    section(out, &format!("\n### Recoveries\n\n{}", table(&columns, 5)), &rows, RECOVERIES_BYTES);
}

/// Adds the hosts of a target that has several.
fn hosts(out: &mut String, result: &RunResult) {
    let rows = targets::rows(result);
    if rows.is_empty() {
        return;
    }
    let rows: Vec<String> = rows.iter().map(|cells| row(&cells.each_ref().map(|cell| prose(cell)))).collect();
    let heading = format!("\n### Hosts\n\n{}", table(&targets::COLUMNS, targets::COLUMNS.len() - 1));
    section(out, &heading, &rows, HOSTS_BYTES);
}

/// Adds the hub's metrics beside hubstorm's numbers.
fn hub_section(out: &mut String, view: &HubView) {
    let lead: Vec<String> = view.lead.iter().map(|sentence| prose(sentence)).collect();
    let not_used = view
        .not_used
        .iter()
        .map(|metric| row(&[prose(metric), NONE.to_owned(), NONE.to_owned(), "not shown".to_owned()]));
    let rows = view.rows.iter().map(|cells| row(&cells.each_ref().map(|cell| prose(cell))));
    let rows: Vec<String> = rows.chain(not_used).collect();
    let heading =
        format!("\n### {}\n\n{}\n\n{}", hub_view::HEADING, lead.join(" "), table(&hub_view::COLUMNS, 0));
    section(out, &heading, &rows, HUB_BYTES);
}

fn findings(out: &mut String, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    let rows: Vec<String> = findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Warning => "Warning",
                Severity::Note => "Note",
            };
            format!("- {severity}: {} ({})", prose(&finding.text), prose(&finding.evidence))
        })
        .collect();
    section(out, "\n### Findings\n\n", &rows, FINDINGS_BYTES);
}

fn errors(out: &mut String, result: &RunResult) {
    if result.measurement.errors.is_empty() {
        return;
    }
    let rows: Vec<String> = result
        .measurement
        .errors
        .iter()
        .map(|error| {
            row(&[
                code(&error.class),
                human_count(error.count),
                text::culprit(error.culprit).to_owned(),
                format!("{} to {}", format::instant(error.first_us), format::instant(error.last_us)),
                prose(&error.example),
            ])
        })
        .collect();
    let columns = ["Error", "Count", "Culprit", "Time", "Example"];
    section(out, &format!("\n### Errors\n\n{}", table(&columns, 0)), &rows, ERRORS_BYTES);
}

fn environment(out: &mut String, result: &RunResult) {
    let (run, tool) = (&result.run, &result.tool);
    let summary = Summary::of(result);
    let git = tool.git.as_ref().map_or_else(String::new, |git| format!(" ({git})"));
    let host = &run.host;
    let facts = [
        ("Scenario", format!("{}, seed {}", run.scenario.file, run.seed)),
        ("Overrides", run.overrides.join(", ")),
        ("Target", text::target(result)),
        ("Started", format!("{}, for {}", format::date(&run.started), format::span(run.duration_us))),
        (
            "Devices",
            format!(
                "{} of {} online at peak",
                human_count(summary.online_peak),
                human_count(summary.devices)
            ),
        ),
        (
            "Host",
            format!("{}, {}, {}", host.os, host.cpu, format::plural(host.cores.into(), "core", "cores")),
        ),
        ("Version", format!("{} {}{git}", tool.name, tool.version)),
        ("Run", run.id.clone()),
    ];
    let rows: Vec<String> = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| row(&[(*name).to_owned(), prose(value)]))
        .collect();
    // The blank line ends the HTML block, so that the table is Markdown again.
    let heading = format!("\n<details>\n<summary>Environment</summary>\n\n{}", table(&["Fact", "Value"], 0));
    section(out, &heading, &rows, ENVIRONMENT_BYTES);
    out.push_str("\n</details>\n");
}
