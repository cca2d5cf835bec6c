//! The numbers that the text and the page share: operations, summed over fleets and phases. Histograms and counters are added;
//! percentiles are never averaged. Independent of formats.

use crate::measure::{Measurement, Operation, Outcome, Phase, Row, Totals};
use crate::result::model::RunResult;

/// Returns every outcome except `ok`, most frequent first.
pub(super) fn not_ok(totals: &Totals) -> Vec<(&'static str, u64)> {
    let others = totals.outcomes.iter().filter(|(outcome, _)| *outcome != Outcome::Ok);
    let mut list: Vec<_> = others.map(|(outcome, count)| (outcome.name(), count)).collect();
    list.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    list
}

/// An operation in one phase, or in one fleet outside warm-up.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) warmup: bool,
    pub(super) totals: Totals,
}

/// One operation over the whole run.
#[derive(Clone, Debug)]
pub(super) struct OperationSummary {
    pub(super) operation: Operation,
    /// Phases in which the operation was due, in the order of the run.
    pub(super) phases: Vec<Part>,
    /// Fleets in which the operation was due outside warm-up, in the order of the scenario.
    pub(super) fleets: Vec<Part>,
    /// Sum outside warm-up, which thresholds without a phase cover.
    pub(super) total: Totals,
    /// Sum in warm-up.
    pub(super) warmup: Totals,
    /// Sum including warm-up.
    pub(super) all: Totals,
}

impl OperationSummary {
    pub(super) fn name(&self) -> &'static str {
        self.operation.name()
    }

    /// Returns the scope of [`headline`](Self::headline) in words.
    pub(super) fn scope(&self) -> &'static str {
        if self.total.due > 0 { "outside warm-up" } else { "in warm-up" }
    }

    /// Returns the sum outside warm-up, or in warm-up if the operation was due only there, and a label.
    pub(super) fn headline(&self) -> (&Totals, &'static str) {
        match self.total.due {
            0 => (&self.all, "warm-up"),
            _ => (&self.total, "total"),
        }
    }
}

/// The figures that a report shows first, computed from a run's result.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// Operations, in the order used in reports.
    pub(super) operations: Vec<OperationSummary>,
    /// Totals of the messages outside warm-up, or in warm-up if there were no others.
    pub(super) messages: Totals,
    /// Total length of the phases that `messages` covers, in seconds.
    pub(super) seconds: f64,
    /// Number of messages acknowledged in these phases, no matter when they were due.
    acked: f64,
    /// Whether messages were due only in warm-up, so that `messages` covers the warm-up.
    pub(super) warmup_only: bool,
    /// Operation of the first latency threshold on a message, a delivery, a method or C2D.
    threshold_operation: Option<Operation>,
    /// Number of devices in all fleets.
    pub(super) devices: u64,
    /// Largest number of devices online at the same time.
    pub(super) online_peak: u64,
}

impl Summary {
    /// Computes the summary of a run's result.
    pub(super) fn of(result: &RunResult) -> Summary {
        let measurement = &result.measurement;
        let operations = operations(measurement);
        let (mut messages, mut all) = (Totals::default(), Totals::default());
        for operation in operations.iter().filter(|summary| summary.operation.is_message()) {
            messages.add(&operation.total);
            all.add(&operation.all);
        }
        let counted = measurement.phases.iter().filter(|phase| !phase.warmup);
        let warmup_only = counted.clone().count() == 0 || (messages.due == 0 && all.due > 0);
        let counted: Vec<&Phase> =
            if warmup_only { measurement.phases.iter().collect() } else { counted.collect() };
        Summary {
            operations,
            messages: if warmup_only { all } else { messages },
            seconds: counted.iter().map(|phase| length(phase)).sum(),
            acked: counted
                .iter()
                .map(|phase| sum_during(measurement, phase, |row| row.interval.achieved))
                .sum(),
            warmup_only,
            threshold_operation: threshold_operation(result),
            devices: measurement.devices(),
            online_peak: online_peak(measurement),
        }
    }

    /// Returns the main operation of the run: the operation of the first latency threshold; otherwise the most frequent message
    /// operation (a twin request only if there is no other); otherwise connects.
    pub(super) fn main_operation(&self) -> Option<&OperationSummary> {
        let threshold_operation =
            || self.operations.iter().find(|summary| Some(summary.operation) == self.threshold_operation);
        let messages = self.operations.iter().filter(|summary| summary.operation.is_message());
        let most = || messages.max_by_key(|summary| (!summary.operation.is_request(), summary.all.due));
        threshold_operation().or_else(most).or_else(|| self.operation(Operation::Connect))
    }

    /// Returns the summary of an operation, if it was ever due.
    pub(super) fn operation(&self, operation: Operation) -> Option<&OperationSummary> {
        self.operations.iter().find(|summary| summary.operation == operation)
    }

    /// Returns the number of due messages per second.
    pub(super) fn offered_rate(&self) -> f64 {
        per_second(self.messages.due, self.seconds)
    }

    /// Returns the number of acknowledged messages per second, counted when the acknowledgment arrived.
    pub(super) fn achieved_rate(&self) -> f64 {
        if self.seconds > 0.0 { self.acked / self.seconds } else { 0.0 }
    }
}

/// Returns the operation of the first latency threshold. Only latencies have the unit `us`.
fn threshold_operation(result: &RunResult) -> Option<Operation> {
    let limits = result.thresholds.iter().filter(|threshold| threshold.unit == "us");
    let mut metrics = limits.filter_map(|threshold| Operation::from_name(&threshold.metric));
    metrics.find(|operation| {
        operation.is_message() || matches!(operation, Operation::Deliver | Operation::Method | Operation::C2d)
    })
}

/// Returns the largest number of devices online at the same time.
pub(super) fn online_peak(measurement: &Measurement) -> u64 {
    let seen = measurement.series.rows.iter().map(|row| row.online).max().unwrap_or(0);
    let highest_fleet = measurement.fleets.iter().map(|fleet| fleet.connected_peak).max().unwrap_or(0);
    // The peak of a fleet is exact. A row in the series contains only the number at its end.
    if measurement.fleets.len() == 1 { highest_fleet } else { seen.max(highest_fleet) }
}

/// Returns the largest number of devices online at the same time in a phase, at both ends included. A row in the series contains the number
/// at its end, so the last row that ends at or before the start of the phase contains the number at its start. `None` without a series.
pub(super) fn online_peak_in(measurement: &Measurement, phase: &Phase) -> Option<u64> {
    let series = &measurement.series;
    let ends = || series.rows.iter().map(|row| (row.t_us.saturating_add(series.interval_us), row.online));
    // No devices are online before the run starts.
    let at_start =
        ends().take_while(|(end_us, _)| *end_us <= phase.start_us).last().map_or(0, |(_, online)| online);
    let inside = ends().filter(|(end_us, _)| (phase.start_us..=phase.end_us).contains(end_us));
    (!series.rows.is_empty()).then(|| inside.map(|(_, online)| online).fold(at_start, u64::max))
}

/// Returns the length of a phase in seconds.
pub(super) fn length(phase: &Phase) -> f64 {
    std::time::Duration::from_micros(phase.end_us.saturating_sub(phase.start_us)).as_secs_f64()
}

/// Sums a count in the series over a phase. If an interval extends beyond the phase, a proportional part counts. The last interval
/// ends with the load.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn sum_during(measurement: &Measurement, phase: &Phase, count: impl Fn(&Row) -> u64) -> f64 {
    let load_end_us = measurement.phases.iter().map(|phase| phase.end_us).max().unwrap_or(0);
    let parts = measurement.series.rows.iter().map(|row| {
        let end_us = row.t_us.saturating_add(measurement.series.interval_us).min(load_end_us);
        let length_us = end_us.saturating_sub(row.t_us).max(1);
        let inside_us = end_us.min(phase.end_us).saturating_sub(row.t_us.max(phase.start_us));
        count(row) as f64 * inside_us as f64 / length_us as f64
    });
    parts.sum()
}

/// Returns `count` per second, or 0 if `seconds` is 0.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn operations(measurement: &Measurement) -> Vec<OperationSummary> {
    let due = |operation: &Operation| {
        measurement.operations.iter().any(|part| part.operation == *operation && part.totals.due > 0)
    };
    let summary = |operation| summary(measurement, operation);
    Operation::ALL.into_iter().filter(due).map(summary).collect()
}

fn summary(measurement: &Measurement, operation: Operation) -> OperationSummary {
    let part = |name: &str, warmup, totals: Totals| {
        (totals.due > 0).then(|| Part { name: name.to_owned(), warmup, totals })
    };
    let phases = measurement.phases.iter().filter_map(|phase| {
        let totals = measurement.sum(|part| part.operation == operation && part.phase == phase.name);
        part(&phase.name, phase.warmup, totals)
    });
    let fleets = measurement.fleets.iter().filter_map(|fleet| {
        let totals = measurement.sum(|part| {
            part.operation == operation && part.fleet == fleet.name && !measurement.is_warmup(&part.phase)
        });
        part(&fleet.name, false, totals)
    });
    let scope = |warmup: bool| {
        measurement.sum(|part| part.operation == operation && measurement.is_warmup(&part.phase) == warmup)
    };
    OperationSummary {
        operation,
        phases: phases.collect(),
        fleets: fleets.collect(),
        total: scope(false),
        warmup: scope(true),
        all: measurement.of(operation),
    }
}
