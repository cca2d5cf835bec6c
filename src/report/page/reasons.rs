//! The reasons for the verdict, above the tiles. If there are many, only the first are unfolded, because they would move the first chart out
//! of sight. The advice stays visible. Called by `page`. Uses only the result.

use super::super::banner::Banner;
use super::super::judge::Code;
use crate::result::model::RunResult;

/// Number of unfolded reasons, if there are more (our choice).
const REASONS: usize = 3;

/// The reasons in the order of the result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reasons {
    pub(super) first: Vec<String>,
    pub(super) folded: Vec<String>,
    /// The last reason, if it says what to do and others are folded.
    pub(super) advice: Option<String>,
}

/// Returns the reasons of a banner.
pub(super) fn reasons(banner: &Banner, result: &RunResult) -> Reasons {
    let has_advice = result.verdict.details.iter().any(|detail| Code::Advice.is_of(detail));
    let mut first = banner.reasons.clone();
    // A fold around a single reason would save no space.
    if first.len() <= REASONS + 1 {
        return Reasons { first, folded: Vec::new(), advice: None };
    }
    let advice = if has_advice { first.pop() } else { None };
    let folded = first.split_off(REASONS);
    Reasons { first, folded, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::model::Detail;
    use crate::result::testing::result as sample;

    #[test]
    fn many_reasons_are_folded_except_the_advice() {
        for (count, advice, expected) in [
            (4, false, (4, 0, false)),
            (4, true, (4, 0, false)),
            (6, false, (3, 3, false)),
            (6, true, (3, 2, true)),
        ] {
            let mut result = sample();
            result.verdict.reasons = (0..count).map(|n| format!("reason {n}")).collect();
            let code = |n: usize| if advice && n + 1 == count { "advice" } else { "threshold_failed" };
            let detail = |(n, text): (usize, &String)| Detail {
                code: code(n).to_owned(),
                text: text.clone(),
                phase: None,
                fleet: None,
                source: None,
            };
            result.verdict.details = result.verdict.reasons.iter().enumerate().map(detail).collect();
            let Reasons { first, folded, advice } = reasons(&Banner::of(&result), &result);
            assert_eq!((first.len(), folded.len(), advice.is_some()), expected, "{count}");
            let all: Vec<String> = first.into_iter().chain(folded).chain(advice).collect();
            assert_eq!(all, result.verdict.reasons);
        }
    }
}
