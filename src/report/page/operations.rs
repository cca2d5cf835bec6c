//! The tables of operations: outcomes and latencies, in total, by phase and by fleet. Called by `page`. Uses only the result.
//!
//! A run with few fleets and phases has one table. With many of them, a table contains the totals, and a table for each operation contains
//! the rest.

use super::super::charts::percentile_name;
use super::super::format::{self, plain};
use super::super::summary::{OperationSummary, Part, Summary, not_ok};
use super::unit::keep_together;
use crate::measure::{Latency, Test, Totals};
use crate::result::model::RunResult;
use crate::units::{human_count, whole};

/// The percentiles that every table shows.
const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

/// The tables. `folded` are shown on demand.
pub(super) struct Operations {
    pub(super) main: OperationTable,
    pub(super) folded: Vec<OperationTable>,
}

/// A table of operations.
pub(super) struct OperationTable {
    pub(super) caption: String,
    /// Whether each operation has only the row of its total, so that the table needs no column for phases.
    pub(super) totals_only: bool,
    /// Names of the columns of response times.
    pub(super) latencies: Vec<String>,
    pub(super) groups: Vec<OperationView>,
}

/// The rows of an operation.
pub(super) struct OperationView {
    pub(super) name: String,
    pub(super) no_ack: bool,
    pub(super) closed_loop: bool,
    pub(super) rows: Vec<OperationRow>,
}

/// A number of a row.
pub(super) struct Cell {
    pub(super) text: String,
    /// Whether it is a percentile with fewer than ten samples beyond it.
    pub(super) few: bool,
}

/// A row: an operation in total, in a phase or in a fleet.
pub(super) struct OperationRow {
    pub(super) label: String,
    pub(super) note: &'static str,
    pub(super) total: bool,
    pub(super) cells: Vec<Cell>,
    pub(super) not_ok: String,
}

/// Returns the tables. `fold` puts phases and fleets into tables of their own.
pub(super) fn operations(result: &RunResult, summary: &Summary, fold: bool) -> Operations {
    let columns = Columns::of(result);
    let table = |caption: String, groups: Vec<OperationView>| OperationTable {
        caption,
        totals_only: false,
        latencies: columns.names(),
        groups,
    };
    let all = summary.operations.iter();
    if !fold {
        let groups = all.map(|operation| view(operation, rows(&columns, operation))).collect();
        let main = table("Operations by phase".to_owned(), groups);
        return Operations { main, folded: Vec::new() };
    }
    let total = |operation: &OperationSummary| {
        let (totals, _) = operation.headline();
        let note = if operation.total.due > 0 { "" } else { "warm-up" };
        view(operation, vec![row(&columns, "total", note, true, totals)])
    };
    let parts = |operation: &OperationSummary| {
        let by = match (operation.phases.len(), operation.fleets.len()) {
            (_, 0..=1) => "phase",
            (0..=1, _) => "fleet",
            _ => "phase and fleet",
        };
        let caption = format!("{} by {by}", operation.name());
        table(caption, vec![view(operation, rows(&columns, operation))])
    };
    let main = table("Operations: totals outside warm-up".to_owned(), all.clone().map(total).collect());
    Operations { main: OperationTable { totals_only: true, ..main }, folded: all.map(parts).collect() }
}

fn view(operation: &OperationSummary, rows: Vec<OperationRow>) -> OperationView {
    let (no_ack, closed_loop) = (operation.all.no_ack, operation.all.closed_loop);
    OperationView { name: operation.name().to_owned(), no_ack, closed_loop, rows }
}

fn rows(columns: &Columns, operation: &OperationSummary) -> Vec<OperationRow> {
    let mut rows: Vec<OperationRow> = Vec::new();
    // With a single phase, the total would repeat the phase's row.
    if operation.phases.iter().filter(|part| !part.warmup).count() > 1 {
        rows.push(row(columns, "total", "without warm-up", true, &operation.total));
    }
    let phase = |part: &Part| {
        let note = if part.warmup { "warm-up" } else { "" };
        row(columns, &part.name, note, false, &part.totals)
    };
    rows.extend(operation.phases.iter().map(phase));
    if operation.fleets.len() > 1 {
        let fleet = |part: &Part| {
            row(columns, &format!("fleet {}", part.name), "without warm-up", false, &part.totals)
        };
        rows.extend(operation.fleets.iter().map(fleet));
    }
    rows
}

fn row(columns: &Columns, label: &str, note: &'static str, total: bool, totals: &Totals) -> OperationRow {
    let latency = |us: Option<u64>| keep_together(&format::us(us));
    let outcomes: Vec<String> =
        not_ok(totals).iter().map(|(name, count)| format!("{} {name}", human_count(*count))).collect();
    let failed = match totals.due.saturating_sub(totals.ok()) {
        0 => "0".to_owned(),
        count => format!("{} ({})", human_count(count), format::rest(totals.ok(), totals.due)),
    };
    let cell = |text: String| Cell { text, few: false };
    let mut cells: Vec<Cell> =
        [human_count(totals.due), format::share(totals.ok(), totals.due), failed].map(cell).into();
    let percentile = |times: &Latency, quantile: f64| Cell {
        text: latency(times.quantile(quantile)),
        few: !times.is_empty() && !is_fed(times.count(), quantile),
    };
    cells.extend(columns.quantiles.iter().map(|quantile| percentile(&totals.response, *quantile)));
    if columns.mean {
        cells.push(cell(latency(totals.response.mean().map(whole))));
    }
    cells.extend([cell(latency(totals.response.max())), percentile(&totals.service, 0.99)]);
    OperationRow { label: plain(label), note, total, cells, not_ok: plain(&outcomes.join(", ")) }
}

/// Returns true if at least ten samples lie beyond a percentile, which thresholds require too.
#[expect(clippy::cast_precision_loss, reason = "compared with ten")]
fn is_fed(samples: u64, quantile: f64) -> bool {
    samples as f64 * (1.0 - quantile) > 10.0 - 1e-6
}

/// The columns of response times: some fixed percentiles, and each quantity that a threshold names.
struct Columns {
    quantiles: Vec<f64>,
    mean: bool,
}

impl Columns {
    fn of(result: &RunResult) -> Columns {
        let tests = || result.thresholds.iter().filter_map(|threshold| threshold.test);
        let named = tests().filter_map(|test| match test {
            Test::Percentile { quantile, .. } => Some(quantile),
            _ => None,
        });
        let mut quantiles: Vec<f64> = QUANTILES.into_iter().chain(named).collect();
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        Columns { quantiles, mean: tests().any(|test| matches!(test, Test::Mean { .. })) }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.quantiles.iter().map(|quantile| percentile_name(*quantile)).collect();
        if self.mean {
            names.push("mean".to_owned());
        }
        names.push("max".to_owned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_ten_samples_beyond_them() {
        for (samples, quantile, expected) in [
            (20, 0.5, true),
            (19, 0.5, false),
            (1_000, 0.99, true),
            (999, 0.99, false),
            (10_000, 0.999, true),
        ] {
            assert_eq!(is_fed(samples, quantile), expected, "{samples} {quantile}");
        }
    }
}
