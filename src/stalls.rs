//! When a thread had something to do and did not run. `link`'s deadlines note stalls, `measure` reads how much of an operation's
//! time they cover, and both ends of the built-in hub report them. Independent of clocks and threads: instants come in as arguments.
//!
//! A pause is counted once, however many deadlines it delayed: stalls are kept as the union of the noted intervals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Heartbeat interval of a thread that has work. Shared by the load generator's threads and the emulator's shards.
pub const BUSY_HEARTBEAT: Duration = Duration::from_millis(2);

/// Heartbeat interval of a thread whose connections are idle.
pub const IDLE_HEARTBEAT: Duration = Duration::from_millis(10);

/// The most entries that a [`StallList`] keeps.
pub const ENTRIES_MAX: usize = 1024;

/// The most intervals that can be looked up. Older ones count as if the thread had stalled in all of the time before.
const RECENT_MAX: usize = 4096;

/// One interval of the union, in nanoseconds since zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from_ns: u64,
    to_ns: u64,
    /// The length of all intervals before this one.
    before_ns: u64,
}

/// The stalls of one thread.
#[derive(Debug)]
pub struct Stalls {
    zero: Cell<Instant>,
    /// The end of the latest stall: nearly every look-up needs no more than this.
    last_to_ns: Cell<u64>,
    recent: RefCell<VecDeque<Interval>>,
    untold: RefCell<Vec<[u64; 2]>>,
}

impl Stalls {
    /// No stalls, counted from `zero`.
    #[must_use]
    pub fn new(zero: Instant) -> Stalls {
        Stalls {
            zero: Cell::new(zero),
            last_to_ns: Cell::new(0),
            recent: RefCell::default(),
            untold: RefCell::default(),
        }
    }

    /// Forgets everything and counts from `zero`. Stalls before it are not kept.
    pub fn restart(&self, zero: Instant) {
        self.zero.set(zero);
        self.last_to_ns.set(0);
        self.recent.borrow_mut().clear();
        self.untold.borrow_mut().clear();
    }

    /// The thread had something to do at `from` and did not run until `to`.
    pub fn note(&self, from: Instant, to: Instant) {
        let since_zero = |at: Instant| {
            u64::try_from(at.saturating_duration_since(self.zero.get()).as_nanos()).unwrap_or(u64::MAX)
        };
        // What the union has already is not noted again.
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
        let mut untold = self.untold.borrow_mut();
        match untold.last_mut() {
            Some(last) if last[1] == from_ns => last[1] = to_ns,
            _ => untold.push([from_ns, to_ns]),
        }
    }

    /// The end of the latest stall, in nanoseconds since zero; 0 without one.
    #[inline]
    #[must_use]
    pub fn last_to_ns(&self) -> u64 {
        self.last_to_ns.get()
    }

    /// The begin of the latest stall, in nanoseconds since zero; 0 without one.
    #[must_use]
    pub fn last_from_ns(&self) -> u64 {
        self.recent.borrow().back().map_or(0, |last| last.from_ns)
    }

    /// How long the thread stalled between two instants.
    #[inline]
    #[must_use]
    pub fn between_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        if from_ns >= self.last_to_ns.get() {
            return 0;
        }
        self.until_ns(to_ns).saturating_sub(self.until_ns(from_ns))
    }

    /// How long the thread stalled up to an instant: the length of the union.
    #[must_use]
    pub fn until_ns(&self, at_ns: u64) -> u64 {
        let recent = self.recent.borrow();
        let later = recent.partition_point(|stall| stall.from_ns < at_ns);
        match later.checked_sub(1).and_then(|index| recent.get(index)) {
            Some(stall) => stall.before_ns + (at_ns.min(stall.to_ns) - stall.from_ns),
            None => 0,
        }
    }

    /// The longest single stall in a time.
    #[must_use]
    pub fn longest_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let recent = self.recent.borrow();
        let inside = recent.iter().rev().take_while(|stall| stall.to_ns > from_ns);
        inside
            .map(|stall| stall.to_ns.min(to_ns).saturating_sub(stall.from_ns.max(from_ns)))
            .max()
            .unwrap_or(0)
    }

    /// The intervals `[from_ns, to_ns]` that were noted since the last call.
    pub fn take(&self) -> Vec<[u64; 2]> {
        std::mem::take(&mut *self.untold.borrow_mut())
    }
}

/// An interval with stalls in it. In JSON it is the array `[from_us, to_us, stalled_us]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
#[schemars(with = "[u64; 3]")]
pub struct StallEntry {
    /// The start of its first stall, in microseconds.
    pub from_us: u64,
    /// The end of its last stall, in microseconds.
    pub to_us: u64,
    /// The length of its stalls together: all of the interval, or less after a merge.
    pub stalled_us: u64,
}

impl StallEntry {
    /// Returns an upper bound of the time stalled in a window.
    #[must_use]
    pub fn at_most_us(&self, from_us: u64, to_us: u64) -> u64 {
        self.stalled_us.min(self.to_us.min(to_us).saturating_sub(self.from_us.max(from_us)))
    }

    /// Moves the entry to a later origin of time.
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

/// The stalls of a thread over a run of any length, in at most [`ENTRIES_MAX`] entries. When a new stall finds no room, the two
/// neighbors that span the shortest time become one entry. The time stalled stays exact in total. For a window it becomes an upper bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StallList {
    entries: Vec<StallEntry>,
}

impl StallList {
    /// Adds a stall. Stalls come in the order of time; time that the list already covers is not added again.
    pub fn add(&mut self, from_us: u64, to_us: u64) {
        self.add_entry(StallEntry { from_us, to_us, stalled_us: to_us.saturating_sub(from_us) });
    }

    /// Adds an entry of another list, in the order of time. Where two overlap, they become one: both may have stalled at different
    /// times, and never for longer than there is time.
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

    /// Adds the stalls of another thread: time in which both stalled counts once.
    pub fn merge(&mut self, other: &StallList) {
        let mut all: Vec<StallEntry> = self.entries.drain(..).chain(other.entries.iter().copied()).collect();
        all.sort_by_key(|entry| (entry.from_us, entry.to_us, entry.stalled_us));
        all.into_iter().for_each(|entry| self.add_entry(entry));
    }

    /// The entries, in the order of time. They do not overlap.
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn stalls(noted: &[(u64, u64)]) -> Stalls {
        let zero = crate::clock::now();
        let stalls = Stalls::new(zero);
        for (from, to) in noted {
            stalls.note(zero + Duration::from_nanos(*from), zero + Duration::from_nanos(*to));
        }
        stalls
    }

    #[test]
    fn one_pause_counts_once() {
        // Three deadlines of one pause, as they are served one after the other.
        let stalls = stalls(&[(10, 50), (20, 51), (30, 52)]);
        assert_eq!((stalls.until_ns(100), stalls.last_from_ns(), stalls.last_to_ns()), (42, 10, 52));
        assert_eq!(stalls.take(), [[10, 52]]);
        assert_eq!(stalls.take(), <[[u64; 2]; 0]>::default());
    }

    #[test]
    fn an_interval_knows_its_part_of_the_stalls() {
        let stalls = stalls(&[(10, 20), (40, 70)]);
        for (from, to, expected) in
            [(0, 5, 0), (0, 15, 5), (12, 18, 6), (20, 40, 0), (15, 45, 10), (0, 100, 40), (70, 90, 0)]
        {
            assert_eq!(stalls.between_ns(from, to), expected, "{from} to {to}");
        }
        assert_eq!(
            [stalls.longest_ns(0, 100), stalls.longest_ns(0, 30), stalls.longest_ns(69, 99)],
            [30, 10, 1]
        );
        assert_eq!(stalls.longest_ns(70, 99), 0);
    }

    #[test]
    fn a_stall_that_goes_on_is_told_in_parts() {
        let zero = crate::clock::now();
        let stalls = Stalls::new(zero);
        let at = |ns| zero + Duration::from_nanos(ns);
        stalls.note(at(5), at(9));
        assert_eq!(stalls.take(), [[5, 9]]);
        stalls.note(at(5), at(12));
        assert_eq!(stalls.take(), [[9, 12]]);
        assert_eq!(stalls.until_ns(20), 7);
        stalls.restart(at(100));
        assert_eq!((stalls.until_ns(u64::MAX), stalls.last_to_ns()), (0, 0));
        stalls.note(at(90), at(103));
        assert_eq!(stalls.take(), [[0, 3]], "what lies before zero is not kept");
    }

    fn list(stalls: impl IntoIterator<Item = (u64, u64)>) -> StallList {
        let mut list = StallList::default();
        stalls.into_iter().for_each(|(from_us, to_us)| list.add(from_us, to_us));
        list
    }

    #[test]
    fn a_full_list_merges_the_shortest_span() {
        // Gaps of 100 us, and one of 40 us.
        let starts = (0..=ENTRIES_MAX as u64).map(|n| n * 110 + if n > 7 { 0 } else { 60 });
        let full = list(starts.map(|from_us| (from_us, from_us + 10)));
        assert_eq!(full.entries().len(), ENTRIES_MAX);
        let merged: Vec<_> = full.entries().iter().filter(|entry| entry.stalled_us > 10).collect();
        assert_eq!(merged, [&StallEntry { from_us: 830, to_us: 890, stalled_us: 20 }]);
        assert_eq!([merged[0].at_most_us(840, 855), merged[0].at_most_us(0, 2000)], [15, 20]);
    }

    #[test]
    fn a_stall_told_in_parts_is_one_entry() {
        let parts = list([(5, 9), (9, 12), (11, 13), (6, 8), (20, 20)]);
        assert_eq!(parts.entries(), [StallEntry { from_us: 5, to_us: 13, stalled_us: 8 }]);
        let json = serde_json::to_string(parts.entries()).unwrap();
        assert_eq!(json, "[[5,13,8]]");
        assert_eq!(serde_json::from_str::<Vec<StallEntry>>(&json).unwrap(), parts.entries());
        assert_eq!(parts.entries()[0].after(100), StallEntry::from([105, 113, 8]));
    }

    /// An entry of which only a part stalled hides nothing of another.
    #[test]
    fn merging_never_makes_less() {
        let entry = |[from_us, to_us, stalled_us]: [u64; 3]| StallEntry { from_us, to_us, stalled_us };
        for (one, other, merged) in [
            ([0, 100, 10], [50, 60, 10], [0, 100, 20]),
            ([0, 20, 1], [0, 20, 20], [0, 20, 20]),
            ([0, 10, 10], [5, 20, 15], [0, 20, 20]),
        ] {
            for (first, second) in [(one, other), (other, one)] {
                let mut list = StallList { entries: vec![entry(first)] };
                list.merge(&StallList { entries: vec![entry(second)] });
                assert_eq!(list.entries(), [entry(merged)], "{first:?} {second:?}");
            }
        }
    }

    proptest! {
        /// Whatever was merged: totals are exact, entries are in order, and no window has more stalls than its bound.
        #[test]
        fn merging_keeps_totals_and_upper_bounds(
            steps in prop::collection::vec((0..300_u64, 1..50_u64), 0..900),
            windows in prop::collection::vec((0..120_000_u64, 0..20_000_u64), 1..20),
        ) {
            let mut at = 0;
            let stalls: Vec<(u64, u64)> = steps
                .into_iter()
                .map(|(gap, length)| {
                    let from = at + gap;
                    at = from + length;
                    (from, at)
                })
                .collect();
            let list = list(stalls.iter().copied());
            let entries = list.entries();
            prop_assert!(entries.len() <= ENTRIES_MAX);
            prop_assert!(entries.is_sorted_by(|a, b| a.to_us < b.from_us));
            prop_assert!(entries.iter().all(|e| e.stalled_us > 0 && e.stalled_us <= e.to_us - e.from_us));
            let total: u64 = stalls.iter().map(|(from, to)| to - from).sum();
            prop_assert_eq!(entries.iter().map(|entry| entry.stalled_us).sum::<u64>(), total);
            for (from, length) in windows {
                let to = from + length;
                let stalled: u64 = stalls.iter().map(|s| s.1.min(to).saturating_sub(s.0.max(from))).sum();
                let bound: u64 = entries.iter().map(|entry| entry.at_most_us(from, to)).sum();
                prop_assert!(bound >= stalled, "{bound} us of {stalled} us in {from} to {to}");
                if stalls.len() <= ENTRIES_MAX {
                    prop_assert_eq!(bound, stalled, "nothing was merged");
                }
            }
        }

        #[test]
        fn the_total_is_the_length_of_the_union(noted in prop::collection::vec((0..200_u64, 1..30_u64), 0..40)) {
            let mut noted: Vec<(u64, u64)> = noted.into_iter().map(|(from, length)| (from, from + length)).collect();
            // Stalls are noted when they end.
            noted.sort_by_key(|(_, to)| *to);
            let stalls = stalls(&noted);
            let mut last = 0;
            for t in 0..240_u64 {
                let now = stalls.until_ns(t);
                prop_assert!(now >= last && now - last <= 1);
                last = now;
            }
            // A stall that reaches back over an earlier one is noted from where that one ended.
            let told: u64 = stalls.take().iter().map(|[from, to]| to - from).sum();
            prop_assert_eq!(told, last);
        }
    }
}
