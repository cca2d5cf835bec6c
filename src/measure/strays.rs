//! The part of a snapshot that was due in another second than the rest: late acknowledgments, and operations at the boundary
//! of a second. Filled by the recorder. The collector subtracts this part from the snapshot's second, so that every operation
//! counts in the batch of its due time although a timely operation costs the recorder only a comparison.

use super::batches::Batch;
use super::interval::NS_PER_S;
use super::latency::Pool;
use super::layout::DIGITS_ROW;
use super::operation::{Key, Outcome};
use serde::{Deserialize, Serialize};

/// No second: every due time is outside it.
const NONE_NS: u64 = 1 << 63;

/// The operations of a key that were due in one second.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stray {
    pub(super) key: Key,
    pub(super) second: u64,
    pub(super) batch: Batch,
}

/// The strays of one worker since its last snapshot.
#[derive(Debug)]
pub(super) struct Strays {
    /// Start of the second that the snapshot covers; [`NONE_NS`] until it is known.
    from_ns: u64,
    /// One entry per key and second.
    list: Vec<Stray>,
    /// Index of the latest entry: the next stray is often of the same key and second.
    latest: usize,
    pool: Pool,
}

impl Strays {
    pub(super) fn new(highest_us: u64) -> Strays {
        let pool = Pool::growing(DIGITS_ROW, highest_us);
        Strays { from_ns: NONE_NS, list: Vec::new(), latest: 0, pool }
    }

    /// Sets the second that the snapshot covers, unless it is known.
    pub(super) fn open_second(&mut self, second: u64) {
        if self.from_ns == NONE_NS {
            self.from_ns = second.saturating_mul(NS_PER_S);
        }
    }

    /// Returns true if an operation that was due at `due_ns` may be a stray. All operations may be until the second is known.
    #[inline]
    pub(super) fn is_stray(&self, due_ns: u64) -> bool {
        due_ns.wrapping_sub(self.from_ns) >= NS_PER_S
    }

    /// Counts due operations.
    #[cold]
    pub(super) fn due(&mut self, key: Key, due_ns: u64, count: u64, now_ns: u64) {
        if let Some(index) = self.find(key, due_ns, now_ns) {
            self.list[index].batch.due += count;
        }
    }

    /// Records an operation that ended ok.
    #[cold]
    pub(super) fn ok(&mut self, key: Key, due_ns: u64, response_us: u64, now_ns: u64) {
        if let Some(index) = self.find(key, due_ns, now_ns) {
            let batch = &mut self.list[index].batch;
            batch.outcomes[Outcome::Ok] += 1;
            batch.response.record_rare(response_us, &mut self.pool);
        }
    }

    /// Counts operations with another outcome.
    #[cold]
    pub(super) fn ended(&mut self, key: Key, due_ns: u64, (outcome, count): (Outcome, u64), now_ns: u64) {
        if let Some(index) = self.find(key, due_ns, now_ns) {
            self.list[index].batch.outcomes[outcome] += count;
        }
    }

    /// Returns the index of the entry; `None` if the operation is not a stray, or its key has no batches.
    fn find(&mut self, key: Key, due_ns: u64, now_ns: u64) -> Option<usize> {
        self.open_second(now_ns / NS_PER_S);
        if !self.is_stray(due_ns) || key.operation.is_step() {
            return None;
        }
        let second = due_ns / NS_PER_S;
        let is_same = |stray: &Stray| (stray.key, stray.second) == (key, second);
        if !self.list.get(self.latest).is_some_and(is_same) {
            self.latest = self.list.iter().position(is_same).unwrap_or_else(|| {
                let batch = Batch { t_us: second * (NS_PER_S / 1_000), ..Batch::default() };
                self.list.push(Stray { key, second, batch });
                self.list.len() - 1
            });
        }
        Some(self.latest)
    }

    /// Moves everything since the last swap to a snapshot. The next second is unknown.
    pub(super) fn swap(&mut self, list: &mut Vec<Stray>, second: &mut u64) {
        std::mem::swap(&mut self.list, list);
        *second = if self.from_ns == NONE_NS { 0 } else { self.from_ns / NS_PER_S };
        self.from_ns = NONE_NS;
    }

    /// Clears the strays of a snapshot, and keeps the memory for reuse.
    pub(super) fn recycle(&mut self, list: &mut Vec<Stray>) {
        for mut stray in list.drain(..) {
            self.pool.recycle(&mut stray.batch.response);
        }
    }
}
