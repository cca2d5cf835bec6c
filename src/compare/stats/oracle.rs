//! Every statistic against scipy, on many inputs. `tests/support/compare_oracle.py` computes the expected values.

use super::bootstrap::Blocks;
use super::*;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// A question for the oracle, and our answer.
struct Case {
    question: Value,
    found: Vec<f64>,
    /// Relative difference that is permitted.
    within: f64,
}

fn case(question: Value, found: Vec<f64>) -> Case {
    Case { question, found, within: 1e-6 }
}

fn all(estimate: Estimate) -> Vec<f64> {
    vec![estimate.change, estimate.low, estimate.high, estimate.p]
}

/// Values without ties that look random, around 1.
fn values(count: u32, start: u32) -> Vec<f64> {
    (start..start + count).map(|n| 1.0 + 0.3 * f64::from(n * n + 1).sin()).collect()
}

/// A correlated series.
fn series(count: u32, correlation: f64) -> Vec<f64> {
    let next = |level: &mut f64, n: u32| {
        *level = correlation * *level + f64::from(n * n).sin();
        Some(*level)
    };
    (0..count).scan(0.0, next).collect()
}

fn counts_and_shares() -> Vec<Case> {
    let mut cases = Vec::new();
    for (a, of_base, b, of_new) in [
        (3, 1_000, 12, 1_000),
        (30, 1_000, 50, 2_000),
        (0, 500, 4, 500),
        (4, 500, 0, 800),
        (200, 90_000, 230, 100_000),
        (7, 100, 2, 100),
    ] {
        let [base, new, base_of, new_of] = [a, b, of_base, of_new].map(float);
        for (dispersion, tolerance) in [(1.0, 0.1_f64.ln_1p()), (1.0, 0.0), (2.5, 0.25)] {
            let counted = |events, exposure| Counted { events, exposure };
            let found = ratio_of_counts(counted(base, base_of), counted(new, new_of), dispersion, tolerance);
            let question = json!(["counts", a, of_base, b, of_new, dispersion, tolerance]);
            cases.push(case(question, vec![found.low, found.high, found.p]));
        }
        for (dispersion, tolerance) in [(1.0, 0.001), (1.0, 0.01), (2.5, 0.001)] {
            let share = |events, of| Share { events, of, dispersion };
            let found = difference_of_shares(share(base, base_of), share(new, new_of), tolerance);
            cases.push(case(json!(["shares", a, of_base, b, of_new, dispersion, tolerance]), all(found)));
        }
    }
    let parts = [vec![(3, 100), (9, 120), (1, 80)], vec![(5, 1_000); 8], vec![(0, 50), (40, 60), (2, 70)]];
    for groups in parts.iter().map(std::slice::from_ref).chain([&parts[..]]) {
        cases.push(case(json!(["dispersion", groups]), vec![dispersion(groups)]));
    }
    cases
}

fn runs_and_batches() -> Vec<Case> {
    let mut cases = Vec::new();
    for tolerance in [0.0, 0.1, 0.4] {
        for (change, sd) in [(0.3, 0.1), (-0.2, 0.05), (0.1, 0.2)] {
            let found = all(normal_estimate(change, sd, tolerance));
            cases.push(case(json!(["normal", change, sd, tolerance]), found));
        }
        for (bases, news) in [(5, 1), (5, 3), (10, 1), (8, 4), (6, 7)] {
            let (base, new) = (values(bases, 0), values(news, 50));
            let found = all(prediction(&base, &new, tolerance));
            cases.push(case(json!(["prediction", base, new, tolerance]), found));
            if news >= 3 {
                let found = all(mann_whitney(&base, &new, tolerance));
                cases.push(case(json!(["ranks", base, new, tolerance]), found));
                let (bases, news) = (base.len(), new.len());
                cases.push(case(json!(["least_p", bases, news]), vec![least_p(bases, news)]));
            }
        }
    }
    for p in [vec![0.01, 0.04, 0.03, 0.2], vec![0.5, 0.9], vec![0.02], vec![0.01; 3]] {
        cases.push(case(json!(["holm", p]), holm(&p)));
    }
    for correlation in [0.0, 0.3, 0.6, 0.9] {
        let series = series(64, correlation);
        let found = vec![float(blocks(&series).length as u64)];
        cases.push(case(json!(["block_length", series]), found));
        for length in [1, 3] {
            let mean = |drawn: &[u64]| {
                Some(series.iter().zip(drawn).map(|(value, times)| value * float(*times)).sum::<f64>() / 64.0)
            };
            let found = vec![block_bootstrap_sd(Blocks { batches: 64, length }, 1, mean)];
            // The oracle draws other blocks. A deviation of 1,000 resamples has a deviation of about 2% itself.
            cases.push(Case { within: 0.1, ..case(json!(["bootstrap", series, length]), found) });
        }
    }
    cases
}

/// Asks the oracle.
fn expected(questions: &Value) -> Vec<Vec<Option<f64>>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = std::env::var_os("HUBSTORM_TEST_PYTHON");
    let python = python.unwrap_or_else(|| format!("{root}/tests/.venv/bin/python").into());
    let mut oracle = Command::new(python)
        .arg(format!("{root}/tests/support/compare_oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/run installs Python and scipy, or HUBSTORM_TEST_PYTHON names a Python with scipy");
    oracle.stdin.take().unwrap().write_all(questions.to_string().as_bytes()).unwrap();
    let output = oracle.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "the oracle failed: is scipy of tests/support/requirements.txt installed?"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn scipy_finds_the_same() {
    let cases: Vec<Case> = counts_and_shares().into_iter().chain(runs_and_batches()).collect();
    let answers = expected(&cases.iter().map(|case| case.question.clone()).collect());
    assert_eq!(answers.len(), cases.len());
    for (Case { question, found, within }, answer) in cases.iter().zip(answers) {
        assert_eq!(found.len(), answer.len(), "{question}");
        for (found, expected) in found.iter().zip(&answer) {
            let agrees = match expected {
                None => found.is_infinite(),
                Some(expected) => (found - expected).abs() <= within * expected.abs().max(1e-3),
            };
            assert!(agrees, "{question}: {found} instead of {expected:?}");
        }
    }
}
