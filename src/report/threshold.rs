//! One threshold against what was measured: what was observed, how far from the limit, whether it held. Called by
//! [`verdict`](super::verdict) with the sum of the phases and fleets that the threshold covers.
//!
//! What reads a latency counts every operation that ended otherwise than ok, and every unfinished one older than the limit,
//! as slower than the limit, by nobody knows how much: a hub that fails more must never look faster.

use crate::measure::{Outcome, Totals, rank};
use crate::plan::{Compare, Test, samples_needed};
use crate::units::{Percent, human_count, human_us};

/// What a threshold saw.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    /// The limit, in `unit`.
    pub(super) limit: f64,
    /// `us`, `share` or `count`.
    pub(super) unit: &'static str,
    /// In `unit`; `None` when missing or above every limit.
    pub(super) observed: Option<f64>,
    /// In words.
    pub(super) text: String,
    /// As a share of the limit; positive is the good side.
    pub(super) margin: Option<f64>,
    /// Operations that it was computed from.
    pub(super) samples: u64,
    /// Whether the threshold held.
    pub(super) passed: bool,
}

/// Evaluates `test` on `totals`.
pub(super) fn evaluate(test: &Test, totals: &Totals) -> Observation {
    match *test {
        Test::Percentile { quantile, compare, limit_us } => percentile(quantile, compare, limit_us, totals),
        Test::Mean { compare, limit_us } => mean(compare, limit_us, totals),
        Test::Max { compare, limit_us } => max(compare, limit_us, totals),
        Test::Rate { outcome, compare, limit } => rate(outcome, compare, limit, totals),
        Test::Count { outcome, compare, limit } => count(outcome, compare, limit, totals),
    }
}

/// Operations that count as slower than the limit.
fn slower(totals: &Totals, limit_us: u64) -> u64 {
    let kept_apart = [Outcome::Ok, Outcome::Unfinished];
    let otherwise = Outcome::ALL.into_iter().filter(|outcome| !kept_apart.contains(outcome));
    otherwise.map(|outcome| totals.outcome(outcome)).sum::<u64>()
        + totals.unfinished_age.count_above(limit_us)
}

/// With N ok and B slower, quantile q reads the ok histogram at q(N + B)/N.
fn percentile(quantile: f64, compare: Compare, limit_us: u64, totals: &Totals) -> Observation {
    let ok = totals.response.count();
    let samples = ok + slower(totals, limit_us);
    let base = Observation::latency(limit_us, samples);
    let needed = samples_needed(quantile);
    if samples == 0 {
        return base.missing();
    }
    if samples < needed {
        let text = format!("not enough data ({} of {} samples)", human_count(samples), human_count(needed));
        return Observation { text, ..base };
    }
    match totals.response.at_rank(rank(quantile, samples)) {
        Some(us) => base.observed_us(compare, us),
        None => base.beyond(limit_us),
    }
}

/// One without an end has no bound, and neither has a mean with it.
fn mean(compare: Compare, limit_us: u64, totals: &Totals) -> Observation {
    let slower = slower(totals, limit_us);
    let base = Observation::latency(limit_us, totals.response.count() + slower);
    match totals.response.mean() {
        _ if slower > 0 => base.beyond(limit_us),
        Some(us) => {
            let text = human_us(whole(us));
            base.observed(compare, us, text)
        }
        None => base.missing(),
    }
}

fn max(compare: Compare, limit_us: u64, totals: &Totals) -> Observation {
    let slower = slower(totals, limit_us);
    let base = Observation::latency(limit_us, totals.response.count() + slower);
    match totals.response.max() {
        _ if slower > 0 => base.beyond(limit_us),
        Some(us) => base.observed_us(compare, us),
        None => base.missing(),
    }
}

fn rate(outcome: Outcome, compare: Compare, limit: f64, totals: &Totals) -> Observation {
    let base = Observation::of(limit, "share", totals.due);
    if totals.due == 0 {
        return base.missing();
    }
    let count = totals.outcome(outcome);
    let share = float(count) / float(totals.due);
    let percent = Percent::from_fraction(share);
    base.observed(
        compare,
        share,
        format!("{percent} ({} of {})", human_count(count), human_count(totals.due)),
    )
}

fn count(outcome: Outcome, compare: Compare, limit: u64, totals: &Totals) -> Observation {
    let base = Observation::of(float(limit), "count", totals.due);
    if totals.due == 0 {
        return base.missing();
    }
    let count = totals.outcome(outcome);
    base.observed(compare, float(count), human_count(count))
}

impl Observation {
    /// Nothing observed yet: which fails.
    fn of(limit: f64, unit: &'static str, samples: u64) -> Observation {
        Observation { limit, unit, observed: None, text: String::new(), margin: None, samples, passed: false }
    }

    fn latency(limit_us: u64, samples: u64) -> Observation {
        Observation::of(float(limit_us), "us", samples)
    }

    fn missing(self) -> Observation {
        Observation { text: "no data".to_owned(), ..self }
    }

    fn beyond(self, limit_us: u64) -> Observation {
        Observation { text: format!("> {}", human_us(limit_us)), ..self }
    }

    fn observed_us(self, compare: Compare, us: u64) -> Observation {
        self.observed(compare, float(us), human_us(us))
    }

    fn observed(self, compare: Compare, observed: f64, text: String) -> Observation {
        Observation {
            observed: Some(observed),
            text,
            margin: margin(compare, observed, self.limit),
            passed: holds(compare, observed, self.limit),
            ..self
        }
    }
}

#[expect(clippy::float_cmp, reason = "counts are exact, and a share is compared as it was written")]
fn holds(compare: Compare, observed: f64, limit: f64) -> bool {
    match compare {
        Compare::Less => observed < limit,
        Compare::LessOrEqual => observed <= limit,
        Compare::Greater => observed > limit,
        Compare::GreaterOrEqual => observed >= limit,
        Compare::Equal => observed == limit,
        Compare::NotEqual => observed != limit,
    }
}

/// How far from the limit, as a share of it; none of a limit of zero.
fn margin(compare: Compare, observed: f64, limit: f64) -> Option<f64> {
    let towards = match compare {
        Compare::Less | Compare::LessOrEqual => limit - observed,
        Compare::Greater | Compare::GreaterOrEqual => observed - limit,
        Compare::Equal => -(observed - limit).abs(),
        Compare::NotEqual => (observed - limit).abs(),
    };
    (limit > 0.0).then(|| towards / limit)
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive mean")]
fn whole(us: f64) -> u64 {
    us.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Layout, Measurement, Operation, Recorder, Times};
    use std::time::Duration;

    /// Totals with `ok` operations of 1, 2, 3, ... us, others by outcome, and unfinished ones by age in us.
    fn totals(ok: u64, others: &[(Outcome, u64)], ages_us: &[u64]) -> Totals {
        let layout = Layout::new(1, 1, Duration::from_secs(60), Duration::from_millis(100));
        let mut recorder = Recorder::new(layout);
        let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
        for us in 1..=ok {
            recorder.due(key, 0);
            recorder.ok(key, &Times { acked: us * 1_000, ..Times::default() });
        }
        for (outcome, count) in others {
            for _ in 0..*count {
                recorder.due(key, 0);
                recorder.ended(key, *outcome, 0, 5_000);
            }
        }
        for age_us in ages_us {
            recorder.due(key, 0);
            recorder.ended(key, Outcome::Unfinished, 0, age_us * 1_000);
        }
        let mut measurement = Measurement::new(layout);
        measurement.add(&recorder.swap(), crate::measure::Source::Worker(0));
        measurement.sum(|_| true)
    }

    fn p(quantile: f64, limit_us: u64) -> Test {
        Test::Percentile { quantile, compare: Compare::Less, limit_us }
    }

    /// `(observed, text, samples, passed)`.
    fn seen(test: &Test, totals: &Totals) -> (Option<f64>, String, u64, bool) {
        let observation = evaluate(test, totals);
        (observation.observed, observation.text, observation.samples, observation.passed)
    }

    #[test]
    fn failures_push_a_percentile_up_by_hand() {
        // 950 ok of 1..950 us and 50 lost: p90 is rank 900, p95 rank 950, beyond that only failures.
        let with_failures = totals(950, &[(Outcome::Lost, 50)], &[]);
        let us = |value: f64, text: &str, passed| (Some(value), text.to_owned(), 1_000, passed);
        assert_eq!(seen(&p(0.90, 901), &with_failures), us(900.0, "900 µs", true));
        assert_eq!(seen(&p(0.90, 900), &with_failures), us(900.0, "900 µs", false));
        assert_eq!(seen(&p(0.95, 2_000), &with_failures), us(950.0, "950 µs", true));
        let beyond = (None, "> 60.0 s".to_owned(), 1_000, false);
        assert_eq!(seen(&p(0.951, 60_000_000), &with_failures), beyond);
        assert_eq!(seen(&p(0.99, 60_000_000), &with_failures), beyond);
        // The same without failures: p99 is rank 990.
        assert_eq!(seen(&p(0.99, 991), &totals(1_000, &[], &[])), us(990.0, "990 µs", true));
    }

    #[test]
    fn a_hub_that_fails_more_never_looks_faster() {
        for outcome in Outcome::ALL.into_iter().filter(|o| ![Outcome::Ok, Outcome::Unfinished].contains(o)) {
            let mut before = 0.0;
            for failed in 0..=100 {
                let observation =
                    evaluate(&p(0.9, 10_000), &totals(1_000 - failed, &[(outcome, failed)], &[]));
                // Losing the slowest ones leaves p90 where it was, until more are lost than it allows.
                let now = observation.observed.unwrap_or(f64::INFINITY);
                assert!(now >= before && now >= 900.0, "{} {}: {now}", failed, outcome.name());
                before = now;
            }
        }
    }

    #[test]
    fn unfinished_ones_count_only_when_older_than_the_limit() {
        // 990 ok and 10 of 400 us, 30 of 700 us: at a limit of 500 us the young ones are neither good nor bad.
        let ages: Vec<u64> = std::iter::repeat_n(400, 10).chain(std::iter::repeat_n(700, 30)).collect();
        let open = totals(990, &[], &ages);
        assert_eq!(seen(&p(0.5, 500), &open), (Some(510.0), "510 µs".to_owned(), 1_020, false));
        assert_eq!(seen(&p(0.5, 300), &open), (Some(515.0), "515 µs".to_owned(), 1_030, false));
        assert_eq!(seen(&p(0.5, 700), &open), (Some(495.0), "495 µs".to_owned(), 990, true));
        let max = Test::Max { compare: Compare::LessOrEqual, limit_us: 1_000 };
        assert!(evaluate(&max, &open).passed, "none is older than 1 ms");
    }

    #[test]
    fn too_few_samples_is_not_enough_data() {
        for (quantile, needed) in [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1_000), (0.999, 10_000)] {
            assert_eq!(samples_needed(quantile), needed, "p{quantile}");
        }
        let short = seen(&p(0.99, 1_000_000), &totals(999, &[], &[]));
        assert_eq!(short, (None, "not enough data (999 of 1,000 samples)".to_owned(), 999, false));
        assert!(evaluate(&p(0.99, 1_000_000), &totals(1_000, &[], &[])).passed);
        assert!(evaluate(&p(0.99, 1_000_000), &totals(999, &[(Outcome::Lost, 1)], &[])).passed);
        assert_eq!(samples_needed(1.0), 1, "p(100) is the maximum");
    }

    #[test]
    fn missing_data_fails_every_form() {
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
    fn maximum_mean_rate_and_count() {
        let all_ok = totals(1_000, &[], &[]);
        let some_lost = totals(990, &[(Outcome::Lost, 10)], &[]);
        let max = Test::Max { compare: Compare::Less, limit_us: 1_001 };
        assert_eq!(seen(&max, &all_ok), (Some(1_000.0), "1.00 ms".to_owned(), 1_000, true));
        assert_eq!(seen(&max, &some_lost), (None, "> 1.00 ms".to_owned(), 1_000, false));
        let mean = |limit_us| Test::Mean { compare: Compare::Less, limit_us };
        assert_eq!(seen(&mean(501), &all_ok), (Some(500.5), "501 µs".to_owned(), 1_000, true));
        assert!(!evaluate(&mean(500), &all_ok).passed);
        assert_eq!(seen(&mean(501), &some_lost), (None, "> 501 µs".to_owned(), 1_000, false));
        let young = totals(1_000, &[], &[501, 400]);
        assert!(evaluate(&mean(501), &young).passed, "neither is older than the limit");
        let old = totals(1_000, &[], &[900, 400]);
        assert_eq!(seen(&mean(501), &old), (None, "> 501 µs".to_owned(), 1_001, false));
        let rate = |compare, limit| Test::Rate { outcome: Outcome::Ok, compare, limit };
        let text = "99% (990 of 1,000)".to_owned();
        assert_eq!(seen(&rate(Compare::Greater, 0.999), &some_lost), (Some(0.99), text, 1_000, false));
        assert!(evaluate(&rate(Compare::GreaterOrEqual, 0.99), &some_lost).passed);
        let lost = |compare, limit| Test::Count { outcome: Outcome::Lost, compare, limit };
        assert_eq!(seen(&lost(Compare::Equal, 0), &some_lost), (Some(10.0), "10".to_owned(), 1_000, false));
        assert!(evaluate(&lost(Compare::Equal, 0), &all_ok).passed);
    }

    #[test]
    fn comparisons_at_and_around_the_limit() {
        use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for (compare, below, at, above) in [
            (Less, true, false, false),
            (LessOrEqual, true, true, false),
            (Greater, false, false, true),
            (GreaterOrEqual, false, true, true),
            (Equal, false, true, false),
            (NotEqual, true, false, true),
        ] {
            let held = [9.0, 10.0, 11.0].map(|observed| holds(compare, observed, 10.0));
            assert_eq!(held, [below, at, above], "{compare:?}");
        }
    }

    #[test]
    fn margins_are_shares_of_the_limit_and_positive_when_good() {
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
}
