//! Evaluates thresholds on measurements with known operations, with and without stalls.

use super::*;
use crate::measure::{Key, Operation, Recorder, Rules, Times};
use crate::report::testing;
use crate::stalls::{StallEntry, Stalls};
use ThresholdStatus::{Failed, InsufficientSamples, Passed, Undecided};
use std::rc::Rc;
use std::time::Duration;

const KEY: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
const MS: u64 = 1_000_000;

/// Returns the totals of `ok` operations that took 1, 2, 3, ... us, of `others` by outcome, and of unfinished
/// operations with these ages.
fn totals(ok: u64, others: &[(Outcome, u64)], ages_us: &[u64]) -> Totals {
    let measurement = testing::measured(1, 1, |recorder| {
        for us in 1..=ok {
            recorder.due(KEY, 0);
            recorder.ok(KEY, &Times { acked: us * 1_000, ..Times::default() });
        }
        for (outcome, count) in others {
            for _ in 0..*count {
                recorder.due(KEY, 0);
                recorder.ended(KEY, *outcome, 0, 5_000);
            }
        }
        for age_us in ages_us {
            recorder.due(KEY, 0);
            recorder.ended(KEY, Outcome::Unfinished, 0, age_us * 1_000);
        }
    });
    measurement.sum(|_| true)
}

/// Returns the totals of a worker with these stalls (start and end in ms).
fn stalled(stalls_ms: &[(u64, u64)], record: impl FnOnce(&mut Recorder)) -> Totals {
    let zero = crate::clock::now();
    let stalls = Rc::new(Stalls::new(zero));
    let at = |ms| zero + Duration::from_millis(ms);
    stalls_ms.iter().for_each(|(from, to)| stalls.note(at(*from), at(*to)));
    testing::measured_with_stalls(1, 1, &stalls, record).sum(|_| true)
}

/// Records `count` operations that were due and sent at `due_ms` and acknowledged at `acked_ms`.
fn acked(recorder: &mut Recorder, count: u64, due_ms: u64, acked_ms: u64) {
    for _ in 0..count {
        let due = due_ms * MS;
        recorder.due(KEY, due);
        recorder.ok(KEY, &Times { due, picked: due, sent: due, acked: acked_ms * MS });
    }
}

fn p(quantile: f64, limit_us: u64) -> Test {
    Test::Percentile { quantile, compare: Compare::Less, limit_us }
}

fn evaluated(test: &Test, totals: &Totals) -> Observation {
    evaluate(test, totals, &UnattributedDelay::default())
}

/// Returns `(observed, text, samples, passed)`.
fn seen(test: &Test, totals: &Totals) -> (Option<f64>, String, u64, bool) {
    let observation = evaluated(test, totals);
    (observation.observed, observation.text, observation.samples, observation.status == Passed)
}

fn passes(test: &Test, totals: &Totals) -> bool {
    evaluated(test, totals).status == Passed
}

#[test]
fn failures_raise_a_percentile() {
    // 950 ok operations of 1 to 950 us, and 50 lost ones: p90 is rank 900, p95 is rank 950. Higher ranks are
    // failures.
    let with_failures = totals(950, &[(Outcome::Lost, 50)], &[]);
    let us = |value: f64, text: &str, passed| (Some(value), text.to_owned(), 1_000, passed);
    assert_eq!(seen(&p(0.90, 901), &with_failures), us(900.0, "900 µs", true));
    assert_eq!(seen(&p(0.90, 900), &with_failures), us(900.0, "900 µs", false));
    assert_eq!(seen(&p(0.95, 2_000), &with_failures), us(950.0, "950 µs", true));
    let beyond = (None, "> 60.0 s".to_owned(), 1_000, false);
    assert_eq!(seen(&p(0.951, 60_000_000), &with_failures), beyond);
    assert_eq!(seen(&p(0.99, 60_000_000), &with_failures), beyond);
    // Without failures, p99 is rank 990.
    assert_eq!(seen(&p(0.99, 991), &totals(1_000, &[], &[])), us(990.0, "990 µs", true));
}

#[test]
fn more_failures_never_lower_a_percentile() {
    for outcome in Outcome::ALL.into_iter().filter(|o| ![Outcome::Ok, Outcome::Unfinished].contains(o)) {
        let mut before = 0.0;
        for failed in 0..=100 {
            let observation = evaluated(&p(0.9, 10_000), &totals(1_000 - failed, &[(outcome, failed)], &[]));
            // At most 10% of the operations fail, so p90 is still the latency of an ok operation.
            let now = observation.observed.unwrap_or(f64::INFINITY);
            assert!(now >= before && now >= 900.0, "{} {}: {now}", failed, outcome.name());
            before = now;
        }
    }
}

#[test]
fn unfinished_operations_count_if_older_than_the_limit() {
    // 990 ok operations, and unfinished ones: 10 that are 400 us old, and 30 that are 700 us old. At a limit
    // of 500 us, the younger ones do not count.
    let ages: Vec<u64> = std::iter::repeat_n(400, 10).chain(std::iter::repeat_n(700, 30)).collect();
    let open = totals(990, &[], &ages);
    assert_eq!(seen(&p(0.5, 500), &open), (Some(510.0), "510 µs".to_owned(), 1_020, false));
    assert_eq!(seen(&p(0.5, 300), &open), (Some(515.0), "515 µs".to_owned(), 1_030, false));
    assert_eq!(seen(&p(0.5, 700), &open), (Some(495.0), "495 µs".to_owned(), 990, true));
    let max = Test::Max { compare: Compare::LessOrEqual, limit_us: 1_000 };
    assert!(passes(&max, &open), "none is older than 1 ms");
}

#[test]
fn too_few_samples_are_not_enough_data() {
    for (quantile, needed) in [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1_000), (0.999, 10_000)] {
        assert_eq!(samples_needed(quantile), needed, "p{quantile}");
    }
    let short = seen(&p(0.99, 1_000_000), &totals(999, &[], &[]));
    assert_eq!(short, (None, "not enough data (999 of 1,000 samples)".to_owned(), 999, false));
    assert!(passes(&p(0.99, 1_000_000), &totals(1_000, &[], &[])));
    assert!(passes(&p(0.99, 1_000_000), &totals(999, &[(Outcome::Lost, 1)], &[])));
    assert_eq!(samples_needed(1.0), 1, "p(100) is the maximum");
}

#[test]
fn missing_data_fails_every_test() {
    let less = Compare::Less;
    for test in [
        p(0.5, 1_000),
        Test::Mean { compare: less, limit_us: 1_000 },
        Test::Max { compare: less, limit_us: 1_000 },
        Test::Rate { outcome: Outcome::Lost, compare: less, limit: 0.5 },
        Test::Count { outcome: Outcome::Lost, compare: Compare::Equal, limit: 0 },
    ] {
        assert_eq!(seen(&test, &Totals::default()), (None, "no data".to_owned(), 0, false), "{test:?}");
    }
}

#[test]
fn maximum_mean_rate_and_count_are_evaluated() {
    let all_ok = totals(1_000, &[], &[]);
    let some_lost = totals(990, &[(Outcome::Lost, 10)], &[]);
    let max = Test::Max { compare: Compare::Less, limit_us: 1_001 };
    assert_eq!(seen(&max, &all_ok), (Some(1_000.0), "1.00 ms".to_owned(), 1_000, true));
    assert_eq!(seen(&max, &some_lost), (None, "> 1.00 ms".to_owned(), 1_000, false));
    let mean = |limit_us| Test::Mean { compare: Compare::Less, limit_us };
    assert_eq!(seen(&mean(501), &all_ok), (Some(500.5), "501 µs".to_owned(), 1_000, true));
    assert!(!passes(&mean(500), &all_ok));
    assert_eq!(seen(&mean(501), &some_lost), (None, "> 501 µs".to_owned(), 1_000, false));
    let young = totals(1_000, &[], &[501, 400]);
    assert!(passes(&mean(501), &young), "neither is older than the limit");
    let old = totals(1_000, &[], &[900, 400]);
    assert_eq!(seen(&mean(501), &old), (None, "> 501 µs".to_owned(), 1_001, false));
    let rate = |compare, limit| Test::Rate { outcome: Outcome::Ok, compare, limit };
    let text = "99% (990 of 1,000)".to_owned();
    assert_eq!(seen(&rate(Compare::Greater, 0.999), &some_lost), (Some(0.99), text, 1_000, false));
    assert!(passes(&rate(Compare::GreaterOrEqual, 0.99), &some_lost));
    let lost = |compare, limit| Test::Count { outcome: Outcome::Lost, compare, limit };
    assert_eq!(seen(&lost(Compare::Equal, 0), &some_lost), (Some(10.0), "10".to_owned(), 1_000, false));
    assert!(passes(&lost(Compare::Equal, 0), &all_ok));
}

#[test]
fn passed_margins_are_positive_shares_of_the_limit() {
    for (compare, observed, limit, expected) in [
        (Compare::Less, 400.0, 500.0, Some(0.2)),
        (Compare::Less, 600.0, 500.0, Some(-0.2)),
        (Compare::Greater, 0.75, 0.5, Some(0.5)),
        (Compare::GreaterOrEqual, 0.25, 0.5, Some(-0.5)),
        (Compare::Equal, 12.0, 10.0, Some(-0.2)),
        (Compare::Equal, 0.0, 0.0, None),
    ] {
        assert_eq!(margin(compare, observed, limit), expected, "{compare:?} {observed} {limit}");
    }
}

#[test]
fn stall_across_the_limit_is_undecided() {
    let totals = stalled(&[(100, 350)], |recorder| {
        acked(recorder, 980, 0, 50);
        acked(recorder, 20, 90, 600);
    });
    let seen = evaluated(&p(0.99, 500_000), &totals);
    assert_eq!(seen.status, Undecided);
    assert_eq!((seen.worst.unwrap() / 1e3).round(), 510.0);
    assert_eq!((seen.best.unwrap() / 1e3).round(), 260.0);
    assert_eq!(seen.interval_text, "the value is between 260 ms and 510 ms");
    // Decided: the hub alone is too slow, or fast enough even with the delay.
    assert_eq!(evaluated(&p(0.99, 200_000), &totals).status, Failed);
    assert_eq!(evaluated(&p(0.99, 520_000), &totals).status, Passed);
}

#[test]
fn healthy_run_has_one_value() {
    let totals = totals(1_000, &[], &[]);
    let seen = evaluated(&p(0.99, 2_000), &totals);
    assert_eq!((seen.best, seen.worst, seen.interval_text.as_str()), (Some(990.0), Some(990.0), ""));
}

#[test]
fn mean_and_maximum_have_bounds() {
    let totals = stalled(&[(0, 400)], |recorder| {
        acked(recorder, 3, 0, 500);
        // At this time, the burst after the stall has been worked off.
        recorder.heartbeat(410 * MS, 0);
        acked(recorder, 1, 450, 550);
    });
    let max = |limit_ms: u64| {
        let test = Test::Max { compare: Compare::Less, limit_us: limit_ms * 1_000 };
        evaluated(&test, &totals).status
    };
    assert_eq!([max(501), max(500), max(108), max(90)], [Passed, Undecided, Undecided, Failed]);
    let mean = |limit_ms: u64| {
        let test = Test::Mean { compare: Compare::Less, limit_us: limit_ms * 1_000 };
        evaluated(&test, &totals).status
    };
    assert_eq!([mean(401), mean(399), mean(102), mean(90)], [Passed, Undecided, Undecided, Failed]);
}

#[test]
fn excused_failures_widen_the_range() {
    // Messages with a `send_by` of 1 s expired during a stall of 2 s.
    let totals = stalled(&[(1_000, 3_000)], |recorder| {
        acked(recorder, 95, 0, 10);
        for _ in 0..5 {
            recorder.due(KEY, 1_500 * MS);
            recorder.ended(KEY, Outcome::Expired, 1_500 * MS, 3_000 * MS);
        }
    });
    let count = |outcome, compare, limit| {
        let seen = evaluated(&Test::Count { outcome, compare, limit }, &totals);
        (seen.status, seen.best, seen.worst)
    };
    assert_eq!(count(Outcome::Expired, Compare::Equal, 0), (Undecided, Some(0.0), Some(5.0)));
    assert_eq!(count(Outcome::Ok, Compare::Greater, 94), (Passed, Some(100.0), Some(95.0)));
    let rate = |limit| Test::Rate { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit };
    assert_eq!(evaluated(&rate(0.95), &totals).status, Passed);
    assert_eq!(evaluated(&rate(0.99), &totals).status, Undecided);
    assert_eq!(evaluated(&rate(0.99), &totals).interval_text, "the value is between 95% and 100%");
    // For the upper bound, excused operations count as the slowest; for the lower bound, as the fastest.
    let seen = evaluated(&p(0.9, 20_000), &totals);
    assert_eq!((seen.status, seen.best.is_some()), (Passed, true));
    let max = Test::Max { compare: Compare::Less, limit_us: 20_000 };
    assert_eq!(evaluated(&max, &totals).status, Undecided);
}

#[test]
fn failures_without_a_stall_fail() {
    let totals = totals(95, &[(Outcome::Expired, 5)], &[]);
    let count = Test::Count { outcome: Outcome::Expired, compare: Compare::Equal, limit: 0 };
    assert_eq!(evaluated(&count, &totals).status, Failed);
    assert_eq!(evaluated(&p(0.99, 1_000), &totals).status, InsufficientSamples);
}

#[test]
fn short_pause_does_not_excuse_a_timeout() {
    let totals = stalled(&[(5_000, 5_100)], |recorder| {
        recorder.due(KEY, 0);
        recorder.ended(KEY, Outcome::TimedOut, 0, 30_000 * MS);
    });
    let count = Test::Count { outcome: Outcome::TimedOut, compare: Compare::Equal, limit: 0 };
    assert_eq!(evaluated(&count, &totals).status, Failed);
}

#[test]
fn unattributed_stalls_lower_the_lower_bound() {
    let mut measurement = testing::measured(1, 1, |recorder| acked(recorder, 100, 0, 600));
    let hub = crate::measure::Source::Emulator(0);
    measurement.add_stall(hub, StallEntry { from_us: 0, to_us: 300_000, stalled_us: 300_000 });
    let status = |measurement: &crate::measure::Measurement, limit_us| {
        let rules = Rules { shortest_timeout_us: 30_000_000, ..Rules::default() };
        let unattributed = UnattributedDelay::of(measurement, &rules, |_| true);
        evaluate(&p(0.9, limit_us), &measurement.sum(|_| true), &unattributed).status
    };
    assert_eq!(status(&measurement, 500_000), Undecided, "300 ms may be a stall of the hub");
    assert_eq!(status(&measurement, 301_000), Undecided, "within the resolution");
    assert_eq!(status(&measurement, 290_000), Undecided, "the stalls are longer than the limit");
    assert_eq!(status(&measurement, 601_000), Passed);
}
