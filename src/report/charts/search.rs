//! The charts of a search for capacity: achieved against offered messages, with the knee, and the latency of each trial. The interval of the
//! answer is shaded. Called by the page of a capacity result.

use super::axis::Axis;
use super::figure::{Figure, Horizontal};
use super::plot::{Plot, Scale, Series, Shape, Unit};
use super::svg::{Mark, Style};
use super::theme::{self, Role};
use super::{Panel, ReportError, number};
use crate::capacity::measured::{CapacityResult, Level, Trial, Vary, Verdict};
use crate::report::search::interval_text;

/// Heights of the plots in CSS pixels.
const KNEE_HEIGHT: f64 = 260.0;
const LATENCY_HEIGHT: f64 = 160.0;
/// Opacity of the shaded interval.
const SHADE: f64 = 0.16;

/// The verdicts, each with its label, color and mark.
const VERDICTS: [(Verdict, &str, Role, Mark); 4] = [
    (Verdict::Good, "good", theme::GOOD, Mark::Disc),
    (Verdict::Bad, "bad", theme::BAD, Mark::Cross),
    (Verdict::Undecided, "undecided", theme::WARN, Mark::Ring),
    (Verdict::Void, "void (load generator)", theme::PLANNED, Mark::Dash),
];

/// Draws the charts. None without trials.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn panels(result: &CapacityResult) -> Result<Vec<Panel>, ReportError> {
    let high = |value: fn(&Trial) -> f64| result.trials.iter().map(value).fold(0.0, f64::max);
    let highest = high(|trial| trial.level.per_s);
    if highest <= 0.0 {
        return Ok(Vec::new());
    }
    let achieved = |trial: &Trial| Some(trial.achieved_per_s);
    let last = result.trials.iter().map(|trial| across(result, &trial.level)).fold(0.0, f64::max);
    let knee = Plot {
        name: "achieved".to_owned(),
        label: "messages that ended ok, per second".to_owned(),
        unit: Unit::Rate,
        scale: Scale::Linear { ticks: 4, at_least: highest },
        height: KNEE_HEIGHT,
        series: series(result, achieved, [last, highest]),
        limits: Vec::new(),
        outlier: None,
    };
    let latency = Plot {
        name: "p99".to_owned(),
        label: "response time p99 of ok messages".to_owned(),
        unit: Unit::Latency,
        scale: Scale::Log,
        height: LATENCY_HEIGHT,
        // The legend of the plot above is that of both.
        series: marks(result, |trial| trial.p99_us.map(number))
            .into_iter()
            .map(|series| Series { id: format!("p99-{}", series.id), label: String::new(), ..series })
            .collect(),
        limits: Vec::new(),
        outlier: None,
    };
    let mut plots = vec![knee, latency];
    plots.retain(|plot| plot.series.iter().any(|series| !series.is_empty()));
    let figure = Figure {
        id: "knee",
        title: "Offered and achieved load".to_owned(),
        unit: "a mark for each trial".to_owned(),
        words: words(result),
        x: horizontal(result.search.vary, last),
        plots,
        markers: Vec::new(),
    };
    Ok(vec![figure.draw()?])
}

/// Returns where a level is on the horizontal axis: what the search varied.
fn across(result: &CapacityResult, level: &Level) -> f64 {
    match result.search.vary {
        Vary::Load => level.per_s,
        Vary::Devices => number(level.devices),
    }
}

fn horizontal(vary: Vary, last: f64) -> Horizontal<'static> {
    let label = match vary {
        Vary::Load => "offered messages per second",
        Vary::Devices => "devices",
    };
    Horizontal::Other { label, axis: Box::new(move |width, font| axis(last, width, font)) }
}

/// Returns an axis with as many ticks as fit.
fn axis(highest: f64, width: f64, font: f64) -> Axis {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let ticks = (width / (font * 9.0)).clamp(2.0, 10.0) as u32;
    Axis::linear(highest, ticks, |value| Unit::Rate.tick(value))
}

/// Returns the marks, the curve, the ideal, and the shaded interval.
fn series(
    result: &CapacityResult,
    value: fn(&Trial) -> Option<f64>,
    [last, highest]: [f64; 2],
) -> Vec<Series> {
    let mut series = marks(result, value);
    let curve = curve(result);
    series.push(Series::line("curve", "median of each level", (theme::FIRST, Style::Solid), curve));
    let ideal = vec![(0.0, Some(0.0)), (last, Some(highest))];
    series.push(Series::line("ideal", "everything ends ok", (theme::PLANNED, Style::Dashed), ideal));
    series.extend(interval(result, ("interval", "the capacity", theme::SECOND), highest));
    series
}

/// Returns the achieved messages per second at each level.
fn curve(result: &CapacityResult) -> Vec<(f64, Option<f64>)> {
    let point = |level: &Level, achieved: f64| (across(result, level), Some(achieved));
    result.curve.iter().map(|each| point(&each.level, each.achieved_per_s)).collect()
}

/// Returns the shaded interval of the capacity, if both bounds are known.
fn interval(result: &CapacityResult, (id, label, role): (&str, &str, Role), highest: f64) -> Option<Series> {
    let (lower, upper) = (result.answer.lower?, result.answer.upper?);
    Some(Series {
        id: id.to_owned(),
        label: label.to_owned(),
        role,
        style: Style::Solid,
        width: 0.0,
        shape: Shape::Cells(SHADE, vec![[across(result, &lower), across(result, &upper), 0.0, highest]]),
    })
}

/// Draws the curves of two searches over each other, with their intervals. `None` without trials.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn compared(
    base: &CapacityResult,
    new: &CapacityResult,
) -> Result<Option<Panel>, ReportError> {
    let levels =
        || [base, new].into_iter().flat_map(|side| side.trials.iter().map(move |trial| (side, &trial.level)));
    let highest = levels().map(|(_, level)| level.per_s).fold(0.0, f64::max);
    let last = levels().map(|(side, level)| across(side, level)).fold(0.0, f64::max);
    if highest <= 0.0 {
        return Ok(None);
    }
    let sides = [("new", new, theme::FIRST, Style::Solid), ("base", base, theme::SECOND, Style::Dashed)];
    let lines =
        sides.into_iter().map(|(id, result, role, style)| Series::line(id, id, (role, style), curve(result)));
    let mut series: Vec<Series> = lines.collect();
    series.extend(sides.into_iter().filter_map(|(id, result, role, _)| {
        let label = format!("capacity of the {id} search");
        interval(result, (&format!("interval-{id}"), &label, role), highest)
    }));
    let plot = Plot {
        name: "achieved".to_owned(),
        label: "messages that ended ok, per second".to_owned(),
        unit: Unit::Rate,
        scale: Scale::Linear { ticks: 4, at_least: highest },
        height: KNEE_HEIGHT,
        series,
        limits: Vec::new(),
        outlier: None,
    };
    let [of_base, of_new] = [base, new].map(|result| {
        let (lower, upper) = (result.answer.lower.as_ref(), result.answer.upper.as_ref());
        interval_text(result.search.vary, lower, upper, "unknown")
    });
    let figure = Figure {
        id: "knees",
        title: "Offered and achieved load".to_owned(),
        unit: "median of the trials of each level".to_owned(),
        words: format!("The capacity of the base is {of_base}; the new capacity is {of_new}."),
        x: horizontal(base.search.vary, last),
        plots: vec![plot],
        markers: Vec::new(),
    };
    figure.draw().map(Some)
}

fn marks(result: &CapacityResult, value: fn(&Trial) -> Option<f64>) -> Vec<Series> {
    let of = |(verdict, label, role, mark): (Verdict, &str, Role, Mark)| {
        let trials = result.trials.iter().filter(|trial| trial.verdict == verdict);
        let points = trials.filter_map(|trial| Some((across(result, &trial.level), value(trial)?)));
        let (id, label, style) =
            (label.split(' ').next().unwrap_or(label).to_owned(), label.to_owned(), Style::Solid);
        Series { id, label, role, style, width: 0.0, shape: Shape::Points(mark, points.collect()) }
    };
    let mut series: Vec<Series> = VERDICTS.into_iter().map(of).collect();
    series.retain(|series| !series.is_empty());
    series
}

/// Describes the chart.
fn words(result: &CapacityResult) -> String {
    let count = |verdict: Verdict| result.trials.iter().filter(|trial| trial.verdict == verdict).count();
    let (lower, upper) = (result.answer.lower.as_ref(), result.answer.upper.as_ref());
    let interval = interval_text(result.search.vary, lower, upper, "unknown");
    let shaded = if lower.is_some() && upper.is_some() { " (shaded)" } else { "" };
    format!(
        "{} good, {} bad, {} undecided and {} void trials. The capacity is {interval}{shaded}.",
        count(Verdict::Good),
        count(Verdict::Bad),
        count(Verdict::Undecided),
        count(Verdict::Void)
    )
}
