//! Comparisons of synthetic runs whose truth is known, and of results that must not be compared.

use super::comparison::{decide_all, overall};
use super::judge::judge;
use super::model::Outcome as Found;
use super::sample::{BatchView, Sample};
use super::*;
use crate::measure::{Latency, Outcome, Totals};
use crate::result::model::{EndedBy, RunResult, Status, Tool};
use crate::result::testing::result;
use crate::rng::{Purpose, Rng, generator};
use rand::RngExt;

/// How the new side differs from the base.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    Same,
    Slower(f64),
    /// The slowest 2% of the operations take 1 ms longer.
    Tail,
    TenTimesTheErrors,
}

/// The noise of a world.
#[derive(Clone, Copy, Debug)]
struct World {
    /// Correlation of neighboring batches.
    correlation: f64,
    /// Standard deviation of the logarithm of all latencies between runs.
    between: f64,
}

const BATCHES: usize = 60;
const PER_BATCH: u64 = 60;

/// A normal number by the Box-Muller transform.
fn normal(rng: &mut Rng) -> f64 {
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive microseconds")]
fn run(world: World, truth: Truth, rng: &mut Rng) -> Sample {
    let scale = 20_000.0 * (world.between * normal(rng)).exp();
    let factor = if let Truth::Slower(share) = truth { 1.0 + share } else { 1.0 };
    let errors = if truth == Truth::TenTimesTheErrors { 0.02 } else { 0.002 };
    let mut level = normal(rng);
    let mut sample = Sample::default();
    for _ in 0..BATCHES {
        level = world.correlation * level + (1.0 - world.correlation.powi(2)).sqrt() * normal(rng);
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).unwrap();
        let mut batch = BatchView { due: PER_BATCH, ..BatchView::default() };
        for _ in 0..PER_BATCH {
            if rng.random::<f64>() < errors {
                batch.outcomes[Outcome::Lost] += 1;
                continue;
            }
            let score = normal(rng);
            let tail = if truth == Truth::Tail && score > 2.05 { 1_000.0 } else { 0.0 };
            let us = scale * factor * (0.05 * level + 0.1 * score).exp() + tail;
            batch.outcomes[Outcome::Ok] += 1;
            histogram.record(us as u64).unwrap();
        }
        batch.response = Latency::from(histogram);
        sample.totals.add(&Totals {
            due: batch.due,
            outcomes: batch.outcomes,
            response: batch.response.clone(),
            ..Totals::default()
        });
        sample.batches.push(batch);
    }
    sample
}

/// What a user compares in a world.
#[derive(Clone, Copy, Debug)]
struct Cell {
    base_runs: usize,
    noise: f64,
    world: World,
    metrics: &'static [&'static str],
}

/// The number of comparisons with each outcome: regressed, same or better, inconclusive.
fn rates(cell: Cell, truth: Truth, seeds: u64) -> [u64; 3] {
    let Cell { base_runs, noise, world, metrics } = cell;
    let mut found = [0; 3];
    let options = Options { noise, ..Options::default() };
    for seed in 0..seeds {
        let mut rng = generator(seed, 0, Purpose::Connection);
        let base: Vec<Sample> = (0..base_runs).map(|_| run(world, Truth::Same, &mut rng)).collect();
        let new = [run(world, truth, &mut rng)];
        let judge =
            |metric: &&str| judge(&metric.parse().unwrap(), &base, &new, &options, (metrics.len(), 1));
        match overall(&decide_all(metrics.iter().map(judge).collect(), false)) {
            Found::Regressed => found[0] += 1,
            Found::SameOrBetter => found[1] += 1,
            _ => found[2] += 1,
        }
    }
    found
}

const QUIET: World = World { correlation: 0.0, between: 0.0 };
const CORRELATED: World = World { correlation: 0.4, between: 0.0 };
const NOISY: World = World { correlation: 0.0, between: 0.02 };
const BOTH: World = World { correlation: 0.4, between: 0.02 };

const THREE: &[&str] = &["telemetry p(50)", "telemetry p(99)", "telemetry rate(ok)"];
const ONE: &[&str] = &["telemetry p(50)"];

fn cell(base_runs: usize, noise: f64, world: World, metrics: &'static [&'static str]) -> Cell {
    Cell { base_runs, noise, world, metrics }
}

/// Prints the table of `docs/compare.md`, and checks the limits. Takes minutes without optimization.
#[test]
#[ignore = "the full matrix takes minutes; run it with --ignored after a change to the statistics"]
fn full_matrix_of_known_truths() {
    let seeds = 200;
    let pairs = [(QUIET, 0.01), (CORRELATED, 0.01), (NOISY, 0.03), (BOTH, 0.03), (QUIET, 0.1), (BOTH, 0.1)];
    let mut cells = pairs.map(|(world, noise)| cell(1, noise, world, THREE)).to_vec();
    cells.extend([QUIET, CORRELATED, NOISY, BOTH].map(|world| cell(10, 0.1, world, THREE)));
    cells.extend([NOISY, BOTH].map(|world| cell(10, 0.1, world, ONE)));
    cells.push(cell(5, 0.1, BOTH, THREE));
    cells.extend([NOISY, BOTH].map(|world| cell(20, 0.1, world, THREE)));
    let truths =
        [Truth::Same, Truth::Slower(0.05), Truth::Slower(0.2), Truth::Tail, Truth::TenTimesTheErrors];
    let mut missed = Vec::new();
    for cell in cells {
        let Cell { base_runs, noise, world, metrics } = cell;
        print!("| {base_runs} | {} | {} | {world:?} ", noise * 100.0, metrics.len());
        // `docs/compare.md` says why ten results find fewer in the other worlds.
        let is_quiet = world.between < 0.01 && (base_runs >= 10 || noise < 0.02);
        let is_one = base_runs >= 10 && metrics.len() == 1 && world.correlation < 0.1;
        let is_found = is_quiet || is_one || base_runs >= 20;
        for truth in truths {
            let [regressed, same, inconclusive] = rates(cell, truth, seeds);
            print!("| {regressed} / {same} / {inconclusive} ");
            let (least, most) = match truth {
                Truth::Same => (0, 16),
                Truth::Slower(0.2) if is_found => (190, seeds),
                _ => (0, seeds),
            };
            if !(least..=most).contains(&regressed) {
                missed.push((cell, truth, regressed));
            }
        }
        println!("|");
    }
    assert!(missed.is_empty(), "limits missed: {missed:?}");
}

#[test]
fn known_truths_are_found() {
    for (truth, least) in [(Truth::Same, 0), (Truth::Slower(0.2), 4), (Truth::TenTimesTheErrors, 4)] {
        let [regressed, ..] = rates(cell(1, 0.01, QUIET, THREE), truth, 4);
        assert_eq!(regressed, least, "{truth:?}");
        let [regressed, ..] = rates(cell(10, 0.1, NOISY, THREE), truth, 2);
        assert_eq!(regressed, least / 2, "{truth:?} against a folder");
    }
}

/// Five base and three new results have 56 orders. For three metrics, even the most extreme order is not significant.
#[test]
fn ranks_are_used_only_if_they_can_decide() {
    let mut rng = generator(1, 0, Purpose::Connection);
    let base: Vec<Sample> = (0..5).map(|_| run(QUIET, Truth::Same, &mut rng)).collect();
    let new: Vec<Sample> = (0..3).map(|_| run(QUIET, Truth::Slower(0.2), &mut rng)).collect();
    for (tests, method) in [(2, model::Method::MannWhitney), (3, model::Method::PredictionInterval)] {
        let judged = || judge(&ONE[0].parse().unwrap(), &base, &new, &Options::default(), (tests, 1));
        assert_eq!(judged().method, method);
        let decided = decide_all((0..tests).map(|_| judged()).collect(), false);
        assert_eq!(overall(&decided), Found::Regressed, "{tests} metrics");
    }
}

/// The failures of a run that has none cannot have regressed, so they do not make the other metrics less sensitive.
#[test]
fn metrics_that_cannot_regress_are_not_counted() {
    let mut rng = generator(1, 0, Purpose::Connection);
    let [mut base, mut new] = [Truth::Same, Truth::Slower(0.2)].map(|truth| run(QUIET, truth, &mut rng));
    for sample in [&mut base, &mut new] {
        sample.totals.outcomes[Outcome::Ok] += std::mem::take(&mut sample.totals.outcomes[Outcome::Lost]);
        for batch in &mut sample.batches {
            batch.outcomes[Outcome::Ok] += std::mem::take(&mut batch.outcomes[Outcome::Lost]);
        }
    }
    let p = |metrics: &[&str]| {
        let judge = |metric: &&str| {
            let options = Options { noise: 0.02, ..Options::default() };
            judge(&metric.parse().unwrap(), &[base.clone()], &[new.clone()], &options, (metrics.len(), 1))
        };
        decide_all(metrics.iter().map(judge).collect(), false)[0].p_adjusted.unwrap()
    };
    let alone = p(ONE);
    assert!(alone < 0.05);
    assert!((p(&[ONE[0], "telemetry rate(ok)", "telemetry count(lost)"]) - alone).abs() < 1e-12);
    assert!(p(&[ONE[0], "telemetry p(99)"]) > alone, "another latency counts");
}

fn tool() -> Tool {
    Tool { name: "hubstorm".to_owned(), version: "0.1.0".to_owned(), git: None }
}

/// Results of the same load, with different ids and start times.
fn results(count: usize) -> Vec<RunResult> {
    (0..count)
        .map(|n| {
            let mut one = result();
            one.run.id = format!("run-{n}");
            one.run.started = format!("2026-11-22T00:00:{n:02}Z");
            one
        })
        .collect()
}

fn compared(change: impl Fn(&mut RunResult)) -> Result<model::Comparison, CompareError> {
    let [base, mut new]: [RunResult; 2] = results(2).try_into().unwrap();
    change(&mut new);
    let (base, new) = (Input { file: "base.json", result: &base }, Input { file: "new.json", result: &new });
    compare(&[base], &[new], &Options::default(), tool())
}

#[test]
fn incomparable_results_are_refused() {
    for (change, expected) in [
        (
            (|new| new.run.scenario.plan_sha256 = "02".repeat(32)) as fn(&mut RunResult),
            "the load (plan_sha256) differs",
        ),
        (|new| new.run.scenario.plan_sha256.clear(), "has no plan hash"),
        (|new| new.run.complete = false, "is incomplete"),
        (|new| new.run.ended_by = Some(EndedBy::Unreachable), "covers only a part of the load"),
        (|new| new.measurement.phases[0].planned_online = [0.5, 0.5], "the list of phases differs"),
        (|new| new.run.target.embedded = false, "the kind of the target differs"),
        (|new| new.run = results(1).remove(0).run, "are the same run (run-0)"),
    ] {
        let error = compared(change).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn invalid_result_is_invalid_with_exit_120() {
    let compared = compared(|new| new.verdict.status = Status::Invalid).unwrap();
    assert_eq!((compared.outcome, compared.exit_code), (Found::Invalid, 120));
    assert!(compared.metrics.is_empty() && compared.notes[0].code == "invalid", "{:?}", compared.notes);
}

#[test]
fn first_result_has_no_base() {
    for (status, code) in [(Status::Pass, 0), (Status::Fail, 99)] {
        let mut new = result();
        (new.verdict.status, new.verdict.exit_code) = (status, code);
        let compared = compare(&[], &[Input { file: "new.json", result: &new }], &Options::default(), tool());
        let compared = compared.unwrap();
        assert_eq!((compared.outcome, compared.exit_code), (Found::NoBase, code));
        assert!(compared.base.is_empty() && compared.metrics.is_empty());
    }
}

#[test]
fn few_samples_are_inconclusive() {
    let compared = compared(|_| ()).unwrap();
    assert_eq!((compared.outcome, compared.exit_code), (Found::Inconclusive, 122));
    let p99 = compared.metrics.iter().find(|metric| metric.aggregation == "p(99)").unwrap();
    assert!(p99.reasons[0].contains("of 1,000 samples in a base result"), "{:?}", p99.reasons);
}

#[test]
fn other_machine_or_version_is_at_most_inconclusive() {
    for change in
        [(|new| new.run.host.cores = 64) as fn(&mut RunResult), |new| new.tool.version = "9".to_owned()]
    {
        let compared = compared(change).unwrap();
        assert!(compared.metrics.iter().all(|metric| metric.outcome == Found::Inconclusive));
        assert!(compared.notes[0].code.starts_with("other_"), "{:?}", compared.notes);
    }
}

#[test]
fn tolerances_are_for_all_metrics_or_for_one() {
    let tolerance: Tolerance = "telemetry p(99) 15%".parse().unwrap();
    assert!(tolerance.metric.is_some() && (tolerance.share - 0.15).abs() < 1e-9);
    assert!("15%".parse::<Tolerance>().unwrap().metric.is_none());
    for text in ["much", "", "telemetry p99 15%"] {
        assert!(text.parse::<Tolerance>().is_err(), "{text}");
    }
}

/// `UPDATE=1 cargo test --lib compare::` regenerates the schema.
#[test]
fn published_schema_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/compare.schema.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == now,
        "reports/compare.schema.json is stale: run `UPDATE=1 cargo test --lib compare::`"
    );
}
