//! Intervals of observed values, and how they decide a threshold. The upper bound of a latency is the measured value. Its lower bound
//! excludes delays that this machine may have added. A threshold is decided if every value in the interval gives the same result. Used by
//! `threshold`. Pure.

use crate::measure::Compare;
use crate::result::model::ThresholdStatus;

/// The resolution of latencies: shorter stalls may go unnoticed. It is the sum of the worker's tick while operations are open (2 ms) and
/// 5 ms for code that runs between two ticks.
pub(in crate::report) const RESOLUTION_US: u64 = 7_000;

/// The relative resolution of histograms with three significant digits. For limits above 7 s, it is coarser than [`RESOLUTION_US`].
const BUCKET_SHARE: f64 = 0.001;

/// A bound of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// A value.
    At(f64),
    /// Above the limit by an unknown amount, because failures count as slower than any limit.
    AboveLimit,
}

impl Bound {
    /// Returns the value, if there is one.
    pub(super) fn value(self) -> Option<f64> {
        match self {
            Bound::At(value) => Some(value),
            Bound::AboveLimit => None,
        }
    }

    fn number(self) -> f64 {
        self.value().unwrap_or(f64::INFINITY)
    }
}

/// The range of values that the target may have caused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) low: Bound,
    pub(super) high: Bound,
}

impl Interval {
    /// Creates the interval from `low` to `high`.
    pub(super) fn between(low: f64, high: f64) -> Interval {
        Interval { low: Bound::At(low), high: Bound::At(high) }
    }

    /// Decides a threshold on a count or a rate.
    #[expect(
        clippy::float_cmp,
        reason = "counts are exact, and a share is compared with the limit as written in the scenario"
    )]
    pub(super) fn decide(self, compare: Compare, limit: f64) -> ThresholdStatus {
        let (low, high) = (self.low.number(), self.high.number());
        let one_value = low == limit && high == limit;
        let apart = limit < low || limit > high;
        let (passed, failed) = match compare {
            Compare::Less => (high < limit, low >= limit),
            Compare::LessOrEqual => (high <= limit, low > limit),
            Compare::Greater => (low > limit, high <= limit),
            Compare::GreaterOrEqual => (low >= limit, high < limit),
            Compare::Equal => (one_value, apart),
            Compare::NotEqual => (apart, one_value),
        };
        match (passed, failed) {
            (true, _) => ThresholdStatus::Passed,
            (_, true) => ThresholdStatus::Failed,
            _ => ThresholdStatus::Undecided,
        }
    }

    /// Decides a threshold on a latency. If unexcused failures determine the value, the threshold fails, whatever the comparison. If the
    /// value exceeds the limit by less than the resolution, the threshold is undecided.
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay far below 2^53")]
    pub(super) fn decide_latency(self, compare: Compare, limit_us: u64) -> ThresholdStatus {
        if self.low == Bound::AboveLimit {
            return ThresholdStatus::Failed;
        }
        let limit = limit_us as f64;
        let decided = self.decide(compare, limit);
        let is_upper_limit = matches!(compare, Compare::Less | Compare::LessOrEqual);
        if decided == ThresholdStatus::Failed
            && is_upper_limit
            && self.low.number() < limit + (RESOLUTION_US as f64).max(limit * BUCKET_SHARE)
        {
            return ThresholdStatus::Undecided;
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ThresholdStatus::{Failed, Passed, Undecided};

    #[test]
    fn every_comparison_uses_the_whole_interval() {
        use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        // With a limit of 10: intervals that are below the limit, end at it, contain it, start at it, are above it, equal it.
        let intervals = [(5.0, 9.0), (5.0, 10.0), (9.0, 11.0), (10.0, 12.0), (11.0, 12.0), (10.0, 10.0)];
        for (compare, expected) in [
            (Less, [Passed, Undecided, Undecided, Failed, Failed, Failed]),
            (LessOrEqual, [Passed, Passed, Undecided, Undecided, Failed, Passed]),
            (Greater, [Failed, Failed, Undecided, Undecided, Passed, Failed]),
            (GreaterOrEqual, [Failed, Undecided, Undecided, Passed, Passed, Passed]),
            (Equal, [Failed, Undecided, Undecided, Undecided, Failed, Passed]),
            (NotEqual, [Passed, Undecided, Undecided, Undecided, Passed, Failed]),
        ] {
            let decided = intervals.map(|(low, high)| Interval::between(low, high).decide(compare, 10.0));
            assert_eq!(decided, expected, "{compare:?}");
        }
    }

    #[test]
    fn failure_within_the_resolution_is_undecided() {
        let limit_us = 500_000;
        for (low, high, expected) in [
            (499_000.0, 499_999.0, Passed),
            (400_000.0, 510_000.0, Undecided),
            (506_999.0, 510_000.0, Undecided),
            (507_000.0, 510_000.0, Failed),
        ] {
            let decided = Interval::between(low, high).decide_latency(Compare::Less, limit_us);
            assert_eq!(decided, expected, "{low} to {high}");
        }
    }

    /// At 60 s, a histogram bucket is 33 ms wide.
    #[test]
    fn long_limits_have_the_histograms_resolution() {
        for (low, expected) in [(60_059_000.0, Undecided), (60_060_000.0, Failed)] {
            let interval = Interval::between(low, low);
            assert_eq!(interval.decide_latency(Compare::Less, 60_000_000), expected, "{low}");
        }
    }

    #[test]
    fn unexcused_failures_fail_a_latency() {
        for compare in [Compare::Less, Compare::LessOrEqual, Compare::Greater] {
            assert_eq!(
                Interval { low: Bound::AboveLimit, high: Bound::AboveLimit }.decide_latency(compare, 1),
                Failed
            );
        }
        let excused = Interval { low: Bound::At(3.0), high: Bound::AboveLimit };
        assert_eq!(excused.decide_latency(Compare::Less, 1_000_000), Undecided);
    }
}
