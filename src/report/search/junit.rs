//! A capacity result as JUnit test cases: one for the search, and one for each assertion. Called by `app`.

use super::words;
use crate::capacity::measured::{AssertionStatus, CapacityResult};
use crate::report::format::plain;
use crate::report::formats::junit::{not_passed, only_suite};
use crate::report::{ReportError, exit};
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Renders a capacity result as a JUnit test suite.
///
/// # Errors
/// Returns an error if serialization fails.
pub fn junit(result: &CapacityResult) -> Result<String, ReportError> {
    let name = plain(&result.run.scenario.name);
    let duration = Duration::from_micros(result.run.duration_us);
    let mut suite = TestSuite::new(name.clone());
    suite.set_time(duration);
    // The schema requires a time. A damaged file may contain another text.
    if result.run.started.parse::<Timestamp>().is_ok() {
        suite.extra.insert("timestamp".into(), result.run.started.as_str().into());
    }
    let class = format!("{name}.{}", plain(&result.search.phase));
    let mut search = TestCase::new("capacity", search_status(result));
    search.set_classname(class.clone()).set_time(duration);
    suite.add_test_case(search);
    for assertion in &result.assertions {
        let kind = match assertion.status {
            AssertionStatus::Passed => None,
            AssertionStatus::Failed => Some((NonSuccessKind::Failure, "failed")),
            AssertionStatus::Inconclusive => Some((NonSuccessKind::Error, "inconclusive")),
            AssertionStatus::Generator => Some((NonSuccessKind::Error, "invalid")),
        };
        let status = kind.map_or_else(TestCaseStatus::success, |(kind, name)| {
            not_passed(kind, name, &assertion.reason, std::slice::from_ref(&assertion.reason))
        });
        let mut case = TestCase::new(plain(&assertion.text), status);
        case.set_classname(class.clone()).set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    let mut report = Report::unnamed();
    report.add_test_suite(suite);
    Ok(only_suite(&report.to_string()?))
}

/// Returns the status of the search itself. The assertions have their own test cases.
fn search_status(result: &CapacityResult) -> TestCaseStatus {
    let code = exit::of_search(result.answer.end, &[]);
    let (kind, name) = match code {
        exit::PASSED => return TestCaseStatus::success(),
        _ if !result.assertions.is_empty() && result.answer.exit_code == exit::PASSED => {
            return TestCaseStatus::success();
        }
        exit::FAILED => (NonSuccessKind::Failure, "failed"),
        exit::INVALID => (NonSuccessKind::Error, "invalid"),
        exit::INTERRUPTED => (NonSuccessKind::Error, "interrupted"),
        _ => (NonSuccessKind::Error, "inconclusive"),
    };
    let sentences = std::iter::once(words::headline(result)).chain(words::sentences(result));
    let lines: Vec<String> = sentences.map(|sentence| format!("{sentence}.")).collect();
    not_passed(kind, name, &lines.join(" "), &lines)
}
