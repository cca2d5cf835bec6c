//! Received cloud-to-device messages: their age, and whether each arrived once and in order. Part of `device`, called by
//! `received`.
//!
//! An age is correct only if the clocks of the sender and of this machine agree. If the run sends the messages itself, both
//! stamps come from a clock without steps.

use super::Device;
use crate::clock::Step;
use crate::iothub::received::{Stamp, stamp};
use crate::measure::{Culprit, FromHub, Operation};
use crate::plan::CallPlan;
use std::time::{Duration, Instant};

/// How far back message numbers are remembered.
const WINDOW: u64 = 64;

/// Maximum number of messages that one jump of the number counts as skipped, so that an invented number cannot saturate the
/// counter.
const SKIPPED_MAX: u64 = u32::MAX as u64;

/// The message numbers that have arrived.
#[derive(Debug, Default)]
pub(super) struct C2dSequence {
    /// The next expected number.
    next: u64,
    /// Which of the numbers below `next` have arrived; the lowest bit is `next - 1`.
    arrived: u64,
}

impl C2dSequence {
    /// Records a message number. Returns what to count for it.
    fn record(&mut self, seq: u64) -> FromHub {
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

impl Device {
    pub(super) fn on_c2d(&mut self, now: Instant, bag: &str) {
        let Stamp { sent, seq } = stamp(bag);
        let zero_unix = self.context.clock.zero_unix;
        match sent.map(|sent| self.age(sent, now)) {
            Some(Age::Known(age)) => self.recorder().ok_with_age(Operation::C2d, now, age),
            Some(Age::Ahead) => self.recorder().error("clock_ahead", Culprit::Peer, now, || {
                format!("{}: a cloud-to-device message has a stamp later than its arrival", self.id())
            }),
            Some(Age::Stepped) => self.recorder().error("clock_step", Culprit::Us, now, || {
                format!(
                    "{}: this machine's clock stepped while a cloud-to-device message was in transit",
                    self.id()
                )
            }),
            None => {}
        }
        // Messages of an earlier run have numbers of their own.
        let seq = seq.filter(|_| sent.is_none_or(|sent| sent >= zero_unix));
        let counted = seq.map(|seq| self.iot_hub().c2d.record(seq)).unwrap_or_default();
        self.count_hub(|counts| {
            counts.c2d += 1;
            counts.c2d_unstamped += u64::from(sent.is_none());
            counts.c2d_duplicates += counted.c2d_duplicates;
            counts.c2d_skipped = counts.c2d_skipped.saturating_add(counted.c2d_skipped);
            counts.c2d_reordered += counted.c2d_reordered;
        });
    }
}

/// The age of a message, if it is known.
enum Age {
    Known(Duration),
    /// The stamp is later than the arrival.
    Ahead,
    /// This machine's clock stepped while the message was in transit.
    Stepped,
}

impl Device {
    /// Returns the age of a message that was stamped at `sent`, since the Unix epoch.
    fn age(&self, sent: Duration, now: Instant) -> Age {
        let context = &self.context;
        if context.plan.drives.iter().any(|drive| matches!(drive.call, CallPlan::C2d { .. })) {
            return context.clock.unstepped_unix(now).checked_sub(sent).map_or(Age::Ahead, Age::Known);
        }
        let age = context.compare_clocks(now).checked_sub(sent);
        let watch = context.steps.borrow();
        let reaches = |step: &Step| age.is_none_or(|age| now.saturating_duration_since(step.at) <= age);
        match age {
            _ if watch.steps().iter().any(reaches) => Age::Stepped,
            Some(age) => Age::Known(age),
            None => Age::Ahead,
        }
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
