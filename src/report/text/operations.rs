//! The table of operations in the summary. Called by `text`. On a narrow terminal, the table is split into two: response times, then
//! outcomes and service times. Uses only the summary of a result.

use super::writer::{DIM, Writer};
use crate::measure::Totals;
use crate::report::format::{self, plain};
use crate::report::summary::{OperationSummary, Summary, not_ok};
use crate::report::width::{columns, pad, pad_left};
use crate::units::human_count;

/// Columns before the label of a row.
const INDENT: usize = 2;
/// Headings of the cells of a [`Row`].
const OUTCOMES: [&str; 2] = ["ok / due", "rate(ok)"];
const RESPONSE: [&str; 5] = ["p50", "p95", "p99", "p99.9", "max"];
const SERVICE: [&str; 1] = ["p99"];

/// A row of the table.
struct Row {
    label: String,
    outcomes: [String; 2],
    response: [String; 5],
    service: [String; 1],
    /// Outcomes other than ok.
    not_ok: Option<String>,
    /// How to read the response times.
    notes: Vec<&'static str>,
}

/// A group of columns under one heading.
struct Group<'a> {
    title: &'a str,
    head: &'a [&'a str],
    cells: fn(&Row) -> &[String],
}

const BY_OUTCOME: Group<'_> = Group { title: "", head: &OUTCOMES, cells: |row| &row.outcomes };
const BY_RESPONSE: Group<'_> =
    Group { title: "response (due to ack)", head: &RESPONSE, cells: |row| &row.response };
const BY_SERVICE: Group<'_> = Group { title: "service", head: &SERVICE, cells: |row| &row.service };

/// Writes the section.
pub(super) fn operations(out: &mut Writer, summary: &Summary) {
    out.heading("Operations");
    if summary.operations.is_empty() {
        out.line("  no operations were due");
        return;
    }
    let has_warmup = |summary: &&OperationSummary| summary.total.due > 0 && summary.warmup.due > 0;
    if summary.operations.iter().find(has_warmup).is_some() {
        let note = out.styled(DIM, "warm-up phases have rows of their own");
        out.line(&format!("  {note}"));
    }
    let mut rows: Vec<Row> = summary.operations.iter().flat_map(rows).collect();
    let whole = [BY_OUTCOME, BY_RESPONSE, BY_SERVICE];
    let most = out.columns();
    if table_columns(&rows, &whole) <= most {
        table(out, &rows, &whole, true, true);
        return;
    }
    let halves = [&[BY_RESPONSE][..], &[BY_OUTCOME, BY_SERVICE]];
    if halves.iter().any(|half| table_columns(&rows, half) > most) {
        rows.iter_mut().for_each(Row::tighten);
    }
    table(out, &rows, halves[0], true, false);
    out.line("");
    table(out, &rows, halves[1], false, true);
}

/// Returns the rows of an operation: the total, its phases, and its warm-up.
fn rows(summary: &OperationSummary) -> Vec<Row> {
    let (totals, label) = summary.headline();
    // The total includes the outcomes of the other phases, but not of the warm-up.
    let name =
        if label == "total" { summary.name().to_owned() } else { format!("{} {label}", summary.name()) };
    let mut rows = vec![Row { not_ok: outcomes(totals), ..Row::new(name, totals) }];
    let measured = summary.phases.iter().filter(|part| !part.warmup);
    if measured.clone().count() > 1 && summary.operation.is_message() {
        rows.extend(measured.map(|part| Row::new(format!("  - {}", plain(&part.name)), &part.totals)));
    }
    if summary.total.due > 0 && summary.warmup.due > 0 {
        let warmup = &summary.warmup;
        rows.push(Row { not_ok: outcomes(warmup), ..Row::new("  - warm-up".to_owned(), warmup) });
    }
    if let Some(last) = rows.last_mut() {
        let no_ack = "no acknowledgment: a QoS 0 message is ok once it is sent";
        let closed = "closed loop, not corrected for coordinated omission";
        last.notes.extend(totals.no_ack.then_some(no_ack));
        last.notes.extend(totals.closed_loop.then_some(closed));
    }
    rows
}

fn outcomes(totals: &Totals) -> Option<String> {
    let outcomes = not_ok(totals);
    let outcomes: Vec<String> =
        outcomes.iter().map(|(outcome, count)| format!("{} {outcome}", human_count(*count))).collect();
    (!outcomes.is_empty()).then(|| plain(&outcomes.join(", ")))
}

impl Row {
    fn new(label: String, totals: &Totals) -> Row {
        let response = |quantile| format::us(totals.response.quantile(quantile));
        Row {
            label,
            outcomes: [
                format!("{} / {}", human_count(totals.ok()), human_count(totals.due)),
                format::share(totals.ok(), totals.due),
            ],
            response: [
                response(0.5),
                response(0.95),
                response(0.99),
                response(0.999),
                format::us(totals.response.max()),
            ],
            service: [format::us(totals.service.quantile(0.99))],
            not_ok: None,
            notes: Vec::new(),
        }
    }

    /// Removes the spaces before units: `1.44ms`.
    fn tighten(&mut self) {
        for cell in self.response.iter_mut().chain(&mut self.service) {
            *cell = cell.replace(' ', "");
        }
    }
}

/// Returns the width of each column of a group.
fn widths(rows: &[Row], group: &Group<'_>) -> Vec<usize> {
    let mut widths: Vec<usize> = group.head.iter().map(|head| columns(head)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip((group.cells)(row)) {
            *width = (*width).max(columns(cell));
        }
    }
    // The title is above the columns, and may be wider.
    let total: usize = widths.iter().sum::<usize>() + widths.len() - 1;
    widths[0] += columns(group.title).saturating_sub(total);
    widths
}

fn cells_columns(rows: &[Row], groups: &[Group<'_>]) -> usize {
    groups.iter().flat_map(|group| widths(rows, group)).map(|width| width + 1).sum()
}

fn label_columns(rows: &[Row]) -> usize {
    rows.iter().map(|row| columns(&row.label)).max().unwrap_or(0)
}

fn table_columns(rows: &[Row], groups: &[Group<'_>]) -> usize {
    INDENT + label_columns(rows) + cells_columns(rows, groups)
}

/// Writes a table with these groups of columns. A label that leaves no space for the cells gets a line of its own.
fn table(out: &mut Writer, rows: &[Row], groups: &[Group<'_>], with_notes: bool, with_outcomes: bool) {
    let label = label_columns(rows).min(out.columns().saturating_sub(INDENT + cells_columns(rows, groups)));
    let indent = " ".repeat(INDENT);
    let head = |cell: &dyn Fn(&Group<'_>, &[usize]) -> String| {
        groups.iter().fold(indent.clone() + &" ".repeat(label), |line, group| {
            line + &cell(group, &widths(rows, group))
        })
    };
    let titles = head(&|group, widths| {
        format!(" {}", pad(group.title, widths.iter().sum::<usize>() + widths.len() - 1))
    });
    let heads = head(&|group, widths| aligned(group.head.iter().copied(), widths));
    for line in [titles, heads] {
        let line = out.styled(DIM, line.trim_end());
        out.line(&line);
    }
    for row in rows {
        let cells = groups
            .iter()
            .map(|group| aligned((group.cells)(row).iter().map(String::as_str), &widths(rows, group)));
        let cells: String = cells.collect();
        if columns(&row.label) <= label {
            out.line(&format!("{indent}{}{cells}", pad(&row.label, label)));
        } else {
            out.wrapped(&indent.repeat(2), "      ", &row.label);
            out.line(&format!("{indent}{}{cells}", " ".repeat(label)));
        }
        if let Some(outcomes) = row.not_ok.as_ref().filter(|_| with_outcomes) {
            out.wrapped("      not ok: ", "        ", outcomes);
        }
        for note in row.notes.iter().filter(|_| with_notes) {
            out.wrapped("      ", "      ", note);
        }
    }
}

fn aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    cells.zip(widths).map(|(cell, width)| format!(" {}", pad_left(cell, *width))).collect()
}
