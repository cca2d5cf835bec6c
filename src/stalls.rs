//! When a thread had something to do and did not run. `link`'s deadlines note stalls, `measure` reads how much of an operation's
//! time they cover, and both ends of the built-in hub report them. Independent of clocks and threads: instants come in as arguments.
//!
//! A pause is counted once, however many deadlines it delayed: stalls are kept as the union of the noted intervals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

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

/// A stretch of time and how much of it was stalled, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
#[schemars(with = "[u64; 3]")]
pub struct Stretch {
    /// Its begin.
    pub from_us: u64,
    /// Its end.
    pub to_us: u64,
    /// How much of it was stalled: all of it, unless neighbours were merged.
    pub stalled_us: u64,
}

impl From<[u64; 3]> for Stretch {
    fn from([from_us, to_us, stalled_us]: [u64; 3]) -> Stretch {
        Stretch { from_us, to_us, stalled_us }
    }
}

impl From<Stretch> for [u64; 3] {
    fn from(stretch: Stretch) -> [u64; 3] {
        [stretch.from_us, stretch.to_us, stretch.stalled_us]
    }
}

/// Stalls over a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StallList(Vec<Stretch>);

impl StallList {
    /// Adds a stall that ended after all others.
    pub fn add(&mut self, stretch: Stretch) {
        match self.0.last_mut() {
            Some(last) if last.to_us >= stretch.from_us => {
                last.to_us = last.to_us.max(stretch.to_us);
                last.stalled_us += stretch.stalled_us;
            }
            _ => self.0.push(stretch),
        }
    }

    /// Adds the stalls of another thread: where both stalled, the time counts once.
    pub fn merge(&mut self, other: &StallList) {
        let mut all: Vec<Stretch> = self.0.drain(..).chain(other.0.iter().copied()).collect();
        all.sort_by_key(|stretch| (stretch.from_us, stretch.to_us, stretch.stalled_us));
        for stretch in all {
            match self.0.last_mut() {
                Some(last) if last.to_us > stretch.from_us => {
                    let overlap_us = last.to_us.min(stretch.to_us) - stretch.from_us;
                    last.stalled_us += stretch.stalled_us.saturating_sub(overlap_us);
                    last.to_us = last.to_us.max(stretch.to_us);
                    last.stalled_us = last.stalled_us.min(last.to_us - last.from_us);
                }
                _ => self.add(stretch),
            }
        }
    }

    /// The stretches in order; they do not overlap.
    #[must_use]
    pub fn entries(&self) -> &[Stretch] {
        &self.0
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

    proptest! {
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
