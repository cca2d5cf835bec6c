//! A capacity result as a self-contained HTML page without a script: the answer, the knee chart, each criterion, the trials, and what was
//! searched. Called by `app`. `templates/search.html` contains text and structure; the style is that of the report.

use super::level::level_text;
use super::words;
use crate::capacity::measured::{AssertionResult, AssertionStatus, CapacityResult, Trial, Vary, Verdict};
use crate::report::ReportError;
use crate::report::charts::{Panel, search as charts, theme};
use crate::report::format::{plain, rate_text};
use askama::Template;

/// Renders the page.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(result: &CapacityResult) -> Result<String, ReportError> {
    let answer = &result.answer;
    let (class, mark, word) = words::banner(answer);
    let page = Page {
        palette: theme::css(),
        class,
        mark,
        word,
        name: plain(&result.run.scenario.name),
        headline: words::headline(result),
        reasons: words::sentences(result)
            .into_iter()
            .chain(result.run.breakdowns.iter().map(|text| plain(text)))
            .collect(),
        panels: charts::panels(result)?,
        assertions: result.assertions.iter().map(AssertionView::of).collect(),
        criteria: result
            .criteria
            .iter()
            .map(|one| (plain(&one.criterion), words::interval(result.search.vary, one)))
            .collect(),
        trials: result.trials.iter().map(|trial| TrialView::of(result.search.vary, trial)).collect(),
        facts: words::facts(result),
        notes: result.notes.iter().map(|note| plain(note)).collect(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    palette: String,
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    name: String,
    headline: String,
    reasons: Vec<String>,
    panels: Vec<Panel>,
    assertions: Vec<AssertionView>,
    /// Criterion and interval.
    criteria: Vec<(String, String)>,
    trials: Vec<TrialView>,
    facts: Vec<(&'static str, String)>,
    notes: Vec<String>,
}

struct AssertionView {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    text: String,
    reason: String,
}

impl AssertionView {
    fn of(assertion: &AssertionResult) -> AssertionView {
        let (class, mark) = match assertion.status {
            AssertionStatus::Passed => ("passed", "✓"),
            AssertionStatus::Failed => ("failed", "✗"),
            AssertionStatus::Inconclusive | AssertionStatus::Generator => ("undecided", "?"),
        };
        AssertionView {
            class,
            mark,
            word: words::status(assertion.status),
            text: plain(&assertion.text),
            reason: plain(&assertion.reason),
        }
    }
}

struct TrialView {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    number: u32,
    offered: String,
    achieved: String,
    p50: String,
    p99: String,
    errors: String,
    backlog: String,
    reason: String,
}

impl TrialView {
    fn of(vary: Vary, trial: &Trial) -> TrialView {
        let (class, mark) = match trial.verdict {
            Verdict::Good => ("passed", "✓"),
            Verdict::Bad => ("failed", "✗"),
            Verdict::Undecided => ("undecided", "?"),
            Verdict::Void => ("undecided", "–"),
        };
        TrialView {
            class,
            mark,
            word: words::verdict(trial.verdict),
            number: trial.number,
            offered: level_text(vary, &trial.level),
            achieved: rate_text(trial.achieved_per_s),
            p50: words::latency(trial.p50_us),
            p99: words::latency(trial.p99_us),
            errors: words::errors(trial),
            backlog: words::backlog(trial),
            reason: plain(&trial.reason),
        }
    }
}
