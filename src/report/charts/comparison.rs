//! The charts of a comparison: the percentile spectra of both results in one chart, and both timelines over the time since the start of the
//! first phase. Called by `comparison`. Independent of how the results are compared.

use super::figure::{Figure, Horizontal};
use super::fleets::share_scale;
use super::plot::{Plot, Series, Unit};
use super::response::{self, TAIL};
use super::rows::Rows;
use super::spectrum::{self, beyond, curve, nines, percentile_axis};
use super::svg::Style;
use super::theme::{self, Role};
use super::{Panel, ReportError, number, percentile_name};
use crate::measure::{Operation, Totals};
use crate::report::format::span;
use crate::result::model::RunResult;
use crate::units::human_us;

/// Id, color and style of a side. The new side is the more important one.
const NEW: (&str, Role, Style) = ("new", theme::FIRST, Style::Solid);
const BASE: (&str, Role, Style) = ("base", theme::SECOND, Style::Dashed);

/// What the dotted end of a line means.
const FEW: &str = "fewer than 10 samples beyond";

/// Heights of the plots of the timelines in CSS pixels.
const RESPONSE: f64 = 150.0;
const ONLINE: f64 = 60.0;

/// Draws the response times of both sides by percentile. `None` if a side has no samples.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn spectra(
    operation: Operation,
    base: &Totals,
    new: &Totals,
) -> Result<Option<Panel>, ReportError> {
    if base.response.is_empty() || new.response.is_empty() {
        return Ok(None);
    }
    let nines = nines(base.response.count().max(new.response.count()));
    let (mut series, mut tails) = (Vec::new(), Vec::new());
    for ((id, role, style), totals) in [(NEW, new), (BASE, base)] {
        let [known, single] = curve(&totals.response, nines);
        let mut tail = beyond(&format!("{id}-tail"), role, single);
        // A side with few samples is a tail only. Otherwise, one entry in the legend explains the tails of both.
        if known.is_empty() {
            tail.label = format!("{id}, {FEW}");
        } else if tails.is_empty() {
            FEW.clone_into(&mut tail.label);
        }
        series.push(Series::line(id, id, (role, style), known));
        tails.push(tail);
    }
    series.extend(tails);
    let figure = Figure {
        id: "spectra",
        title: format!("Percentile spectra of {operation}"),
        unit: "response time, logarithmic, by percentile".to_owned(),
        words: words(base, new),
        x: Horizontal::Other {
            label: "percentile of operations that ended ok",
            axis: Box::new(move |width, font| percentile_axis(nines, width, font)),
        },
        plots: vec![response::plot("spectra", "response, log scale", spectrum::HEIGHT, series)],
        markers: Vec::new(),
    };
    figure.draw().map(Some)
}

fn words(base: &Totals, new: &Totals) -> String {
    let text = |us: Option<u64>| us.map_or_else(|| "no samples".to_owned(), human_us);
    let facts = [(0.5, "median"), (0.99, "p99")].map(|(quantile, name)| {
        let [base, new] = [base, new].map(|totals| text(totals.response.quantile(quantile)));
        format!("{name} {base} in the base, {new} in the new result")
    });
    let max = [base, new].map(|totals| text(totals.response.max()));
    format!("Outside warm-up: {}; maximum {} and {}.", facts.join("; "), max[0], max[1])
}

/// Draws a high percentile of the response times of both sides, and the share of devices online, over the time since the start of the first
/// phase. `None` if a result has no series. The bands are the phases of the new result.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn timelines(
    operation: Operation,
    base: &RunResult,
    new: &RunResult,
) -> Result<Option<Panel>, ReportError> {
    let (Some(mut new), Some(base)) = (Rows::of(new), Rows::of(base)) else { return Ok(None) };
    // The axis ends with the longer run.
    new.end = new.end.max(base.end);
    let sides = [(NEW, &new), (BASE, &base)];
    // Only the same percentile is comparable.
    let both =
        |quantile: &f64| sides.iter().all(|(_, rows)| rows.response(operation, &[*quantile]).is_some());
    let quantile = TAIL.into_iter().chain([0.5]).find(both);
    let line = |((id, role, style), rows): &((&str, Role, Style), &Rows<'_>)| {
        let line = rows.response(operation, &[quantile?])?;
        let us = rows.result.measurement.series.interval_us.saturating_mul(line.rows_per_point as u64);
        let each = if line.rows_per_point > 1 { format!(" per {}", span(us)) } else { String::new() };
        let label = format!("{id}, {}{each}", percentile_name(line.quantile));
        Some(Series::line(id, label, (*role, *style), line.points))
    };
    let response: Vec<Series> = sides.iter().filter_map(line).collect();
    let online = sides.iter().map(|((id, role, style), rows)| {
        let devices = number(rows.result.measurement.devices().max(1));
        let [online, _] = rows.online();
        let points = online.into_iter().map(|(at, online)| (at, online.map(|online| online / devices)));
        Series::line(&format!("{id}-online"), "", (*role, *style), points.collect())
    });
    let plot = Plot {
        name: "online".to_owned(),
        label: "devices online".to_owned(),
        unit: Unit::Share,
        scale: share_scale(),
        height: ONLINE,
        series: online.collect(),
        limits: Vec::new(),
        outlier: None,
    };
    let shown = match quantile {
        Some(quantile) => format!("{} of the response times of {operation}", percentile_name(quantile)),
        None => "Neither result has enough samples per interval for a line of response times".to_owned(),
    };
    let figure = Figure {
        id: "timelines",
        title: format!("Response time of {operation}, and devices online"),
        unit: "time since the start of the first phase".to_owned(),
        words: format!(
            "{shown}. Below: the share of devices online. The bands are the phases of the new result."
        ),
        plots: vec![response::plot("response", "response, log scale", RESPONSE, response), plot],
        markers: Vec::new(),
        x: Horizontal::Time { rows: &new, names: true },
    };
    figure.draw().map(Some)
}
