//! Estimates how long a search will still take, for the progress. Used by `trials`. Pure.

use crate::capacity::{Search, SearchRules};
use crate::units::human_duration;
use std::time::Duration;

/// Returns about how many trials are left, including the next one at `level`, and how long they take.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a small positive number"
)]
pub(super) fn remaining(search: &Search, rules: &SearchRules, level: u64, slot_s: u64) -> (u64, String) {
    let answer = search.answer_so_far();
    let lower = answer.lower.unwrap_or(rules.from).min(level).max(1) as f64;
    let upper = answer.upper.unwrap_or(rules.to).max(level) as f64;
    // Each trial halves the interval on a logarithmic scale, and each bound needs to be confirmed.
    let halvings = ((upper / lower).ln() / -(1.0 - rules.width).ln()).max(1.0).log2().ceil();
    let trials = halvings.max(0.0) as u64 + u64::from(rules.confirm.div_ceil(2)) + 1;
    (trials, human_duration(Duration::from_secs(trials * slot_s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::TrialVerdict;

    #[test]
    fn narrower_interval_needs_fewer_trials() {
        let rules = SearchRules { from: 100, to: 10_000, width: 0.05, confirm: 3 };
        let mut search = Search::new(rules);
        let (first, time) = remaining(&search, &rules, 1_000, 40);
        assert!((8..=12).contains(&first), "{first}");
        assert_eq!(time, human_duration(Duration::from_secs(first * 40)));
        for _ in 0..2 {
            search.record(100, TrialVerdict::Good);
            search.record(10_000, TrialVerdict::Bad);
        }
        assert_eq!(remaining(&search, &rules, 1_000, 40).0, first);
    }
}
