//! The ages of operations that had no outcome when the journal of a run ended. Used by `replay`.
//!
//! A journal counts due and ended operations, but does not identify them. As acknowledgments arrive in order on a healthy hub, the
//! operations that were due last are taken as the open ones, with due times spread evenly between two records. So the ages are the
//! smallest possible ones.

use super::measurement::Measurement;
use std::collections::VecDeque;

/// The maximum number of different ages between two records, so that a large backlog takes little time.
const AGES_MAX: u64 = 64;

/// For each operation of the measurement: the number of due operations over time, as far as it is needed for the open ones.
#[derive(Debug, Default)]
pub(super) struct OpenOperations {
    /// Times in nanoseconds, and how many operations were due until then.
    due: Vec<VecDeque<(u64, u64)>>,
    previous_ns: u64,
}

impl OpenOperations {
    /// Notes the counts at the end of a second.
    pub(super) fn observe(&mut self, at_ns: u64, measurement: &Measurement) {
        for (index, part) in measurement.operations.iter().enumerate() {
            if index == self.due.len() {
                self.due.push(VecDeque::from([(self.previous_ns, 0)]));
            }
            let due = &mut self.due[index];
            due.push_back((at_ns, part.totals.due));
            while due.get(1).is_some_and(|(_, due)| *due <= part.totals.ended()) {
                due.pop_front();
            }
        }
        self.previous_ns = at_ns;
    }

    /// Returns the open operations of each part of the measurement: its index, and for each age, the number of operations.
    pub(super) fn ages(&self, at_ns: u64, measurement: &Measurement) -> Vec<(usize, Vec<(u64, u64)>)> {
        let parts = self.due.iter().zip(&measurement.operations).enumerate();
        let ages = parts.map(|(index, (due, part))| {
            let mut ages = Vec::new();
            let mut ended = part.totals.ended();
            for ((from_ns, before), (to_ns, after)) in due.iter().zip(due.iter().skip(1)) {
                let mut rest = after.saturating_sub(ended.max(*before));
                ended = ended.max(*after);
                let slot = rest.div_ceil(AGES_MAX).max(1);
                while rest > 0 {
                    let count = rest.min(slot);
                    // The middle one of these operations, counted back from the end of the interval.
                    let back = u128::from(to_ns - from_ns) * u128::from(rest - count / 2 - 1)
                        / u128::from((after - before).max(1));
                    let back_ns = u64::try_from(back).unwrap_or(u64::MAX);
                    ages.push((at_ns.saturating_sub(to_ns.saturating_sub(back_ns)), count));
                    rest -= count;
                }
            }
            (index, ages)
        });
        ages.filter(|(_, ages)| !ages.is_empty()).collect()
    }
}
