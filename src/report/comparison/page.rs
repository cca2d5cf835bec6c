//! A comparison as a self-contained HTML page without a script: the outcome and its reasons, the metrics, both spectra and both timelines, what
//! was compared, and notes. Called by `app`. `templates/comparison.html` contains text and structure; the style is that of the report.

use super::view::{MetricView, View};
use crate::capacity::comparison::CapacityComparison;
use crate::capacity::measured::CapacityResult;
use crate::compare::model::{Comparison, Outcome};
use crate::measure::Operation;
use crate::report::ReportError;
use crate::report::charts::{Panel, comparison as charts, search, theme};
use crate::report::format::plain;
use crate::report::summary::Summary;
use crate::result::model::RunResult;
use askama::Template;

/// Renders the page of a comparison of runs. The charts show the newest result of each side; without a base result, the page has no charts.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(
    comparison: &Comparison,
    base: Option<&RunResult>,
    new: &RunResult,
) -> Result<String, ReportError> {
    let page = Page {
        palette: theme::css(),
        view: View { name: plain(&new.run.scenario.name), ..View::of_runs(comparison) },
        has_base: base.is_some(),
        panels: base.map_or_else(|| Ok(Vec::new()), |base| panels(base, new))?,
        no_panels: "The results have no response times to draw.",
        is_newest: comparison.base.len() + comparison.new.len() > 2,
    };
    Ok(page.render()?)
}

/// Renders the page of a comparison of capacities.
///
/// # Errors
/// Returns an error if the chart or the template fails.
pub fn capacity_html(
    compared: &CapacityComparison,
    base: &CapacityResult,
    new: &CapacityResult,
) -> Result<String, ReportError> {
    let page = Page {
        palette: theme::css(),
        view: View::of_capacities(compared),
        has_base: true,
        panels: search::compared(base, new)?.into_iter().collect(),
        no_panels: "The searches have no trials to draw.",
        is_newest: false,
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
    view: View,
    has_base: bool,
    panels: Vec<Panel>,
    /// Says why there are no charts.
    no_panels: &'static str,
    /// True if a side has several results, so that the charts show only a part.
    is_newest: bool,
}

impl MetricView {
    /// Returns the CSS class of the row.
    fn class(&self) -> &'static str {
        match self.outcome {
            Outcome::Regressed => "failed",
            Outcome::SameOrBetter => "passed",
            Outcome::Inconclusive | Outcome::Invalid | Outcome::NoBase => "undecided",
        }
    }

    fn mark(&self) -> &'static str {
        super::words::banner(self.outcome).1
    }
}
