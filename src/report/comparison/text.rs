//! A comparison of capacities as text, wrapped at the width of the terminal. Called by `app`. The text of a comparison of runs is in
//! `report::text`, beside that of a run.

use super::view::View;
use super::words::banner;
use crate::capacity::comparison::CapacityComparison;
use crate::compare::model::Outcome;
use crate::report::format::{date, plain};
use crate::report::text::writer::{BOLD, FAILED, PASSED, PLAIN, WARNING, Writer};
use crate::report::width::Width;
use anstyle::Style;

/// Returns the text of a comparison of capacities.
#[must_use]
pub fn capacity_text(compared: &CapacityComparison, color: bool, width: Width) -> String {
    let view = View::of_capacities(compared);
    let mut writer = Writer::new(color, width);
    let mark = |outcome: Outcome| (format!("{} ", banner(outcome).1), style(outcome));
    let (text, tone) = mark(view.outcome);
    writer.marked("", (&text, tone), (&format!("{}.", view.summary), BOLD));
    for (side, search) in [("base", &compared.base), ("new", &compared.new)] {
        let text = format!("{}, started {}", plain(&search.file), date(&search.started));
        writer.wrapped(&format!("  {side:<5}"), "       ", &text);
    }
    writer.heading("Capacities");
    for metric in &view.metrics {
        let (text, tone) = mark(metric.outcome);
        let title = format!("{}: {}", metric.name, metric.outcome.words());
        writer.marked("  ", (&text, tone), (&title, PLAIN));
        let values = format!(
            "base {}, new {}; change {}; tolerance {}",
            metric.base, metric.new, metric.change, metric.tolerance
        );
        writer.wrapped("    ", "    ", &values);
    }
    if !view.notes.is_empty() {
        writer.heading("Notes");
    }
    for note in &view.notes {
        writer.wrapped("  ", "  ", &format!("{note}."));
    }
    writer.text
}

fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Regressed => FAILED,
        Outcome::SameOrBetter => PASSED,
        Outcome::Inconclusive | Outcome::Invalid | Outcome::NoBase => WARNING,
    }
}
