//! The ages of operations that had no outcome when the journal of a run ended. Used by `replay`.
//!
//! A journal counts due and ended operations by the second in which they were due, so that second is exact. It does not identify
//! operations: within a second, those that were due last are taken as the open ones, because most hubs acknowledge in order. So an
//! age is right to within a second.

use super::interval::NS_PER_S;
use super::operation::Key;
use super::snapshot::Snapshot;
use super::totals::Totals;
use std::collections::BTreeMap;

/// The maximum number of different ages in a second, so that a large backlog takes little time.
const AGES_MAX: u64 = 64;

/// For each key, the seconds in which operations without an outcome were due.
#[derive(Debug, Default)]
pub(super) struct OpenOperations {
    seconds: BTreeMap<(Key, u64), Counts>,
}

/// Operations that were due in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    due: u64,
    ended: u64,
}

impl OpenOperations {
    /// Adds the operations of a snapshot.
    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        for (key, totals) in &snapshot.cells {
            // The steps of connection attempts have no strays. They become due when they end, so they are never open.
            if key.operation.is_step() {
                continue;
            }
            let mut timely = Counts { due: totals.due, ended: totals.ended() };
            for stray in snapshot.strays.iter().filter(|stray| stray.key == *key) {
                let counts = Counts { due: stray.batch.due, ended: stray.batch.outcomes.sum() };
                timely.due = timely.due.saturating_sub(counts.due);
                timely.ended = timely.ended.saturating_sub(counts.ended);
                self.count(*key, stray.second, counts);
            }
            self.count(*key, snapshot.second, timely);
        }
    }

    fn count(&mut self, key: Key, second: u64, counts: Counts) {
        let sum = self.seconds.entry((key, second)).or_default();
        sum.due = sum.due.saturating_add(counts.due);
        sum.ended = sum.ended.saturating_add(counts.ended);
        if sum.due == sum.ended {
            self.seconds.remove(&(key, second));
        }
    }

    /// Returns the open operations of a key at `at_ns`: for each age in nanoseconds, the number of operations. `totals` are the key's: in
    /// a damaged journal, they may have open operations that are in no second, which are taken as new.
    pub(super) fn ages(&self, key: Key, totals: &Totals, at_ns: u64) -> Vec<(u64, u64)> {
        let mut ages = Vec::new();
        let mut left = totals.due.saturating_sub(totals.ended());
        for ((_, second), Counts { due, ended }) in self.seconds.range((key, 0)..=(key, u64::MAX)) {
            let open = due.saturating_sub(*ended).min(left);
            left -= open;
            let end_ns = second.saturating_add(1).saturating_mul(NS_PER_S);
            let slot = open.div_ceil(AGES_MAX).max(1);
            let mut rest = open;
            while rest > 0 {
                let count = rest.min(slot);
                // The middle one of these operations, counted back from the end of the second.
                let back = u128::from(NS_PER_S) * u128::from(rest - count / 2 - 1) / u128::from(*due);
                let back_ns = u64::try_from(back).unwrap_or(NS_PER_S);
                ages.push((at_ns.saturating_sub(end_ns.saturating_sub(back_ns)), count));
                rest -= count;
            }
        }
        ages.extend((left > 0).then_some((0, left)));
        ages
    }
}
