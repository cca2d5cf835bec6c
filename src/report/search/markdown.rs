//! A capacity result as Markdown, for pull requests and job summaries. At most 60 KB long. Called by `app`.

use super::level::level_text;
use super::words;
use crate::capacity::measured::CapacityResult;
use crate::report::format::rate_text;
use crate::report::formats::markdown::escape::{code, item, prose};
use crate::report::formats::markdown::{row, section, table};

/// The maximum number of bytes of each section. Together with the headings, they stay below 60 KB.
const ASSERTIONS_BYTES: usize = 8_000;
const CRITERIA_BYTES: usize = 10_000;
const TRIALS_BYTES: usize = 26_000;
const FACTS_BYTES: usize = 8_000;

/// Renders a capacity result as Markdown.
#[must_use]
pub fn markdown(result: &CapacityResult) -> String {
    let vary = result.search.vary;
    let name = prose(&result.run.scenario.name);
    let mut out = format!("## {}: {name}\n\n", prose(&words::headline(result)));
    for sentence in words::sentences(result) {
        out.push_str(&format!("{}.\n", item(&sentence)));
    }
    if !result.assertions.is_empty() {
        let rows: Vec<String> = result
            .assertions
            .iter()
            .map(|one| row(&[words::status(one.status).to_owned(), code(&one.text), prose(&one.reason)]))
            .collect();
        let heading = format!("\n### Assertions\n\n{}", table(&["Outcome", "Assertion", "Reason"], 0));
        section(&mut out, &heading, &rows, ASSERTIONS_BYTES);
    }
    if !result.trials.is_empty() {
        let rows: Vec<String> = result
            .criteria
            .iter()
            .map(|one| row(&[code(&one.criterion), words::interval(vary, one)]))
            .collect();
        let heading = format!("\n### Each criterion alone\n\n{}", table(&["Criterion", "Capacity"], 0));
        section(&mut out, &heading, &rows, CRITERIA_BYTES);
        let columns = ["Trial", "Verdict", "Offered", "Ok", "p50", "p99", "Errors", "Backlog", "Reason"];
        let heading = format!("\n### Trials\n\n{}", table(&columns, 2));
        let rows: Vec<String> = result
            .trials
            .iter()
            .map(|trial| {
                row(&[
                    trial.number.to_string(),
                    words::verdict(trial.verdict).to_owned(),
                    level_text(vary, &trial.level),
                    rate_text(trial.achieved_per_s),
                    words::latency(trial.p50_us),
                    words::latency(trial.p99_us),
                    words::errors(trial),
                    words::backlog(trial),
                    prose(&trial.reason),
                ])
            })
            .collect();
        section(&mut out, &heading, &rows, TRIALS_BYTES);
    }
    let facts: Vec<String> = words::facts(result)
        .into_iter()
        .map(|(name, value)| row(&[name.to_owned(), prose(&value)]))
        .collect();
    let heading =
        format!("\n<details>\n<summary>What was searched</summary>\n\n{}", table(&["Fact", "Value"], 0));
    section(&mut out, &heading, &facts, FACTS_BYTES);
    out.push_str("\n</details>\n");
    for note in &result.notes {
        out.push_str(&format!("\n{}.\n", item(note)));
    }
    out
}
