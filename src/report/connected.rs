//! The implicit thresholds: every fleet must connect at least once. A report shows the passed ones in one line, because they would hide
//! the thresholds of the scenario. Called by `text` and `page`. Uses only the result.

use super::format::plain;
use super::judge::IMPLICIT_EXPRESSION;
use super::margin;
use crate::result::model::{RunResult, ThresholdResult, ThresholdStatus};

/// The thresholds of a run, as a report shows them.
#[derive(Debug)]
pub(super) struct Thresholds<'a> {
    /// The thresholds with a row of their own: those of the scenario, and the implicit ones that did not pass.
    pub(super) rows: Vec<&'a ThresholdResult>,
    /// The implicit thresholds that passed.
    pub(super) connected: Vec<&'a ThresholdResult>,
    /// Number of implicit thresholds.
    fleets: usize,
}

impl<'a> Thresholds<'a> {
    pub(super) fn of(result: &'a RunResult) -> Thresholds<'a> {
        // Implicit thresholds come last. Files from earlier versions do not contain the number of the others.
        let written = result.rules.as_ref().map_or(0, |rules| rules.thresholds.len());
        let count = result.thresholds.iter().skip(written).rev().take_while(|one| is_implicit(one)).count();
        let (others, implicit) = result.thresholds.split_at(result.thresholds.len() - count);
        let passed = |one: &&ThresholdResult| margin::status(one) == ThresholdStatus::Passed;
        let (connected, missing): (Vec<_>, Vec<_>) = implicit.iter().partition(passed);
        Thresholds { rows: others.iter().chain(missing).collect(), connected, fleets: count }
    }

    /// Returns the passed implicit thresholds in words: `all 10 fleets connected`. `None` if no implicit threshold passed.
    pub(super) fn words(&self) -> Option<String> {
        match (self.connected.as_slice(), self.fleets) {
            ([], _) => None,
            ([only], 1) => {
                Some(format!("fleet {} connected", plain(only.fleet.as_deref().unwrap_or_default())))
            }
            (connected, fleets) if connected.len() == fleets => {
                Some(format!("all {fleets} fleets connected"))
            }
            (connected, fleets) => Some(format!("{} of {fleets} fleets connected", connected.len())),
        }
    }
}

fn is_implicit(threshold: &ThresholdResult) -> bool {
    let ThresholdResult { metric, expression, phase, fleet, .. } = threshold;
    metric == "connect" && expression == IMPLICIT_EXPRESSION && phase.is_none() && fleet.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::threshold;
    use crate::result::testing::result as sample;

    fn implicit(fleet: &str, status: ThresholdStatus) -> ThresholdResult {
        ThresholdResult {
            metric: "connect".to_owned(),
            expression: "count(ok) >= 1".to_owned(),
            fleet: Some(fleet.to_owned()),
            ..threshold("count", Some(1.0), status)
        }
    }

    #[test]
    fn only_failed_implicit_thresholds_have_a_row() {
        use ThresholdStatus::{Failed, Passed};
        for (statuses, rows, words) in [
            (&[Passed][..], 1, Some("fleet f0 connected")),
            (&[Passed, Passed], 1, Some("all 2 fleets connected")),
            (&[Passed, Failed, Passed], 2, Some("2 of 3 fleets connected")),
            (&[Failed], 2, None),
            (&[], 1, None),
        ] {
            let mut result = sample();
            result.rules = None;
            let fleets = statuses.iter().enumerate().map(|(n, status)| implicit(&format!("f{n}"), *status));
            result.thresholds.extend(fleets);
            let found = Thresholds::of(&result);
            assert_eq!((found.rows.len(), found.words().as_deref()), (rows, words), "{statuses:?}");
        }
    }

    #[test]
    fn same_threshold_in_the_scenario_keeps_its_row() {
        let mut result = sample();
        result.thresholds =
            vec![implicit("f0", ThresholdStatus::Passed), implicit("f0", ThresholdStatus::Passed)];
        let rule = crate::measure::Rule {
            metric: crate::measure::Operation::Connect,
            phase: None,
            fleet: Some("f0".to_owned()),
            expression: "count(ok) >= 1".to_owned(),
            test: result.thresholds[0].test.unwrap(),
            without_faults: false,
            abort_from_us: None,
            line: None,
        };
        result.rules.as_mut().unwrap().thresholds = vec![rule];
        let found = Thresholds::of(&result);
        assert_eq!((found.rows.len(), found.words().as_deref()), (1, Some("fleet f0 connected")));
    }
}
