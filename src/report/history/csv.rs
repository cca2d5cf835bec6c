//! A history as CSV: a row for each run, with a column for each metric, as Apache Otava reads it. RFC 4180: a header, commas, CRLF. Times are
//! ISO 8601 in UTC; latencies are in microseconds, shares are fractions of 1. Called by `app`. Uses only the history.
//!
//! Otava refuses a file with an empty value, and a value that is not a number hides the changes around it. So runs without a value, and runs
//! whose measurement is invalid or incomplete, have no row.

use super::super::ReportError;
use super::{Group, HistoryRun};
use crate::report::format::plain;
use crate::result::metric::{MetricSpec, MetricUnit};
use csv::{Terminator, WriterBuilder};

/// The columns before the metrics.
const ATTRIBUTES: [&str; 7] = ["time", "run", "verdict", "version", "commit", "host", "target"];

/// A rendered table.
#[derive(Debug)]
pub struct Table {
    /// Text of the file.
    pub text: String,
    /// Runs without a row: the file, and the reason.
    pub left_out: Vec<(String, String)>,
}

/// Renders the runs of a group.
///
/// # Errors
/// Writing a table can fail in general, but never in memory.
pub fn csv(group: &Group) -> Result<Table, ReportError> {
    let mut out = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let metrics = group.metrics.iter().map(column);
    out.write_record(ATTRIBUTES.into_iter().map(str::to_owned).chain(metrics))?;
    let mut left_out = Vec::new();
    for run in &group.runs {
        match values(group, run) {
            Ok(values) => out.write_record(attributes(run).into_iter().chain(values))?,
            Err(reason) => left_out.push((run.file.clone(), reason)),
        }
    }
    let bytes = out.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))?;
    Ok(Table { text: String::from_utf8_lossy(&bytes).into_owned(), left_out })
}

/// Returns the name of a metric's column: `telemetry p(99) us`.
fn column(metric: &MetricSpec) -> String {
    let unit = match metric.aggregate.unit() {
        MetricUnit::Us => " us",
        MetricUnit::PerSecond => " per s",
        MetricUnit::Share | MetricUnit::Count => "",
    };
    cell(&format!("{}{unit}", plain(&metric.to_string())))
}

fn attributes(run: &HistoryRun) -> [String; 7] {
    let [id, word, version, commit, host, target] = [
        run.id.as_str(),
        &run.banner.word.to_lowercase(),
        run.version.split(' ').next().unwrap_or_default(),
        &run.commit,
        &run.host,
        &run.target,
    ]
    .map(cell);
    [run.started.to_string(), id, word, version, commit, host, target]
}

/// Returns the values of a run, or why it has no row.
fn values(group: &Group, run: &HistoryRun) -> Result<Vec<String>, String> {
    if !run.is_valid {
        return Err(match run.banner.class {
            "invalid" => "its measurement is invalid".to_owned(),
            _ => "the run is incomplete".to_owned(),
        });
    }
    let values = run.values.iter().zip(&group.metrics);
    let value = |(reading, metric): (&Option<super::Reading>, &MetricSpec)| {
        reading.map(|reading| reading.value.to_string()).ok_or_else(|| format!("it has no value of {metric}"))
    };
    values.map(value).collect()
}

/// Returns text for a cell. A spreadsheet would take a text with one of these characters at its start for a formula; an apostrophe makes it
/// text.
fn cell(text: &str) -> String {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        for (text, expected) in
            [("=1+1", "'=1+1"), ("@a", "'@a"), (" -x", "' -x"), ("+1", "'+1"), ("a=1", "a=1"), ("", "")]
        {
            assert_eq!(cell(text), expected, "{text}");
        }
    }
}
