//! Charts of the hub's own view: each metric of the hub over the intervals that Azure publishes, beside hubstorm's numbers on the same
//! timeline. Called by `page`. A value of the hub is a step over its interval, because nothing is known about its course within it.

use super::figure::{Figure, Horizontal};
use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Shape, Unit};
use super::rows::Rows;
use super::svg::Style;
use super::theme::{self, Role};
use super::{Panel, ReportError, number};
use crate::hub_metrics::Metric;
use crate::measure::Row;
use crate::report::hub_view::{HubView, RunBin, Shown, ended_ok_d2c, slow};
use crate::result::model::RunResult;

/// Opacity of the area between the smallest and the largest reading.
const SPREAD_OPACITY: f64 = 0.25;
/// Microseconds in a second.
const US: f64 = 1e6;
/// The sentence below a chart about incomplete intervals.
const PARTIAL: &str = " Intervals that are partly before or after the run are dotted or gray.";

/// Draws a chart for each metric that has a counterpart in the run; none for a run without a series.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn panels(result: &RunResult, view: &HubView) -> Result<Vec<Panel>, ReportError> {
    let Some(rows) = Rows::of(result) else { return Ok(Vec::new()) };
    let drafts = [connected(&rows, view), messages(&rows, view), throttling(&rows, view), used(&rows, view)];
    let figure = |draft: Draft| {
        let Draft { id, title, unit, words, plots } = draft;
        let x = Horizontal::Time { rows: &rows, names: true };
        Figure { id, title, unit: unit.to_owned(), words, x, plots, markers: Vec::new() }.draw()
    };
    drafts.into_iter().flatten().map(figure).collect()
}

/// Returns the start and the end of an interval on the time axis, in seconds.
fn span(bin: &RunBin, rows: &Rows<'_>) -> [f64; 2] {
    let seconds = |us: i64| (number(us.max(0).unsigned_abs()) / US).min(rows.end);
    [seconds(bin.from_us), seconds(bin.to_us)]
}

/// Returns the steps of the intervals that are completely in the run (`whole`), or of the others.
fn steps(
    shown: &Shown,
    rows: &Rows<'_>,
    whole: bool,
    value: impl Fn(&RunBin) -> f64,
) -> Vec<(f64, Option<f64>)> {
    let mut points: Vec<(f64, Option<f64>)> = Vec::new();
    for bin in shown.bins.iter().filter(|bin| bin.whole == whole) {
        let [from, to] = span(bin, rows);
        if points.last().is_some_and(|(end, _)| (end - from).abs() > 1e-6) {
            points.push((from, None));
        }
        points.extend([(from, Some(value(bin))), (to, Some(value(bin)))]);
    }
    points
}

/// Returns the lines of a metric: its whole intervals, and those that are only partly in the run.
fn lines(
    shown: &Shown,
    rows: &Rows<'_>,
    (id, label, role): (&str, &str, Role),
    value: impl Fn(&RunBin) -> f64,
) -> Vec<Series> {
    let whole = Series::line(id, label, (role, Style::Solid), steps(shown, rows, true, &value));
    let partial = steps(shown, rows, false, &value);
    let partial = Series::line(
        &format!("{id}-partial"),
        format!("{label}, partly outside the run"),
        (role, Style::Dotted),
        partial,
    );
    [whole, partial].into_iter().filter(|series| !series.is_empty()).collect()
}

fn plot(name: &str, label: &str, unit: Unit, series: Vec<Series>) -> Plot {
    Plot {
        name: name.to_owned(),
        label: label.to_owned(),
        unit,
        scale: Scale::Linear { ticks: 3, at_least: 1.0 },
        height: HEIGHT,
        series,
        limits: Vec::new(),
        outlier: None,
    }
}

fn connected(rows: &Rows<'_>, view: &HubView) -> Option<Draft> {
    let shown = view.shown(Metric::ConnectedDevices)?;
    let [online, _] = rows.online();
    let mut series = vec![Series::line("online", "online (hubstorm)", (theme::FIRST, Style::Solid), online)];
    series.extend(lines(shown, rows, ("hub", "connected (the hub)", theme::SECOND), |bin| bin.bin.value()));
    let cells = shown.bins.iter().filter_map(|bin| {
        let [from, to] = span(bin, rows);
        Some([from, to, bin.bin.minimum?, bin.bin.maximum?])
    });
    let cells: Vec<[f64; 4]> = cells.filter(|[.., low, high]| high > low).collect();
    if !cells.is_empty() {
        series.push(Series {
            id: "hub-spread".to_owned(),
            label: "the hub, smallest to largest".to_owned(),
            role: theme::SECOND,
            style: Style::Solid,
            width: 0.0,
            shape: Shape::Cells(SPREAD_OPACITY, cells),
        });
    }
    Some(Draft {
        id: "hub-connected",
        title: "Connected devices".to_owned(),
        unit: "devices",
        words: format!("The hub's value is one for each interval of {}.{PARTIAL}", view.interval(shown)),
        plots: vec![plot("hub-connected", "devices", Unit::Count, series)],
    })
}

fn messages(rows: &Rows<'_>, view: &HubView) -> Option<Draft> {
    let [accepted, attempts] = [Metric::D2cAccepted, Metric::D2cAttempts].map(|metric| view.shown(metric));
    let shown = accepted.or(attempts)?;
    let acked = rows.at_middles(|slot| Some(slot.per_second(ended_ok_d2c(&slot.row))));
    let mut series =
        vec![Series::line("acked", "acknowledged (hubstorm)", (theme::FIRST, Style::Solid), acked)];
    for (shown, id, label, role) in [
        (accepted, "hub", "accepted (the hub)", theme::SECOND),
        (attempts, "hub-attempts", "attempts (the hub)", theme::THIRD),
    ] {
        let per_second =
            |shown: &Shown, bin: &RunBin| bin.bin.value() * US / number(shown.length_us.unsigned_abs());
        series.extend(
            shown
                .into_iter()
                .flat_map(|shown| lines(shown, rows, (id, label, role), |bin| per_second(shown, bin))),
        );
    }
    Some(Draft {
        id: "hub-messages",
        title: "D2C messages".to_owned(),
        unit: "per second",
        words: format!("The hub's value is the mean over an interval of {}.{PARTIAL}", view.interval(shown)),
        plots: vec![plot("hub-messages", "messages per second", Unit::Rate, series)],
    })
}

fn throttling(rows: &Rows<'_>, view: &HubView) -> Option<Draft> {
    let shown = view.shown(Metric::ThrottlingErrors)?;
    let of_hub = |whole: bool| {
        let bins = shown.bins.iter().filter(move |bin| bin.whole == whole && bin.bin.value() > 0.0);
        bins.map(|bin| {
            let [from, to] = span(bin, rows);
            [from, to, bin.bin.value()]
        })
    };
    let ours = |count: fn(&Row) -> u64| {
        let bars = rows.slots.iter().map(|slot| [slot.from, slot.to, number(count(&slot.row))]);
        bars.filter(|[.., height]| *height > 0.0).collect::<Vec<_>>()
    };
    let interval = view.interval(shown);
    // `per minute`, but `per 5 minutes`.
    let interval = interval.strip_prefix("1 ").unwrap_or(&interval);
    let partial: Vec<[f64; 3]> = of_hub(false).collect();
    let mut hub = vec![Series::bars("hub", theme::SECOND, of_hub(true).collect())];
    if !partial.is_empty() {
        let label = "partly outside the run (the hub)".to_owned();
        hub.push(Series { label, ..Series::bars("hub-partial", theme::PLANNED, partial) });
    }
    let mut plots = vec![
        plot("hub-throttling", &format!("throttling errors per {interval} (the hub)"), Unit::Count, hub),
        plot(
            "hub-slow",
            "acknowledgments over 1 s (hubstorm)",
            Unit::Count,
            vec![Series::bars("slow", theme::FIRST, ours(slow))],
        ),
    ];
    let not_ok = ours(|row| row.interval.errors);
    if !not_ok.is_empty() {
        let series = vec![Series::bars("not_ok", theme::BAD, not_ok)];
        plots.push(plot("hub-not-ok", "operations not ok (hubstorm)", Unit::Count, series));
    }
    Some(Draft {
        id: "hub-throttling",
        title: "Throttling errors, and their signs".to_owned(),
        unit: "per interval, each plot on its own scale",
        words: format!(
            "The hub counts its errors per {interval}; hubstorm counts slow acknowledgments and failures per row of the series.{PARTIAL}"
        ),
        plots,
    })
}

/// Draws the growth of the messages used since the first interval, and the acknowledged messages since then.
fn used(rows: &Rows<'_>, view: &HubView) -> Option<Draft> {
    let shown = view.shown(Metric::MessagesUsed)?;
    let first = shown.bins.first()?;
    // The counter starts again at 00:00 UTC.
    if !shown.bins.is_sorted_by(|one, two| one.bin.highest() <= two.bin.highest()) {
        return None;
    }
    let [_, from] = span(first, rows);
    let base = first.bin.highest();
    let mut acked = 0;
    let mut points = vec![(from, Some(0.0))];
    for slot in rows.slots.iter().filter(|slot| slot.from >= from - 1e-6) {
        acked += slot.row.interval.achieved;
        points.push((slot.to, Some(number(acked))));
    }
    let mut series =
        vec![Series::line("acked", "messages acknowledged (hubstorm)", (theme::FIRST, Style::Solid), points)];
    series.extend(lines(shown, rows, ("hub", "messages used (the hub)", theme::SECOND), |bin| {
        bin.bin.highest() - base
    }));
    Some(Draft {
        id: "hub-used",
        title: "Messages used of the daily quota".to_owned(),
        unit: "since the end of the first interval",
        words: format!(
            "The hub's value is the highest one in an interval of {}, and may be late by a minute. A message that is larger than a block \
             is billed several times.{PARTIAL}",
            view.interval(shown)
        ),
        plots: vec![plot("hub-used", "messages", Unit::Count, series)],
    })
}
