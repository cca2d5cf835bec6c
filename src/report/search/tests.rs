//! What the formats of a capacity result show, and that hostile names stay text.

use super::*;
use crate::capacity::backlog::BacklogGrowth;
use crate::capacity::measured::testing::capacity;
use crate::capacity::measured::*;
use crate::report::width::{Width, columns};

#[test]
fn text_fits_80_columns_and_says_what_bound_it() {
    let text = text(&capacity("Meters", 0), false, Width::of(Some("80"), None));
    assert!(text.starts_with("✓ The capacity is between 4,100/s and 4,300/s.\n"), "{text}");
    for part in [
        "A threshold failed at 4,300/s: telemetry p(99) < 500ms: 512 ms.",
        "✓ capacity >= 4000/s: the capacity is at least 4,100/s",
        "  backlog: at least 4,100/s",
        "    2  bad        10,000/s  8,000/s  1.20 ms   812 ms  0.033%        –",
        "    4  good        4,100/s  4,100/s  1.20 ms  12.0 ms  0.033%      -12",
        "  A note.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_growth_that_rounds_to_zero_has_no_minus_sign() {
    let mut result = capacity("Meters", 0);
    for trial in &mut result.trials {
        trial.backlog = trial.backlog.map(|backlog| BacklogGrowth { growth: -0.3, ..backlog });
    }
    let text = text(&result, false, Width::FILE);
    assert!(text.contains(" +0\n") && !text.contains("-0\n"), "{text}");
}

#[test]
fn every_end_has_its_sentence() {
    for end in [
        EndReason::Width,
        EndReason::HighestGood,
        EndReason::LowestBad,
        EndReason::Generator,
        EndReason::Undecided,
        EndReason::JudgedAgain,
        EndReason::Time,
        EndReason::Messages,
        EndReason::Quota,
        EndReason::Interrupted,
        EndReason::Breakdown,
    ] {
        let mut result = capacity("Meters", 122);
        result.answer = CapacityAnswer { end, upper: None, lower: None, bound_by: None, ..result.answer };
        (result.trials, result.criteria) = Default::default();
        let text = text(&result, false, Width::of(Some("80"), None));
        assert!(text.starts_with("? The capacity is unknown.\n  The search "), "{text}");
        assert!(html(&result).unwrap().contains("No trial ended."));
    }
}

#[test]
fn markdown_has_tables_and_escapes_names() {
    let hostile = capacity("a|b <script>", 0);
    let markdown = markdown(&hostile);
    assert!(!markdown.contains("<script>"), "{markdown}");
    assert!(
        markdown.contains("\n### Trials\n") && markdown.contains("\n### Each criterion alone\n"),
        "{markdown}"
    );
    assert!(markdown.contains("capacity >= 4000/s"), "{markdown}");
}

#[test]
fn junit_has_a_case_for_each_assertion() {
    let xml = junit(&capacity("Meters", 0)).unwrap();
    assert!(
        xml.contains("tests=\"2\"") && xml.contains("failures=\"0\"") && xml.contains("errors=\"0\""),
        "{xml}"
    );
    let mut failed = capacity("Meters", 99);
    failed.assertions[0].status = AssertionStatus::Failed;
    let xml = junit(&failed).unwrap();
    assert!(xml.contains("failures=\"1\"") && xml.contains("name=\"capacity &gt;= 4000/s\""), "{xml}");
    let mut interrupted = capacity("Meters", 105);
    (interrupted.answer.end, interrupted.assertions) = (EndReason::Interrupted, Vec::new());
    assert!(junit(&interrupted).unwrap().contains("errors=\"1\""));
}

#[test]
fn page_marks_trials_and_shades_the_interval() {
    let page = html(&capacity("<b>Meters</b>", 0)).unwrap();
    assert!(page.contains("&lt;b&gt;Meters&lt;/b&gt;") || page.contains("&#60;b&#62;Meters"), "escaped");
    assert!(!page.contains("<script>"), "no script");
    for series in ["good", "bad", "undecided", "void", "curve", "ideal", "interval"] {
        assert!(page.contains(&format!("data-series=\"{series}\"")), "{series}");
    }
    assert!(page.contains("The capacity is between 4,100/s and 4,300/s (shaded)."));
    assert!(page.contains("fill-opacity=\"0.16\""));
}

#[test]
fn horizontal_axis_is_what_the_search_varied() {
    let mut result = capacity("Meters", 0);
    for (vary, label) in [(Vary::Load, "offered messages per second"), (Vary::Devices, "devices")] {
        result.search.vary = vary;
        let page = html(&result).unwrap();
        assert!(page.contains(&format!(">{label}</text>")), "{label}");
    }
}

#[test]
fn file_is_read_back_unchanged() {
    let result = capacity("Meters", 0);
    let json = serde_json::to_string_pretty(&result).unwrap();
    assert_eq!(serde_json::from_str::<CapacityResult>(&json).unwrap(), result);
    let schema = schema();
    assert_eq!(schema["title"], SCHEMA);
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&json).unwrap()));
}
