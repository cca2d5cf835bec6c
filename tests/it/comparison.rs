//! The formats of a comparison: the page in Chromium, and the Markdown as a library for Markdown reads it.

use crate::browser::faults;
use crate::committed_results;
use crate::support::readers;
use hubstorm::compare::model::{
    ComparedRun, Comparison, Effect, Method, Metric, Note, Outcome, SCHEMA, Settings,
};
use hubstorm::measure::Operation;
use hubstorm::report;
use hubstorm::result::model::RunResult;

fn run(name: &str, result: &RunResult) -> ComparedRun {
    ComparedRun {
        file: format!("results/{name}.json"),
        id: result.run.id.clone(),
        scenario: result.run.scenario.name.clone(),
        started: result.run.started.clone(),
        status: result.verdict.status,
        tool: result.tool.clone(),
        host: result.run.host.clone(),
        target: result.run.target.clone(),
    }
}

fn metric(aggregation: &str, (base, new): (f64, f64), outcome: Outcome) -> Metric {
    Metric {
        operation: Operation::Telemetry,
        phase: Some("steady".to_owned()),
        fleet: None,
        aggregation: aggregation.to_owned(),
        unit: "us".to_owned(),
        higher_is_better: false,
        base: Some(base),
        new: Some(new),
        effect: Effect::Ratio,
        change: Some(new / base - 1.0),
        low: Some(new / base - 1.2),
        high: Some(new / base - 0.8),
        tolerance: 0.1,
        p_adjusted: Some(0.01),
        outcome,
        method: Method::BlockBootstrap,
        base_samples: 2_020,
        new_samples: 2_020,
        more_runs: (outcome == Outcome::Inconclusive).then_some(4),
        reasons: match outcome {
            Outcome::SameOrBetter => Vec::new(),
            _ => vec!["the interval of the change reaches beyond the tolerance".to_owned()],
        },
    }
}

/// A comparison of two committed results, with every outcome. The numbers are made up.
fn sample(outcome: Outcome) -> (Comparison, RunResult, RunResult) {
    let (base, new) = (committed_results::read("pass"), committed_results::read("fail"));
    let comparison = Comparison {
        schema: SCHEMA.to_owned(),
        tool: new.tool.clone(),
        outcome,
        exit_code: 121,
        summary: "telemetry{phase:steady} p(99) regressed by 40.0%; 3 metrics were compared".to_owned(),
        base: vec![run("pass", &base)],
        new: vec![run("fail", &new)],
        settings: Settings {
            alpha: 0.05,
            tolerance: 0.1,
            floor_us: 1_000,
            error_tolerance: 0.001,
            noise: 0.1,
            forced: false,
        },
        metrics: vec![
            metric("p(50)", (800.0, 810.0), Outcome::SameOrBetter),
            metric("p(99)", (20_000.0, 28_000.0), Outcome::Regressed),
            metric("max", (100_000.0, 108_000.0), Outcome::Inconclusive),
        ],
        notes: vec![Note {
            code: "one_run_each".to_owned(),
            text: "One run each: the noise between runs is assumed to be 10% (--noise)".to_owned(),
        }],
    };
    (comparison, base, new)
}

#[test]
fn page_of_a_comparison_is_accessible_and_fits_a_phone() {
    let folder = tempfile::tempdir().unwrap();
    let pages = [Outcome::Regressed, Outcome::SameOrBetter, Outcome::Inconclusive].map(|outcome| {
        let (comparison, base, new) = sample(outcome);
        let page = folder.path().join(format!("{}.html", comparison.outcome.words().replace(' ', "-")));
        std::fs::write(&page, report::comparison_page(&comparison, Some(&base), &new).unwrap()).unwrap();
        page
    });
    if let Some(keep) = std::env::var_os("HUBSTORM_TEST_PAGES") {
        std::fs::copy(&pages[0], std::path::Path::new(&keep).join("comparison.html")).unwrap();
    }
    assert_eq!(faults(&pages), "");
}

#[test]
fn markdown_of_a_comparison_has_its_tables() {
    let (comparison, ..) = sample(Outcome::Regressed);
    let read = readers::python("markdown", &report::comparison_markdown(&comparison));
    let metrics = read["tables"][0].as_array().unwrap();
    assert_eq!(metrics.len(), 4, "{read}");
    assert_eq!(metrics[1][1], "telemetry{phase:steady} p(99)", "the regressed metric is the first");
    assert_eq!(metrics[1][4], "+40.0% (+20.0% to +60.0%)");
    assert_eq!(read["tables"][1].as_array().unwrap().len(), 9, "{read}");
    assert_eq!(read["headings"][0], "Regressed: Fail: a hub that freezes twice");
}
