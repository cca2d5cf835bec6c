//! Lays out a chart and draws it in every size. Called by the files with the charts. Independent of the contents of a chart.

use super::axis::{self, Axis};
use super::data;
use super::plot::{Plot, Scale, Series, Shape};
use super::rows::Rows;
use super::svg::{Anchor, Canvas, Style, escape, number};
use super::theme;
use super::{Key, Panel, ReportError, SIZES, Size};
use crate::report::faults;
use crate::report::format::{plain, shorten};
use crate::result::model::Fault;

/// Space above the first plot, and to the right of every plot.
const MARGIN: f64 = 6.0;
const RIGHT: f64 = 14.0;
/// Space between the label of the vertical axis and the plot, so that the label does not touch the uppermost tick's.
const LABEL_GAP: f64 = 6.0;
/// Space between two plots, in addition to the line with the label of the vertical axis.
const BETWEEN: f64 = 8.0;
/// The shade of the time of a fault lets the lines below it show.
const FAULT_OPACITY: f64 = 0.12;
/// A kind that is cut to fewer letters is useless.
const FAULT_CHARS_MIN: usize = 5;

/// Computes an axis for a width and a font size, both in CSS pixels.
pub(super) type AxisOfWidth<'a> = dyn Fn(f64, f64) -> Axis + 'a;

/// The horizontal axis.
pub(super) enum Horizontal<'a> {
    /// The time of the run, with a band for each phase.
    Time { rows: &'a Rows<'a>, names: bool },
    /// Another axis. The plots show values on it.
    Other { label: &'static str, axis: Box<AxisOfWidth<'a>> },
}

/// A moment that a chart of two plots marks with a vertical line, and a label between the plots.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) at: f64,
    pub(super) label: String,
}

/// A chart: one or more plots, one below the other, over a common horizontal axis.
pub(super) struct Figure<'a> {
    /// Unique on the page; part of ids and attributes.
    pub(super) id: &'a str,
    pub(super) title: String,
    pub(super) unit: String,
    /// Describes the chart in words.
    pub(super) words: String,
    pub(super) x: Horizontal<'a>,
    pub(super) plots: Vec<Plot>,
    pub(super) markers: Vec<Marker>,
}

/// The area of a plot in pixels, and its axes.
struct Area<'a> {
    plot: &'a Plot,
    x: Axis,
    y: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area<'_> {
    fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.position(value)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.position(value)
    }

    fn rectangle(&self, [from, to, low, high]: [f64; 4]) -> [f64; 4] {
        [self.x(from), self.y(high), self.x(to), self.y(low)]
    }
}

impl Figure<'_> {
    /// Draws the chart.
    ///
    /// # Errors
    /// Returns an error if the data block cannot be serialized.
    pub(super) fn draw(self) -> Result<Panel, ReportError> {
        let mut svg: String = SIZES.iter().map(|size| self.in_size(size)).collect();
        svg.push_str(&data::block(self.id, &self.plots)?);
        let series = self.plots.iter().flat_map(|plot| &plot.series);
        // A chart with a single unnamed series needs no legend.
        let legend = series.filter(|one| !one.label.is_empty()).map(key).collect();
        Ok(Panel {
            id: self.id.to_owned(),
            title: self.title,
            unit: self.unit,
            legend,
            words: self.words,
            svg,
        })
    }

    fn in_size(&self, size: &Size) -> String {
        let (left, right) = (size.gutter, size.width - RIGHT);
        let line = size.font + 6.0;
        let names = matches!(self.x, Horizontal::Time { names: true, .. });
        let mut canvas = Canvas::default();
        let mut top = MARGIN;
        for (n, plot) in self.plots.iter().enumerate() {
            top += line + LABEL_GAP;
            let label = shorten(&plot.label, fitting(size, size.width));
            let at = (0.0, top - LABEL_GAP - 4.0);
            canvas.text((theme::MUTED, size.font), Anchor::Start, at, &label);
            if n == 0 && names {
                // One line for the names of the phases, and one for the faults.
                top += if self.faults().is_empty() { line } else { 2.0 * line };
            }
            let x = match &self.x {
                Horizontal::Time { rows, .. } => axis::time(rows.end, size.time_ticks),
                Horizontal::Other { axis, .. } => axis(right - left, size.font),
            };
            let y = plot.axis(&x);
            let bottom = top + plot.height;
            let area = Area { plot, x, y, left, right, top, bottom };
            self.draw_plot(&mut canvas, size, &area, n == 0);
            top = bottom + BETWEEN;
            if n + 1 == self.plots.len() {
                top = self.horizontal_labels(&mut canvas, size, &area);
            }
        }
        self.wrap(size, top, &canvas.finish())
    }

    /// Returns the root element, which has a name and a description.
    fn wrap(&self, size: &Size, height: f64, body: &str) -> String {
        let (id, class) = (self.id, size.class);
        format!(
            "<svg class=\"chart {class}\" data-chart=\"{id}\" viewBox=\"0 0 {} {}\" role=\"img\" \
             aria-labelledby=\"{id}-{class}-t {id}-{class}-d\">\n<title id=\"{id}-{class}-t\">{}, {}</title>\n\
             <desc id=\"{id}-{class}-d\">{}</desc>\n{body}</svg>\n",
            number(size.width),
            number(height),
            escape(&self.title),
            escape(&self.unit),
            escape(&self.words),
        )
    }

    fn draw_plot(&self, canvas: &mut Canvas, size: &Size, area: &Area<'_>, first: bool) {
        let times = match &self.x {
            Horizontal::Time { .. } => format!(
                " data-t0=\"{}\" data-t1=\"{}\"",
                data::seconds(area.x.low()),
                data::seconds(area.x.high())
            ),
            Horizontal::Other { .. } => String::new(),
        };
        let [left, right, top, bottom] = [area.left, area.right, area.top, area.bottom].map(number);
        canvas.open(&format!(
            "class=\"plot\" data-plot=\"{}\" data-x0=\"{left}\" data-x1=\"{right}\" data-y0=\"{top}\" \
             data-y1=\"{bottom}\"{times}",
            escape(&area.plot.name)
        ));
        if let Horizontal::Time { rows, names } = &self.x {
            bands(canvas, rows, area);
            fault_bands(canvas, self.faults(), area);
            if first && *names {
                phase_names(canvas, size, rows, area);
                fault_names(canvas, size, self.faults(), area);
            }
        }
        grid(canvas, size, area);
        limits(canvas, area);
        // The first series is the most important one, so it is on top.
        for series in area.plot.series.iter().rev() {
            canvas.open(&format!("class=\"series\" data-series=\"{}\"", escape(&series.id)));
            shape(canvas, area, series);
            canvas.close();
        }
        limit_labels(canvas, size, area);
        if let Some(outlier) = &area.plot.outlier {
            let at = (area.x(outlier.from) - 5.0, area.top + size.font);
            canvas.text_on_lines((theme::INK, size.font), Anchor::End, at, &outlier.label);
        }
        for marker in &self.markers {
            let x = area.x(marker.at);
            canvas.line((theme::INK, Style::DashDot, 1.25), &[vec![(x, area.top), (x, area.bottom)]]);
            if !first {
                // The space between the plots contains no lines. The label of the axis is at its left.
                let is_left = x < f64::midpoint(area.left, area.right);
                let (anchor, x) = if is_left { (Anchor::Start, x) } else { (Anchor::End, x + 4.0) };
                let at = (x, area.top - LABEL_GAP - 4.0);
                canvas.text((theme::INK, size.font), anchor, at, &marker.label);
            }
        }
        canvas.close();
    }

    /// Returns the faults to mark.
    fn faults(&self) -> &[Fault] {
        match &self.x {
            Horizontal::Time { rows, .. } => &rows.result.faults,
            Horizontal::Other { .. } => &[],
        }
    }

    /// Draws the labels below the last plot. Returns the height of the chart.
    fn horizontal_labels(&self, canvas: &mut Canvas, size: &Size, area: &Area<'_>) -> f64 {
        let style = (theme::MUTED, size.font);
        let base = area.bottom + size.font + 5.0;
        for (value, label) in area.x.ticks() {
            let x = area.x(*value);
            canvas.rule(theme::RULE, (x, area.bottom), (x, area.bottom + 4.0));
            canvas.text(style, Anchor::Middle, (x, base), label);
        }
        match &self.x {
            Horizontal::Time { .. } => {
                canvas.text(style, Anchor::Start, (0.0, base), "time");
                base + 6.0
            }
            Horizontal::Other { label, .. } => {
                let base = base + size.font + 4.0;
                canvas.text(style, Anchor::End, (area.right, base), label);
                base + 6.0
            }
        }
    }
}

fn key(series: &Series) -> Key {
    Key { label: series.label.clone(), series: series.id.clone(), sample: series.sample() }
}

fn shape(canvas: &mut Canvas, area: &Area<'_>, series: &Series) {
    match &series.shape {
        Shape::Line(points) => {
            let inside = |x: f64| (area.x.low()..=area.x.high()).contains(&x);
            let parts: Vec<Vec<(f64, f64)>> = points
                .split(|(_, y)| y.is_none())
                .map(|part| {
                    let known = part.iter().filter_map(|(x, y)| Some((*x, (*y)?)));
                    known.filter(|(x, _)| inside(*x)).map(|(x, y)| (area.x(x), area.y(y))).collect()
                })
                .collect();
            canvas.line((series.role, series.style, series.width), &parts);
        }
        Shape::Points(mark, points) => {
            let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (area.x(*x), area.y(*y))).collect();
            canvas.marks(series.role, *mark, &points);
        }
        Shape::Bars(bars) => {
            let low = area.y.low();
            // A bar is at least one pixel wide.
            let bars: Vec<[f64; 4]> = bars
                .iter()
                .map(|[from, to, value]| {
                    let [left, top, right, bottom] = area.rectangle([*from, *to, low, *value]);
                    [left, top.min(bottom - 1.0), right.max(left + 1.0), bottom]
                })
                .collect();
            canvas.fill(series.role, None, &bars);
        }
        Shape::Cells(opacity, cells) => {
            let cells: Vec<[f64; 4]> = cells.iter().map(|cell| area.rectangle(*cell)).collect();
            canvas.fill(series.role, Some(*opacity), &cells);
        }
    }
}

fn grid(canvas: &mut Canvas, size: &Size, area: &Area<'_>) {
    for (value, label) in area.y.ticks() {
        let y = area.y(*value);
        canvas.rule(theme::RULE, (area.left, y), (area.right, y));
        let at = (area.left - 6.0, y + size.font * 0.35);
        canvas.text((theme::MUTED, size.font), Anchor::End, at, label);
    }
    canvas.rule(theme::RULE, (area.left, area.top), (area.left, area.bottom));
    canvas.rule(theme::RULE, (area.left, area.bottom), (area.right, area.bottom));
}

fn limits(canvas: &mut Canvas, area: &Area<'_>) {
    for limit in &area.plot.limits {
        let y = area.y(limit.value);
        let (from, to) = (area.x(limit.from), area.x(limit.to));
        canvas.line((theme::BAD, Style::Dashed, 1.5), &[vec![(from, y), (to, y)]]);
    }
}

/// Writes each limit above its line, or below it at the top of the plot. A label that would cover another one moves to the left, and
/// then down, as long as it stays in the plot.
fn limit_labels(canvas: &mut Canvas, size: &Size, area: &Area<'_>) {
    let line = size.font + 1.0;
    let mut written: Vec<[f64; 3]> = Vec::new();
    for limit in &area.plot.limits {
        let line_y = area.y(limit.value);
        // A label must not cover the line of the next higher limit.
        let above = line_y - size.font - 4.0;
        let crowded =
            area.plot.limits.iter().map(|other| area.y(other.value)).any(|y| y < line_y && y > above);
        let first = if crowded || above + 4.0 < area.top { line_y + line } else { line_y - 4.0 };
        let label = shorten(&limit.label, fitting(size, area.right - area.left - 8.0));
        let width = text_width(size, &label);
        // The limit of a short phase may be too far to the left for its label.
        let end = (area.x(limit.to) - 4.0).max(area.left + width + 4.0);
        let rows = (0..4u8).map(|row| first + f64::from(row) * line).filter(|y| *y < area.bottom);
        let place = rows.map(|y| (free(&written, y, end, width, size.font), y));
        // If there is no free place, the words below the chart still name the limit.
        let Some((right, y)) = place.into_iter().find(|(right, _)| right - width >= area.left) else {
            continue;
        };
        written.push([right - width, right, y]);
        canvas.text_on_lines((theme::BAD, size.font), Anchor::End, (right, y), &label);
    }
}

/// Returns the rightmost end, up to `right`, of a text at height `y` that covers no other text. `written` has the left end, the right end
/// and the height of each text.
fn free(written: &[[f64; 3]], y: f64, mut right: f64, width: f64, font: f64) -> f64 {
    while let Some([left, ..]) = written
        .iter()
        .find(|[left, until, other]| (other - y).abs() < font && *left < right && right - width < *until)
    {
        right = left - 12.0;
    }
    right
}

/// Shades every second phase and draws a thin line at the start and the end of each phase.
fn bands(canvas: &mut Canvas, rows: &Rows<'_>, area: &Area<'_>) {
    for (i, (_, from, to)) in rows.phases().enumerate() {
        let (left, right) = (area.x(from), area.x(to));
        if i % 2 == 1 {
            canvas.fill(theme::BAND, None, &[[left, area.top, right, area.bottom]]);
        }
        for x in [left, right] {
            canvas.rule(theme::RULE, (x, area.top), (x, area.bottom));
        }
    }
}

/// Marks the start of each fault, and shades its time.
fn fault_bands(canvas: &mut Canvas, faults: &[Fault], area: &Area<'_>) {
    let end = area.x.high();
    for [from, to] in faults.iter().map(faults::seconds).filter(|[from, _]| *from <= end) {
        let (left, right) = (area.x(from), area.x(to.min(end)));
        if right > left {
            canvas.fill(theme::BAD, Some(FAULT_OPACITY), &[[left, area.top, right, area.bottom]]);
        }
        canvas.line((theme::BAD, Style::DashDot, 1.0), &[vec![(left, area.top), (left, area.bottom)]]);
    }
}

/// Writes the kind and the share of each fault above the names of the phases, if there is room before the next fault. Faults that start at
/// the same time share a line of text.
fn fault_names(canvas: &mut Canvas, size: &Size, faults: &[Fault], area: &Area<'_>) {
    let end = area.x.high();
    let mut starts: Vec<&Fault> = faults.iter().filter(|fault| faults::seconds(fault)[0] <= end).collect();
    starts.sort_by_key(|fault| fault.from_us);
    let together: Vec<&[&Fault]> = starts.chunk_by(|one, two| one.from_us == two.from_us).collect();
    for (index, group) in together.iter().enumerate() {
        let x = |group: &[&Fault]| area.x(faults::seconds(group[0])[0]);
        let left = x(group);
        let right = together.get(index + 1).map_or(area.x(end), |next| x(next));
        let room = fitting(size, right - left - 6.0);
        let joined = |name: fn(&Fault) -> String| {
            group.iter().map(|fault| name(fault)).collect::<Vec<_>>().join(" + ")
        };
        let long = joined(|fault| format!("{}, {}", faults::kind(fault), faults::share(fault)));
        let text = if long.chars().count() <= room { long } else { shorten(&joined(faults::kind), room) };
        if room >= FAULT_CHARS_MIN {
            let at = (left + 3.0, area.top - 6.0 - size.font - 6.0);
            canvas.text_until((theme::BAD, size.font), at, right, &text);
        }
    }
}

fn phase_names(canvas: &mut Canvas, size: &Size, rows: &Rows<'_>, area: &Area<'_>) {
    let mut write = |name: &str, long: &str, from: f64, to: f64| {
        let room = fitting(size, area.x(to) - area.x(from) - 6.0);
        let text = if long.chars().count() <= room { long.to_owned() } else { shorten(name, room) };
        // A name that is cut to one or two letters is useless.
        if room >= 4 || text == name {
            let at = (area.x(from) + 3.0, area.top - 6.0);
            canvas.text_until((theme::MUTED, size.font), at, area.x(to), &text);
        }
    };
    for (phase, from, to) in rows.phases() {
        let name = plain(&phase.name);
        let long = if phase.warmup { format!("{name} (warm-up)") } else { name.clone() };
        write(&name, &long, from, to);
    }
    if rows.end - rows.load_end > rows.interval {
        write("drain", "drain", rows.load_end, rows.end);
    }
}

/// Estimates the width of a text; the exact width depends on the reader's system font.
pub(super) fn text_width(size: &Size, text: &str) -> f64 {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    f64::from(letters) * size.font * 0.58
}

/// Returns the number of letters that fit into `width`.
fn fitting(size: &Size, width: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a width is small, and the cast saturates"
    )]
    let letters = (width / (size.font * 0.58)) as usize;
    letters
}

impl Plot {
    /// Returns the vertical axis: it covers exactly the values over the horizontal axis.
    fn axis(&self, x: &Axis) -> Axis {
        let inside = |at: f64| (x.low()..=x.high()).contains(&at);
        // Above the highest limit, there is room for its label.
        let mut values: Vec<f64> =
            self.limits.iter().flat_map(|limit| [limit.value, 3.0 * limit.value]).collect();
        for series in &self.series {
            match &series.shape {
                Shape::Line(points) => {
                    let known = points.iter().filter(|(x, _)| inside(*x)).filter_map(|(_, y)| *y);
                    values.extend(known);
                }
                Shape::Points(_, points) => values.extend(points.iter().map(|(_, value)| *value)),
                Shape::Bars(bars) => {
                    let until = self.outlier.as_ref().map_or(x.high(), |outlier| outlier.from);
                    values.extend(bars.iter().filter(|[from, ..]| *from < until).map(|[.., value]| *value));
                }
                Shape::Cells(_, cells) => {
                    values.extend(cells.iter().flat_map(|[.., low, high]| [*low, *high]))
                }
            }
        }
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let label = |value: f64| self.unit.tick(value);
        match &self.scale {
            Scale::Linear { ticks, at_least } => Axis::linear(high.max(*at_least), *ticks, label),
            Scale::Log if high.is_finite() => {
                Axis::log(values.into_iter().fold(f64::INFINITY, f64::min), high, label)
            }
            Scale::Log => Axis::log(1_000.0, 10_000.0, label),
            Scale::Fixed(axis) => axis.clone(),
        }
    }
}
