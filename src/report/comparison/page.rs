//! A comparison as a self-contained HTML page without a script: the outcome and its reasons, the metrics, both spectra and both timelines, what
//! was compared, and notes. Called by `app`. `templates/comparison.html` contains text and structure; the style is that of the report.

use super::words::{self, Fact, banner};
use crate::compare::model::{Comparison, Metric, Outcome};
use crate::measure::Operation;
use crate::report::ReportError;
use crate::report::charts::{Panel, comparison as charts, theme};
use crate::report::format::plain;
use crate::report::summary::Summary;
use crate::result::model::RunResult;
use askama::Template;

/// Renders the page. The charts show the newest result of each side; without a base result, there are none.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(
    comparison: &Comparison,
    base: Option<&RunResult>,
    new: &RunResult,
) -> Result<String, ReportError> {
    let (word, mark, class) = banner(comparison.outcome);
    let metrics = words::most_important_first(comparison);
    let page = Page {
        palette: theme::css(),
        class,
        mark,
        word,
        name: plain(&new.run.scenario.name),
        summary: plain(&comparison.summary),
        reasons: metrics.iter().filter_map(|metric| reason(metric)).collect(),
        metrics: metrics.iter().map(|metric| MetricView::of(metric)).collect(),
        has_base: base.is_some(),
        panels: base.map_or_else(|| Ok(Vec::new()), |base| panels(base, new))?,
        is_newest: comparison.base.len() + comparison.new.len() > 2,
        facts: words::facts(comparison),
        notes: comparison.notes.iter().map(|note| plain(&note.text)).collect(),
    };
    Ok(page.render()?)
}

/// Draws both spectra and both timelines.
fn panels(base: &RunResult, new: &RunResult) -> Result<Vec<Panel>, ReportError> {
    let [of_base, of_new] = [base, new].map(Summary::of);
    let operation = of_new.main_operation().map_or(Operation::Telemetry, |main| main.operation);
    let spectra = match (of_base.operation(operation), of_new.operation(operation)) {
        (Some(base), Some(new)) => charts::spectra(operation, base.headline().0, new.headline().0)?,
        _ => None,
    };
    Ok(spectra.into_iter().chain(charts::timelines(operation, base, new)?).collect())
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page {
    palette: String,
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    name: String,
    summary: String,
    /// Metric and reasons of each metric that is not the same or better.
    reasons: Vec<(String, String)>,
    metrics: Vec<MetricView>,
    has_base: bool,
    panels: Vec<Panel>,
    /// True if a side has several results, so that the charts show only a part.
    is_newest: bool,
    facts: Vec<Fact>,
    notes: Vec<String>,
}

struct MetricView {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    name: String,
    base: String,
    new: String,
    change: String,
    tolerance: String,
}

impl MetricView {
    fn of(metric: &Metric) -> MetricView {
        let (_, mark, _) = banner(metric.outcome);
        let class = match metric.outcome {
            Outcome::Regressed => "failed",
            Outcome::SameOrBetter => "passed",
            Outcome::Inconclusive | Outcome::Invalid | Outcome::NoBase => "undecided",
        };
        let [base, new] = [metric.base, metric.new].map(|value| words::value(metric, value));
        MetricView {
            class,
            mark,
            word: metric.outcome.words(),
            name: plain(&metric.name()),
            base,
            new,
            change: words::change_with_interval(metric),
            tolerance: words::tolerance(metric),
        }
    }
}

fn reason(metric: &Metric) -> Option<(String, String)> {
    let reasons = words::reasons(metric);
    let name = format!("{} {}", plain(&metric.name()), metric.outcome.words());
    (metric.outcome != Outcome::SameOrBetter && !reasons.is_empty()).then_some((name, reasons))
}
