//! Tracks which messages of one stream a subscriber has received: the highest sequence number and the gaps below it. Used
//! by `delivery_tracker`. A stream without gaps needs only two numbers.

/// Maximum number of gaps. The oldest ones are forgotten.
const GAPS_MAX: usize = 64;

/// How a received message relates to the earlier ones of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Has a higher number than all earlier messages.
    New,
    /// Arrived after a later message of its stream.
    Reordered,
    /// Has arrived before, or is too old to tell.
    Duplicate,
}

/// The received messages of one stream.
#[derive(Debug, Default)]
pub(crate) struct SequenceTracker {
    /// Lowest received number.
    first: u64,
    /// Highest received number plus one.
    next: u64,
    /// Missing numbers between `first` and `next`, as sorted inclusive ranges.
    #[expect(clippy::box_collection, reason = "one pointer, because most streams have no gaps")]
    gaps: Option<Box<Vec<(u64, u64)>>>,
}

impl SequenceTracker {
    /// Records a received message.
    pub(crate) fn record(&mut self, seq: u64) -> Arrival {
        if self.next == 0 {
            (self.first, self.next) = (seq, seq + 1);
            return Arrival::New;
        }
        if seq >= self.next {
            self.add_gap(self.next, seq);
            self.next = seq + 1;
            return Arrival::New;
        }
        if seq < self.first {
            let first = std::mem::replace(&mut self.first, seq);
            self.add_gap(seq + 1, first);
            return Arrival::Reordered;
        }
        if self.fill_gap(seq) { Arrival::Reordered } else { Arrival::Duplicate }
    }

    /// Returns true if the message has arrived, or if that is no longer known.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        (self.first..self.next).contains(&seq) && self.gap_of(seq).is_none()
    }

    fn gap_of(&self, seq: u64) -> Option<usize> {
        let gaps = self.gaps.as_deref()?;
        gaps.binary_search_by(|(from, to)| {
            if *to < seq {
                std::cmp::Ordering::Less
            } else if *from > seq {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .ok()
    }

    /// Adds a gap from `from` up to, but not including, `to`.
    fn add_gap(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let gaps = self.gaps.get_or_insert_default();
        let place = gaps.partition_point(|(_, last)| *last < from);
        gaps.insert(place, (from, to - 1));
        if gaps.len() > GAPS_MAX {
            gaps.remove(0);
        }
    }

    /// Removes a number from its gap. Returns false if it was not missing.
    fn fill_gap(&mut self, seq: u64) -> bool {
        let Some(place) = self.gap_of(seq) else { return false };
        let Some(gaps) = self.gaps.as_deref_mut() else { return false };
        let (from, to) = gaps[place];
        match (from == seq, to == seq) {
            (true, true) => drop(gaps.remove(place)),
            (true, false) => gaps[place].0 = seq + 1,
            (false, true) => gaps[place].1 = seq - 1,
            (false, false) => {
                gaps[place].1 = seq - 1;
                self.add_gap(seq + 1, to + 1);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn stream_in_order_has_no_gaps() {
        let mut tracker = SequenceTracker::default();
        for seq in 7..10_000 {
            assert_eq!(tracker.record(seq), Arrival::New);
        }
        assert!(
            tracker.gaps.is_none()
                && !tracker.contains(6)
                && tracker.contains(7)
                && !tracker.contains(10_000)
        );
        assert_eq!(tracker.record(500), Arrival::Duplicate);
        assert_eq!(tracker.record(3), Arrival::Reordered);
        assert!(tracker.contains(3) && !tracker.contains(4) && !tracker.contains(2));
    }

    #[test]
    fn forgotten_gap_counts_as_duplicate() {
        let mut tracker = SequenceTracker::default();
        // Every odd number is missing.
        for seq in (0..400).step_by(2) {
            tracker.record(seq);
        }
        assert_eq!(tracker.record(1), Arrival::Duplicate, "its gap was forgotten");
        assert_eq!(tracker.record(397), Arrival::Reordered);
        assert!(tracker.gaps.as_ref().is_some_and(|gaps| gaps.len() <= GAPS_MAX));
    }

    proptest! {
        #[test]
        fn tracker_agrees_with_a_set(seqs in prop::collection::vec(0..100_u64, 0..300)) {
            let (mut tracker, mut set, mut highest) = (SequenceTracker::default(), BTreeSet::new(), None);
            for seq in seqs {
                let expected = match set.insert(seq) {
                    false => Arrival::Duplicate,
                    true if highest > Some(seq) => Arrival::Reordered,
                    true => Arrival::New,
                };
                highest = highest.max(Some(seq));
                prop_assert_eq!(tracker.record(seq), expected);
                for other in 0..100 {
                    prop_assert_eq!(tracker.contains(other), set.contains(&other));
                }
            }
        }

        #[test]
        fn any_number_can_be_recorded(seqs in prop::collection::vec(0..1_u64 << 40, 0..300)) {
            let mut tracker = SequenceTracker::default();
            for seq in seqs {
                tracker.record(seq);
                prop_assert!(tracker.contains(seq));
            }
        }
    }
}
