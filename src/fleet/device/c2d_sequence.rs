//! The sequence numbers of received cloud-to-device messages: which arrived once, twice, late or never. Used by `c2d`.

use crate::measure::FromHub;

/// Number of recent sequence numbers that are remembered.
const WINDOW: u64 = 64;

/// Maximum number of messages that one jump in the sequence can count as skipped, so that a bogus number cannot saturate the
/// counter.
const SKIPPED_MAX: u64 = u32::MAX as u64;

/// The sequence numbers that have arrived.
#[derive(Debug, Default)]
pub(super) struct C2dSequence {
    /// The next expected sequence number.
    next: u64,
    /// Which of the numbers below `next` have arrived; the lowest bit is `next - 1`.
    arrived: u64,
}

impl C2dSequence {
    /// Records a sequence number. Returns the counts to add for it.
    pub(super) fn record(&mut self, seq: u64) -> FromHub {
        let mut counts = FromHub::default();
        if let Some(skipped) = seq.checked_sub(self.next) {
            counts.c2d_skipped = skipped.min(SKIPPED_MAX);
            let moved = u32::try_from(skipped.saturating_add(1)).unwrap_or(u32::MAX);
            self.arrived = self.arrived.checked_shl(moved).unwrap_or(0) | 1;
            self.next = seq.saturating_add(1);
            return counts;
        }
        let back = self.next - 1 - seq;
        // Numbers that are too old to be remembered count as duplicates.
        if back >= WINDOW || self.arrived >> back & 1 == 1 {
            counts.c2d_duplicates = 1;
        } else {
            self.arrived |= 1 << back;
            counts.c2d_reordered = 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(seqs: impl IntoIterator<Item = u64>) -> (u64, u64, u64) {
        let mut numbers = C2dSequence::default();
        let mut sum = (0, 0, 0);
        for seq in seqs {
            let counts = numbers.record(seq);
            sum.0 += counts.c2d_skipped;
            sum.1 += counts.c2d_duplicates;
            sum.2 += counts.c2d_reordered;
        }
        sum
    }

    #[test]
    fn skips_duplicates_and_reordering_are_distinguished() {
        for (seqs, skipped, duplicates, reordered) in [
            (&[0, 1, 2, 3][..], 0, 0, 0),
            (&[0, 2, 3], 1, 0, 0),
            (&[2], 2, 0, 0),
            (&[0, 0, 1, 1, 0], 0, 3, 0),
            (&[0, 2, 1, 1], 1, 1, 1),
            (&[3, 2, 1, 0], 3, 0, 3),
            (&[0, 100, 1], 99, 1, 0),
            (&[u64::MAX - 1, u64::MAX - 1, 0], SKIPPED_MAX, 2, 0),
            (&[u64::MAX, 0], SKIPPED_MAX, 1, 0),
        ] {
            assert_eq!(counted(seqs.iter().copied()), (skipped, duplicates, reordered), "{seqs:?}");
        }
    }

    proptest! {
        #[test]
        fn every_message_is_new_or_a_duplicate(mut seqs in prop::collection::vec(0_u64..40, 0..80)) {
            let (skipped, duplicates, reordered) = counted(seqs.iter().copied());
            let all = seqs.len() as u64;
            seqs.sort_unstable();
            seqs.dedup();
            let (new, highest) = (seqs.len() as u64, seqs.last().map_or(0, |last| last + 1));
            prop_assert_eq!(duplicates, all - new);
            prop_assert_eq!(skipped - reordered, highest - new, "numbers that never arrived");
        }
    }
}
