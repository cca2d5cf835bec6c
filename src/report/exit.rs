//! The exit codes of the process, each with its name and meaning. `judge` and `app` return them.

use crate::capacity::measured::{AssertionResult, AssertionStatus, EndReason};
use crate::result::model::Status;

/// The run passed.
pub const PASSED: u8 = 0;
/// The environment failed: for example, hubstorm cannot bind, connect or write, or a certificate file is bad.
pub const ENVIRONMENT: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A threshold failed, every device was offline for longer than `abort_when_unreachable`, an operation failed with `--once`, or an assertion
/// of `plan` is false.
pub const FAILED: u8 = 99;
/// The scenario or the price list is invalid, or `check --strict` found a warning. Nothing was started.
pub const CONFIGURATION: u8 = 104;
/// The run was interrupted. The partial result was written, except with `--once`.
pub const INTERRUPTED: u8 = 105;
/// The measurement is invalid.
pub const INVALID: u8 = 120;
/// `compare`: the new results are worse than the base by more than the tolerance.
pub const REGRESSED: u8 = 121;
/// `compare`: the results do not decide.
pub const INCONCLUSIVE: u8 = 122;

/// An exit code, as described in the help and the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode {
    /// The code.
    pub code: u8,
    /// Name, in one word.
    pub name: &'static str,
    /// Meaning, as a fragment of a sentence.
    pub meaning: &'static str,
}

/// Every exit code, in ascending order.
pub const ALL: [ExitCode; 9] = [
    ExitCode { code: PASSED, name: "passed", meaning: "passed" },
    ExitCode {
        code: ENVIRONMENT,
        name: "environment",
        meaning: "the environment failed: cannot bind, cannot connect, cannot write, too few file descriptors, bad certificate file",
    },
    ExitCode { code: USAGE, name: "usage", meaning: "wrong command-line usage" },
    ExitCode {
        code: FAILED,
        name: "failed",
        meaning: "a threshold failed, every device was offline for longer than abort_when_unreachable, an operation failed (--once), an assertion is \
                  false (plan, capacity), or the lowest level of a search is bad (capacity)",
    },
    ExitCode {
        code: CONFIGURATION,
        name: "configuration",
        meaning: "the scenario or the price list is invalid, or check --strict found a warning; nothing was started",
    },
    ExitCode {
        code: INTERRUPTED,
        name: "interrupted",
        meaning: "interrupted; if the load had begun, the partial result was written (not with --once)",
    },
    ExitCode {
        code: INVALID,
        name: "invalid",
        meaning: "the measurement is invalid: delays in the load generator may have changed the outcome of a threshold, the load generator \
                  produced too little load, or a worker or the built-in hub died",
    },
    ExitCode {
        code: REGRESSED,
        name: "regressed",
        meaning: "the new result is worse than the base by more than the tolerance (compare)",
    },
    ExitCode {
        code: INCONCLUSIVE,
        name: "inconclusive",
        meaning: "the results do not decide whether the new one is worse; more runs are needed (compare). Or: the search does not decide \
                  whether an assertion is true, or ended early (capacity)",
    },
];

/// The exit codes by precedence: if several apply, the first one is returned.
pub const PRECEDENCE: [u8; 9] =
    [USAGE, CONFIGURATION, ENVIRONMENT, INTERRUPTED, FAILED, INVALID, REGRESSED, INCONCLUSIVE, PASSED];

/// Returns the code in `codes` with the highest precedence, or [`PASSED`] if it is empty.
#[must_use]
pub fn strongest(codes: &[u8]) -> u8 {
    PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(PASSED)
}

/// Returns the exit code of a run. An interrupted run keeps its verdict but exits with [`INTERRUPTED`].
#[must_use]
pub fn of_run(status: Status, interrupted: bool) -> u8 {
    let judged = match status {
        Status::Pass => PASSED,
        Status::Fail => FAILED,
        Status::Invalid => INVALID,
    };
    strongest(&[judged, if interrupted { INTERRUPTED } else { PASSED }])
}

/// Returns the exit code of a search. Assertions decide, if there are any.
#[must_use]
pub fn of_search(end: EndReason, assertions: &[AssertionResult]) -> u8 {
    match end {
        EndReason::Interrupted => return INTERRUPTED,
        EndReason::Breakdown => return INVALID,
        _ => {}
    }
    let has = |status: AssertionStatus| assertions.iter().any(|assertion| assertion.status == status);
    if !assertions.is_empty() {
        return match () {
            () if has(AssertionStatus::Failed) => FAILED,
            () if has(AssertionStatus::Generator) => INVALID,
            () if has(AssertionStatus::Inconclusive) => INCONCLUSIVE,
            () => PASSED,
        };
    }
    match end {
        EndReason::Width | EndReason::HighestGood => PASSED,
        EndReason::LowestBad => FAILED,
        EndReason::Generator | EndReason::Interrupted | EndReason::Breakdown => INVALID,
        EndReason::Undecided
        | EndReason::JudgedAgain
        | EndReason::Time
        | EndReason::Messages
        | EndReason::Quota => INCONCLUSIVE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_wins_over_the_verdict() {
        for (status, interrupted, code) in [
            (Status::Pass, false, 0),
            (Status::Fail, false, 99),
            (Status::Invalid, false, 120),
            (Status::Pass, true, 105),
            (Status::Invalid, true, 105),
        ] {
            assert_eq!(of_run(status, interrupted), code, "{status:?} {interrupted}");
        }
    }

    #[test]
    fn assertions_decide_a_search() {
        use AssertionStatus::{Failed, Generator, Inconclusive, Passed};
        let assertion = |status| AssertionResult { text: String::new(), status, reason: String::new() };
        for (end, statuses, code) in [
            (EndReason::Width, &[][..], 0),
            (EndReason::HighestGood, &[], 0),
            (EndReason::LowestBad, &[], 99),
            (EndReason::Generator, &[], 120),
            (EndReason::Time, &[], 122),
            (EndReason::Interrupted, &[], 105),
            (EndReason::Interrupted, &[Failed], 105),
            (EndReason::Breakdown, &[Passed], 120),
            (EndReason::Generator, &[Passed], 0),
            (EndReason::LowestBad, &[Failed], 99),
            (EndReason::Time, &[Passed, Inconclusive], 122),
            (EndReason::Generator, &[Inconclusive, Generator], 120),
            (EndReason::Width, &[Inconclusive, Failed, Generator], 99),
        ] {
            let assertions: Vec<AssertionResult> = statuses.iter().copied().map(assertion).collect();
            assert_eq!(of_search(end, &assertions), code, "{end:?} {statuses:?}");
        }
    }

    #[test]
    fn the_table_and_the_precedence_list_the_same_codes() {
        let order = [2, 104, 1, 105, 99, 120, 121, 122, 0];
        assert_eq!(PRECEDENCE, order);
        for (n, code) in order.into_iter().enumerate() {
            assert_eq!(strongest(&order[n..]), code);
        }
        assert_eq!(strongest(&[]), 0);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(ALL.map(|exit| exit.code), sorted);
    }
}
