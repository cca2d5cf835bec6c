//! Annotations: order, number, place and escaping.

use super::*;
use crate::report::testing;
use crate::result::model::{Detail, Finding};
use crate::result::testing::result as sample;

fn detail(code: &str, text: &str) -> Detail {
    Detail { code: code.to_owned(), text: text.to_owned(), phase: None, fleet: None, source: None }
}

/// A result with a failed, an undecided and a passed threshold, two other reasons and two findings.
fn result() -> RunResult {
    let threshold =
        |line, status| ThresholdResult { line, ..testing::threshold("us", Some(612_000.0), status) };
    let mut result = sample();
    result.thresholds = vec![
        threshold(Some(12), ThresholdStatus::Failed),
        threshold(Some(13), ThresholdStatus::Passed),
        threshold(None, ThresholdStatus::Undecided),
    ];
    result.verdict.details = vec![
        detail("threshold_failed", "telemetry p(99) < 500ms: 612 ms"),
        detail("breakdown", "100% lost,\nworker 1: it panicked"),
        detail("advice", "Run again"),
    ];
    let finding =
        |severity, text: &str| Finding { severity, text: text.to_owned(), evidence: "2".to_owned() };
    result.findings = vec![finding(Severity::Note, "a note"), finding(Severity::Warning, "a warning")];
    result
}

#[test]
fn thresholds_come_first_with_file_and_line() {
    let lines = annotations(&result(), CiSystem::GitHub, Some("load/a,b:c.toml"));
    let expected = "\
::error file=load/a%2Cb%3Ac.toml,line=12,title=hubstorm%3A threshold failed::telemetry p(99) < 500ms: observed > 500 ms, 23%25 over the limit (limit 500 ms, 1 sample)
::error file=load/a%2Cb%3Ac.toml,title=hubstorm%3A threshold undecided::telemetry p(99) < 500ms: observed > 500 ms (limit 500 ms, 1 sample)
::error file=load/a%2Cb%3Ac.toml,title=hubstorm%3A verdict::100%25 lost,%0Aworker 1: it panicked
::warning file=load/a%2Cb%3Ac.toml,title=hubstorm%3A verdict::Run again
::warning file=load/a%2Cb%3Ac.toml,title=hubstorm%3A finding::a warning (2)
";
    assert_eq!(lines, expected);
}

#[test]
fn azure_has_its_own_syntax_and_escapes() {
    let lines = annotations(&result(), CiSystem::Azure, Some("a;b].toml"));
    let expected = "\
##vso[task.logissue type=error;sourcepath=a%3Bb%5D.toml;linenumber=12]hubstorm: threshold failed: telemetry p(99) < 500ms: observed > 500 ms, 23%AZP25 over the limit (limit 500 ms, 1 sample)
##vso[task.logissue type=error;sourcepath=a%3Bb%5D.toml]hubstorm: threshold undecided: telemetry p(99) < 500ms: observed > 500 ms (limit 500 ms, 1 sample)
##vso[task.logissue type=error;sourcepath=a%3Bb%5D.toml]hubstorm: verdict: 100%AZP25 lost,%0Aworker 1: it panicked
##vso[task.logissue type=warning;sourcepath=a%3Bb%5D.toml]hubstorm: verdict: Run again
##vso[task.logissue type=warning;sourcepath=a%3Bb%5D.toml]hubstorm: finding: a warning (2)
";
    assert_eq!(lines, expected);
}

#[test]
fn at_most_ten_are_written() {
    let mut result = result();
    let failed = result.thresholds[0].clone();
    result.thresholds.extend(std::iter::repeat_n(failed, 20));
    for system in [CiSystem::GitHub, CiSystem::Azure] {
        let lines = annotations(&result, system, None);
        assert_eq!(lines.lines().count(), 10);
        assert!(lines.lines().all(|line| line.contains("error") && line.contains("threshold")), "{lines}");
    }
}

#[test]
fn a_pass_is_not_an_error() {
    let mut result = sample();
    result.thresholds.clear();
    result.findings.clear();
    result.verdict.details = vec![detail("passed", "All thresholds passed (2 of 2)")];
    for system in [CiSystem::GitHub, CiSystem::Azure] {
        assert_eq!(annotations(&result, system, None), "");
    }
}

#[test]
fn without_a_file_there_is_no_line() {
    for system in [CiSystem::GitHub, CiSystem::Azure] {
        let lines = annotations(&result(), system, None);
        assert!(!lines.contains("line=") && !lines.contains("linenumber"), "{lines}");
    }
}

/// A message from a peer must not start a command of its own.
#[test]
fn an_annotation_is_one_line() {
    let mut result = result();
    result.verdict.details = vec![detail("breakdown", "x\r\n::set-output name=a::b\n##vso[task.complete]")];
    for system in [CiSystem::GitHub, CiSystem::Azure] {
        let lines = annotations(&result, system, None);
        let starts = |line: &str| {
            line.starts_with("::error ")
                || line.starts_with("::warning ")
                || line.starts_with("##vso[task.logissue ")
        };
        assert!(lines.lines().all(starts), "{lines}");
    }
}

#[test]
fn text_of_others_contains_no_commands() {
    for (text, expected) in [
        ("plain ## text, a::b", "plain ## text, a::b"),
        ("::set-output name=a::b", ": :set-output name=a::b"),
        ("a\n  ::error::x\nb", "a\n  : :error::x\nb"),
        ("a\r::error::x", "a\r: :error::x"),
        ("d: ##vso[task.complete]", "d: ## vso[task.complete]"),
        ("##VSO[task.complete]", "## VSO[task.complete]"),
        ("###[error]x ##[group]y", "### [error]x ## [group]y"),
    ] {
        assert_eq!(without_commands(text), expected);
        assert_eq!(without_commands(expected), expected, "a second time");
    }
}
