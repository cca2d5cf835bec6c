//! What the formats of a comparison show, and that hostile names stay text.

use super::*;
use crate::capacity::comparison::{
    CapacityComparison, Input, Outcome as CapacityOutcome, compare_capacities,
};
use crate::capacity::measured::testing::capacity;
use crate::capacity::measured::{CapacityResult, Level};
use crate::compare::model::*;
use crate::measure::Operation;
use crate::report::Width;
use crate::result::model::{RunResult, Status};
use crate::result::testing::result as sample;

fn run(result: &RunResult) -> ComparedRun {
    ComparedRun {
        file: format!("{}.json", result.run.id),
        id: result.run.id.clone(),
        scenario: result.run.scenario.name.clone(),
        started: result.run.started.clone(),
        status: Status::Pass,
        tool: result.tool.clone(),
        host: result.run.host.clone(),
        target: result.run.target.clone(),
    }
}

fn metric(outcome: Outcome) -> Metric {
    Metric {
        operation: Operation::Telemetry,
        phase: None,
        fleet: None,
        aggregation: "p(99)".to_owned(),
        unit: "us".to_owned(),
        higher_is_better: false,
        base: Some(2_000.0),
        new: Some(2_500.0),
        effect: Effect::Ratio,
        change: Some(0.25),
        low: Some(0.12),
        high: None,
        tolerance: 0.1,
        p_adjusted: Some(0.01),
        outcome,
        method: Method::BlockBootstrap,
        base_samples: 1_000,
        new_samples: 1_000,
        more_runs: None,
        reasons: Vec::new(),
    }
}

fn comparison(metrics: Vec<Metric>) -> Comparison {
    let result = sample();
    Comparison {
        schema: SCHEMA.to_owned(),
        tool: result.tool.clone(),
        outcome: Outcome::Regressed,
        exit_code: 121,
        summary: "1 of 3 metrics regressed".to_owned(),
        base: vec![run(&result)],
        new: vec![run(&result)],
        settings: Settings {
            alpha: 0.05,
            tolerance: 0.1,
            floor_us: 1_000,
            error_tolerance: 0.001,
            noise: 0.1,
            forced: false,
        },
        metrics,
        notes: vec![Note {
            code: "one_run_each".to_owned(),
            text: "One run each: the noise is assumed".to_owned(),
        }],
    }
}

fn three_metrics() -> Vec<Metric> {
    let regressed = Metric {
        reasons: vec!["the 99th percentile is above the tolerance".to_owned()],
        ..metric(Outcome::Regressed)
    };
    let share = Metric {
        aggregation: "rate(ok)".to_owned(),
        unit: "share".to_owned(),
        effect: Effect::Difference,
        base: Some(1.0),
        new: Some(0.9998),
        change: Some(0.0002),
        low: Some(0.0),
        high: Some(0.0004),
        tolerance: 0.001,
        ..metric(Outcome::SameOrBetter)
    };
    let open = Metric {
        aggregation: "max".to_owned(),
        change: None,
        low: None,
        more_runs: Some(3),
        reasons: vec!["a maximum of one run says little".to_owned()],
        ..metric(Outcome::Inconclusive)
    };
    vec![share, open, regressed]
}

/// Asserts that the parts occur in this order.
fn assert_order(text: &str, parts: &[&str]) {
    let places: Vec<usize> =
        parts.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"))).collect();
    assert!(places.is_sorted(), "{places:?}: {text}");
}

#[test]
fn outcome_and_reasons_come_before_the_numbers() {
    let comparison = comparison(three_metrics());
    let text = markdown(&comparison);
    assert_order(
        &text,
        &[
            "## Regressed: test\n",
            " of 3 metrics regressed.",
            "- `telemetry p(99)` regressed: the 99th percentile",
            "- `telemetry max` inconclusive: a maximum of one run says little. About 3 more runs would settle it",
            "### Metrics",
            "| regressed | `telemetry p(99)` | 2.00 ms | 2.50 ms | +25.0% (+12.0% or more) | +10.0% |",
            "| inconclusive | `telemetry max` | 2.00 ms | 2.50 ms | – | +10.0% |",
            "| same or better | `telemetry rate(ok)` | 100% | 99.98% | +0.020 points (+0.000 points to +0.040 points) | +0.100 points |",
            "### Notes",
            "One run each",
            "What was compared",
            "| Version | 0.1.0 | 0.1.0 |",
        ],
    );
    let page = html(&comparison, Some(&sample()), &sample()).unwrap();
    assert_order(
        &page,
        &[
            "<title>Regressed: test, compared</title>",
            "<header class=\"verdict fail\">",
            "1 of 3 metrics regressed.",
            "telemetry p(99) regressed: the 99th percentile",
            "id=\"metrics\"",
            "+25.0% (+12.0% or more)",
            "id=\"charts\"",
            "id=\"compared\"",
            "the built-in hub",
            "One run each",
        ],
    );
}

#[test]
fn charts_show_both_sides() {
    let page = html(&comparison(three_metrics()), Some(&sample()), &sample()).unwrap();
    for chart in ["spectra", "timelines"] {
        let part =
            page.split(&format!("id=\"chart-{chart}\"")).nth(1).unwrap().split("</figure>").next().unwrap();
        let side = if chart == "spectra" { "" } else { "-online" };
        for series in ["base", "new"] {
            assert!(part.contains(&format!("data-series=\"{series}{side}")), "{chart}: {series}");
        }
    }
    let mut empty = sample();
    empty.measurement.operations.clear();
    empty.measurement.series.rows.clear();
    let page = html(&comparison(Vec::new()), Some(&empty), &sample()).unwrap();
    assert!(!page.contains("<figure") && page.contains("no response times to draw"), "{page}");
    let first = html(&comparison(Vec::new()), None, &sample()).unwrap();
    assert!(!first.contains("id=\"charts\""), "without a base, there is nothing to draw: {first}");
}

/// A run that lasted longer than the other must not leave the chart.
#[test]
fn timelines_end_with_the_longer_run() {
    let mut long = sample();
    let last = long.measurement.series.rows.last().unwrap().clone();
    for n in 1..=20 {
        let mut row = last.clone();
        row.t_us = last.t_us + n * long.measurement.series.interval_us;
        long.measurement.series.rows.push(row);
    }
    long.run.duration_us = 23_000_000;
    for phase in long.measurement.phases.iter_mut().skip(1) {
        phase.end_us = 23_000_000;
    }
    let end = |base: &RunResult, new: &RunResult| -> f64 {
        let page = html(&comparison(Vec::new()), Some(base), new).unwrap();
        let chart = page.split("id=\"chart-timelines\"").nth(1).unwrap();
        chart.split("data-t1=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    assert!((end(&long, &sample()) - end(&sample(), &long)).abs() < 1e-9);
    assert!(end(&long, &sample()) >= 23.0);
}

#[test]
fn hostile_names_stay_text() {
    let hostile = "<script>alert(1)</script>|`a`\n# @octocat [x](javascript:y)";
    let mut comparison = comparison(three_metrics());
    for metric in &mut comparison.metrics {
        (metric.phase, metric.fleet) = (Some(hostile.to_owned()), Some(hostile.to_owned()));
        metric.reasons = vec![hostile.to_owned()];
    }
    for run in comparison.base.iter_mut().chain(&mut comparison.new) {
        (run.scenario, run.file, run.host.cpu) = (hostile.to_owned(), hostile.to_owned(), hostile.to_owned());
    }
    comparison.summary = hostile.to_owned();
    comparison.notes[0].text = hostile.to_owned();
    let mut result = sample();
    result.run.scenario.name = hostile.to_owned();
    result.measurement.phases[0].name = hostile.to_owned();
    let page = html(&comparison, Some(&result), &result).unwrap();
    let body = page.split("<body>").nth(1).unwrap();
    assert!(!page.contains("<script>alert") && !body.contains("href="), "{body}");
    let text = markdown(&comparison);
    assert!(!text.contains("\n# ") && !text.contains("[x]("), "{text}");
    let outside_code = text.split('`').step_by(2).collect::<String>();
    assert!(!outside_code.contains("<script>") && !outside_code.contains("@octocat"), "{text}");
}

#[test]
fn markdown_stays_below_60_kb() {
    let mut comparison = comparison(Vec::new());
    for _ in 0..2_000 {
        let long = "&".repeat(5_000);
        comparison.metrics.push(Metric {
            phase: Some(long.clone()),
            reasons: vec![long.clone()],
            ..metric(Outcome::Regressed)
        });
        comparison.notes.push(Note { code: String::new(), text: long });
    }
    let text = markdown(&comparison);
    assert!(text.len() < 60_000 && text.contains("left out"), "{}", text.len());
}

/// Compares a capacity result with a lower one.
fn capacities() -> (CapacityComparison, CapacityResult, CapacityResult) {
    let (base, mut new) = (capacity("<b>Meters</b>|", 0), capacity("<b>Meters</b>|", 0));
    for level in [&mut new.answer.lower, &mut new.answer.upper] {
        *level = level.map(|level| Level { per_s: level.per_s / 2.0, ..level });
    }
    (new.tool.version, new.search.judged_us) = ("9".to_owned(), 60_000_000);
    let input = |file, result| Input { file, result };
    let compared =
        compare_capacities(input("a.json", &base), input("b.json", &new), (0.1, true), base.tool.clone())
            .unwrap();
    (compared, base, new)
}

#[test]
fn formats_of_a_capacity_comparison_agree() {
    let (compared, base, new) = capacities();
    let text = capacity_text(&compared, false, Width::of(Some("80"), None));
    let page = capacity_html(&compared, &base, &new).unwrap();
    let (summary, cases) = (capacity_markdown(&compared), capacity_junit(&compared).unwrap());
    for found in [&text, &page, &summary, &cases] {
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#95;", "_");
        for part in [
            "between 2,050/s and 2,150/s",
            "47.7% to 52.4% of the base",
            "-10.0%",
            "The new capacity is lower by more than 10%.",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(!found.contains("<b>"), "{found}");
    }
    assert!(
        text.starts_with("✗ The new capacity is lower by more than 10%.\n  base a.json, started "),
        "{text}"
    );
    assert!(
        text.contains(
            "  ? backlog: inconclusive\n    base at least 4,100/s, new at least 4,100/s; change –;"
        ),
        "{text}"
    );
    assert!(text.contains("The trials differ in length: 30.0 s and 60.0 s."), "{text}");
    assert!(
        cases.contains("tests=\"4\"") && cases.contains("failures=\"2\"") && cases.contains("errors=\"1\""),
        "{cases}"
    );
    for series in ["base", "new", "interval-base", "interval-new"] {
        assert!(page.contains(&format!("data-series=\"{series}\"")), "{series}");
    }
}

#[test]
fn undecided_criterion_of_a_passed_comparison_is_skipped() {
    let base = capacity("Meters", 0);
    let input = |file| Input { file, result: &base };
    let tool = base.tool.clone();
    let compared = compare_capacities(input("a.json"), input("b.json"), (0.1, false), tool).unwrap();
    assert_eq!((compared.outcome, compared.exit_code), (CapacityOutcome::SameOrBetter, 0));
    assert!(compared.criteria.iter().any(|one| one.outcome == CapacityOutcome::Inconclusive));
    let cases = capacity_junit(&compared).unwrap();
    assert!(cases.contains("errors=\"0\"") && cases.contains("failures=\"0\""), "{cases}");
    assert!(cases.contains("<skipped message=\"inconclusive: "), "{cases}");
}

#[test]
fn comparison_of_runs_has_a_test_case_for_each_metric() {
    let cases = junit(&comparison(three_metrics())).unwrap();
    assert!(
        cases.contains("tests=\"4\"") && cases.contains("failures=\"2\"") && cases.contains("errors=\"1\""),
        "{cases}"
    );
    assert!(cases.contains("the 99th percentile is above the tolerance."), "{cases}");
}
