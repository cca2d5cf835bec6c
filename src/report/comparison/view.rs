//! A comparison in words, of two runs or of two capacities: the content that its page, its Markdown and its test cases share. Used by them.
//! Independent of any markup.

use super::words::{self, Fact, banner};
use crate::capacity::comparison::{self as capacities, CapacityComparison, ComparedSearch};
use crate::capacity::measured::Level;
use crate::compare::model::{Comparison, Metric, Outcome};
use crate::report::format::{self, NONE, plain};
use crate::report::search::{end_reason, interval_text};
use crate::units::{Percent, human_count};

/// A comparison in words.
pub(super) struct View {
    pub(super) outcome: Outcome,
    /// Name of the scenario.
    pub(super) name: String,
    /// Outcome in one sentence, without its full stop.
    pub(super) summary: String,
    /// The most important ones first.
    pub(super) metrics: Vec<MetricView>,
    /// Explains the numbers of the metrics.
    pub(super) caption: &'static str,
    pub(super) facts: Vec<Fact>,
    pub(super) notes: Vec<String>,
    /// Start of the newest run, as in the result.
    pub(super) started: String,
}

/// A row of a comparison.
pub(super) struct MetricView {
    pub(super) outcome: Outcome,
    pub(super) name: String,
    pub(super) base: String,
    pub(super) new: String,
    pub(super) change: String,
    pub(super) tolerance: String,
    /// Empty if there are no reasons.
    pub(super) reasons: String,
}

impl View {
    /// Returns the view of a comparison of runs.
    pub(super) fn of_runs(comparison: &Comparison) -> View {
        let newest = comparison.new.last();
        View {
            outcome: comparison.outcome,
            name: newest.map_or_else(String::new, |run| plain(&run.scenario)),
            summary: plain(&comparison.summary),
            metrics: words::most_important_first(comparison).into_iter().map(MetricView::of).collect(),
            caption: "A positive change is worse. The interval is that of two one-sided 95% bounds.",
            facts: words::facts(comparison),
            notes: comparison.notes.iter().map(|note| plain(&note.text)).collect(),
            started: newest.map_or_else(String::new, |run| run.started.clone()),
        }
    }

    /// Returns the view of a comparison of capacities.
    pub(super) fn of_capacities(compared: &CapacityComparison) -> View {
        let CapacityComparison { base, new, .. } = compared;
        let row = |name: &str, outcome, bounds: [[Option<Level>; 2]; 2], ratio| {
            let [base, new] = bounds
                .map(|[lower, upper]| interval_text(new.vary, lower.as_ref(), upper.as_ref(), "unknown"));
            MetricView {
                outcome: shown(outcome),
                name: plain(name),
                base,
                new,
                change: ratio_text(ratio),
                tolerance: format!("{:+.1}%", -compared.tolerance * 100.0),
                reasons: String::new(),
            }
        };
        let whole = row(
            "capacity",
            compared.outcome,
            [[base.lower, base.upper], [new.lower, new.upper]],
            compared.ratio,
        );
        let criteria = compared
            .criteria
            .iter()
            .map(|one| row(&one.criterion, one.outcome, [one.base, one.new], one.ratio));
        View {
            outcome: shown(compared.outcome),
            name: plain(&new.scenario),
            summary: plain(&compared.summary),
            metrics: std::iter::once(whole).chain(criteria).collect(),
            caption: "The first row is the capacity, the others are each criterion alone. The change is the range that both intervals permit.",
            facts: facts(base, new),
            notes: compared.notes.iter().map(|note| plain(note)).collect(),
            started: new.started.clone(),
        }
    }

    /// Returns the metrics whose reasons a reader needs.
    pub(super) fn explained(&self) -> Vec<&MetricView> {
        let is_open =
            |metric: &&MetricView| metric.outcome != Outcome::SameOrBetter && !metric.reasons.is_empty();
        self.metrics.iter().filter(is_open).collect()
    }

    /// Returns the outcome as a word for a heading, a mark, and the CSS class of the page's header.
    pub(super) fn banner(&self) -> (&'static str, &'static str, &'static str) {
        banner(self.outcome)
    }
}

impl MetricView {
    fn of(metric: &Metric) -> MetricView {
        let [base, new] = [metric.base, metric.new].map(|value| words::value(metric, value));
        MetricView {
            outcome: metric.outcome,
            name: plain(&metric.name()),
            base,
            new,
            change: words::change_with_interval(metric),
            tolerance: words::tolerance(metric),
            reasons: words::reasons(metric),
        }
    }
}

/// Returns the same outcome of a comparison of runs.
fn shown(outcome: capacities::Outcome) -> Outcome {
    match outcome {
        capacities::Outcome::Regressed => Outcome::Regressed,
        capacities::Outcome::SameOrBetter => Outcome::SameOrBetter,
        capacities::Outcome::Inconclusive => Outcome::Inconclusive,
        capacities::Outcome::Invalid => Outcome::Invalid,
    }
}

fn ratio_text(ratio: [Option<f64>; 2]) -> String {
    let percent = |ratio: f64| Percent::from_fraction((ratio * 1e3).round() / 1e3);
    match ratio {
        [Some(low), Some(high)] => format!("{} to {} of the base", percent(low), percent(high)),
        [Some(low), None] => format!("at least {} of the base", percent(low)),
        [None, Some(high)] => format!("at most {} of the base", percent(high)),
        [None, None] => NONE.to_owned(),
    }
}

/// Returns the compared searches, with their machines, versions and targets.
fn facts(base: &ComparedSearch, new: &ComparedSearch) -> Vec<Fact> {
    let sides = |name: &'static str, fact: &dyn Fn(&ComparedSearch) -> String| (name, fact(base), fact(new));
    vec![
        sides("Scenario", &|search| plain(&search.scenario)),
        sides("Phase", &|search| plain(&search.phase)),
        sides("Started", &|search| format::date(&search.started)),
        sides("Ended", &|search| end_reason(search.end).to_owned()),
        sides("Trials", &|search| human_count(search.trials.into())),
        sides("Host", &|search| words::host(&search.host)),
        sides("Version", &|search| words::version(&search.tool)),
        sides("Target", &|search| words::target(&search.target)),
        sides("File", &|search| plain(&search.file)),
    ]
}
