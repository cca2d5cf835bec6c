//! The phases in numbers. Called by `page`. Uses only the result.

use super::super::format::{self, NONE, plain};
use super::super::summary::{Summary, length, online_peak_in, per_second, sum_during};
use super::unit::keep_together;
use crate::measure::{Operation, Phase};
use crate::result::model::RunResult;
use crate::units::human_count;

/// The table: the names of its columns after the phase, and its rows.
pub(super) struct Phases {
    pub(super) columns: [String; 9],
    pub(super) rows: Vec<PhaseRow>,
    /// Describes the numbers in the table.
    pub(super) lead: String,
}

/// The numbers of a phase.
pub(super) struct PhaseRow {
    pub(super) name: String,
    pub(super) warmup: bool,
    pub(super) cells: [String; 9],
}

/// The operations that rates and failures count: all messages, or the main operation of a run without messages.
#[derive(Clone, Copy)]
enum Counted {
    Messages,
    Only(Operation),
}

/// Returns the table of the phases.
pub(super) fn phases(result: &RunResult, summary: &Summary) -> Phases {
    let main = summary.main_operation().map_or(Operation::Telemetry, |main| main.operation);
    let counted = if summary.messages.due > 0 { Counted::Messages } else { Counted::Only(main) };
    let (noun, nouns) = match counted {
        Counted::Messages => ("Messages", "all messages".to_owned()),
        Counted::Only(operation) => (operation.name(), operation.name().to_owned()),
    };
    let columns = [
        "Start + length".to_owned(),
        "Online, planned".to_owned(),
        "Online, peak".to_owned(),
        "Load".to_owned(),
        format!("{noun} due/s"),
        format!("{noun} acked/s"),
        format!("{noun} not ok"),
        format!("{main} response p50 / p99"),
        "CPU, peak".to_owned(),
    ];
    let lead = format!(
        "Rates and failures count {nouns}, by the phase in which each was due; acks count in the phase in which they arrive. Response times \
         are for {main} operations that ended ok."
    );
    let rows = result.measurement.phases.iter().map(|phase| row(result, summary, phase, (main, counted)));
    Phases { columns, rows: rows.collect(), lead }
}

fn row(
    result: &RunResult,
    summary: &Summary,
    phase: &Phase,
    (main, counted): (Operation, Counted),
) -> PhaseRow {
    let length_us = phase.end_us.saturating_sub(phase.start_us);
    let seconds = length(phase);
    let is_counted = |operation: Operation| match counted {
        Counted::Messages => operation.is_message(),
        Counted::Only(only) => operation == only,
    };
    let in_phase = |wanted: &dyn Fn(Operation) -> bool| {
        result.measurement.sum(|part| wanted(part.operation) && part.phase == phase.name)
    };
    let (sum, of_main) = (in_phase(&is_counted), in_phase(&|operation| operation == main));
    // Count acknowledgments in the phase in which they arrived, not in the one in which the message was due: that shows whether the
    // hub is overloaded.
    let acks = sum_during(&result.measurement, phase, |row| match counted {
        Counted::Messages => row.interval.achieved,
        Counted::Only(operation) => row.interval.response.of(operation).count(),
    });
    let any = summary.main_operation().is_some();
    let per_s = |rate: f64| if any { format::rate(rate) } else { NONE.to_owned() };
    let at = |quantile| keep_together(&format::us(of_main.response.quantile(quantile)));
    let online = online_peak_in(&result.measurement, phase);
    PhaseRow {
        name: plain(&phase.name),
        warmup: phase.warmup,
        cells: [
            format!("{} + {}", format::instant(phase.start_us), format::span(length_us)),
            span_percent(phase.planned_online),
            online.map_or_else(|| NONE.to_owned(), human_count),
            load(phase),
            per_s(per_second(sum.due, seconds)),
            per_s(if seconds > 0.0 { acks / seconds } else { 0.0 }),
            if any { human_count(sum.due.saturating_sub(sum.ok())) } else { NONE.to_owned() },
            format!("{} / {}", at(0.5), at(0.99)),
            format!("{:.0}%", cpu_peak(result, phase)),
        ],
    }
}

/// Returns the CPU usage of the load generator in the busiest interval of a phase. The rest of the last interval is too short for a mean.
fn cpu_peak(result: &RunResult, phase: &Phase) -> f64 {
    let series = &result.measurement.series;
    let is_whole = |t_us: u64| result.run.duration_us.saturating_sub(t_us) >= series.interval_us / 2;
    let inside = series.rows.iter().filter(|row| (phase.start_us..phase.end_us).contains(&row.t_us));
    inside.filter(|row| is_whole(row.t_us)).map(|row| row.cpu_percent).fold(0.0, f64::max)
}

/// Formats the planned load of a phase.
fn load(phase: &Phase) -> String {
    let steps = phase.planned_load_steps.map_or_else(String::new, |steps| format!(" in {steps} steps"));
    span_percent(phase.planned_load) + &steps
}

/// Formats a range as `0% → 100%`, or as one number if both ends are equal.
fn span_percent([from, to]: [f64; 2]) -> String {
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    if (from - to).abs() < 1e-9 { percent(from) } else { format!("{} → {}", percent(from), percent(to)) }
}
