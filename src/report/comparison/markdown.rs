//! A comparison as Markdown, for pull requests and job summaries: the outcome and its reasons, a table of the metrics, what was compared, and
//! notes. At most 60 KB long. Called by `app`. Uses only the comparison.

use super::words::{self, banner};
use crate::compare::model::{Comparison, Metric, Outcome};
use crate::report::formats::markdown::escape::{code, item, prose};
use crate::report::formats::markdown::{row, section, table};

/// The maximum number of bytes of each section. Together with the headings, they stay below 60 KB.
const REASONS_BYTES: usize = 10_000;
const METRICS_BYTES: usize = 28_000;
const NOTES_BYTES: usize = 8_000;
const FACTS_BYTES: usize = 8_000;

/// Renders a comparison as Markdown.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let (word, ..) = banner(comparison.outcome);
    let name = comparison.new.first().map_or_else(String::new, |run| prose(&run.scenario));
    let mut out = format!("## {word}: {name}\n\n{}.\n", item(&comparison.summary));
    let metrics = words::most_important_first(comparison);
    let decisive = metrics.iter().filter(|metric| metric.outcome != Outcome::SameOrBetter);
    let reasons: Vec<String> = decisive.filter_map(|metric| reason(metric)).collect();
    if !reasons.is_empty() {
        section(&mut out, "\n", &reasons, REASONS_BYTES);
    }
    if !metrics.is_empty() {
        let columns = ["Outcome", "Metric", "Base", "New", "Change", "Tolerance"];
        let heading = format!("\n### Metrics\n\n{}", table(&columns, 4));
        let rows: Vec<String> = metrics.iter().map(|metric| metric_row(metric)).collect();
        section(&mut out, &heading, &rows, METRICS_BYTES);
        out.push_str("\nA positive change is worse. The interval is that of two one-sided 95% bounds.\n");
    }
    if !comparison.notes.is_empty() {
        let rows: Vec<String> =
            comparison.notes.iter().map(|note| format!("- {}", item(&note.text))).collect();
        section(&mut out, "\n### Notes\n\n", &rows, NOTES_BYTES);
    }
    let facts: Vec<String> = words::facts(comparison)
        .into_iter()
        .map(|(name, base, new)| row(&[name.to_owned(), prose(&base), prose(&new)]))
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

fn reason(metric: &Metric) -> Option<String> {
    let reasons = words::reasons(metric);
    let outcome = metric.outcome.words();
    (!reasons.is_empty()).then(|| format!("- {} {outcome}: {}", code(&metric.name()), prose(&reasons)))
}

fn metric_row(metric: &Metric) -> String {
    row(&[
        metric.outcome.words().to_owned(),
        code(&metric.name()),
        prose(&words::value(metric, metric.base)),
        prose(&words::value(metric, metric.new)),
        prose(&words::change_with_interval(metric)),
        prose(&words::tolerance(metric)),
    ])
}
