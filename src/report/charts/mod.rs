//! Charts. The input is a result; the output is static SVG, so the page needs no script. Read `timeline.rs` first. Called by `page`.
//! Independent of the page's structure.
//!
//! # What a page gets
//!
//! `headline::draw(result, operation)` returns the chart for the top of the page, `timeline::panels(result, operation)` all other charts
//! over time, and `spectrum::draw(operation, scope, totals)` the percentile spectrum. Each is a [`Panel`]: `id`, `title`, `unit`, `legend`
//! (a list of [`Key`]s), `words` (the text alternative, which the page shows too) and `svg` (safe markup).
//!
//! # Attributes for scripts
//!
//! `svg` contains the chart once per size and one data block. Nothing in it needs a script. Coordinates are in units of the view box.
//!
//! - `<svg class="chart wide|middle|narrow" data-chart="ID" viewBox="0 0 W H" role="img">`: the chart in one size.
//! - `<g class="plot" data-plot="NAME" data-x0 data-x1 data-y0 data-y1 data-t0 data-t1>` in it: a plot area, from `x0` to `x1` and from
//!   `y0` (top) to `y1` (bottom). Over time, `t0` and `t1` are the seconds at `x0` and `x1`, with a linear scale; other charts have
//!   no `t0` and `t1`. A chart with two plots (the headline) has two of these groups.
//! - `<path class="line" data-series="ID" d="M x,y L x,y ...">` (or several, where a line has gaps; a group `<g data-series="ID">` for
//!   bars and cells): everything that belongs to a series.
//! - `<script type="application/json" data-chart="ID">` after the last size:
//!   `{"times":[[0.5,1.5],..],"series":[{"id":"p99","plot":"response","label":"p99","times":0,"values":["12 ms",null,..]},..]}`.
//!   `times` of a series is an index into the list of times, in seconds; `values` are formatted for people; null is a gap.
//! - A legend's [`Key`] has the same `series` id, so that a page can write it into an attribute: `data-key="{{ key.series }}"`. Its
//!   `sample` is a small inline SVG of the line: `{{ key.sample|safe }}`.
//!
//! The `plotters` crate maps values to positions and draws them. [`theme`] makes the colors follow the reader's color scheme, and
//! [`axis`] places the ticks. Each chart is drawn once for each of [`SIZES`], and the style sheet shows the size that fits the reader's
//! screen. The crate rounds positions to whole pixels, so a chart is drawn [`SCALE`] times larger, and the view box scales it down.

pub(super) mod axis;
pub(super) mod spectrum;
pub(super) mod theme;
pub(super) mod timeline;

use super::ReportError;
use super::format::shorten;
use crate::units::human_duration;
use axis::Axis;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::time::Duration;
use theme::Role;

/// The number of drawing units per CSS pixel.
const SCALE: u32 = 4;

/// A size of a chart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// CSS class. The style sheet defines which screens show this size.
    class: &'static str,
    /// Width in CSS pixels.
    width: u32,
    /// Height of a timeline panel in CSS pixels. Other charts have their own height.
    height: u32,
    font: u32,
    /// Space for the labels of the vertical axis, to the left of the plot.
    gutter: u32,
    /// Maximum number of ticks on the time axis.
    time_ticks: u32,
}

/// The sizes: wide, middle and narrow.
const SIZES: [Size; 3] = [
    Size { class: "wide", width: 1040, height: 150, font: 12, gutter: 64, time_ticks: 12 },
    Size { class: "middle", width: 640, height: 150, font: 13, gutter: 66, time_ticks: 8 },
    Size { class: "narrow", width: 340, height: 140, font: 12, gutter: 56, time_ticks: 5 },
];

/// A line in a chart. `None` is a gap in the line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) role: Role,
    pub(super) points: Vec<Option<(f64, f64)>>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Draws a chart in every size. `height` is in CSS pixels and overrides the height of the size. `title` is the name of the chart,
/// `description` describes it in words, and `id` is unique on the page.
fn in_every_size(
    id: &str,
    title: &str,
    description: &str,
    height: Option<u32>,
    mut draw: impl FnMut(&Size, &Area<'_>) -> Result<(), ReportError>,
) -> Result<String, ReportError> {
    let mut page = String::new();
    for size in SIZES {
        let mut svg = String::new();
        let (width, height) = (size.width * SCALE, height.unwrap_or(size.height) * SCALE);
        {
            let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
            draw(&size, &area)?;
            area.present().map_err(|error| ReportError::chart(&error))?;
        }
        // Replace the root element from plotters, which has a fixed size, with one that has a name, a description and a class.
        let body = svg.split_once(">\n").map_or("", |(_, body)| body);
        let class = size.class;
        page.push_str(&format!(
            "<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-{class}-t {id}-{class}-d\">\n<title id=\"{id}-{class}-t\">{}</title>\n\
             <desc id=\"{id}-{class}-d\">{}</desc>\n{body}",
            escape(title),
            escape(description),
        ));
    }
    Ok(page)
}

#[expect(clippy::cast_precision_loss, reason = "a chart shows fewer digits")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Returns the label of a latency on an axis.
fn latency_label(us: f64) -> String {
    let text = human_duration(Duration::from_secs_f64(us / 1e6));
    // On an axis, `1.00 ms` is shortened to `1 ms`.
    text.replacen(".00 ", " ", 1).replacen(".0 ", " ", 1)
}

/// Escapes text inside an element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn pixels(css: u32) -> i32 {
    i32::try_from(css * SCALE).unwrap_or(i32::MAX)
}

fn text_style(size: &Size, role: Role) -> TextStyle<'static> {
    // The SVG backend divides font sizes by 1.24.
    ("sans-serif", pixels(size.font) * 31 / 25).into_font().color(&role.color())
}

/// Draws axes, ticks and horizontal grid lines. Leaves `header` pixels above the plot free.
fn frame<'a>(size: &Size, area: &Area<'a>, header: u32, x: Axis, y: Axis) -> Result<Chart<'a>, ReportError> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(pixels(header + 6))
        .margin_right(pixels(14))
        .set_label_area_size(LabelAreaPosition::Left, pixels(size.gutter))
        .set_label_area_size(LabelAreaPosition::Bottom, pixels(22))
        .build_cartesian_2d(x, y)
        .map_err(|error| ReportError::chart(&error))?;
    Ok({
        rules(size, &mut chart)?;
        chart
    })
}

fn rules(size: &Size, chart: &mut Chart<'_>) -> Result<(), ReportError> {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(theme::RULE.color().stroke_width(SCALE))
        .bold_line_style(theme::RULE.color().stroke_width(SCALE))
        .light_line_style(TRANSPARENT)
        .label_style(text_style(size, theme::MUTED))
        .set_all_tick_mark_size(pixels(4))
        .draw()
        .map_err(|error| ReportError::chart(&error))
}

/// Draws the segments of a line. A single point becomes a dot.
fn line(chart: &mut Chart<'_>, line: &Line) -> Result<(), ReportError> {
    let color = line.role.color();
    for stretch in line.points.split(Option::is_none) {
        let points: Vec<(f64, f64)> = stretch.iter().flatten().copied().collect();
        match points.as_slice() {
            [] => {}
            [point] => {
                chart
                    .draw_series([Circle::new(*point, pixels(2), color.filled())])
                    .map_err(|error| ReportError::chart(&error))?;
            }
            _ => {
                chart
                    .draw_series([PathElement::new(points, color.stroke_width(SCALE * 7 / 4))])
                    .map_err(|error| ReportError::chart(&error))?;
            }
        }
    }
    Ok(())
}

/// Draws text at a position in drawing units.
fn caption(
    size: &Size,
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    align: HPos,
    role: Role,
) -> Result<(), ReportError> {
    let style = text_style(size, role).pos(Pos::new(align, VPos::Top));
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| ReportError::chart(&error))
}

/// Shortens `text` to `width` drawing units. Returns an empty string if the space is too small.
fn fitted(size: &Size, text: &str, width: i32) -> String {
    // An estimate of the mean letter width; the exact width depends on the reader's system font.
    let letter = (pixels(size.font) * 6 / 10).max(1);
    let room = usize::try_from(width / letter).unwrap_or(0);
    if room < 4 && text.chars().count() > room { String::new() } else { shorten(text, room) }
}
