//! The percentile spectrum: latency over a horizontal axis on which each additional nine has the same width, so that the tail is visible.
//! Called by `page`. Independent of thresholds.

use super::axis::Axis;
use super::theme;
use super::{Line, ReportError, frame, in_every_size, latency_label, line, number};
use crate::measure::{Latency, Operation, Totals};
use crate::report::format::{NONE, share};
use crate::units::human_us;

/// The labels of the ticks: quantiles in percent.
const TICKS: [&str; 7] = ["0%", "90%", "99%", "99.9%", "99.99%", "99.999%", "99.9999%"];

/// Height in CSS pixels, in every size.
const HEIGHT: u32 = 260;

/// A drawn spectrum.
#[derive(Clone, Debug)]
pub(in crate::report) struct Spectrum {
    pub(in crate::report) words: String,
    pub(in crate::report) svg: String,
}

/// Draws response and service time. Returns `None` if there are no samples. `scope` says in words which operations are in `totals`.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn draw(
    operation: Operation,
    scope: &str,
    totals: &Totals,
) -> Result<Option<Spectrum>, ReportError> {
    let (response, service) = (&totals.response, &totals.service);
    // Start at the first percentile, so that a single fast sample does not flatten the chart.
    let (Some(low), Some(high)) = (response.quantile(0.01), response.max()) else { return Ok(None) };
    let low = service.quantile(0.01).map_or(low, |service| service.min(low)).max(1);
    let high = service.max().map_or(high, |service| service.max(high)).max(low);
    let service_p99 = match service.quantile(0.99) {
        // A device answers a method call, so the service time is the time that it took to send the answer.
        Some(us) if operation == Operation::Method => {
            format!("Sending the answer took {} at the 99th percentile.", human_us(us))
        }
        Some(us) => format!("Service time at the 99th percentile: {}.", human_us(us)),
        None => "This operation has no service time, because it gets no answer.".to_owned(),
    };
    let words = format!(
        "Response of {operation}, {scope}, for the {} that ended ok: 50% within {}, 99% within {}, 99.9% within {}. {service_p99}",
        share(totals.ok(), totals.due),
        at(response, 0.5),
        at(response, 0.99),
        at(response, 0.999),
    );
    let nines = nines(response.count());
    let lines = [
        Line { role: theme::SECOND, points: curve(service, nines) },
        Line { role: theme::FIRST, points: curve(response, nines) },
    ];
    let title = format!("Percentile spectrum of {operation}");
    let svg = in_every_size("spectrum", &title, &words, Some(HEIGHT), |size, area| {
        let ticks = (0_u32..).zip(TICKS).map(|(nine, label)| (f64::from(nine), label.to_owned())).collect();
        let x = Axis::fixed(0.0, nines, ticks);
        let y = Axis::log(number(low), number(high), latency_label);
        let mut chart = frame(size, area, 0, x, y)?;
        lines.iter().try_for_each(|one| line(&mut chart, one))
    })?;
    Ok(Some(Spectrum { words, svg }))
}

fn at(latency: &Latency, quantile: f64) -> String {
    latency.quantile(quantile).map_or_else(|| NONE.to_owned(), human_us)
}

/// Returns the length of the axis in nines: long enough to show the largest of `count` samples, but no longer than the ticks.
fn nines(count: u64) -> f64 {
    number(count.max(1)).log10().clamp(1.0, 6.0)
}

fn curve(latency: &Latency, nines: f64) -> Vec<Option<(f64, f64)>> {
    const STEPS: u32 = 240;
    (0..=STEPS)
        .map(|step| {
            let x = nines * f64::from(step) / f64::from(STEPS);
            let quantile = 1.0 - 10_f64.powf(-x);
            latency.quantile(quantile).map(|us| (x, number(us.max(1))))
        })
        .collect()
}
