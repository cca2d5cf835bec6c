//! The numbers of one operation, fleet and phase over time, by due time, so that two results can be compared with the
//! noise within each run. Filled by the collector once per second, and part of the result file.
//!
//! It must not depend on the recorder or on phases: the collector passes the start and length of the first batch.

mod columns;

use super::latency::{Latency, hdr_text};
use super::layout::{DIGITS_FLEET_ROW, DIGITS_ROW};
use super::operation::Outcome;
use super::outcomes::Outcomes;
use super::totals::Totals;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The maximum number of batches of one operation, fleet and phase.
pub const BATCHES_MAX: u64 = 64;

/// The maximum number of batches in a measurement whose histograms have two significant digits. One takes about 140 bytes in a file.
pub(super) const FINE_MAX: usize = 3_000;

/// The maximum number of batches in a measurement. With one significant digit, a batch takes about 60 bytes in a file, so the file of a
/// run with ten fleets and twelve phases stays below 5 MB, with at least the 20 batches for each key (operation, fleet and phase) that
/// a comparison needs. `result/size_tests.rs` measures it.
pub(super) const TOTAL_MAX: usize = 6_800;

const US_PER_S: u64 = 1_000_000;

/// The operations of one operation, fleet and phase in batches of equal length, by due time. Merging is exact: the
/// batches add up to the totals.
// `columns` defines how files contain them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "columns::Columns", try_from = "columns::Columns")]
#[schemars(with = "columns::Columns")]
pub struct Batches {
    /// Start of the first batch: the second that contains the start of the phase.
    pub start_us: u64,
    /// Length of a batch: whole seconds. The last batch may end after its phase.
    pub length_us: u64,
    /// Batches in the order of time. Batches without operations are left out.
    pub list: Vec<Batch>,
}

/// The operations that were due in one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batch {
    /// Start of the batch, since the start of the run.
    pub t_us: u64,
    /// Number of operations that were due in this batch.
    pub due: u64,
    /// Number of these operations by outcome, whenever they ended. Outcomes without operations are left out.
    pub outcomes: Outcomes,
    /// Response times of these operations that ended ok, with at most two significant digits: HdrHistogram V2, deflated, base64.
    /// Left out if no operation ended ok.
    #[serde(rename = "hdr", default, skip_serializing_if = "Latency::is_empty", with = "hdr_text")]
    #[schemars(with = "String")]
    pub response: Latency,
}

impl Batch {
    /// Adds the operations of `other`.
    pub(super) fn add(&mut self, other: &Batch) {
        self.due = self.due.saturating_add(other.due);
        self.outcomes += other.outcomes;
        self.response.add(&other.response);
    }

    /// Returns the operations that a worker counted in a second, as if all of them were due in it.
    pub(super) fn of_second(second: u64, totals: &Totals) -> Batch {
        Batch {
            t_us: second.saturating_mul(US_PER_S),
            due: totals.due,
            outcomes: totals.outcomes,
            response: totals.response.coarser(DIGITS_ROW),
        }
    }

    /// Removes operations that `other` also contains.
    pub(super) fn subtract(&mut self, other: &Batch) {
        self.due = self.due.saturating_sub(other.due);
        self.outcomes -= other.outcomes;
        self.response = self.response.with_replaced(&other.response, &Latency::default());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due == 0 && self.outcomes.is_empty()
    }
}

impl Batches {
    /// Creates batches for a phase: as short as possible, with at most [`BATCHES_MAX`] of them.
    #[must_use]
    pub(super) fn of_phase(start_us: u64, end_us: u64) -> Batches {
        let start_us = start_us / US_PER_S * US_PER_S;
        let seconds = end_us.saturating_sub(start_us).div_ceil(US_PER_S);
        Batches { start_us, length_us: seconds.div_ceil(BATCHES_MAX).max(1) * US_PER_S, list: Vec::new() }
    }

    /// Returns true if there are no batches, as in files from earlier versions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds operations that were due at or after `added.t_us`, in the same second. Operations that were due before the
    /// first batch count in it, and operations that were due after the last one make all batches longer if necessary.
    pub(super) fn add(&mut self, added: &Batch) {
        if added.is_empty() {
            return;
        }
        while self.index(added.t_us) >= BATCHES_MAX {
            self.merge_neighbors();
        }
        let t_us = self.start_us + self.index(added.t_us) * self.length_us;
        match self.list.binary_search_by_key(&t_us, |batch| batch.t_us) {
            Ok(index) => self.list[index].add(added),
            Err(index) => self.list.insert(index, Batch { t_us, ..added.clone() }),
        }
    }

    /// Ends the operations that have no outcome as unfinished.
    pub(super) fn end_open(&mut self) {
        for batch in &mut self.list {
            batch.outcomes[Outcome::Unfinished] += batch.due.saturating_sub(batch.outcomes.sum());
        }
    }

    /// Adds the batches from another process in the same run.
    pub(super) fn merge(&mut self, other: &Batches) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        while self.length_us < other.length_us {
            self.merge_neighbors();
        }
        other.list.iter().for_each(|batch| self.add(batch));
    }

    /// Merges neighboring batches until there is a place for at most `most` of them.
    pub(super) fn shrink_to(&mut self, most: u64) {
        let last = |batches: &Batches| batches.list.last().map_or(0, |batch| batches.index(batch.t_us));
        while last(self) >= most.max(1) {
            self.merge_neighbors();
        }
    }

    /// Makes the histograms as coarse as those of fleets in the series.
    pub(super) fn coarsen(&mut self) {
        for batch in &mut self.list {
            batch.response = batch.response.coarser(DIGITS_FLEET_ROW);
        }
    }

    /// Returns true if the batches add up to these totals.
    #[must_use]
    pub fn add_up_to(&self, totals: &Totals) -> bool {
        let mut sum = Batch::default();
        self.list.iter().for_each(|batch| sum.add(batch));
        (sum.due, sum.outcomes, sum.response.count())
            == (totals.due, totals.outcomes, totals.response.count())
    }

    fn index(&self, t_us: u64) -> u64 {
        t_us.saturating_sub(self.start_us) / self.length_us.max(1)
    }

    /// Merges neighboring batches and doubles their length.
    fn merge_neighbors(&mut self) {
        self.length_us = self.length_us.max(1).saturating_mul(2);
        for batch in std::mem::take(&mut self.list) {
            let t_us = self.start_us + self.index(batch.t_us) * self.length_us;
            match self.list.last_mut() {
                Some(last) if last.t_us == t_us => last.add(&batch),
                _ => self.list.push(Batch { t_us, ..batch }),
            }
        }
    }
}

#[cfg(test)]
mod tests;
