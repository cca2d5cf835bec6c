//! The contents of a chart before it is drawn: plots, series, limits and units. Built by the files with the charts, drawn by `figure`,
//! and written for scripts by `data`. Independent of pixels and of measurements.

use super::axis::Axis;
use super::svg::{self, Mark, Style};
use super::theme::Role;
use super::{latency_label, tick_label};
use crate::report::format;
use crate::units::{human_count, human_duration, whole};
use std::time::Duration;

/// The meaning of the numbers on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A count.
    Count,
    /// A number per second.
    Rate,
    /// A time in microseconds.
    Latency,
    /// A percentage of one core.
    Core,
    /// A fraction of 1, shown in percent.
    Share,
}

impl Unit {
    /// Returns the label of a tick.
    pub(super) fn tick(self, value: f64) -> String {
        match self {
            Unit::Count | Unit::Rate => tick_label(value),
            Unit::Latency => latency_label(value),
            Unit::Core => format!("{value:.0}%"),
            Unit::Share => format!("{:.0}%", value * 100.0),
        }
    }

    /// Formats a value for people.
    pub(super) fn value(self, value: f64) -> String {
        match self {
            Unit::Count => human_count(whole(value)),
            Unit::Rate => format!("{}/s", format::rate(value)),
            Unit::Latency => human_duration(Duration::from_secs_f64((value / 1e6).clamp(0.0, 1e12))),
            Unit::Core => format!("{value:.0}%"),
            Unit::Share => format!("{:.1}%", value * 100.0),
        }
    }
}

/// How the vertical axis is scaled.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    /// From zero, with about this number of ticks.
    Linear { ticks: u32, at_least: f64 },
    /// Logarithmic.
    Log,
    /// The same for every run.
    Fixed(Axis),
}

/// The shape of a series. Horizontal positions are values of the horizontal axis.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A line through points. A point without a value is a gap.
    Line(Vec<(f64, Option<f64>)>),
    /// Marks without a line.
    Points(Mark, Vec<(f64, f64)>),
    /// Bars from zero: start, end and height.
    Bars(Vec<[f64; 3]>),
    /// Cells with an opacity: start, end, low and high.
    Cells(f64, Vec<[f64; 4]>),
}

/// A series of values.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Unique in its chart. It appears in attributes.
    pub(super) id: String,
    /// Label in the legend. A series without a label is the only one of its plot, which the plot's label names.
    pub(super) label: String,
    pub(super) role: Role,
    pub(super) style: Style,
    /// Width of a line in CSS pixels.
    pub(super) width: f64,
    pub(super) shape: Shape,
}

impl Series {
    /// Creates a line.
    pub(super) fn line(
        id: &str,
        label: impl Into<String>,
        (role, style): (Role, Style),
        points: Vec<(f64, Option<f64>)>,
    ) -> Series {
        Series {
            id: id.to_owned(),
            label: label.into(),
            role,
            style,
            width: 1.75,
            shape: Shape::Line(points),
        }
    }

    /// Creates bars, which have no legend.
    pub(super) fn bars(id: &str, role: Role, bars: Vec<[f64; 3]>) -> Series {
        let (label, style) = (String::new(), Style::Solid);
        Series { id: id.to_owned(), label, role, style, width: 0.0, shape: Shape::Bars(bars) }
    }

    /// Returns a picture of the series for the legend.
    pub(super) fn sample(&self) -> String {
        match &self.shape {
            Shape::Line(_) => svg::line_sample(self.role, self.style),
            Shape::Points(mark, _) => svg::mark_sample(self.role, *mark),
            Shape::Bars(_) => svg::area_sample(self.role, 1.0),
            Shape::Cells(opacity, _) => svg::area_sample(self.role, *opacity),
        }
    }

    /// Returns true if there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Line(points) => points.iter().all(|(_, value)| value.is_none()),
            Shape::Points(_, points) => points.is_empty(),
            Shape::Bars(bars) => bars.is_empty(),
            Shape::Cells(_, cells) => cells.is_empty(),
        }
    }
}

/// A limit of a threshold, drawn as a horizontal line over a part of the horizontal axis.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

/// Bars that would make all others invisible: they do not scale the axis, are cut off at its top, and have a label.
#[derive(Clone, Debug)]
pub(super) struct Outlier {
    /// Start of the first of these bars.
    pub(super) from: f64,
    pub(super) label: String,
}

/// One plot of a chart.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Unique in its chart. It appears in attributes.
    pub(super) name: String,
    /// Label of the vertical axis.
    pub(super) label: String,
    pub(super) unit: Unit,
    pub(super) scale: Scale,
    /// Height in CSS pixels.
    pub(super) height: f64,
    /// In the order of the legend.
    pub(super) series: Vec<Series>,
    pub(super) limits: Vec<Limit>,
    pub(super) outlier: Option<Outlier>,
}

/// Height of the plot of a chart over time in CSS pixels.
pub(super) const HEIGHT: f64 = 120.0;

/// A chart over time before it is drawn. Its horizontal axis is the time of the run.
pub(super) struct Draft {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) words: String,
    pub(super) plots: Vec<Plot>,
}
