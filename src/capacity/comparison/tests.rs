//! Comparisons of capacities.

use super::*;
use crate::capacity::measured::testing::capacity;

fn search(lower: Option<f64>, upper: Option<f64>) -> CapacityResult {
    let mut result = capacity("Meters", 0);
    let level = |per_s: f64| Level { level: 1, per_s, devices: 1 };
    (result.answer.lower, result.answer.upper) = (lower.map(level), upper.map(level));
    result
}

fn compared(
    base: &CapacityResult,
    new: &CapacityResult,
    force: bool,
) -> Result<CapacityComparison, NotComparable> {
    let (base, new) = (Input { file: "a.json", result: base }, Input { file: "b.json", result: new });
    compare_capacities(base, new, (0.1, force), base.result.tool.clone())
}

#[test]
fn intervals_decide() {
    let base = search(Some(95.0), Some(100.0));
    for (lower, upper, expected, code) in [
        (Some(95.0), Some(100.0), Outcome::SameOrBetter, 0),
        (Some(190.0), None, Outcome::SameOrBetter, 0),
        (Some(80.0), Some(84.0), Outcome::Regressed, 121),
        (None, Some(50.0), Outcome::Regressed, 121),
        (Some(85.0), Some(90.0), Outcome::Inconclusive, 122),
        (Some(50.0), None, Outcome::Inconclusive, 122),
        (None, None, Outcome::Invalid, 120),
    ] {
        let compared = compared(&base, &search(lower, upper), false).unwrap();
        assert_eq!(
            (compared.outcome, compared.exit_code),
            (expected, code),
            "{lower:?} to {upper:?}: {compared:?}"
        );
    }
}

#[test]
fn a_search_without_an_answer_has_a_fix() {
    let compared = compared(&search(Some(95.0), Some(100.0)), &search(None, None), false).unwrap();
    assert!(
        compared.summary.ends_with(
            "search again with a wider range (--from, --to), or continue the search with --resume"
        ),
        "{}",
        compared.summary
    );
}

#[test]
fn other_machines_decide_only_with_force() {
    let (base, mut new) = (search(Some(95.0), Some(100.0)), search(Some(50.0), Some(52.0)));
    new.run.host.cores += 1;
    new.tool.version = "9".to_owned();
    new.search.judged_us *= 2;
    let outcome = |force| compared(&base, &new, force).unwrap().outcome;
    assert_eq!((outcome(false), outcome(true)), (Outcome::Inconclusive, Outcome::Regressed));
    let found = compared(&base, &new, false).unwrap();
    assert_eq!(found.notes.len(), 3, "{:?}", found.notes);
    assert!(found.criteria.iter().all(|one| one.outcome == Outcome::Inconclusive), "{:?}", found.criteria);
}

#[test]
fn searches_of_something_else_are_not_comparable() {
    let base = search(Some(1.0), Some(2.0));
    for (change, expected) in [
        ((|new| new.search.phase = "peak".to_owned()) as fn(&mut CapacityResult), NotComparable::Phase),
        (|new| new.search.vary = Vary::Devices, NotComparable::Vary),
        (|new| new.search.thresholds.clear(), NotComparable::Thresholds),
        (|new| new.run.scenario.plan_sha256.clear(), NotComparable::Plan),
    ] {
        let mut new = base.clone();
        change(&mut new);
        assert_eq!(compared(&base, &new, true), Err(expected));
    }
}

#[test]
fn criteria_are_compared_one_by_one() {
    let (base, mut new) = (search(Some(95.0), Some(100.0)), search(Some(95.0), Some(100.0)));
    let level = |per_s: f64| Some(Level { level: 1, per_s, devices: 1 });
    (new.criteria[0].lower, new.criteria[0].upper) = (level(2_000.0), level(2_100.0));
    let compared = compared(&base, &new, false).unwrap();
    let outcomes: Vec<_> = compared.criteria.iter().map(|one| (&*one.criterion, one.outcome)).collect();
    assert_eq!(
        outcomes,
        [("telemetry p(99) < 500ms", Outcome::Regressed), ("backlog", Outcome::Inconclusive)]
    );
}

#[test]
fn schema_describes_a_comparison() {
    let base = search(Some(95.0), None);
    let json = serde_json::to_value(compared(&base, &base, false).unwrap()).unwrap();
    let schema = schema();
    assert_eq!(schema["title"], SCHEMA);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
