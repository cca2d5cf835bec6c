//! A capacity result as text, wrapped at the width of the terminal. Called by `app`.

use super::level::level_text;
use super::words;
use crate::capacity::measured::{AssertionStatus, CapacityResult, Trial, Vary, Verdict};
use crate::report::format::{plain, rate_text};
use crate::report::text::writer::{BOLD, DIM, FAILED, PASSED, PLAIN, WARNING, Writer};
use crate::report::width::{Width, columns, cut, pad, pad_left};
use anstyle::Style;

/// Returns the text of a capacity result.
#[must_use]
pub fn text(result: &CapacityResult, color: bool, width: Width) -> String {
    let mut writer = Writer::new(color, width);
    let answer = &result.answer;
    let (_, mark, _) = words::banner(answer);
    let style = match answer.exit_code {
        crate::report::exit::PASSED => PASSED,
        crate::report::exit::FAILED => FAILED,
        _ => WARNING,
    };
    let headline = format!("{}.", words::headline(result));
    writer.marked("", (&format!("{mark} "), style), (&headline, BOLD));
    for sentence in words::sentences(result) {
        writer.wrapped("  ", "  ", &format!("{sentence}."));
    }
    for breakdown in &result.run.breakdowns {
        writer.marked("  ", ("✗ ", FAILED), (&plain(breakdown), PLAIN));
    }
    if !result.assertions.is_empty() {
        writer.heading("Assertions");
    }
    for assertion in &result.assertions {
        let (mark, style) = match assertion.status {
            AssertionStatus::Passed => ("✓ ", PASSED),
            AssertionStatus::Failed => ("✗ ", FAILED),
            AssertionStatus::Inconclusive | AssertionStatus::Generator => ("? ", WARNING),
        };
        let line = format!("{}: {}", plain(&assertion.text), assertion.reason);
        writer.marked("  ", (mark, style), (&line, PLAIN));
    }
    if !result.trials.is_empty() {
        writer.heading("Each criterion alone");
    }
    for criterion in result.criteria.iter().filter(|_| !result.trials.is_empty()) {
        let name = format!("  {}: ", plain(&criterion.criterion));
        writer.wrapped(&name, "      ", &words::interval(result.search.vary, criterion));
    }
    trials(&mut writer, result);
    writer.heading("Search");
    for (name, value) in words::facts(result) {
        writer.wrapped(&format!("  {}", pad(name, 10)), &" ".repeat(12), &value);
    }
    if !result.notes.is_empty() {
        writer.heading("Notes");
    }
    for note in &result.notes {
        writer.wrapped("  ", "  ", &format!("{}.", plain(note)));
    }
    writer.text
}

/// Writes a row for each trial, and the reason below it.
fn trials(writer: &mut Writer, result: &CapacityResult) {
    if result.trials.is_empty() {
        return;
    }
    writer.heading("Trials");
    let head = ["offered", "ok", "p50", "p99", "errors", "backlog"];
    let rows: Vec<[String; 6]> = result.trials.iter().map(|trial| row(result.search.vary, trial)).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter().map(|row| columns(&row[column])).chain([columns(head[column])]).max().unwrap_or(0)
        })
        .collect();
    let line = |number: &str, verdict: &str, cells: [&str; 6]| {
        let cells: String =
            cells.iter().zip(&widths).map(|(cell, width)| format!("  {}", pad_left(cell, *width))).collect();
        format!("  {}  {}{cells}", pad_left(number, 3), pad(verdict, 9))
    };
    let dim = writer.styled(DIM, &line("", "", head));
    writer.line(&dim);
    for (trial, row) in result.trials.iter().zip(&rows) {
        let text = line(
            &trial.number.to_string(),
            words::verdict(trial.verdict),
            row.each_ref().map(String::as_str),
        );
        let text = cut(&text, writer.columns());
        let text = writer.styled(verdict_style(trial.verdict), &text);
        writer.line(&text);
        if !trial.reason.is_empty() {
            writer.marked("         ", ("", DIM), (&plain(&trial.reason), DIM));
        }
    }
}

fn row(vary: Vary, trial: &Trial) -> [String; 6] {
    [
        level_text(vary, &trial.level),
        rate_text(trial.achieved_per_s),
        words::latency(trial.p50_us),
        words::latency(trial.p99_us),
        words::errors(trial),
        words::backlog(trial),
    ]
}

fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Good => PLAIN,
        Verdict::Bad => FAILED,
        Verdict::Undecided | Verdict::Void => WARNING,
    }
}
