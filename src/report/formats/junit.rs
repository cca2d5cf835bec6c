//! The format `junit`: a suite with a test case for the verdict and one for each threshold, in the XML format that Maven Surefire
//! defines and CI systems read. Called by `formats`. Uses only the result.

use super::super::ReportError;
use super::super::banner::Banner;
use super::super::format::plain;
use super::super::{exit, margin, text};
use super::threshold::{limit, status_word, title};
use crate::result::model::{RunResult, Status, ThresholdResult, ThresholdStatus};
use crate::units::human_count;
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Takes the place of the phase in the class name if a test case covers more than one phase.
const ALL_PHASES: &str = "all phases";

/// Renders a result as a JUnit test suite.
pub(super) fn junit(result: &RunResult) -> Result<String, ReportError> {
    let duration = Duration::from_micros(result.run.duration_us);
    let mut suite = TestSuite::new(plain(&result.run.scenario.name));
    suite.set_time(duration);
    // The schema requires a time. A damaged file may contain another text.
    if result.run.started.parse::<Timestamp>().is_ok() {
        suite.extra.insert("timestamp".into(), result.run.started.as_str().into());
    }
    for (name, value) in properties(result) {
        suite.add_property((name.to_owned(), value));
    }
    let mut verdict = TestCase::new("verdict", verdict_status(result));
    verdict.set_classname(class(result, None)).set_time(duration);
    suite.add_test_case(verdict);
    for threshold in &result.thresholds {
        let mut case = TestCase::new(title(threshold), threshold_status(threshold));
        // The schema requires a time, and a threshold takes none.
        case.set_classname(class(result, threshold.phase.as_deref())).set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    let mut report = Report::unnamed();
    report.add_test_suite(suite);
    Ok(only_suite(&report.to_string()?))
}

/// Removes the element `testsuites` around the suite: Surefire's schema has `testsuite` as the only root. In text and attributes, `<`
/// is escaped, so the tags are unambiguous.
pub(in crate::report) fn only_suite(xml: &str) -> String {
    const END: &str = "</testsuite>";
    let suite = xml.find("<testsuite ").zip(xml.rfind(END)).and_then(|(from, to)| xml.get(from..to));
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n    {}{END}\n", suite.unwrap_or_default())
}

/// Returns the class of a test case: `scenario.phase`.
fn class(result: &RunResult, phase: Option<&str>) -> String {
    format!("{}.{}", plain(&result.run.scenario.name), plain(phase.unwrap_or(ALL_PHASES)))
}

fn properties(result: &RunResult) -> Vec<(&'static str, String)> {
    let (run, tool) = (&result.run, &result.tool);
    let git = tool.git.as_deref().unwrap_or("unknown");
    vec![
        ("run.id", plain(&run.id)),
        ("run.complete", run.complete.to_string()),
        ("verdict.exit_code", result.verdict.exit_code.to_string()),
        ("scenario.file", plain(&run.scenario.file)),
        ("scenario.sha256", plain(&run.scenario.sha256)),
        ("scenario.plan_sha256", plain(&run.scenario.plan_sha256)),
        ("scenario.overrides", plain(&run.overrides.join(", "))),
        ("seed", run.seed.to_string()),
        ("target", text::target(result)),
        ("host.os", plain(&run.host.os)),
        ("host.cpu", plain(&run.host.cpu)),
        ("host.cores", run.host.cores.to_string()),
        ("tool", plain(&tool.name)),
        ("tool.version", plain(&tool.version)),
        ("tool.git", plain(git)),
        ("result.schema", plain(&result.schema)),
    ]
}

fn verdict_status(result: &RunResult) -> TestCaseStatus {
    let kind = match result.verdict.status {
        Status::Fail => NonSuccessKind::Failure,
        Status::Invalid => NonSuccessKind::Error,
        // The verdict covers only a part of the plan.
        Status::Pass if result.verdict.exit_code == exit::INTERRUPTED => NonSuccessKind::Error,
        Status::Pass => return TestCaseStatus::success(),
    };
    let banner = Banner::of(result);
    let mut text = vec![banner.meaning.clone()];
    text.extend(banner.reasons.iter().map(|reason| format!("- {reason}")));
    text.retain(|line| !line.is_empty());
    let message = banner.reasons.into_iter().next().unwrap_or(banner.meaning);
    not_passed(kind, banner.class, &format!("{}: {message}", banner.word), &text)
}

fn threshold_status(threshold: &ThresholdResult) -> TestCaseStatus {
    let status = margin::status(threshold);
    let (kind, name) = match status {
        ThresholdStatus::Passed => return TestCaseStatus::success(),
        ThresholdStatus::Failed => (NonSuccessKind::Failure, "failed"),
        ThresholdStatus::InsufficientSamples => (NonSuccessKind::Failure, "insufficient_samples"),
        ThresholdStatus::Undecided => (NonSuccessKind::Error, "undecided"),
    };
    let observed = plain(&margin::observed(threshold));
    let mut lines = vec![
        format!("observed: {observed}"),
        format!("limit: {} ({})", limit(threshold), plain(&threshold.expression)),
        format!("samples: {}", human_count(threshold.samples)),
    ];
    let margin = margin::words(threshold);
    if !margin.is_empty() {
        lines.push(format!("margin: {margin}"));
    }
    lines.extend(margin::undecided_note(std::slice::from_ref(threshold)));
    let word = match status {
        // The observation says so itself, with the number of samples that are needed.
        ThresholdStatus::InsufficientSamples if observed.starts_with("not enough data") => observed,
        _ => format!("{}: {observed}", status_word(status)),
    };
    not_passed(kind, name, &word, &lines)
}

pub(in crate::report) fn not_passed(
    kind: NonSuccessKind,
    name: &str,
    message: &str,
    lines: &[String],
) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type(name).set_description(lines.join("\n"));
    status
}
