//! A comparison as Markdown, for pull requests and job summaries: the outcome and its reasons, a table of the metrics, what was compared, and
//! notes. At most 60 KB long. Called by `app`. Uses only the comparison.

use super::view::{MetricView, View};
use crate::capacity::comparison::CapacityComparison;
use crate::compare::model::Comparison;
use crate::report::formats::markdown::escape::{code, item, prose};
use crate::report::formats::markdown::{row, section, table};

/// The maximum number of bytes of each section. Together with the headings, they stay below 60 KB.
const REASONS_BYTES: usize = 10_000;
const METRICS_BYTES: usize = 28_000;
const NOTES_BYTES: usize = 8_000;
const FACTS_BYTES: usize = 8_000;

/// Renders a comparison of runs as Markdown.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    of(&View::of_runs(comparison))
}

/// Renders a comparison of capacities as Markdown.
#[must_use]
pub fn capacity_markdown(compared: &CapacityComparison) -> String {
    of(&View::of_capacities(compared))
}

fn of(view: &View) -> String {
    let mut out = format!("## {}: {}\n\n{}.\n", view.banner().0, prose(&view.name), item(&view.summary));
    let reasons: Vec<String> = view.explained().into_iter().map(reason).collect();
    if !reasons.is_empty() {
        section(&mut out, "\n", &reasons, REASONS_BYTES);
    }
    if !view.metrics.is_empty() {
        let columns = ["Outcome", "Metric", "Base", "New", "Change", "Tolerance"];
        let heading = format!("\n### Metrics\n\n{}", table(&columns, 4));
        let rows: Vec<String> = view.metrics.iter().map(metric_row).collect();
        section(&mut out, &heading, &rows, METRICS_BYTES);
        out.push_str(&format!("\n{}\n", view.caption));
    }
    if !view.notes.is_empty() {
        let rows: Vec<String> = view.notes.iter().map(|note| format!("- {}", item(note))).collect();
        section(&mut out, "\n### Notes\n\n", &rows, NOTES_BYTES);
    }
    let facts: Vec<String> = view
        .facts
        .iter()
        .map(|(name, base, new)| row(&[(*name).to_owned(), prose(base), prose(new)]))
        .collect();
    // The blank line ends the HTML block, so that the table is Markdown again.
    let heading = format!(
        "\n<details>\n<summary>What was compared</summary>\n\n{}",
        table(&["Fact", "Base", "New"], 0)
    );
    section(&mut out, &heading, &facts, FACTS_BYTES);
    out.push_str("\n</details>\n");
    out
}

fn reason(metric: &MetricView) -> String {
    format!("- {} {}: {}", code(&metric.name), metric.outcome.words(), prose(&metric.reasons))
}

fn metric_row(metric: &MetricView) -> String {
    row(&[
        metric.outcome.words().to_owned(),
        code(&metric.name),
        prose(&metric.base),
        prose(&metric.new),
        prose(&metric.change),
        prose(&metric.tolerance),
    ])
}
