//! Evaluates one threshold: observed interval, margin and status. Called by `judge` and `early` with the totals of the covered
//! operations. Independent of phases and fleets.
//!
//! A latency threshold counts every failed operation, and every unfinished operation that is older than the limit, as slower than the
//! limit by an unknown amount. Therefore, a hub never looks faster because it fails more operations.

use super::bounds::{Bound, Interval};
use super::numbers::float;
use super::unattributed::UnattributedDelay;
use crate::measure::{Compare, Measurement, OperationTotals, Outcome, Rule, Test, Totals, rank};
use crate::plan::samples_needed;
use crate::result::model::ThresholdStatus;
use crate::units::{Percent, human_count, human_us, whole};

/// The observation for a threshold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    /// Limit, in `unit`.
    pub(super) limit: f64,
    /// `us`, `share` or `count`.
    pub(super) unit: &'static str,
    /// Measured value, in `unit`. `None` if it is missing or above the limit because of failures.
    pub(super) observed: Option<f64>,
    /// Best value that the target may have caused.
    pub(super) best: Option<f64>,
    /// Worst value that the target may have caused.
    pub(super) worst: Option<f64>,
    /// Measured value, in words.
    pub(super) text: String,
    /// Interval, in words: `the value is between 310 ms and 560 ms`. Empty if there is a single value.
    pub(super) interval_text: String,
    /// Margin, as a share of the limit. Positive if the threshold passed.
    pub(super) margin: Option<f64>,
    /// Number of operations on which the observation is based.
    pub(super) samples: u64,
    /// Status of the threshold.
    pub(super) status: ThresholdStatus,
}

/// Adds up the operations that a rule covers in the phases that `covers` selects.
pub(super) fn sum_covered(measurement: &Measurement, rule: &Rule, covers: impl Fn(&str) -> bool) -> Totals {
    let is_covered = |part: &OperationTotals| {
        part.operation == rule.metric
            && rule.fleet.as_ref().is_none_or(|fleet| *fleet == part.fleet)
            && covers(&part.phase)
    };
    if rule.without_faults { measurement.sum_without_faults(is_covered) } else { measurement.sum(is_covered) }
}

/// Evaluates `test` on `totals`.
pub(super) fn evaluate(test: &Test, totals: &Totals, unattributed: &UnattributedDelay) -> Observation {
    match *test {
        Test::Percentile { quantile, compare, limit_us } => {
            Latencies::of(totals, limit_us, unattributed).percentile(quantile, compare)
        }
        Test::Mean { compare, limit_us } => Latencies::of(totals, limit_us, unattributed).mean(compare),
        Test::Max { compare, limit_us } => Latencies::of(totals, limit_us, unattributed).max(compare),
        Test::Rate { outcome, compare, limit } => rate(outcome, compare, limit, totals, unattributed),
        Test::Count { outcome, compare, limit } => count(outcome, compare, limit, totals, unattributed),
        // `recovery` evaluates these: they do not depend on operations.
        Test::Recovery { limit_us, .. } => Observation::latency(limit_us, 0).missing(),
    }
}

/// Returns the number of operations with this outcome that are excused, because this machine may have caused the outcome. For `ok`,
/// returns the number of other operations that may have ended ok without this machine's delays.
fn excused(outcome: Outcome, totals: &Totals, unattributed: &UnattributedDelay) -> u64 {
    let of = |outcome: Outcome| match outcome {
        Outcome::Ok => 0,
        // The target itself answered with this code.
        Outcome::Throttled => totals.excused[outcome],
        _ if unattributed.may_cause_failures => totals.outcomes[outcome],
        _ => totals.excused[outcome].min(totals.outcomes[outcome]),
    };
    match outcome {
        Outcome::Ok => Outcome::ALL.into_iter().map(of).sum(),
        outcome => of(outcome),
    }
}

/// The operations that a latency threshold covers.
struct Latencies<'a> {
    totals: &'a Totals,
    limit_us: u64,
    ok: u64,
    /// Number of unexcused operations that count as slower than the limit.
    bad: u64,
    /// Number of excused operations: each of them may have been arbitrarily fast, or slower than the limit.
    excused: u64,
    /// Upper bound of the unattributed delay in a latency. `None` if the whole latency may be delay.
    unattributed_us: Option<u64>,
    /// Number of additional operations that might have been due without the load generator's delays.
    missing_cycles: u64,
}

impl Latencies<'_> {
    fn of<'a>(totals: &'a Totals, limit_us: u64, unattributed: &UnattributedDelay) -> Latencies<'a> {
        let kept_apart = [Outcome::Ok, Outcome::Unfinished];
        let otherwise = || Outcome::ALL.into_iter().filter(|outcome| !kept_apart.contains(outcome));
        let unfinished = totals.unfinished_age.count_above(limit_us);
        let slower = otherwise().map(|outcome| totals.outcome(outcome)).sum::<u64>() + unfinished;
        let excused = otherwise().map(|outcome| excused(outcome, totals, unattributed)).sum::<u64>()
            + excused(Outcome::Unfinished, totals, unattributed).min(unfinished);
        Latencies {
            totals,
            limit_us,
            ok: totals.response.count(),
            bad: slower - excused.min(slower),
            excused: excused.min(slower),
            unattributed_us: unattributed.max_us(limit_us),
            missing_cycles: missing_cycles(totals, unattributed),
        }
    }

    fn samples(&self) -> u64 {
        self.ok + self.bad + self.excused
    }

    /// Returns true if there are no delays and no excused operations, so that both bounds are the measured value.
    fn is_exact(&self) -> bool {
        self.totals.delayed.is_empty() && self.excused == 0 && self.unattributed_us == Some(0)
    }

    /// Returns the lower bound for `us`, a value without the load generator's own delays, by also excluding the unattributed delay.
    fn lowered(&self, us: f64) -> Bound {
        Bound::At(self.unattributed_us.map_or(0.0, |unattributed_us| (us - float(unattributed_us)).max(0.0)))
    }

    /// Evaluates a percentile. With N ok operations and B slower ones, quantile q of all is quantile q(N + B)/N in the histogram of the
    /// ok operations.
    fn percentile(&self, quantile: f64, compare: Compare) -> Observation {
        let (samples, needed) = (self.samples(), samples_needed(quantile));
        let base = Observation::latency(self.limit_us, samples);
        if samples == 0 {
            return base.missing();
        }
        if samples < needed {
            let text =
                format!("not enough data ({} of {} samples)", human_count(samples), human_count(needed));
            if samples.saturating_add(self.missing_cycles) < needed {
                return Observation { text, ..base };
            }
            let most = human_count(samples.saturating_add(self.missing_cycles));
            let interval_text = format!(
                "there are between {} and {most} samples, and {} are needed",
                human_count(samples),
                human_count(needed)
            );
            return Observation { text, interval_text, status: ThresholdStatus::Undecided, ..base };
        }
        let rank = rank(quantile, samples);
        let at_rank = self.totals.response.at_rank(rank);
        let high = at_rank.map_or(Bound::AboveLimit, |us| Bound::At(float(us)));
        let low = if self.is_exact() {
            high
        } else if rank <= self.excused {
            Bound::At(0.0)
        } else {
            let at_rank = self.totals.lower().at_rank_low(rank - self.excused);
            at_rank.map_or(Bound::AboveLimit, |us| self.lowered(float(us)))
        };
        base.observed_latency(compare, self.limit_us, Interval { low, high })
    }

    /// Evaluates the mean. If a single operation is slower than the limit by an unknown amount, the mean has no upper bound.
    fn mean(&self, compare: Compare) -> Observation {
        let base = Observation::latency(self.limit_us, self.samples());
        let Some(mean) = self.totals.response.mean() else { return self.none_ok(base, compare) };
        let interval = self.interval(mean, || {
            let lower = self.totals.lower();
            let sum = lower.mean().unwrap_or(0.0) * float(lower.count());
            sum / float(lower.count() + self.excused).max(1.0)
        });
        base.observed_latency(compare, self.limit_us, interval)
    }

    /// Evaluates the maximum.
    fn max(&self, compare: Compare) -> Observation {
        let base = Observation::latency(self.limit_us, self.samples());
        let Some(max) = self.totals.response.max() else { return self.none_ok(base, compare) };
        let interval = self.interval(float(max), || {
            let lower = self.totals.lower();
            float(lower.at_rank_low(lower.count()).unwrap_or(0))
        });
        base.observed_latency(compare, self.limit_us, interval)
    }

    /// Returns the interval of a mean or a maximum. `lower` computes the value without the load generator's own delays.
    fn interval(&self, measured: f64, lower: impl Fn() -> f64) -> Interval {
        let high = if self.bad + self.excused > 0 { Bound::AboveLimit } else { Bound::At(measured) };
        let low = if self.bad > 0 {
            Bound::AboveLimit
        } else if self.is_exact() {
            high
        } else {
            self.lowered(lower())
        };
        Interval { low, high }
    }

    /// Returns the observation if no operation ended ok.
    fn none_ok(&self, base: Observation, compare: Compare) -> Observation {
        let low = match (self.bad, self.excused) {
            (0, 0) => return base.missing(),
            (0, _) => Bound::At(0.0),
            _ => Bound::AboveLimit,
        };
        base.observed_latency(compare, self.limit_us, Interval { low, high: Bound::AboveLimit })
    }
}

/// Returns the number of additional operations in a closed loop that might have been due without the load generator's delays and
/// without unattributed stalls. Each cycle would have been shorter by the share of these delays.
fn missing_cycles(totals: &Totals, unattributed: &UnattributedDelay) -> u64 {
    if !totals.closed_loop || (totals.delayed.is_empty() && unattributed.share == 0.0) {
        return 0;
    }
    let ok = float(totals.response.count());
    let cycles_us = totals.response.mean().unwrap_or(0.0) * ok + float(totals.think_sum_us);
    let own = if cycles_us > 0.0 { float(totals.own_delay_sum_us) / cycles_us } else { 0.0 };
    // Limit the share: a share near 1 would produce an arbitrarily large number of operations.
    let lost = (own + unattributed.share).min(0.999);
    whole((ok * lost / (1.0 - lost)).ceil())
}

/// Returns the lower and the upper bound of a count. Excused failures count in only one of them.
fn counted(outcome: Outcome, totals: &Totals, unattributed: &UnattributedDelay) -> (u64, u64) {
    let (count, excused) = (totals.outcome(outcome), excused(outcome, totals, unattributed));
    match outcome {
        Outcome::Ok => {
            let all = count.saturating_add(excused).min(totals.due.max(count));
            (count, all.saturating_add(missing_cycles(totals, unattributed)))
        }
        _ => (count - excused.min(count), count),
    }
}

fn rate(
    outcome: Outcome,
    compare: Compare,
    limit: f64,
    totals: &Totals,
    unattributed: &UnattributedDelay,
) -> Observation {
    let base = Observation::of(limit, "share", totals.due);
    if totals.due == 0 {
        return base.missing();
    }
    let share = |count: u64| float(count) / float(totals.due);
    let percent = |count: u64| Percent::from_fraction(share(count));
    let (low, high) = counted(outcome, totals, unattributed);
    let high = high.min(totals.due);
    let count = totals.outcome(outcome);
    let text = format!("{} ({} of {})", percent(count), human_count(count), human_count(totals.due));
    let interval_text = format!("the value is between {} and {}", percent(low), percent(high));
    base.observed_count(outcome, compare, (share(low), share(high)), share(count), text, interval_text)
}

fn count(
    outcome: Outcome,
    compare: Compare,
    limit: u64,
    totals: &Totals,
    unattributed: &UnattributedDelay,
) -> Observation {
    let base = Observation::of(float(limit), "count", totals.due);
    if totals.due == 0 {
        return base.missing();
    }
    let (low, high) = counted(outcome, totals, unattributed);
    let count = totals.outcome(outcome);
    let interval_text = format!("the value is between {} and {}", human_count(low), human_count(high));
    let ends = (float(low), float(high));
    base.observed_count(outcome, compare, ends, float(count), human_count(count), interval_text)
}

impl Observation {
    /// Creates an observation without a value, which fails the threshold.
    fn of(limit: f64, unit: &'static str, samples: u64) -> Observation {
        let (observed, best, worst, margin) = (None, None, None, None);
        let (text, interval_text) = (String::new(), String::new());
        let status = ThresholdStatus::InsufficientSamples;
        Observation { limit, unit, observed, best, worst, text, interval_text, margin, samples, status }
    }

    pub(super) fn latency(limit_us: u64, samples: u64) -> Observation {
        Observation::of(float(limit_us), "us", samples)
    }

    fn missing(self) -> Observation {
        Observation { text: "no data".to_owned(), ..self }
    }

    pub(super) fn observed_latency(self, compare: Compare, limit_us: u64, interval: Interval) -> Observation {
        let us = |end: Bound| match end {
            Bound::At(us) => human_us(whole(us)),
            Bound::AboveLimit => format!("> {}", human_us(limit_us)),
        };
        let interval_text = match (interval.low, interval.high) {
            (low, high) if low == high => String::new(),
            (low, Bound::AboveLimit) => {
                format!("the value is at least {} and may exceed the limit", us(low))
            }
            (low, high) => format!("the value is between {} and {}", us(low), us(high)),
        };
        let observed = interval.high.value();
        Observation {
            observed,
            best: interval.low.value(),
            worst: observed,
            text: us(interval.high),
            interval_text,
            margin: observed.and_then(|observed| margin(compare, observed, self.limit)),
            status: interval.decide_latency(compare, limit_us),
            ..self
        }
    }

    fn observed_count(
        self,
        outcome: Outcome,
        compare: Compare,
        (low, high): (f64, f64),
        observed: f64,
        text: String,
        interval_text: String,
    ) -> Observation {
        let (best, worst) = if outcome == Outcome::Ok { (high, low) } else { (low, high) };
        Observation {
            observed: Some(observed),
            best: Some(best),
            worst: Some(worst),
            text,
            interval_text: if low < high { interval_text } else { String::new() },
            margin: margin(compare, observed, self.limit),
            status: Interval::between(low, high).decide(compare, self.limit),
            ..self
        }
    }
}

/// Returns the distance from the limit as a share of the limit. `None` for a limit of zero.
fn margin(compare: Compare, observed: f64, limit: f64) -> Option<f64> {
    let towards = match compare {
        Compare::Less | Compare::LessOrEqual => limit - observed,
        Compare::Greater | Compare::GreaterOrEqual => observed - limit,
        Compare::Equal => -(observed - limit).abs(),
        Compare::NotEqual => (observed - limit).abs(),
    };
    (limit > 0.0).then(|| towards / limit)
}

#[cfg(test)]
mod tests;
