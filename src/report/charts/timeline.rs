//! The run over time: small panels, one below the other, with a common time axis and a band for each phase. Called by `page`. Independent
//! of the page's structure.

use super::axis::{self, Axis};
use super::theme::{self, Role};
use super::{
    Area, Chart, Line, ReportError, Size, caption, fitted, frame, in_every_size, latency_label, line, number,
    pixels,
};
use crate::measure::{Latency, Operation, Row};
use crate::report::format::{instant, plain, rate};
use crate::report::summary::online_peak;
use crate::result::model::RunResult;
use crate::units::{human_count, human_us, plural};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::time::Duration;

/// An entry of a panel's legend.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Key {
    /// CSS variable of the color.
    pub(in crate::report) role: &'static str,
    /// Label of the line.
    pub(in crate::report) label: &'static str,
}

/// A drawn panel.
#[derive(Clone, Debug)]
pub(in crate::report) struct Panel {
    pub(in crate::report) title: &'static str,
    pub(in crate::report) unit: &'static str,
    pub(in crate::report) legend: Vec<Key>,
    /// Description in words.
    pub(in crate::report) words: String,
    pub(in crate::report) svg: String,
}

/// The data of a panel.
struct Draft {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    legend: Vec<Key>,
    words: String,
    y: Axis,
    lines: Vec<Line>,
    /// Bars from zero: start, end and height.
    bars: Vec<(f64, f64, f64)>,
}

/// Draws all panels; none for a run without a series. The response panel shows `operation`.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn panels(result: &RunResult, operation: Operation) -> Result<Vec<Panel>, ReportError> {
    if result.measurement.series.rows.is_empty() {
        return Ok(Vec::new());
    }
    let time = Time::of(result);
    let drafts = [
        Some(online(&time)),
        Some(messages(&time)),
        Some(response(&time, operation)),
        errors(&time),
        Some(processor(&time)),
        Some(lag(&time)),
    ];
    drafts.into_iter().flatten().enumerate().map(|(i, draft)| draw(&time, draft, i == 0)).collect()
}

/// The rows of the series and their time axis.
struct Time<'a> {
    result: &'a RunResult,
    rows: &'a [Row],
    /// Length of a row in seconds.
    interval: f64,
    end: f64,
}

impl<'a> Time<'a> {
    fn of(result: &'a RunResult) -> Time<'a> {
        let rows = result.measurement.series.rows.as_slice();
        let interval = seconds(result.measurement.series.interval_us.max(1));
        let phases_end = result.measurement.phases.iter().map(|phase| phase.end_us).max().unwrap_or(0);
        let rows_end = rows.last().map_or(0.0, |row| seconds(row.t_us));
        // The end of the drain may shorten the last row.
        let end =
            (rows_end + interval).min(seconds(result.run.duration_us).max(rows_end)).max(seconds(phases_end));
        Time { result, rows, interval, end }
    }

    /// Returns a gauge at the start of the run (`begin`) and at the end of each row before the end of the load. The last value extends to
    /// the end of the load, so that the planned disconnects at the end do not look like lost connections.
    fn at_ends(&self, begin: f64, value: impl Fn(&Row) -> f64) -> Vec<Option<(f64, f64)>> {
        let load_end_us =
            self.result.measurement.phases.iter().map(|phase| phase.end_us).max().unwrap_or(u64::MAX);
        let inside =
            |row: &&Row| row.t_us.saturating_add(self.result.measurement.series.interval_us) < load_end_us;
        let at = |row: &Row| (seconds(row.t_us) + self.interval, value(row));
        let read: Vec<(f64, f64)> = self.rows.iter().filter(inside).map(at).collect();
        let Some((_, last)) = read.last().copied() else { return Vec::new() };
        let end = seconds(load_end_us).min(self.end);
        [(0.0, begin)].into_iter().chain(read).chain([(end, last)]).map(Some).collect()
    }

    /// Returns a value for each row, at the middle of the row.
    fn at_middles(&self, value: impl Fn(&Row) -> Option<f64>) -> Vec<Option<(f64, f64)>> {
        let at = |row: &Row| (seconds(row.t_us) + self.interval / 2.0).min(self.end);
        self.rows.iter().map(|row| value(row).map(|value| (at(row), value))).collect()
    }

    /// Returns the length of a row. `None` if the run ended in the first half of the row, because a mean would be unreliable.
    fn length(&self, row: &Row) -> Option<f64> {
        let length = (self.end - seconds(row.t_us)).min(self.interval);
        (length >= self.interval / 2.0).then_some(length)
    }

    fn peak(&self, value: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(value).fold(0.0, f64::max)
    }
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn online(time: &Time<'_>) -> Draft {
    let (actual, planned) = (|row: &Row| number(row.online), |row: &Row| number(row.planned_online));
    let planned_peak = time.rows.iter().map(|row| row.planned_online).max().unwrap_or(0);
    let devices: u64 = time.result.measurement.fleets.iter().map(|fleet| fleet.devices).sum();
    let planned_first =
        time.result.measurement.phases.first().map_or(0.0, |phase| phase.planned_online[0]) * number(devices);
    Draft {
        id: "online",
        title: "Devices online",
        unit: "devices",
        legend: vec![
            Key { role: theme::FIRST.name, label: "online" },
            Key { role: theme::PLANNED.name, label: "planned" },
        ],
        words: format!(
            "Peak: {} devices online, {} planned.",
            human_count(online_peak(&time.result.measurement)),
            human_count(planned_peak)
        ),
        y: Axis::linear(time.peak(actual).max(time.peak(planned)).max(planned_first), 3, tick_label),
        lines: vec![
            // No devices are online before the run starts.
            Line { role: theme::FIRST, points: time.at_ends(0.0, actual) },
            Line { role: theme::PLANNED, points: time.at_ends(planned_first, planned) },
        ],
        bars: Vec::new(),
    }
}

/// Returns the label of a tick on a linear axis: `1,500`, `0.25`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ticks are not negative")]
fn tick_label(value: f64) -> String {
    if (value - value.round()).abs() < 1e-6 {
        return human_count(value.round() as u64);
    }
    format!("{value:.3}").trim_end_matches('0').to_owned()
}

fn messages(time: &Time<'_>) -> Draft {
    let offered = |row: &Row| time.length(row).map(|length| number(row.interval.offered) / length);
    let achieved = |row: &Row| time.length(row).map(|length| number(row.interval.achieved) / length);
    let peak = |rate: &dyn Fn(&Row) -> Option<f64>| time.peak(|row| rate(row).unwrap_or(0.0));
    let (most_offered, most_achieved) = (peak(&offered), peak(&achieved));
    Draft {
        id: "messages",
        title: "Messages",
        unit: "per second",
        legend: vec![
            Key { role: theme::FIRST.name, label: "acknowledged" },
            Key { role: theme::PLANNED.name, label: "offered (due)" },
        ],
        words: format!("Peak offered {}/s, peak acknowledged {}/s.", rate(most_offered), rate(most_achieved)),
        y: Axis::linear(most_offered.max(most_achieved), 3, tick_label),
        lines: vec![
            Line { role: theme::FIRST, points: time.at_middles(achieved) },
            Line { role: theme::PLANNED, points: time.at_middles(offered) },
        ],
        bars: Vec::new(),
    }
}

fn response(time: &Time<'_>, operation: Operation) -> Draft {
    let shown: [(Role, &str, f64); 3] =
        [(theme::FIRST, "p50", 0.5), (theme::SECOND, "p99", 0.99), (theme::THIRD, "p99.9", 0.999)];
    let at = |row: &Row, quantile: f64| row.interval.response.of(operation).quantile(quantile);
    let all = || time.rows.iter().flat_map(|row| shown.map(|(_, _, quantile)| at(row, quantile))).flatten();
    let (low, high) = (all().min().map(number), all().max().map(number));
    let (low, high) = low.zip(high).unwrap_or((1_000.0, 10_000.0));
    let mut whole = Latency::default();
    for row in time.rows {
        whole.add(row.interval.response.of(operation));
    }
    let worst = time.rows.iter().filter_map(|row| Some((at(row, 0.99)?, row.t_us))).max_by_key(|(us, _)| *us);
    let words = match (whole.quantile(0.5), worst) {
        (Some(median), Some((p99_us, t_us))) => format!(
            "Median response of {operation} over the whole run: {}. The slowest interval started at {} and had a p99 of {}.",
            human_us(median),
            instant(t_us),
            human_us(p99_us),
        ),
        _ => format!("No {operation} operation ended ok."),
    };
    let lines = shown
        .iter()
        .rev()
        .map(|(role, _, quantile)| Line {
            role: *role,
            points: time.at_middles(|row| at(row, *quantile).map(number)),
        })
        .collect();
    Draft {
        id: "response",
        title: "Response time",
        unit: "due to ack, operations that ended ok, logarithmic",
        legend: shown.iter().map(|(role, label, _)| Key { role: role.name, label }).collect(),
        words,
        y: Axis::log(low, high, latency_label),
        lines,
        bars: Vec::new(),
    }
}

/// Returns `None` if every operation ended ok, because an empty chart shows nothing.
fn errors(time: &Time<'_>) -> Option<Draft> {
    let total: u64 = time.rows.iter().map(|row| row.interval.errors).sum();
    let first = time.rows.iter().find(|row| row.interval.errors > 0)?;
    let bars = time
        .rows
        .iter()
        .filter(|row| row.interval.errors > 0)
        .map(|row| {
            let from = seconds(row.t_us);
            (from, (from + time.interval).min(time.end), number(row.interval.errors))
        })
        .collect();
    Some(Draft {
        id: "errors",
        title: "Operations not ok",
        unit: "per interval",
        legend: Vec::new(),
        words: format!(
            "{} did not end ok, the first at {}.",
            plural(total, "operation", "operations"),
            instant(first.t_us)
        ),
        y: Axis::linear(time.peak(|row| number(row.interval.errors)), 2, tick_label),
        lines: Vec::new(),
        bars,
    })
}

fn processor(time: &Time<'_>) -> Draft {
    let busy = |row: &Row| time.length(row).map(|_| row.cpu_percent).filter(|percent| percent.is_finite());
    let peak = time.peak(|row| busy(row).unwrap_or(0.0));
    Draft {
        id: "cpu",
        title: "Load generator: CPU",
        unit: "percent of one core",
        legend: Vec::new(),
        words: format!("Busiest interval: {peak:.0}% of one core, of {}.", time.result.run.host.cores),
        y: Axis::linear(peak.max(10.0), 2, |value| format!("{value:.0}%")),
        lines: vec![Line { role: theme::THIRD, points: time.at_middles(busy) }],
        bars: Vec::new(),
    }
}

fn lag(time: &Time<'_>) -> Draft {
    let worst = time.rows.iter().map(|row| row.interval.lag_max_us).max().unwrap_or(0);
    let least = time.rows.iter().map(|row| row.interval.lag_max_us).filter(|us| *us > 0).min().unwrap_or(100);
    let points =
        time.at_middles(|row| (row.interval.lag_max_us > 0).then(|| number(row.interval.lag_max_us)));
    let words = match time.result.generator.lag.count() {
        0 if time.rows.iter().all(|row| row.interval.offered == 0) => "No messages were due.".to_owned(),
        0 => "The load generator could not start any message.".to_owned(),
        _ => format!("The load generator started every message within {} of its due time.", human_us(worst)),
    };
    Draft {
        id: "lag",
        title: "Load generator: lag",
        unit: "maximum per interval, logarithmic",
        legend: Vec::new(),
        words,
        y: Axis::log(number(least), number(worst.max(least)), latency_label),
        lines: vec![Line { role: theme::THIRD, points }],
        bars: Vec::new(),
    }
}

fn draw(time: &Time<'_>, draft: Draft, names: bool) -> Result<Panel, ReportError> {
    let header = if names { 18 } else { 0 };
    let svg = in_every_size(draft.id, draft.title, &draft.words, None, |size, area| {
        let x = axis::time(time.end, size.time_ticks);
        let (y_low, y_high) = (draft.y.low(), draft.y.high());
        // Draw the bands first, so that they are under the grid.
        let mut chart = frame(size, area, header, x.clone(), draft.y.clone())?;
        bands(time, &mut chart, (y_low, y_high))?;
        super::rules(size, &mut chart)?;
        if names {
            phase_names(time, size, area, &chart, y_high)?;
        }
        let bars = draft.bars.iter().map(|(from, to, value)| {
            Rectangle::new([(*from, y_low), (*to, *value)], theme::BAD.color().filled())
        });
        chart.draw_series(bars).map_err(|error| ReportError::chart(&error))?;
        draft.lines.iter().try_for_each(|one| line(&mut chart, one))
    })?;
    Ok(Panel { title: draft.title, unit: draft.unit, legend: draft.legend, words: draft.words, svg })
}

/// Shades every second phase and draws a thin line at the start and the end of each phase.
fn bands(time: &Time<'_>, chart: &mut Chart<'_>, (low, high): (f64, f64)) -> Result<(), ReportError> {
    for (i, phase) in time.result.measurement.phases.iter().enumerate() {
        let (from, to) = (seconds(phase.start_us), seconds(phase.end_us));
        if i % 2 == 1 {
            fill(chart, theme::BAND, [(from, low), (to, high)])?;
        }
        for at in [from, to] {
            chart
                .draw_series([PathElement::new(
                    [(at, low), (at, high)],
                    theme::RULE.color().stroke_width(super::SCALE),
                )])
                .map_err(|error| ReportError::chart(&error))?;
        }
    }
    Ok(())
}

fn fill(chart: &mut Chart<'_>, role: Role, corners: [(f64, f64); 2]) -> Result<(), ReportError> {
    chart
        .draw_series([Rectangle::new(corners, role.color().filled())])
        .map(drop)
        .map_err(|error| ReportError::chart(&error))
}

fn phase_names(
    time: &Time<'_>,
    size: &Size,
    area: &Area<'_>,
    chart: &Chart<'_>,
    y_high: f64,
) -> Result<(), ReportError> {
    for phase in &time.result.measurement.phases {
        let (left, top) = chart.backend_coord(&(seconds(phase.start_us), y_high));
        let (right, _) = chart.backend_coord(&(seconds(phase.end_us), y_high));
        let name = plain(&phase.name);
        let long = if phase.warmup { format!("{name} (warm-up)") } else { name.clone() };
        let whole = fitted(size, &long, right - left - pixels(4));
        let text = if whole == long { whole } else { fitted(size, &name, right - left - pixels(4)) };
        caption(size, area, &text, (left + pixels(3), top - pixels(18)), HPos::Left, theme::MUTED)?;
    }
    Ok(())
}
