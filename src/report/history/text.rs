//! A history as text for the terminal: a table for each group, split into several if it is wider than the terminal. Called by `app`. Uses
//! only the history.

use super::super::text::writer::{DIM, FAILED, PASSED, WARNING, Writer};
use super::super::width::{Width, columns, pad, pad_left};
use super::{Group, History, HistoryRun};
use crate::report::format::shorten;

/// Space before each row, and between cells.
const INDENT: &str = "  ";
/// The maximum width of a heading. Longer selectors are cut; a column per line would be too wide otherwise.
const HEAD_COLUMNS_MAX: usize = 36;
/// The heading of the column with the start times.
const STARTED: &str = "started (UTC)";

/// Returns the history as text of this width that ends in a line break. `color` adds ANSI styles.
#[must_use]
pub fn text(history: &History, color: bool, width: Width) -> String {
    let mut out = Writer::new(color, width);
    for (index, group) in history.groups.iter().enumerate() {
        if index == 0 {
            out.line(&group.title());
        } else {
            out.heading(&group.title());
        }
        tables(&mut out, group);
    }
    out.text
}

/// A column with a metric: three lines of heading (operation, selectors, aggregate), and the cells.
struct Column {
    head: [String; 3],
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        self.head.iter().chain(&self.cells).map(|text| columns(text)).max().unwrap_or(0)
    }
}

fn tables(out: &mut Writer, group: &Group) {
    let metric_columns = group.metrics.iter().enumerate().map(|(index, metric)| {
        let (key, aggregate) = super::metric::parts(metric);
        let cell = |run: &HistoryRun| {
            let reading = run.values.get(index).copied().flatten();
            let mark = if reading.is_some_and(|reading| reading.few) { "*" } else { "" };
            format!("{mark}{}", super::metric::reading_text(metric, reading))
        };
        let (operation, selectors) = key.split_at(key.find('{').unwrap_or(key.len()));
        // Without selectors, the operation stands directly above the aggregate.
        let lines = if selectors.is_empty() {
            ["", operation, &aggregate]
        } else {
            [operation, selectors, &aggregate]
        };
        Column {
            head: lines.map(|line| shorten(line, HEAD_COLUMNS_MAX)),
            cells: group.runs.iter().map(cell).collect(),
        }
    });
    let metric_columns: Vec<Column> = metric_columns.collect();
    let words = group.runs.iter().map(|run| columns(run.banner.word) + 2);
    let verdict_columns = words.max().unwrap_or(0).max("verdict".len());
    // A time such as `2026-11-23 10:15:00`.
    let first = INDENT.len() + 19 + INDENT.len() + verdict_columns;
    let mut rest = metric_columns.as_slice();
    let mut is_first = true;
    while is_first || !rest.is_empty() {
        let mut used = first;
        let fits = |column: &&Column| {
            used += INDENT.len() + column.width();
            used <= out.columns()
        };
        // A table has at least one column of values.
        let count = rest.iter().take_while(fits).count().max(rest.len().min(1));
        let (columns, others) = rest.split_at(count);
        if !is_first {
            out.line("");
        }
        table(out, group, columns, verdict_columns, is_first);
        (rest, is_first) = (others, false);
    }
    if metric_columns.iter().flat_map(|column| &column.cells).any(|cell| cell.starts_with('*')) {
        out.wrapped("  ", "  ", "* fewer than 10 samples beyond the percentile");
    }
}

fn table(out: &mut Writer, group: &Group, metrics: &[Column], verdict_columns: usize, with_changes: bool) {
    let is_used = |line: &usize| *line > 0 || metrics.iter().any(|column| !column.head[0].is_empty());
    for line in (0..3).filter(is_used) {
        let (time, verdict) = if line == 2 { (STARTED, "verdict") } else { ("", "") };
        let mut text = format!("{INDENT}{}{INDENT}{}", pad(time, 19), pad(verdict, verdict_columns));
        for column in metrics {
            text += &format!("{INDENT}{}", pad_left(&column.head[line], column.width()));
        }
        let text = out.styled(DIM, text.trim_end());
        out.line(&text);
    }
    for (index, run) in group.runs.iter().enumerate() {
        if with_changes {
            for change in &run.changes {
                out.wrapped(&format!("{INDENT}> "), &format!("{INDENT}  "), &change.words());
            }
        }
        let style = match run.banner.class {
            "pass" => PASSED,
            "fail" => FAILED,
            _ => WARNING,
        };
        let word = format!("{} {}", run.banner.mark, run.banner.word.to_lowercase());
        let verdict = out.styled(style, &pad(&word, verdict_columns));
        let mut text = format!("{INDENT}{}{INDENT}{verdict}", run.started.strftime("%Y-%m-%d %H:%M:%S"));
        for column in metrics {
            let cell = column.cells.get(index).map_or("", String::as_str);
            text += &format!("{INDENT}{}", pad_left(cell, column.width()));
        }
        out.line(&text);
    }
}
