//! The seconds of one worker since its last snapshot. Filled by the recorder; the collector adds them to the series.

use super::interval::{Interval, NS_PER_S};
use super::latency::Pool;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Consecutive seconds of one worker: usually one or two, more if operations are recorded long after they were due.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seconds {
    first: u64,
    slots: VecDeque<Interval>,
    /// The second of the last lookup, and its index. The next lookup is nearly always for the same second.
    #[serde(skip)]
    latest: Option<(u64, usize)>,
}

impl Seconds {
    /// Returns the second that contains `at_ns`.
    #[inline]
    pub(super) fn at(&mut self, at_ns: u64) -> &mut Interval {
        let index = match self.latest {
            Some((from_ns, index)) if at_ns.wrapping_sub(from_ns) < NS_PER_S => index,
            _ => self.find(at_ns / NS_PER_S),
        };
        &mut self.slots[index]
    }

    fn find(&mut self, second: u64) -> usize {
        let index = usize::try_from(second.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if index >= self.slots.len() {
            self.grow(second);
        }
        let index = usize::try_from(second - self.first).expect("seconds of a run fit in memory");
        self.latest = Some((second * NS_PER_S, index));
        index
    }

    #[cold]
    fn grow(&mut self, second: u64) {
        if self.slots.is_empty() {
            self.first = second;
        }
        while second < self.first {
            self.slots.push_front(Interval::default());
            self.first -= 1;
        }
        while self.first + self.slots.len() as u64 <= second {
            self.slots.push_back(Interval::default());
        }
    }

    /// Returns each second and its numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Interval)> {
        (self.first..).zip(&self.slots)
    }

    /// Removes all seconds, and keeps the memory for reuse.
    pub(super) fn recycle(&mut self, pool: &mut Pool) {
        for mut slot in self.slots.drain(..) {
            slot.recycle(pool);
        }
        self.latest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_grow_at_both_ends() {
        let mut seconds = Seconds::default();
        for s in [5, 6, 3] {
            seconds.at(s * NS_PER_S + 1).offered += s;
        }
        let offered: Vec<_> = seconds.iter().map(|(second, slot)| (second, slot.offered)).collect();
        assert_eq!(offered, [(3, 3), (4, 0), (5, 5), (6, 6)]);
    }
}
