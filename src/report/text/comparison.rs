//! The text of a comparison, wrapped at the width of the terminal. Called by `app`. Uses only the comparison.

use super::writer::{BOLD, DIM, FAILED, PASSED, WARNING, Writer};
use crate::compare::model::{ComparedRun, Comparison, Effect, Metric, Outcome};
use crate::report::width::Width;
use crate::units::{Percent, human_count, human_us, plural};
use anstyle::Style;

/// Returns the text of a comparison.
#[must_use]
pub fn comparison_text(comparison: &Comparison, color: bool, width: Width) -> String {
    let mut writer = Writer::new(color, width);
    let (mark, style) = mark(comparison.outcome);
    writer.marked("", (&format!("{mark} "), style), (&comparison.summary, BOLD));
    runs(&mut writer, "base", &comparison.base);
    runs(&mut writer, "new", &comparison.new);
    if !comparison.metrics.is_empty() {
        writer.heading("Metrics");
    }
    for metric in &comparison.metrics {
        write_metric(&mut writer, metric);
    }
    if !comparison.notes.is_empty() {
        writer.heading("Notes");
    }
    for note in &comparison.notes {
        writer.wrapped("  ", "  ", &format!("{}.", note.text));
    }
    writer.text
}

fn mark(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Regressed => ("✗", FAILED),
        Outcome::SameOrBetter => ("✓", PASSED),
        Outcome::Inconclusive => ("?", WARNING),
        Outcome::Invalid | Outcome::NoBase => ("–", WARNING),
    }
}

fn runs(writer: &mut Writer, side: &str, runs: &[ComparedRun]) {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return };
    let text = match runs.len() {
        1 => format!("{}, started {}", first.file, first.started),
        n => format!(
            "{}, started from {} to {}",
            plural(n as u64, "result", "results"),
            first.started,
            last.started
        ),
    };
    writer.wrapped(&format!("  {side:<5}"), "       ", &text);
}

fn write_metric(writer: &mut Writer, metric: &Metric) {
    let (mark, style) = mark(metric.outcome);
    let title = format!("{}: {}", metric.name(), metric.outcome.words());
    writer.marked("  ", (&format!("{mark} "), style), (&title, super::writer::PLAIN));
    writer.wrapped("    ", "    ", &values(metric));
    for reason in &metric.reasons {
        let line = format!("{reason}.");
        writer.marked("    ", ("", DIM), (&line, DIM));
    }
    if let Some(more) = metric.more_runs {
        let runs = plural(more, "more run", "more runs");
        writer.marked(
            "    ",
            ("", DIM),
            (&format!("About {runs} of each side would probably settle it."), DIM),
        );
    }
}

/// Returns the values and the change: `12.1 ms to 14.5 ms, 20% worse (between 15% and 25% worse), tolerance 10%`.
fn values(metric: &Metric) -> String {
    let side =
        |value: Option<f64>| value.map_or("no value".to_owned(), |value| value_text(&metric.unit, value));
    let mut text = format!("base {}, new {}", side(metric.base), side(metric.new));
    if let Some(change) = metric.change {
        text += &format!(", {}", signed(metric.effect, change));
    }
    let bound = |end: Option<f64>, none: &str| end.map_or(none.to_owned(), |end| short(metric.effect, end));
    if metric.p_adjusted.is_some() {
        text += &format!(" (range {} to {})", bound(metric.low, "no limit"), bound(metric.high, "no limit"));
    }
    text + &format!("; tolerance {}", short(metric.effect, metric.tolerance))
}

fn signed(effect: Effect, change: f64) -> String {
    let word = if change > 0.0 { "worse" } else { "better" };
    if change.abs() < 5e-7 {
        "no change".to_owned()
    } else {
        format!("{} {word}", short(effect, change).trim_start_matches(['+', '-']))
    }
}

/// Returns a change with its sign: `+12.3%`, `-0.05 pp`.
fn short(effect: Effect, change: f64) -> String {
    match effect {
        Effect::Ratio => format!("{:+.1}%", change * 100.0),
        Effect::Difference => format!("{:+.3} pp", change * 100.0),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and rounded for display"
)]
fn value_text(unit: &str, value: f64) -> String {
    match unit {
        "us" => human_us(value.round() as u64),
        "share" => Percent::from_fraction(value).to_string(),
        "per_s" => format!("{}/s", human_count(value.round() as u64)),
        _ => human_count(value.round() as u64),
    }
}
