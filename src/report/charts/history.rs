//! The chart of a metric over many runs: a point for each run, in the order of their start, with the verdict as its form and color. Called
//! by `history`. Independent of how the runs are read.

use super::axis::Axis;
use super::figure::{Figure, Horizontal, Marker};
use super::plot::{Limit, Plot, Scale, Series, Shape, Unit};
use super::svg::{Mark, Style};
use super::theme::{self, Role};
use super::{Panel, ReportError, number};
use crate::report::metric::value_text;
use crate::result::metric::MetricUnit;
use crate::units::Percent;

/// Height of the plot in CSS pixels.
const HEIGHT: f64 = 150.0;
/// The width of a label such as `2026-11-23`, in multiples of the font size.
const LABEL_WIDTH: f64 = 7.0;

/// The verdict of a run, as its point shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum PointKind {
    Pass,
    Fail,
    /// The measurement is invalid, or the run was interrupted.
    Invalid,
}

/// A run in the chart.
#[derive(Clone, Debug)]
pub(in crate::report) struct Point {
    pub(in crate::report) day: String,
    pub(in crate::report) kind: PointKind,
    /// True if the version, the host or the target differs from the previous run.
    pub(in crate::report) is_changed: bool,
    pub(in crate::report) value: Option<f64>,
}

/// A metric over many runs.
#[derive(Debug)]
pub(in crate::report) struct Trend<'a> {
    /// Unique on the page.
    pub(in crate::report) id: &'a str,
    pub(in crate::report) label: String,
    pub(in crate::report) unit: MetricUnit,
    /// Limit of the newest run's threshold.
    pub(in crate::report) limit: Option<f64>,
    /// From the oldest.
    pub(in crate::report) points: &'a [Point],
}

impl Trend<'_> {
    /// Draws the chart. `None` if fewer than two runs have a value.
    ///
    /// # Errors
    /// Returns an error if drawing fails.
    pub(in crate::report) fn draw(&self) -> Result<Option<Panel>, ReportError> {
        let values: Vec<f64> = self.points.iter().filter_map(|point| point.value).collect();
        if values.len() < 2 {
            return Ok(None);
        }
        let last = number(self.points.len() as u64) - 1.0;
        let days: Vec<String> = self.points.iter().map(|point| point.day.clone()).collect();
        let axis = move |width: f64, font: f64| runs_axis(&days, width, font);
        let markers = (0_u64..)
            .zip(self.points)
            .filter(|(_, point)| point.is_changed)
            .map(|(index, _)| Marker { at: number(index), label: String::new() });
        let figure = Figure {
            id: self.id,
            title: self.label.clone(),
            unit: "a point for each run".to_owned(),
            words: self.words(&values),
            x: Horizontal::Other { label: "runs, from the oldest", axis: Box::new(axis) },
            plots: vec![self.plot(&values, last)],
            markers: markers.collect(),
        };
        figure.draw().map(Some)
    }

    fn unit_words(&self) -> &'static str {
        match self.unit {
            MetricUnit::Us => "response time of ok operations",
            MetricUnit::Share => "share of due operations",
            MetricUnit::Count => "operations",
            MetricUnit::PerSecond => "messages per second",
        }
    }

    fn plot(&self, values: &[f64], last: f64) -> Plot {
        let points = || (0_u64..).map(number).zip(self.points);
        let of = |id: &str, label: &str, kind: PointKind, role: Role, mark: Mark| {
            let found = points().filter(|(_, point)| point.kind == kind);
            let shape =
                Shape::Points(mark, found.filter_map(|(at, point)| Some((at, point.value?))).collect());
            let (id, label, style) = (id.to_owned(), label.to_owned(), Style::Solid);
            Series { id, label, role, style, width: 0.0, shape }
        };
        let line = points().map(|(at, point)| (at, point.value)).collect();
        let mut series = vec![
            of("pass", "pass", PointKind::Pass, theme::GOOD, Mark::Disc),
            of("fail", "fail", PointKind::Fail, theme::BAD, Mark::Cross),
            of("invalid", "invalid or interrupted", PointKind::Invalid, theme::WARN, Mark::Ring),
            Series { width: 1.25, ..Series::line("value", "", (theme::FIRST, Style::Solid), line) },
        ];
        series.retain(|series| !series.is_empty());
        let (unit, scale) = match self.unit {
            MetricUnit::Us => (Unit::Latency, Scale::Linear { ticks: 3, at_least: 0.0 }),
            MetricUnit::Share => (Unit::Share, share_scale(values, self.limit)),
            MetricUnit::Count => (Unit::Count, Scale::Linear { ticks: 3, at_least: 0.0 }),
            MetricUnit::PerSecond => (Unit::Rate, Scale::Linear { ticks: 3, at_least: 0.0 }),
        };
        // A limit far above all values would make their changes invisible.
        let high = values.iter().copied().fold(0.0, f64::max);
        let is_near = |limit: &f64| self.unit == MetricUnit::Share || *limit <= 2.0 * high;
        let limits = self.limit.filter(is_near).map(|value| Limit {
            value,
            from: 0.0,
            to: last,
            label: format!("limit {}", value_text(self.unit, value)),
        });
        Plot {
            name: "value".to_owned(),
            label: self.unit_words().to_owned(),
            unit,
            scale,
            height: HEIGHT,
            series,
            limits: limits.into_iter().collect(),
            outlier: None,
        }
    }

    fn words(&self, values: &[f64]) -> String {
        let text = |value: f64| value_text(self.unit, value);
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let latest = self.points.iter().rev().find_map(|point| point.value).unwrap_or(0.0);
        let limit = self
            .limit
            .map_or_else(String::new, |limit| format!(" Limit of the newest run: {}.", text(limit)));
        let changed = self.points.iter().any(|point| point.is_changed);
        let changes = if changed { " Vertical lines: the version, host or target changed." } else { "" };
        format!("Latest: {}. Lowest: {}, highest: {}.{limit}{changes}", text(latest), text(low), text(high))
    }
}

/// Returns an axis with a place for each run. As many runs have a label as there is space for.
fn runs_axis(days: &[String], width: f64, font: f64) -> Axis {
    let last = number(days.len() as u64) - 1.0;
    let step = ((last + 1.0) * font * LABEL_WIDTH / width).ceil().max(1.0);
    let mut ticks = Vec::new();
    // From the newest run, which always has a label.
    for (index, day) in (0_u64..).zip(days.iter().rev()) {
        if (number(index) % step).abs() < 1e-9 {
            ticks.push((last - number(index), day.clone()));
        }
    }
    // Half a place at both ends, so that points and labels are not cut off.
    Axis::fixed(-0.5, last + 0.5, ticks)
}

/// Returns a scale up to 100% that starts at a round share below all values, so that small changes near 100% are visible.
fn share_scale(values: &[f64], limit: Option<f64>) -> Scale {
    let low = values.iter().copied().chain(limit).fold(1.0, f64::min);
    let from =
        [0.999_99, 0.999_9, 0.999, 0.99, 0.9, 0.5, 0.0].into_iter().find(|from| *from <= low).unwrap_or(0.0);
    let ticks =
        [from, f64::midpoint(from, 1.0), 1.0].map(|share| (share, Percent::from_fraction(share).to_string()));
    Scale::Fixed(Axis::fixed(from, 1.0, ticks.to_vec()))
}
