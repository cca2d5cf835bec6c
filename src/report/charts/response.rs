//! Charts of response times over time. A percentile is drawn only where enough operations ended. Called by `timeline` and `headline`.

use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Unit};
use super::rows::{PercentileLine, Rows, Slot, can_feed};
use super::svg::Style;
use super::theme::{self, Role};
use super::{number, percentile_name};
use crate::measure::{Latency, Operation};
use crate::report::format::{instant, span};
use crate::units::{human_count, human_us, whole};

/// The percentiles that replace p99 if an interval has too few operations for it.
pub(super) const TAIL: [f64; 3] = [0.99, 0.95, 0.9];

const MEDIAN: (Role, Style) = (theme::FIRST, Style::Solid);
const HIGH: (Role, Style) = (theme::SECOND, Style::Dashed);
const HIGHER: (Role, Style) = (theme::THIRD, Style::DashDot);
const MAX: (Role, Style) = (theme::PLANNED, Style::Dotted);

/// The lines of the response times of an operation: the median, a tail, and the maximum.
pub(super) struct Lines {
    pub(super) series: Vec<Series>,
    /// The line of p99 or of the percentile that replaces it.
    pub(super) tail: Option<PercentileLine>,
    /// Says why the lines are not p99 per row. Empty if they are.
    pub(super) note: String,
}

/// Returns the lines of an operation. `tail` contains the wanted percentile, and those that may replace it.
pub(super) fn lines(rows: &Rows<'_>, operation: Operation, tail: &[f64]) -> Lines {
    let latency = |slot: &Slot<'_>| slot.row.interval.response.of(operation).max().map(number);
    let max = Series { width: 1.25, ..Series::line("max", "max", MAX, rows.at_middles(latency)) };
    let high = rows.response(operation, tail);
    let median = rows.response(operation, &[0.5]);
    let mut note: Vec<String> = Vec::new();
    note.extend(why(rows, tail.first().copied().unwrap_or(0.99), high.as_ref()));
    if high.is_none() {
        note.extend(median.as_ref().and_then(|line| why(rows, 0.5, Some(line))));
    }
    let median = median.map(|line| percentile(rows, &line, MEDIAN));
    let tail = high.as_ref().map(|line| percentile(rows, line, HIGH));
    let series = median.into_iter().chain(tail).chain([max]).collect();
    let any = rows.slots.iter().any(|slot| !slot.row.interval.response.of(operation).is_empty());
    Lines { series, tail: high, note: if any { note.concat() } else { String::new() } }
}

fn percentile(rows: &Rows<'_>, line: &PercentileLine, style: (Role, Style)) -> Series {
    let name = percentile_name(line.quantile);
    let label = match line.rows_per_point {
        1 => name.clone(),
        _ => format!("{name} per {}", length(rows, line)),
    };
    Series::line(&name, label, style, line.points.clone())
}

fn length(rows: &Rows<'_>, line: &PercentileLine) -> String {
    span(rows.result.measurement.series.interval_us.saturating_mul(line.rows_per_point as u64))
}

/// Explains a line that is not the wanted percentile of each row.
fn why(rows: &Rows<'_>, wanted: f64, line: Option<&PercentileLine>) -> Option<String> {
    let name = percentile_name(wanted);
    let needs = human_count(whole(10.0 / (1.0 - wanted)));
    match line {
        None => Some(format!(" Too few operations for {name}: a point needs {needs}.")),
        Some(line) if (line.quantile - wanted).abs() > 1e-9 => {
            let instead = percentile_name(line.quantile);
            Some(format!(" The chart shows {instead}, because a point of {name} needs {needs} operations."))
        }
        Some(line) if line.rows_per_point > 1 => {
            let each = length(rows, line);
            Some(format!(" A point of {name} needs {needs} operations, so it covers {each}."))
        }
        Some(_) => None,
    }
}

/// Draws the median, p99, p99.9 and the maximum of an operation.
pub(super) fn response(rows: &Rows<'_>, operation: Operation) -> Draft {
    let mut lines = lines(rows, operation, &TAIL);
    let higher = rows.response(operation, &[0.999]);
    if let (Some(line), Some(_)) = (&higher, lines.tail.as_ref().filter(|tail| tail.quantile >= 0.99)) {
        let before_max = lines.series.len() - 1;
        lines.series.insert(before_max, percentile(rows, line, HIGHER));
    }
    Draft {
        id: "response",
        title: format!("Response time of {operation}"),
        unit: "due to ack, operations that ended ok, logarithmic",
        words: words(rows, operation, &lines),
        plots: vec![plot("response", "response, log scale", HEIGHT + 20.0, lines.series)],
    }
}

/// Returns a plot of latencies.
pub(super) fn plot(name: &str, label: &str, height: f64, series: Vec<Series>) -> Plot {
    Plot {
        name: name.to_owned(),
        label: label.to_owned(),
        unit: Unit::Latency,
        scale: Scale::Log,
        height,
        series: series.into_iter().filter(|series| !series.is_empty()).collect(),
        limits: Vec::new(),
        outlier: None,
    }
}

/// Describes response times in words: the median of the run, and the slowest point of the tail.
pub(super) fn words(rows: &Rows<'_>, operation: Operation, lines: &Lines) -> String {
    let mut whole = Latency::default();
    for slot in &rows.slots {
        whole.add(slot.row.interval.response.of(operation));
    }
    let (Some(median), Some(max)) = (whole.quantile(0.5), whole.max()) else {
        return format!("No {operation} operation ended ok.");
    };
    let mut words = match can_feed(whole.count(), 0.5) {
        true => format!("Whole run: median {}, maximum {}.", human_us(median), human_us(max)),
        false => format!("Whole run: maximum {}.", human_us(max)),
    };
    if let Some(tail) = &lines.tail
        && let Some((at, us)) = worst(tail)
    {
        words.push_str(&format!(
            " Highest {}: {}, around {}.",
            percentile_name(tail.quantile),
            Unit::Latency.value(us),
            instant(super::us(at)),
        ));
    }
    words + &lines.note
}

fn worst(line: &PercentileLine) -> Option<(f64, f64)> {
    let known = line.points.iter().filter_map(|(at, us)| Some((*at, (*us)?)));
    known.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Draws how long connection attempts took. `None` if none succeeded.
pub(super) fn connects(rows: &Rows<'_>) -> Option<Draft> {
    let operation = Operation::Connect;
    if rows.slots.iter().all(|slot| slot.row.interval.response.of(operation).is_empty()) {
        return None;
    }
    let lines = lines(rows, operation, &TAIL);
    Some(Draft {
        id: "connect-response",
        title: "Connection time".to_owned(),
        unit: "due to CONNACK, attempts that ended ok, logarithmic",
        words: words(rows, operation, &lines),
        plots: vec![plot("connect-response", "connection time, log scale", HEIGHT, lines.series)],
    })
}
