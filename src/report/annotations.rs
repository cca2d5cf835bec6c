//! Annotations: messages in the syntax of a CI system, which shows them on the run and beside the line of the scenario. Called by `app`.
//! Uses only the result.

use super::formats::threshold;
use super::judge::Code;
use super::margin;
use crate::measure::threshold_label;
use crate::result::model::{Detail, RunResult, Severity, ThresholdResult, ThresholdStatus};
use crate::units::plural;
use std::borrow::Cow;

/// The maximum number of annotations. GitHub shows at most ten of a kind for each step.
const ANNOTATIONS_MAX: usize = 10;

/// A CI system that reads annotations from the output of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CiSystem {
    /// GitHub Actions: `::error file=F,line=N,title=T::message`.
    GitHub,
    /// Azure Pipelines: `##vso[task.logissue type=error;sourcepath=F;linenumber=N]message`.
    Azure,
}

/// An annotation.
struct Annotation {
    is_error: bool,
    title: &'static str,
    line: Option<u64>,
    text: String,
}

/// Returns the lines that annotate a result: thresholds that did not pass, other reasons of the verdict, and warnings, in this order and
/// at most ten. `file` is the path of the scenario as the CI system knows it; `None` if it was read from stdin.
#[must_use]
pub fn annotations(result: &RunResult, system: CiSystem, file: Option<&str>) -> String {
    let thresholds = result.thresholds.iter().filter(|threshold| !threshold.passed).map(of_threshold);
    let warnings = result.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    let warnings = warnings.map(|finding| Annotation {
        is_error: false,
        title: "hubstorm: finding",
        line: None,
        text: format!("{} ({})", finding.text, finding.evidence),
    });
    let all = thresholds.chain(other_reasons(result)).chain(warnings);
    all.take(ANNOTATIONS_MAX).map(|annotation| system.format(&annotation, file)).collect()
}

fn of_threshold(threshold: &ThresholdResult) -> Annotation {
    let ThresholdResult { metric, expression, phase, fleet, without_faults, .. } = threshold;
    let status = margin::status(threshold);
    let title = match status {
        ThresholdStatus::Passed | ThresholdStatus::Failed => "hubstorm: threshold failed",
        ThresholdStatus::InsufficientSamples => "hubstorm: threshold without enough data",
        ThresholdStatus::Undecided => "hubstorm: threshold undecided",
    };
    let margin = match margin::words(threshold) {
        words if words.is_empty() => words,
        words => format!(", {words}"),
    };
    let label = threshold_label(metric, phase.as_deref(), fleet.as_deref(), *without_faults);
    let (limit, observed) = (threshold::limit(threshold), margin::observed(threshold));
    let samples = plural(threshold.samples, "sample", "samples");
    let text = match status {
        // The observation has the number of samples, and of those that are needed.
        ThresholdStatus::InsufficientSamples => format!("{label} {expression}: {observed}"),
        _ => format!("{label} {expression}: observed {observed}{margin} (limit {limit}, {samples})"),
    };
    Annotation { is_error: true, title, line: threshold.line, text }
}

/// Returns the reasons why a run did not pass, except thresholds.
fn other_reasons(result: &RunResult) -> impl Iterator<Item = Annotation> + '_ {
    let is_other =
        |detail: &&Detail| !Code::Passed.is_of(detail) && !Code::any_of(&Code::OF_THRESHOLD, detail);
    let others = result.verdict.details.iter().filter(is_other);
    others.map(|detail| Annotation {
        is_error: !Code::Advice.is_of(detail),
        title: "hubstorm: verdict",
        line: None,
        text: detail.text.clone(),
    })
}

/// Returns text in which a CI system finds no commands. Text from the network or from file names could otherwise set variables of a job,
/// or declare it successful. GitHub Actions reads `::` at the start of a line and `##[` anywhere, Azure Pipelines `##vso[` and `##[`.
#[must_use]
pub fn without_commands(text: &str) -> Cow<'_, str> {
    let is_command = |line: &str| line.trim_start().starts_with("::");
    if !text.contains("##") && !text.contains("::") {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| match is_command(line) {
        true => line.replacen("::", ": :", 1),
        false => line.to_owned(),
    };
    // A terminal's codes and a carriage return start a line as well.
    let lines: String = text.split_inclusive(['\n', '\r']).map(line).collect();
    let mut out = lines;
    for command in ["vso[", "["] {
        // The names of commands are not case-sensitive.
        let mut from = 0;
        while let Some(at) = out[from..].find("##").map(|at| from + at + 2) {
            if out.get(at..at + command.len()).is_some_and(|found| found.eq_ignore_ascii_case(command)) {
                out.insert(at, ' ');
            }
            from = at - 1;
        }
    }
    Cow::Owned(out)
}

impl CiSystem {
    fn format(self, annotation: &Annotation, file: Option<&str>) -> String {
        let kind = if annotation.is_error { "error" } else { "warning" };
        let line = annotation.line.map(|line| line.to_string());
        // A line means nothing without a file.
        let place = [("file", file), ("line", file.and(line.as_deref()))];
        let place = place.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let text = &annotation.text;
        match self {
            CiSystem::GitHub => {
                let properties = place.chain([("title", annotation.title)]);
                let properties: Vec<String> =
                    properties.map(|(name, value)| format!("{name}={}", self.property(value))).collect();
                format!("::{kind} {}::{}\n", properties.join(","), self.message(text))
            }
            CiSystem::Azure => {
                let name = |name| if name == "file" { "sourcepath" } else { "linenumber" };
                let properties: String =
                    place.map(|(key, value)| format!(";{}={}", name(key), self.property(value))).collect();
                let title = annotation.title;
                format!("##vso[task.logissue type={kind}{properties}]{title}: {}\n", self.message(text))
            }
        }
    }

    /// Escapes a message. Source: `ActionCommand.cs` in actions/runner; `taskcommand.ts` in microsoft/azure-pipelines-task-lib.
    fn message(self, text: &str) -> String {
        let percent = match self {
            CiSystem::GitHub => "%25",
            CiSystem::Azure => "%AZP25",
        };
        without_commands(text).replace('%', percent).replace('\r', "%0D").replace('\n', "%0A")
    }

    /// Escapes the value of a property.
    fn property(self, value: &str) -> String {
        let value = self.message(value);
        match self {
            CiSystem::GitHub => value.replace(':', "%3A").replace(',', "%2C"),
            CiSystem::Azure => value.replace(']', "%5D").replace(';', "%3B"),
        }
    }
}

#[cfg(test)]
mod tests;
