//! The layout of the summary.

use super::*;
use crate::result::model::ThresholdStatus;
use crate::result::testing::result as sample;

#[test]
fn sentences_fit_80_columns_and_tables_100() {
    let mut result = sample();
    result.verdict.reasons = vec!["word ".repeat(60)];
    result.findings[0].text = "word ".repeat(60);
    let text = text(&result, false);
    for line in text.lines() {
        let columns = if line.contains("word") { PROSE_COLUMNS } else { TABLE_COLUMNS };
        assert!(width(line) <= columns, "{line}");
    }
    assert!(text.contains("word word"));
}

#[test]
fn undecided_thresholds_and_stalls_are_shown() {
    let mut result = sample();
    let threshold = &mut result.thresholds[0];
    threshold.status = Some(ThresholdStatus::Undecided);
    (threshold.observed_best, threshold.observed_worst) = (Some(310_000.0), Some(560_000.0));
    let text = text(&result, false);
    assert!(text.contains("  ? telemetry  p(99) < 500ms  310 ms to 560 ms  undecided\n"), "{text}");
    assert!(text.contains("less\n    than 7 ms") || text.contains("less than 7 ms"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("no stalls") || words.contains("in total, longest"), "{words}");
}
