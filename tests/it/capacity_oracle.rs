//! The capacity search against MLRsearch, the reference implementation by the authors of the draft.

use hubstorm::capacity::{Answer, Next, Search, SearchRules, TrialVerdict};
use hubstorm::rng::{Purpose, generator};
use rand::RngExt;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const CONFIRM: u32 = 3;
const WIDTH: f64 = 0.05;

/// Asks MLRsearch.
fn oracle(question: &Value) -> Value {
    let python = std::env::var_os("HUBSTORM_TEST_PYTHON").expect(
        "HUBSTORM_TEST_PYTHON must name a Python with MLRsearch: run the tests with tests/run, which installs it",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/search_oracle.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("piped").write_all(question.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn question(rules: SearchRules, histories: &[Vec<(u64, bool)>], capacities: &[u64]) -> Value {
    let rules = json!({"from": rules.from, "to": rules.to, "width": rules.width, "confirm": rules.confirm});
    json!({"rules": rules, "histories": histories, "capacities": capacities})
}

fn verdict(good: bool) -> TrialVerdict {
    if good { TrialVerdict::Good } else { TrialVerdict::Bad }
}

/// The same trials prove the same bounds, however contradictory they are.
#[test]
fn bounds_of_any_trials_are_those_of_mlrsearch() {
    // The levels of this search are 1 to 10, so a level is its rank + 1.
    let rules = SearchRules { from: 1, to: 10, width: WIDTH, confirm: CONFIRM };
    let mut rng = generator(19, 0, Purpose::Bootstrap);
    let histories: Vec<Vec<(u64, bool)>> = (0..300)
        .map(|_| {
            let trials = rng.random_range(1..30);
            (0..trials)
                .map(|_| {
                    let rank = rng.random_range(0..10);
                    (rank, rng.random_range(0..10) > rank)
                })
                .collect()
        })
        .collect();
    let expected = oracle(&question(rules, &histories, &[]));
    let (mut both, mut neither) = (0, 0);
    for (history, expected) in histories.iter().zip(expected["bounds"].as_array().expect("a list")) {
        let mut search = Search::new(rules);
        for (rank, good) in history {
            search.record(rank + 1, verdict(*good));
        }
        let Answer { lower, upper, .. } = search.answer_so_far();
        let ranks = [lower, upper].map(|level| level.map(|level| level - 1));
        assert_eq!(&json!(ranks), expected, "{history:?}");
        both += usize::from(lower.is_some() && upper.is_some());
        neither += usize::from(lower.is_none() && upper.is_none());
    }
    assert!(both > 50 && neither > 5, "the histories differ: {both}, {neither}");
}

/// Both searches enclose the capacity of a hub with a sharp knee, and agree where there is no interval.
#[test]
fn interval_encloses_what_the_one_of_mlrsearch_encloses() {
    let rules = SearchRules { from: 100_000, to: 10_000_000, width: WIDTH, confirm: CONFIRM };
    let mut capacities: Vec<u64> =
        (0..60).map(|step: i32| (110_000.0 * 1.077_f64.powi(step)) as u64).collect();
    capacities.extend([99_999, 10_000_000]);
    let expected = oracle(&question(rules, &[], &capacities));
    for (capacity, theirs) in capacities.iter().zip(expected["intervals"].as_array().expect("a list")) {
        let mut search = Search::new(rules);
        let answer = loop {
            match search.next() {
                Next::Trial { level } => search.record(level, verdict(level <= *capacity)),
                Next::Done(answer) => break answer,
            }
        };
        let theirs = [&theirs[0], &theirs[1]].map(Value::as_f64);
        let ours = [answer.lower, answer.upper].map(|level| level.map(|level| level as f64));
        for [lower, upper] in [ours, theirs] {
            assert!(lower.is_none_or(|lower| lower <= *capacity as f64), "{capacity}: {lower:?}");
            assert!(upper.is_none_or(|upper| upper > *capacity as f64), "{capacity}: {upper:?}");
            if let (Some(lower), Some(upper)) = (lower, upper) {
                assert!((upper - lower) / upper <= WIDTH, "{capacity}: {lower} to {upper}");
            }
        }
        assert_eq!(ours.map(|bound| bound.is_some()), theirs.map(|bound| bound.is_some()), "{capacity}");
    }
}
