//! The table of thresholds: status, observed range, and a bar that marks the limit. Called by `page`. Uses only the result.

use super::super::connected::Thresholds;
use super::super::format::plain;
use super::super::margin;
use super::super::standing::Standing;
use super::super::text::metric;
use super::unit::keep_together;
use crate::result::model::{RunResult, ThresholdResult};
use crate::units::human_count;

/// A row of the table.
pub(super) struct ThresholdView {
    pub(super) class: &'static str,
    pub(super) mark: &'static str,
    pub(super) word: &'static str,
    pub(super) metric: String,
    pub(super) expression: String,
    pub(super) observed: String,
    pub(super) words: String,
    pub(super) samples: String,
    pub(super) bar: String,
}

/// The row of all fleets that connected, which no threshold in the scenario asks for.
pub(super) struct ConnectedView {
    pub(super) class: &'static str,
    pub(super) mark: &'static str,
    pub(super) word: &'static str,
    pub(super) words: String,
    /// Name and number of connects of each fleet. Empty for a single fleet, which `words` names.
    pub(super) fleets: Vec<(String, String)>,
    pub(super) samples: String,
}

/// Returns a row for each threshold, except for fleets that connected.
pub(super) fn thresholds(result: &RunResult) -> Vec<ThresholdView> {
    let view = |threshold: &ThresholdResult| {
        let standing = Standing::of(threshold, result);
        ThresholdView {
            class: standing.class(),
            mark: standing.mark(),
            word: standing.word(),
            metric: metric(threshold),
            // Keep the expression on one line, if it fits.
            expression: plain(&threshold.expression).replace(' ', "\u{a0}"),
            observed: keep_together(&plain(&margin::observed(threshold))),
            words: margin::words(threshold),
            samples: human_count(threshold.samples),
            bar: bar(margin::used_range(threshold), standing),
        }
    };
    Thresholds::of(result).rows.into_iter().map(view).collect()
}

/// Returns the row of the fleets that connected.
pub(super) fn connected(result: &RunResult) -> Option<ConnectedView> {
    let thresholds = Thresholds::of(result);
    let words = thresholds.words()?;
    let standing = Standing::of(thresholds.connected.first()?, result);
    let fleet = |threshold: &&ThresholdResult| {
        (plain(threshold.fleet.as_deref().unwrap_or_default()), plain(&threshold.observed_text))
    };
    let mut fleets: Vec<_> = thresholds.connected.iter().map(fleet).collect();
    if fleets.len() == 1 {
        fleets.clear();
    }
    let samples = thresholds.connected.iter().map(|threshold| threshold.samples).sum();
    let (class, mark, word) = (standing.class(), standing.mark(), standing.word());
    let words = words[..1].to_uppercase() + &words[1..];
    Some(ConnectedView { class, mark, word, words, fleets, samples: human_count(samples) })
}

/// Returns the caption of the table, which explains the bars.
pub(super) fn caption(views: &[ThresholdView]) -> &'static str {
    if views.iter().any(|view| view.bar.contains("class=\"range\"")) {
        "The mark on each bar is the limit. A bar is solid up to the best value that the target may have caused, and pale up to the worst \
         value. The difference is delay on this machine."
    } else if views.iter().any(|view| !view.bar.is_empty()) {
        "The mark on each bar is the limit."
    } else {
        "Limits and observed values."
    }
}

/// Draws the observed range on a track that marks the limit: solid up to the best value, pale up to the worst. Empty if there is nothing to
/// draw. The table also contains this information in words.
fn bar(used: Option<(f64, f64)>, standing: Standing) -> String {
    let Some((best, worst)) = used else { return String::new() };
    let at = margin::LIMIT_AT * 100.0;
    let place = |used: f64| (used * at).clamp(0.0, 100.0);
    let (best, worst) = (place(best), place(worst));
    let color = standing.class();
    let range = match worst - best {
        width if width > 0.0 => {
            format!("<rect class=\"range\" x=\"{best:.1}\" y=\"3\" width=\"{width:.1}\" height=\"4\"/>")
        }
        _ => String::new(),
    };
    format!(
        "<svg class=\"bar {color}\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" fill=\"#D9DEE5\" y=\"3\" width=\"100\" height=\"4\"/>\
         <rect class=\"used\" y=\"3\" width=\"{best:.1}\" height=\"4\"/>{range}\
         <rect class=\"limit\" x=\"{at:.1}\" width=\"0.8\" height=\"10\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_solid_to_the_best_and_pale_to_the_worst_value() {
        let drawn = bar(Some((0.4, 2.0)), Standing::Undecided);
        assert!(drawn.contains("class=\"bar undecided\""), "{drawn}");
        assert!(drawn.contains("class=\"used\" y=\"3\" width=\"30.0\""), "{drawn}");
        assert!(drawn.contains("class=\"range\" x=\"30.0\" y=\"3\" width=\"70.0\""), "{drawn}");
        assert!(drawn.contains("class=\"limit\" x=\"75.0\""), "{drawn}");
    }

    #[test]
    fn single_value_has_no_pale_part() {
        let drawn = bar(Some((f64::INFINITY, f64::INFINITY)), Standing::Failed);
        assert!(drawn.contains("width=\"100.0\"") && !drawn.contains("range"), "{drawn}");
        assert_eq!(bar(None, Standing::Passed), "");
    }
}
