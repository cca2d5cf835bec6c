//! What the process exits with. Used by `judge` and `app`; `cli` describes the same codes in words.

use crate::result::model::Status;

/// Passed.
pub const PASSED: u8 = 0;
/// The environment failed us: cannot bind, cannot write, no route, a bad certificate file.
pub const ENVIRONMENT: u8 = 1;
/// Wrong use of the command line.
pub const USAGE: u8 = 2;
/// Ran, and a threshold failed.
pub const FAILED: u8 = 99;
/// Scenario or configuration invalid; nothing was started.
pub const CONFIGURATION: u8 = 104;
/// Interrupted; the partial result was written and says so.
pub const INTERRUPTED: u8 = 105;
/// Measurement invalid: the generator may have decided a threshold, or something broke down.
pub const INVALID: u8 = 120;

/// Which of several wins, the strongest first.
pub const PRECEDENCE: [u8; 7] = [USAGE, CONFIGURATION, ENVIRONMENT, INTERRUPTED, FAILED, INVALID, PASSED];

/// The code that wins among `codes`; [`PASSED`] among none.
#[must_use]
pub fn strongest(codes: &[u8]) -> u8 {
    PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(PASSED)
}

/// The exit code of a run: an interrupted one keeps its verdict and exits as interrupted.
#[must_use]
pub fn of_run(status: Status, interrupted: bool) -> u8 {
    let judged = match status {
        Status::Pass => PASSED,
        Status::Fail => FAILED,
        Status::Invalid => INVALID,
    };
    strongest(&[judged, if interrupted { INTERRUPTED } else { PASSED }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_an_order() {
        for (status, interrupted, code) in [
            (Status::Pass, false, 0),
            (Status::Fail, false, 99),
            (Status::Invalid, false, 120),
            (Status::Pass, true, 105),
            (Status::Invalid, true, 105),
        ] {
            assert_eq!(of_run(status, interrupted), code, "{status:?} {interrupted}");
        }
        let order = [2, 104, 1, 105, 99, 120, 0];
        assert_eq!(PRECEDENCE, order);
        for (n, code) in order.into_iter().enumerate() {
            assert_eq!(strongest(&order[n..]), code);
        }
        assert_eq!(strongest(&[]), 0);
    }
}
