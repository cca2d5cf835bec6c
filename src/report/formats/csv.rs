//! The format `csv`: `series.csv`, a row for each interval of the run, and `operations.csv`, a row for each operation, fleet and phase.
//! RFC 4180: a header, commas, CRLF. Times are ISO 8601 in UTC, durations are integers in microseconds. Missing numbers are empty.
//! Called by `formats`. Uses only the result.

use super::super::ReportError;
use crate::measure::{Latency, Operation, OperationTotals, Outcome, Row};
use crate::result::model::RunResult;
use csv::{Terminator, Writer, WriterBuilder};
use jiff::{SignedDuration, Timestamp};

/// The names of the files, in the order of [`csv`].
pub(super) const NAMES: [&str; 2] = ["series.csv", "operations.csv"];

/// The figures of a latency in `operations.csv`, without the number of samples.
const FIGURES: [(&str, Option<f64>); 7] = [
    ("p50_us", Some(0.5)),
    ("p90_us", Some(0.9)),
    ("p95_us", Some(0.95)),
    ("p99_us", Some(0.99)),
    ("p999_us", Some(0.999)),
    ("p9999_us", Some(0.9999)),
    ("max_us", None),
];
/// The figures of a latency in `series.csv`.
const ROW_FIGURES: [(&str, Option<f64>); 4] =
    [("p50_us", Some(0.5)), ("p99_us", Some(0.99)), ("p999_us", Some(0.999)), ("max_us", None)];

/// Renders both files.
pub(super) fn csv(result: &RunResult) -> Result<Vec<String>, ReportError> {
    Ok(vec![series(result)?, operations(result)?])
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new())
}

fn finish(writer: Writer<Vec<u8>>) -> Result<String, ReportError> {
    let bytes = writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the time of day at `us` after the start of the run; empty if the start is unknown.
fn time(result: &RunResult, us: u64) -> String {
    let started = result.run.started.parse::<Timestamp>().ok();
    let since = SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX));
    started
        .and_then(|started| started.checked_add(since).ok())
        .map_or_else(String::new, |time| time.to_string())
}

fn text(value: Option<u64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Returns the number of samples, followed by the figures.
fn figures(latency: &Latency, figures: &[(&str, Option<f64>)]) -> Vec<String> {
    let figure = |quantile: &Option<f64>| quantile.map_or_else(|| latency.max(), |q| latency.quantile(q));
    let figures = figures.iter().map(|(_, quantile)| text(figure(quantile)));
    std::iter::once(latency.count().to_string()).chain(figures).collect()
}

fn names(prefix: &str, figures: &[(&str, Option<f64>)]) -> Vec<String> {
    let names = figures.iter().map(|(name, _)| format!("{prefix}_{name}"));
    std::iter::once(format!("{prefix}_count")).chain(names).collect()
}

fn series(result: &RunResult) -> Result<String, ReportError> {
    let series = &result.measurement.series;
    let has = |operation: &Operation| {
        series.rows.iter().any(|row| !row.interval.response.of(*operation).is_empty())
    };
    let operations: Vec<Operation> = Operation::ALL.into_iter().filter(has).collect();
    let mut out = writer();
    let fixed = [
        "time",
        "t_us",
        "interval_us",
        "phase",
        "online",
        "planned_online",
        "offered",
        "achieved",
        "errors",
        "lag_max_us",
        "cpu_percent",
    ];
    let head = operations.iter().flat_map(|operation| names(operation.name(), &ROW_FIGURES));
    out.write_record(fixed.map(str::to_owned).into_iter().chain(head))?;
    for row in &series.rows {
        let Row { t_us, online, planned_online, interval, cpu_percent, .. } = row;
        let phase = result.measurement.phase_at(*t_us).map_or("", |phase| phase.name.as_str());
        let fixed = [
            time(result, *t_us),
            t_us.to_string(),
            series.interval_us.to_string(),
            phase.to_owned(),
            online.to_string(),
            planned_online.to_string(),
            interval.offered.to_string(),
            interval.achieved.to_string(),
            interval.errors.to_string(),
            interval.lag_max_us.to_string(),
            cpu_percent.to_string(),
        ];
        let latencies = operations.iter().map(|operation| interval.response.of(*operation));
        out.write_record(fixed.into_iter().chain(latencies.flat_map(|one| figures(one, &ROW_FIGURES))))?;
    }
    finish(out)
}

fn operations(result: &RunResult) -> Result<String, ReportError> {
    let mut out = writer();
    let mut head: Vec<String> = ["operation", "fleet", "phase", "warmup", "phase_start", "phase_end", "due"]
        .map(str::to_owned)
        .to_vec();
    head.extend(Outcome::ALL.map(|outcome| outcome.name().to_owned()));
    head.push("rate_ok".to_owned());
    head.extend(["response", "service", "wait", "lag"].into_iter().flat_map(|name| names(name, &FIGURES)));
    out.write_record(&head)?;
    for part in &result.measurement.operations {
        out.write_record(operation(result, part))?;
    }
    finish(out)
}

fn operation(result: &RunResult, part: &OperationTotals) -> Vec<String> {
    let phase = result.measurement.phase(&part.phase);
    let [start, end] = [phase.map(|phase| phase.start_us), phase.map(|phase| phase.end_us)]
        .map(|us| us.map_or_else(String::new, |us| time(result, us)));
    let totals = &part.totals;
    let warmup = phase.is_some_and(|phase| phase.warmup).to_string();
    let mut record = vec![part.operation.name().to_owned(), part.fleet.clone(), part.phase.clone(), warmup];
    record.extend([start, end, totals.due.to_string()]);
    record.extend(Outcome::ALL.map(|outcome| totals.outcome(outcome).to_string()));
    record.push(totals.rate_ok().map_or_else(String::new, |rate| rate.to_string()));
    let latencies = [&totals.response, &totals.service, &totals.wait, &totals.lag];
    record.extend(latencies.into_iter().flat_map(|latency| figures(latency, &FIGURES)));
    record
}
