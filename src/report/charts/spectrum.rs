//! The percentile spectrum: latency over a horizontal axis on which each additional nine has the same width, so that the tail is visible.
//! It is HdrHistogram's axis, 1 / (1 - q). Called by `page`. Independent of thresholds.

use super::axis::Axis;
use super::figure::{Figure, Horizontal};
use super::plot::Series;
use super::response;
use super::rows::can_feed;
use super::svg::Style;
use super::theme::{self, Role};
use super::{Panel, ReportError, number, percentile_name};
use crate::measure::{Latency, Operation, Totals};
use crate::report::format::share;
use crate::units::human_us;

/// The quantiles of possible ticks. If there is no room for all, earlier ones take precedence.
const TICKS: [(f64, &str); 10] = [
    (0.0, "0%"),
    (0.9, "90%"),
    (0.99, "99%"),
    (0.999, "99.9%"),
    (0.9999, "99.99%"),
    (0.99999, "99.999%"),
    (0.999999, "99.9999%"),
    (0.5, "50%"),
    (0.75, "75%"),
    (0.25, "25%"),
];

/// Height in CSS pixels, in every size.
pub(super) const HEIGHT: f64 = 220.0;

/// Draws response and service time. Returns `None` if there are no samples. `scope` says in words which operations are in `totals`.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn draw(
    operation: Operation,
    scope: &str,
    totals: &Totals,
) -> Result<Option<Panel>, ReportError> {
    let (response, service) = (&totals.response, &totals.service);
    if response.is_empty() {
        return Ok(None);
    }
    let nines = nines(response.count());
    let (mut series, mut tails) = (Vec::new(), Vec::new());
    let kinds = [
        ("response", "response: from the due time to the ack", theme::FIRST, Style::Solid, response),
        ("service", "service: from sending to the ack", theme::SECOND, Style::Dashed, service),
    ];
    for (id, label, role, style, latency) in kinds.into_iter().filter(|kind| !kind.4.is_empty()) {
        let [known, single] = curve(latency, nines);
        series.push(Series::line(id, label, (role, style), known));
        tails.push(beyond(&format!("{id}-tail"), role, single));
    }
    // One entry in the legend explains both.
    if let Some(tail) = tails.first_mut() {
        "fewer than 10 samples beyond".clone_into(&mut tail.label);
    }
    series.extend(tails);
    let words = words(operation, scope, totals);
    let figure = Figure {
        id: "spectrum",
        title: format!("Percentile spectrum of {operation}"),
        unit: "latency, logarithmic, by percentile".to_owned(),
        words,
        x: Horizontal::Other {
            label: "percentile of operations that ended ok",
            axis: Box::new(move |width, font| percentile_axis(nines, width, font)),
        },
        plots: vec![response::plot("spectrum", "latency, log scale", HEIGHT, series)],
        markers: Vec::new(),
    };
    figure.draw().map(Some)
}

fn words(operation: Operation, scope: &str, totals: &Totals) -> String {
    let fed = |latency: &Latency, quantile: f64| {
        latency.quantile(quantile).filter(|_| can_feed(latency.count(), quantile))
    };
    let within: Vec<String> = [0.5, 0.99, 0.999]
        .into_iter()
        .filter_map(|quantile| {
            let name = percentile_name(quantile);
            Some(format!(
                "{}% within {}",
                name.trim_start_matches('p'),
                human_us(fed(&totals.response, quantile)?)
            ))
        })
        .collect();
    let slowest = totals.response.max().map(|us| format!("the slowest took {}", human_us(us)));
    let facts: Vec<String> = within.into_iter().chain(slowest).collect();
    let service = match fed(&totals.service, 0.99) {
        // A device answers a method call, so the service time is the time that it took to send the answer.
        Some(us) if operation == Operation::Method => {
            format!(" Sending the answer took {} at the 99th percentile.", human_us(us))
        }
        Some(us) => format!(" Service time at the 99th percentile: {}.", human_us(us)),
        None if totals.service.is_empty() => {
            " This operation has no service time, because it gets no answer.".to_owned()
        }
        None => String::new(),
    };
    format!(
        "Response of {operation}, {scope}, for the {} that ended ok: {}.{service}",
        share(totals.ok(), totals.due),
        facts.join(", "),
    )
}

/// Returns the position of a quantile on the axis: the number of nines.
fn position(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

pub(super) fn percentile_axis(nines: f64, width: f64, font: f64) -> Axis {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut ticks = Vec::new();
    for (quantile, label) in TICKS {
        let at = position(quantile).max(0.0);
        let half = number(label.len() as u64) * font * 0.3 + 4.0;
        let x = width * at / nines;
        let free = taken.iter().all(|(from, to)| x + half <= *from || x - half >= *to);
        if at <= nines + 1e-9 && free {
            taken.push((x - half, x + half));
            ticks.push((at.min(nines), label.to_owned()));
        }
    }
    Axis::fixed(0.0, nines, ticks)
}

/// Returns the length of the axis in nines: long enough to show the largest of `count` samples, but no longer than the ticks.
pub(super) fn nines(count: u64) -> f64 {
    number(count.max(1)).log10().clamp(1.0, 6.0)
}

pub(super) type Points = Vec<(f64, Option<f64>)>;

/// Returns the curve in two parts: up to the last quantile with ten samples beyond it, and the rest. Both contain the point between.
pub(super) fn curve(latency: &Latency, nines: f64) -> [Points; 2] {
    const STEPS: u32 = 240;
    let (mut known, mut single): (Points, Points) = (Vec::new(), Vec::new());
    for step in 0..=STEPS {
        let x = nines * f64::from(step) / f64::from(STEPS);
        let quantile = 1.0 - 10_f64.powf(-x);
        let point = (x, latency.quantile(quantile).map(|us| number(us.max(1))));
        if can_feed(latency.count(), quantile) {
            known.push(point);
        } else {
            if single.is_empty() {
                single.extend(known.last().copied());
            }
            single.push(point);
        }
    }
    [known, single]
}

pub(super) fn beyond(id: &str, role: Role, points: Points) -> Series {
    Series { width: 1.25, ..Series::line(id, "", (role, Style::Dotted), points) }
}
