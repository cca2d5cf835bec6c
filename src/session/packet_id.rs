//! One packet id in the publish window: the message that has it, and what the server may still answer under it. Used by the
//! window alone, which moves slots between its lists.

use super::linked_list::{Links, Node};
use std::time::Instant;

/// A packet id that was used, by its number less one.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// What goes with the outcome; none once that is told. A message that timed out may live on without it, to complete
    /// its exchange.
    pub(super) tag: Option<T>,
    /// When it was first sent.
    pub(super) sent: Instant,
    /// When it was last sent: the ack timeout counts from here.
    pub(super) last_sent: Instant,
    pub(super) links: Links,
    pub(super) state: SlotState,
    pub(super) awaits: Ack,
    pub(super) resent: bool,
    /// What may be answered besides the message that is in it now.
    pub(super) repeats: ExpectedRepeats,
}

/// Answers of the server to packets that were sent before, under the same id and on the same connection or, in a kept session, an
/// earlier one: how many PUBACKs and PUBCOMPs may still come, and whether PUBRECs may. Each message looks at it twice, so it is one
/// number: two of 15 bits, and [`ExpectedRepeats::RECS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpectedRepeats(u32);

/// What the server says next about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// PUBACK, the end at QoS 1.
    Puback,
    /// PUBREC: it has the message, at QoS 2.
    Pubrec,
    /// PUBCOMP, the end at QoS 2.
    Pubcomp,
}

/// An answer that no packet of ours can have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnexpectedAck;

/// Those in use come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SlotState {
    Free,
    /// Without a message, and to be used again late.
    Resting,
    Live,
    Quarantined,
}

impl ExpectedRepeats {
    pub(super) const NONE: ExpectedRepeats = ExpectedRepeats(0);
    /// A message at QoS 2 had the id on this connection. Its PUBREC may come again at any time, and each wants a PUBREL
    /// [MQTT-4.3.3-1].
    pub(super) const RECS: ExpectedRepeats = ExpectedRepeats(1 << 31);
    const COUNT_MAX: u32 = (1 << 15) - 1;

    /// Something may still come under this id.
    pub(super) fn any(self) -> bool {
        self != ExpectedRepeats::NONE
    }

    pub(super) fn has_recs(self) -> bool {
        self.0 & ExpectedRepeats::RECS.0 != 0
    }

    /// What either of two expects; they do not count the same kind.
    pub(super) fn or(self, other: ExpectedRepeats) -> ExpectedRepeats {
        ExpectedRepeats(self.0 | other.0)
    }

    /// A packet was sent again that may be answered so: with PUBACK, or with PUBCOMP.
    pub(super) fn expect_one_more(&mut self, ack: Ack) {
        let shift = ExpectedRepeats::shift(ack);
        if self.0 >> shift & ExpectedRepeats::COUNT_MAX < ExpectedRepeats::COUNT_MAX {
            self.0 += 1 << shift;
        }
    }

    /// Such an answer came.
    ///
    /// # Errors
    /// None was expected.
    pub(super) fn take_one(&mut self, ack: Ack) -> Result<(), UnexpectedAck> {
        let shift = ExpectedRepeats::shift(ack);
        if self.0 >> shift & ExpectedRepeats::COUNT_MAX == 0 {
            return Err(UnexpectedAck);
        }
        self.0 -= 1 << shift;
        Ok(())
    }

    fn shift(ack: Ack) -> u32 {
        match ack {
            Ack::Puback => 0,
            Ack::Pubrec | Ack::Pubcomp => 15,
        }
    }
}

impl<T> Slot<T> {
    /// One that no message has had yet. Its times mean nothing.
    pub(super) fn free(now: Instant) -> Slot<T> {
        Slot {
            tag: None,
            sent: now,
            last_sent: now,
            links: Links::NONE,
            state: SlotState::Free,
            awaits: Ack::Puback,
            resent: false,
            repeats: ExpectedRepeats::NONE,
        }
    }
}

impl<T> Node for Slot<T> {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_repeated_answers_stay_apart() {
        let mut repeats = ExpectedRepeats::NONE;
        for _ in 0..=ExpectedRepeats::COUNT_MAX {
            repeats.expect_one_more(Ack::Puback);
        }
        assert_eq!(repeats.take_one(Ack::Pubcomp), Err(UnexpectedAck));
        repeats.expect_one_more(Ack::Pubcomp);
        repeats = repeats.or(ExpectedRepeats::RECS);
        assert!((0..ExpectedRepeats::COUNT_MAX).all(|_| repeats.take_one(Ack::Puback).is_ok()));
        assert_eq!(repeats.take_one(Ack::Puback), Err(UnexpectedAck), "one too many was not counted");
        assert_eq!((repeats.take_one(Ack::Pubcomp), repeats), (Ok(()), ExpectedRepeats::RECS));
    }
}
