//! Charts. The input is a result; the output is static SVG, so the page needs no script. Read `timeline.rs` first. Called by `page`.
//! Independent of the page's structure.
//!
//! # Charts of a page
//!
//! `headline::draw(result, operation)` returns the chart for the top of the page, `timeline::panels(result, operation)` all other charts
//! over time. `spectrum::draw(operation, scope, totals)` returns the percentile spectrum. Each is a [`Panel`]: `id`, `title`, `unit`,
//! `legend` (a list of [`Key`]s), `words` (the text alternative, which the page shows too) and `svg` (safe markup).
//!
//! # Attributes for scripts
//!
//! `svg` contains the chart once per size and one data block. Nothing in it needs a script. Coordinates are in units of the view box.
//!
//! - `<svg class="chart wide|middle|narrow" data-chart="ID" viewBox="0 0 W H" role="img">`: the chart in one size.
//! - `<g class="plot" data-plot="NAME" data-x0 data-x1 data-y0 data-y1 data-t0 data-t1>` in it: a plot area, from `x0` to `x1` and from
//!   `y0` (top) to `y1` (bottom). Over time, `t0` and `t1` are the seconds at `x0` and `x1`, with a linear scale; other charts have
//!   no `t0` and `t1`. A chart with two plots (the headline) has two of these groups.
//! - `<g class="series" data-series="ID">` in that: everything that belongs to a series: `<path class="line" d="Mx,yLx,y...">` for a line
//!   (a new `M` after each gap, a `<circle>` for a single point), other paths for bars and cells.
//! - `<script type="application/json" data-chart="ID">` after the last size:
//!   `{"times":[[0.5,1.5],..],"series":[{"id":"p99","plot":"response","label":"p99","times":0,"values":["12 ms",null,..]},..]}`.
//!   `times` of a series is an index into the list of times, in seconds; `values` are formatted for people; null is a gap.
//! - A legend's [`Key`] has the same `series` id, so that a page can write it into an attribute: `data-key="{{ key.series }}"`. Its
//!   `sample` is a small inline SVG of the line: `{{ key.sample|safe }}`.
//!
//! # How the charts are drawn
//!
//! [`rows`] puts the rows of a series on a time axis and computes lines from them. The files with the charts make [`plot`]s of these lines
//! and limits; [`figure`] lays them out and draws them with [`svg`], once for each of [`SIZES`]: the style sheet shows the size that
//! fits the reader's screen. The vertical axis of a plot covers only visible values. [`theme`]
//! makes the colors follow the reader's color scheme, [`axis`] places the ticks, and [`data`] writes the data block.

mod axis;
pub(super) mod capacity;
pub(super) mod comparison;
mod data;
mod failures;
mod figure;
mod fleets;
mod generator;
pub(super) mod headline;
mod heatmap;
pub(super) mod history;
pub(super) mod hub_view;
mod load;
mod plot;
pub(super) mod recovery;
mod response;
mod rows;
pub(super) mod search;
pub(super) mod spectrum;
mod svg;
pub(super) mod theme;
pub(super) mod timeline;

use super::ReportError;
use crate::units::{human_count, human_duration, whole};
use std::time::Duration;

/// A drawn chart.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) legend: Vec<Key>,
    /// Description in words.
    pub(super) words: String,
    /// Safe markup: the chart in every size, and its data block.
    pub(super) svg: String,
}

/// An entry of a legend.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Label of the series. It may contain a fleet's name, so it must be escaped.
    pub(super) label: String,
    /// Id of the series in the chart.
    pub(super) series: String,
    /// Safe markup: a small picture of the line.
    pub(super) sample: String,
}

/// A size of a chart. Lengths are in CSS pixels.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// CSS class. The style sheet defines which screens show this size.
    class: &'static str,
    width: f64,
    font: f64,
    /// Space for the labels of the vertical axis, to the left of the plot.
    gutter: f64,
    /// Maximum number of ticks on the time axis.
    time_ticks: u32,
}

/// The sizes: wide, middle and narrow.
const SIZES: [Size; 3] = [
    Size { class: "wide", width: 1040.0, font: 12.0, gutter: 64.0, time_ticks: 12 },
    Size { class: "middle", width: 640.0, font: 13.0, gutter: 66.0, time_ticks: 8 },
    Size { class: "narrow", width: 340.0, font: 12.0, gutter: 56.0, time_ticks: 5 },
];

#[expect(clippy::cast_precision_loss, reason = "a chart shows fewer digits")]
fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

/// Converts seconds to whole microseconds.
fn us(seconds: f64) -> u64 {
    whole(seconds * 1e6)
}

/// Returns the label of a latency on an axis.
fn latency_label(us: f64) -> String {
    let text = human_duration(Duration::from_secs_f64(us / 1e6));
    // On an axis, `1.00 ms` is shortened to `1 ms`.
    text.replacen(".00 ", " ", 1).replacen(".0 ", " ", 1)
}

/// Returns the label of a tick on a linear axis: `1,500`, `0.25`.
fn tick_label(value: f64) -> String {
    if (value - value.round()).abs() < 1e-6 {
        return human_count(whole(value));
    }
    format!("{value:.3}").trim_end_matches('0').to_owned()
}

/// Returns the name of a percentile: `p50`, `p99.9`.
pub(super) fn percentile_name(quantile: f64) -> String {
    let percent = format!("{:.6}", quantile * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
