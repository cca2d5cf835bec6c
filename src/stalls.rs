//! Stalls: the intervals in which a thread had work but did not run. The deadlines of `link` record stalls, `measure` computes how much of
//! an operation they cover, and the emulator reports the stalls of its shards. Independent of clocks and threads: instants are arguments.
//!
//! A pause counts once, no matter how many deadlines it delayed: stalls are stored as the union of the recorded intervals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Heartbeat interval of a thread that has work. Shared by the load generator's threads and the emulator's shards.
pub const BUSY_HEARTBEAT: Duration = Duration::from_millis(2);

/// Heartbeat interval of a thread whose connections are idle.
pub const IDLE_HEARTBEAT: Duration = Duration::from_millis(10);

/// The maximum number of entries in a [`StallList`].
pub const ENTRIES_MAX: usize = 1024;

/// The maximum number of stored intervals. Stalls that are no longer stored count as if they had ended at the start of the oldest stored
/// interval.
const RECENT_MAX: usize = 4096;

/// An interval of the union, in nanoseconds since [`Stalls::zero`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from_ns: u64,
    to_ns: u64,
    /// Total length of all earlier intervals.
    before_ns: u64,
}

/// The stalls of one thread.
#[derive(Debug)]
pub struct Stalls {
    zero: Cell<Instant>,
    /// End of the latest stall. Most lookups need only this.
    last_to_ns: Cell<u64>,
    recent: RefCell<VecDeque<Interval>>,
    unreported: RefCell<Vec<[u64; 2]>>,
}

impl Stalls {
    /// Creates an empty record whose times start at `zero`.
    #[must_use]
    pub fn new(zero: Instant) -> Stalls {
        Stalls {
            zero: Cell::new(zero),
            last_to_ns: Cell::new(0),
            recent: RefCell::default(),
            unreported: RefCell::default(),
        }
    }

    /// Removes all stalls and starts again at `zero`. Earlier stalls are not recorded.
    pub fn restart(&self, zero: Instant) {
        self.zero.set(zero);
        self.last_to_ns.set(0);
        self.recent.borrow_mut().clear();
        self.unreported.borrow_mut().clear();
    }

    /// Records a stall: the thread had work at `from` but did not run until `to`.
    pub fn note(&self, from: Instant, to: Instant) {
        let since_zero = |at: Instant| {
            u64::try_from(at.saturating_duration_since(self.zero.get()).as_nanos()).unwrap_or(u64::MAX)
        };
        // The union already covers all stalls up to the end of the latest one.
        let from_ns = since_zero(from).max(self.last_to_ns.get());
        let to_ns = since_zero(to);
        if from_ns >= to_ns {
            return;
        }
        let mut recent = self.recent.borrow_mut();
        match recent.back_mut() {
            Some(last) if last.to_ns == from_ns => last.to_ns = to_ns,
            last => {
                let before_ns = last.map_or(0, |last| last.before_ns + (last.to_ns - last.from_ns));
                recent.push_back(Interval { from_ns, to_ns, before_ns });
            }
        }
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        self.last_to_ns.set(to_ns);
        let mut unreported = self.unreported.borrow_mut();
        match unreported.last_mut() {
            Some(last) if last[1] == from_ns => last[1] = to_ns,
            _ => unreported.push([from_ns, to_ns]),
        }
    }

    /// Returns the end of the latest stall in nanoseconds since the start, or 0 if there was no stall.
    #[inline]
    #[must_use]
    pub fn last_to_ns(&self) -> u64 {
        self.last_to_ns.get()
    }

    /// Returns the start of the latest stall in nanoseconds since the start, or 0 if there was no stall.
    #[must_use]
    pub fn last_from_ns(&self) -> u64 {
        self.recent.borrow().back().map_or(0, |last| last.from_ns)
    }

    /// Returns how long the thread was stalled between two times.
    #[inline]
    #[must_use]
    pub fn between_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        if from_ns >= self.last_to_ns.get() {
            return 0;
        }
        self.until_ns(to_ns).saturating_sub(self.until_ns(from_ns))
    }

    /// Returns how long the thread was stalled until a time: the length of the union.
    #[must_use]
    pub fn until_ns(&self, at_ns: u64) -> u64 {
        let recent = self.recent.borrow();
        let later = recent.partition_point(|stall| stall.from_ns < at_ns);
        match later.checked_sub(1).and_then(|index| recent.get(index)) {
            Some(stall) => stall.before_ns + (at_ns.min(stall.to_ns) - stall.from_ns),
            None => 0,
        }
    }

    /// Returns the length of the longest single stall between two times.
    #[must_use]
    pub fn longest_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let recent = self.recent.borrow();
        let inside = recent.iter().rev().take_while(|stall| stall.to_ns > from_ns);
        inside
            .map(|stall| stall.to_ns.min(to_ns).saturating_sub(stall.from_ns.max(from_ns)))
            .max()
            .unwrap_or(0)
    }

    /// Returns the intervals `[from_ns, to_ns]` recorded since the last call.
    pub fn take(&self) -> Vec<[u64; 2]> {
        std::mem::take(&mut *self.unreported.borrow_mut())
    }
}

/// An interval that contains stalls. In JSON, it is the array `[from_us, to_us, stalled_us]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
#[schemars(with = "[u64; 3]")]
pub struct StallEntry {
    /// Start of the first stall, in microseconds.
    pub from_us: u64,
    /// End of the last stall, in microseconds.
    pub to_us: u64,
    /// Total length of the stalls. Less than the interval only after a merge.
    pub stalled_us: u64,
}

impl StallEntry {
    /// Returns an upper bound on the stalled time in a window.
    #[must_use]
    pub fn at_most_us(&self, from_us: u64, to_us: u64) -> u64 {
        self.stalled_us.min(self.to_us.min(to_us).saturating_sub(self.from_us.max(from_us)))
    }

    /// Returns the entry with `origin_us` added to its times.
    #[must_use]
    pub fn after(self, origin_us: u64) -> StallEntry {
        let [from_us, to_us] = [self.from_us, self.to_us].map(|at_us| at_us.saturating_add(origin_us));
        StallEntry { from_us, to_us, ..self }
    }
}

impl From<[u64; 3]> for StallEntry {
    fn from([from_us, to_us, stalled_us]: [u64; 3]) -> StallEntry {
        StallEntry { from_us, to_us, stalled_us }
    }
}

impl From<StallEntry> for [u64; 3] {
    fn from(entry: StallEntry) -> [u64; 3] {
        [entry.from_us, entry.to_us, entry.stalled_us]
    }
}

/// The stalls of a thread over a run of any length, in at most [`ENTRIES_MAX`] entries. When the list is full, the two neighbors that span
/// the shortest time are merged. The total stalled time stays exact; the stalled time in a window becomes an upper bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StallList {
    entries: Vec<StallEntry>,
}

impl StallList {
    /// Adds a stall. Stalls must be added in chronological order. Time that the list already covers is not added again.
    pub fn add(&mut self, from_us: u64, to_us: u64) {
        self.add_entry(StallEntry { from_us, to_us, stalled_us: to_us.saturating_sub(from_us) });
    }

    /// Adds an entry from another list, in chronological order. Overlapping entries are merged. Their stalls may be at different times, so
    /// the stalled times are added, up to the length of the interval.
    pub fn add_entry(&mut self, entry: StallEntry) {
        if entry.from_us >= entry.to_us {
            return;
        }
        match self.entries.last_mut() {
            Some(last) if entry.from_us <= last.to_us => {
                last.from_us = last.from_us.min(entry.from_us);
                last.to_us = last.to_us.max(entry.to_us);
                last.stalled_us =
                    last.stalled_us.saturating_add(entry.stalled_us).min(last.to_us - last.from_us);
            }
            _ => self.entries.push(entry),
        }
        if self.entries.len() > ENTRIES_MAX {
            self.merge_nearest();
        }
    }

    /// Adds the stalls of another thread. Time in which both threads stalled counts once.
    pub fn merge(&mut self, other: &StallList) {
        let mut all: Vec<StallEntry> = self.entries.drain(..).chain(other.entries.iter().copied()).collect();
        all.sort_by_key(|entry| (entry.from_us, entry.to_us, entry.stalled_us));
        all.into_iter().for_each(|entry| self.add_entry(entry));
    }

    /// Returns the entries in chronological order. They do not overlap.
    #[must_use]
    pub fn entries(&self) -> &[StallEntry] {
        &self.entries
    }

    fn merge_nearest(&mut self) {
        let spans = self.entries.windows(2).map(|pair| pair[1].to_us - pair[0].from_us);
        let Some((first, _)) = spans.enumerate().min_by_key(|(_, span_us)| *span_us) else { return };
        let second = self.entries.remove(first + 1);
        let merged = &mut self.entries[first];
        merged.to_us = second.to_us;
        merged.stalled_us += second.stalled_us;
    }
}

#[cfg(test)]
mod tests;
