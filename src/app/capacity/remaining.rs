//! Estimates how long a search will still take, for the progress. Used by `trials`. Pure.

use crate::capacity::Search;
use crate::units::human_duration;
use std::time::Duration;

/// Returns about how many trials are left, including the one that runs, and how long they take.
pub(super) fn remaining(search: &Search, slot_s: u64) -> (u64, String) {
    let trials = u64::from(search.trials_left().max(1));
    (trials, human_duration(Duration::from_secs(trials * slot_s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Next, SearchRules, TrialVerdict};

    #[test]
    fn fewer_trials_are_left_after_each_one() {
        let rules = SearchRules { from: 100, to: 10_000, width: 0.05, confirm: 3 };
        let mut search = Search::new(rules);
        let (mut left, time) = remaining(&search, 40);
        assert!((8..=15).contains(&left), "{left}");
        assert_eq!(time, human_duration(Duration::from_secs(left * 40)));
        // The capacity is in the middle, as the estimate assumes.
        while let Next::Trial { level } = search.next() {
            search.record(level, if level < 1_000 { TrialVerdict::Good } else { TrialVerdict::Bad });
            let now = remaining(&search, 40).0;
            assert!(now <= left, "{now} after {left}");
            left = now;
        }
        assert_eq!(left, 1);
    }
}
