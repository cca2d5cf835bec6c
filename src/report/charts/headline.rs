//! The chart at the top of the page: the response times of the most important operation with the limits of its thresholds, and below it the
//! share of devices that are online. Called by `page`.

use super::figure::{Figure, Horizontal, Marker};
use super::fleets::share_scale;
use super::plot::{Limit, Plot, Series, Unit};
use super::response::{self, TAIL};
use super::rows::Rows;
use super::svg::Style;
use super::{Panel, ReportError, number, percentile_name, theme};
use crate::measure::{Operation, Test};
use crate::report::format::{instant, plain};
use crate::report::margin;
use crate::result::model::{EndedBy, RunResult, ThresholdResult, ThresholdStatus};

/// Heights of the plots in CSS pixels: with its labels, the chart takes 270 pixels, so that it is visible without scrolling.
const RESPONSE: f64 = 130.0;
const ONLINE: f64 = 48.0;

/// The maximum number of limits. More would hide the lines.
const LIMITS_MAX: usize = 4;

/// Draws the chart of `operation`. `None` for a run without a series.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn draw(
    result: &RunResult,
    operation: Operation,
) -> Result<Option<Panel>, ReportError> {
    let Some(rows) = Rows::of(result) else { return Ok(None) };
    let limits = limits(&rows, operation);
    let mut tail = TAIL.to_vec();
    // Readers compare the limit with the threshold's own percentile, so draw it if the rows have enough samples.
    if let Some(quantile) =
        limits.iter().find_map(|(_, quantile)| *quantile).filter(|quantile| *quantile > 0.5)
    {
        tail.retain(|other| *other < quantile);
        tail.insert(0, quantile);
    }
    let lines = response::lines(&rows, operation, &tail);
    let mut words = response::words(&rows, operation, &lines);
    let labels: Vec<&str> = limits.iter().map(|(limit, _)| limit.label.as_str()).collect();
    if !labels.is_empty() {
        words.push_str(&format!(" Marked: {}.", labels.join(", ")));
    }
    let marker = marker(&rows);
    if let Some(marker) = &marker {
        words.push_str(&format!(" At {}: {}.", instant(super::us(marker.at)), marker.label));
    }
    let mut plot = response::plot("response", "response, log scale", RESPONSE, lines.series);
    plot.limits = limits.into_iter().map(|(limit, _)| limit).collect();
    let figure = Figure {
        id: "headline",
        title: format!("Response time of {operation}, and devices online"),
        unit: "due to ack, operations that ended ok; share of all devices".to_owned(),
        words,
        plots: vec![plot, online(&rows)],
        markers: marker.into_iter().collect(),
        x: Horizontal::Time { rows: &rows, names: true },
    };
    figure.draw().map(Some)
}

fn online(rows: &Rows<'_>) -> Plot {
    let devices = number(rows.result.measurement.devices().max(1));
    let share = |points: Vec<(f64, Option<f64>)>| {
        points.into_iter().map(|(at, online)| (at, online.map(|online| online / devices))).collect()
    };
    let [online, planned] = rows.online().map(share);
    Plot {
        name: "online".to_owned(),
        label: "devices online".to_owned(),
        unit: Unit::Share,
        scale: share_scale(),
        height: ONLINE,
        series: vec![
            Series::line("online", "online", (theme::FOURTH, Style::Solid), online),
            Series::line("planned", "planned online", (theme::PLANNED, Style::Dashed), planned),
        ],
        limits: Vec::new(),
        outlier: None,
    }
}

/// Returns the limits of the latency thresholds on an operation, with their quantiles. Failed and undecided thresholds come first. The lines
/// cover all fleets, so the thresholds on all fleets come next, and the label of a threshold on one of several fleets names the fleet.
fn limits(rows: &Rows<'_>, operation: Operation) -> Vec<(Limit, Option<f64>)> {
    let several = rows.result.measurement.fleets.len() > 1;
    let fleet_of = |threshold: &ThresholdResult| threshold.fleet.clone().filter(|_| several);
    let latencies = rows.result.thresholds.iter().filter(|threshold| {
        threshold.unit == "us" && threshold.metric == operation.name() && threshold.limit.is_finite()
    });
    let mut found: Vec<&ThresholdResult> = latencies.collect();
    found.sort_by_key(|threshold| {
        let decided = margin::status(threshold);
        let is_important = matches!(decided, ThresholdStatus::Failed | ThresholdStatus::Undecided);
        (!is_important, fleet_of(threshold).is_some())
    });
    let mut limits: Vec<(Limit, Option<f64>)> = Vec::new();
    for threshold in &found {
        let (name, quantile) = match &threshold.test {
            Some(Test::Percentile { quantile, .. }) => (percentile_name(*quantile), Some(*quantile)),
            Some(Test::Mean { .. }) => ("mean".to_owned(), None),
            Some(Test::Max { .. }) => ("max".to_owned(), None),
            _ => (String::new(), None),
        };
        let value = super::latency_label(threshold.limit.clamp(1.0, 1e15));
        let label = if found.len() > 1 && !name.is_empty() {
            format!("{name} limit {value}")
        } else {
            format!("limit {value}")
        };
        let label = match fleet_of(threshold) {
            Some(fleet) => format!("{label} ({})", plain(&fleet)),
            None => label,
        };
        let Some((from, to)) = span(rows, threshold.phase.as_deref()) else { continue };
        let limit = Limit { value: threshold.limit.max(1.0), from, to, label };
        let same = |(known, _): &(Limit, Option<f64>)| known.label == limit.label && known.from == from;
        if limits.len() < LIMITS_MAX && !limits.iter().any(same) {
            limits.push((limit, quantile));
        }
    }
    limits
}

/// Returns the seconds that a threshold covers: a phase, or the load without warm-up at its start and end.
fn span(rows: &Rows<'_>, phase: Option<&str>) -> Option<(f64, f64)> {
    let covered = rows.phases().filter(|(known, ..)| match phase {
        Some(name) => known.name == name,
        None => !known.warmup,
    });
    covered.map(|(_, from, to)| (from, to)).reduce(|(from, _), (_, to)| (from, to))
}

/// Returns a mark at the end of the load, if it ended before its plan.
fn marker(rows: &Rows<'_>) -> Option<Marker> {
    let label = match rows.result.run.ended_by {
        _ if !rows.ended_early() => return None,
        Some(EndedBy::Interrupt) => "interrupted".to_owned(),
        Some(EndedBy::Abort) => "ended early by a threshold".to_owned(),
        Some(EndedBy::Unreachable) => "ended early: target unreachable".to_owned(),
        Some(EndedBy::Unknown) => "end of the journal".to_owned(),
        // The page says at its top which part it was.
        Some(EndedBy::Breakdown) => "ended early: a part of hubstorm failed".to_owned(),
        None => "ended early".to_owned(),
        Some(EndedBy::Plan) => return None,
    };
    Some(Marker { at: rows.load_end, label })
}
