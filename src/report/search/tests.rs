//! What the formats of a capacity result show, and that hostile names stay text.

use super::*;
use crate::capacity::backlog::BacklogGrowth;
use crate::capacity::measured::*;
use crate::report::width::{Width, columns};
use crate::result::model::ThresholdResult;
use crate::result::testing::result as sample;

fn level(level: u64) -> Level {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_s = level as f64 / 100.0;
    Level { level, per_s, devices: 1_000 }
}

fn trial(number: u32, at: u64, verdict: Verdict) -> Trial {
    let is_bad = verdict == Verdict::Bad;
    Trial {
        number,
        level: level(at),
        verdict,
        reason: if verdict == Verdict::Good {
            String::new()
        } else {
            format!("telemetry p(99) < 500ms: {number}12 ms")
        },
        bound_by: is_bad.then_some(Bound::Threshold),
        start_us: 15_000_000,
        duration_us: 30_000_000,
        cut: is_bad,
        resumed: false,
        due: 30_000,
        ok: 29_990,
        offered_per_s: level(at).per_s,
        achieved_per_s: level(at).per_s * if is_bad { 0.8 } else { 1.0 },
        p50_us: Some(1_200),
        p99_us: Some(if is_bad { 812_000 } else { 12_000 }),
        error_share: 0.000_33,
        backlog: (!is_bad).then_some(BacklogGrowth { growth: -12.0, lower: -40.0, limit: 100.0 }),
        thresholds: Vec::<ThresholdResult>::new(),
    }
}

fn capacity(name: &str, exit_code: u8) -> CapacityResult {
    let run = sample().run;
    let trials = vec![
        trial(1, 10_000, Verdict::Good),
        trial(2, 1_000_000, Verdict::Bad),
        trial(3, 420_000, Verdict::Undecided),
        trial(4, 410_000, Verdict::Good),
        trial(5, 430_000, Verdict::Bad),
        trial(6, 420_000, Verdict::Void),
    ];
    CapacityResult {
        schema: SCHEMA.to_owned(),
        tool: sample().tool,
        run: SearchRun {
            id: "meters-capacity-20261128T101500Z".to_owned(),
            argv: Vec::new(),
            scenario: crate::result::model::Scenario { name: name.to_owned(), ..run.scenario },
            overrides: Vec::new(),
            seed: 1,
            started: "2026-11-28T10:15:00Z".to_owned(),
            duration_us: 240_000_000,
            target: run.target,
            host: run.host,
            workers: 2,
            breakdowns: Vec::new(),
        },
        search: SearchSettings {
            vary: Vary::Load,
            phase: "steady".to_owned(),
            from: level(10_000),
            to: level(1_000_000),
            width: 0.05,
            hold_us: 30_000_000,
            settle_us: 5_000_000,
            judged_us: 30_000_000,
            confirm: 3,
            exhaust_burst: false,
            thresholds: vec!["telemetry p(99) < 500ms".to_owned()],
        },
        answer: CapacityAnswer {
            lower: Some(level(410_000)),
            upper: Some(level(430_000)),
            end: EndReason::Width,
            bound_by: Some(Bound::Threshold),
            reason: "telemetry p(99) < 500ms: 512 ms".to_owned(),
            throughput_per_s: Some(4_098.0),
            exit_code,
        },
        criteria: vec![
            CriterionAnswer {
                criterion: "telemetry p(99) < 500ms".to_owned(),
                lower: Some(level(410_000)),
                upper: Some(level(430_000)),
            },
            CriterionAnswer { criterion: "backlog".to_owned(), lower: Some(level(410_000)), upper: None },
        ],
        curve: crate::capacity::answer::curve(&trials),
        trials,
        assertions: vec![AssertionResult {
            text: "capacity >= 4000/s".to_owned(),
            status: AssertionStatus::Passed,
            reason: "the capacity is at least 4,100/s".to_owned(),
        }],
        notes: vec!["A note".to_owned()],
    }
}

#[test]
fn text_fits_80_columns_and_says_what_bound_it() {
    let text = text(&capacity("Meters", 0), false, Width::of(Some("80"), None));
    assert!(text.starts_with("✓ The capacity is between 4,100/s and 4,300/s.\n"), "{text}");
    for part in [
        "A threshold failed above it: telemetry p(99) < 500ms: 512 ms.",
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
fn every_end_has_its_sentence() {
    for end in [
        EndReason::Width,
        EndReason::HighestGood,
        EndReason::LowestBad,
        EndReason::Generator,
        EndReason::Undecided,
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
    assert!(page.contains("The shaded interval is from 4,100/s to 4,300/s."));
    assert!(page.contains("fill-opacity=\"0.16\""));
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
