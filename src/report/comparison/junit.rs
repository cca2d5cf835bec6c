//! A comparison as JUnit test cases: one for the comparison, and one for each metric. Called by `app`.

use super::view::View;
use crate::capacity::comparison::CapacityComparison;
use crate::compare::model::{Comparison, Outcome};
use crate::report::ReportError;
use crate::report::formats::junit::{not_passed, only_suite};
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Renders a comparison of runs.
///
/// # Errors
/// Returns an error if serialization fails.
pub fn junit(comparison: &Comparison) -> Result<String, ReportError> {
    of(&View::of_runs(comparison))
}

/// Renders a comparison of capacities.
///
/// # Errors
/// Returns an error if serialization fails.
pub fn capacity_junit(compared: &CapacityComparison) -> Result<String, ReportError> {
    of(&View::of_capacities(compared))
}

fn of(view: &View) -> Result<String, ReportError> {
    let mut suite = TestSuite::new(view.name.clone());
    // The schema requires times, and a comparison takes none.
    suite.set_time(Duration::ZERO);
    if view.started.parse::<Timestamp>().is_ok() {
        suite.extra.insert("timestamp".into(), view.started.as_str().into());
    }
    let mut add = |name: &str, status: TestCaseStatus| {
        let mut case = TestCase::new(name, status);
        case.set_classname(format!("{}.compare", view.name)).set_time(Duration::ZERO);
        suite.add_test_case(case);
    };
    add("comparison", status(view.outcome, &view.summary, &[format!("{}.", view.summary)]));
    for metric in &view.metrics {
        let mut lines = vec![
            format!("base: {}", metric.base),
            format!("new: {}", metric.new),
            format!("change: {} (tolerance {})", metric.change, metric.tolerance),
        ];
        lines.extend((!metric.reasons.is_empty()).then(|| format!("{}.", metric.reasons)));
        let message = format!("{} to {}", metric.base, metric.new);
        // An error in a file of a comparison that passed would fail the CI job.
        let is_skipped = view.outcome == Outcome::SameOrBetter && metric.outcome == Outcome::Inconclusive;
        let status = if is_skipped {
            skipped(metric.outcome, &message, &lines)
        } else {
            status(metric.outcome, &message, &lines)
        };
        add(&metric.name, status);
    }
    let mut report = Report::unnamed();
    report.add_test_suite(suite);
    Ok(only_suite(&report.to_string()?))
}

fn skipped(outcome: Outcome, message: &str, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(format!("{}: {message}", outcome.words())).set_description(lines.join("\n"));
    status
}

fn status(outcome: Outcome, message: &str, lines: &[String]) -> TestCaseStatus {
    let kind = match outcome {
        Outcome::SameOrBetter => return TestCaseStatus::success(),
        Outcome::Regressed => NonSuccessKind::Failure,
        Outcome::Inconclusive | Outcome::Invalid | Outcome::NoBase => NonSuccessKind::Error,
    };
    let word = outcome.words();
    not_passed(kind, &word.replace(' ', "_"), &format!("{word}: {message}"), lines)
}
