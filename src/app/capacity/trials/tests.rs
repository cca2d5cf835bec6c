//! How a search ends if its trials are judged again.

use super::*;
use crate::capacity::{SearchRules, TrialVerdict};

const RULES: SearchRules = SearchRules { from: 100, to: 200, width: 0.5, confirm: 1 };

fn search(verdicts: &[(u64, TrialVerdict)]) -> Search {
    let mut search = Search::new(RULES);
    verdicts.iter().for_each(|(level, verdict)| search.record(*level, *verdict));
    search
}

#[test]
fn end_of_a_search_follows_the_verdicts_of_its_last_judgment() {
    let failed = search(&[(100, TrialVerdict::Bad)]);
    assert_eq!(end_again(&failed, EndReason::Width), EndReason::LowestBad);
    // The only trial does not decide its level any more.
    let undecided = search(&[(100, TrialVerdict::Undecided)]);
    for end in [EndReason::LowestBad, EndReason::Width, EndReason::HighestGood, EndReason::Undecided] {
        assert_eq!(end_again(&undecided, end), EndReason::JudgedAgain, "{end:?}");
    }
    for end in [EndReason::Time, EndReason::Messages, EndReason::Interrupted, EndReason::Breakdown] {
        assert_eq!(end_again(&undecided, end), end);
    }
}
