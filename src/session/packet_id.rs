//! One packet id of the in-flight window: its message, and the acknowledgments that may still arrive for it. Used only by
//! `window`, which moves slots between its lists.

use super::linked_list::{Links, Node};
use std::time::Instant;

/// The slot of a packet id. Its index is the id minus one.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// Tag of the message, until its outcome is reported. A timed-out message may stay without a tag to complete its exchange.
    pub(super) tag: Option<T>,
    /// When the message was first sent.
    pub(super) sent: Instant,
    /// When the message was last sent. The ack timeout starts then.
    pub(super) last_sent: Instant,
    pub(super) links: Links,
    pub(super) state: SlotState,
    pub(super) awaits: Ack,
    pub(super) resent: bool,
    /// Acknowledgments that may arrive in addition to those of the current message.
    pub(super) repeats: ExpectedRepeats,
}

/// Extra acknowledgments that the server may still send for earlier packets with the same id: a count of PUBACKs, a count of
/// PUBCOMPs, and whether PUBRECs may arrive. In a persistent session the packets may be from an earlier connection. This value is read
/// twice per message, so it is packed into one number: two 15-bit counts and [`ExpectedRepeats::RECS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpectedRepeats(u32);

/// The acknowledgment that a message waits for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// PUBACK, which ends a QoS 1 message.
    Puback,
    /// PUBREC, the first acknowledgment of a QoS 2 message.
    Pubrec,
    /// PUBCOMP, which ends a QoS 2 message.
    Pubcomp,
}

/// An acknowledgment that none of our packets could have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnexpectedAck;

/// State of a slot. The order matters: the states of slots in use come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SlotState {
    Free,
    /// Has no message, and is reused only when no other id is free.
    Resting,
    Live,
    Quarantined,
}

impl ExpectedRepeats {
    pub(super) const NONE: ExpectedRepeats = ExpectedRepeats(0);
    /// The id had a QoS 2 message on this connection. The server may repeat PUBREC at any time, and each PUBREC needs a PUBREL
    /// [MQTT-4.3.3-1].
    pub(super) const RECS: ExpectedRepeats = ExpectedRepeats(1 << 31);
    const COUNT_MAX: u32 = (1 << 15) - 1;

    /// Returns true if any acknowledgment may still arrive.
    pub(super) fn any(self) -> bool {
        self != ExpectedRepeats::NONE
    }

    pub(super) fn has_recs(self) -> bool {
        self.0 & ExpectedRepeats::RECS.0 != 0
    }

    /// Combines two values, which must not both count the same kind of acknowledgment.
    pub(super) fn or(self, other: ExpectedRepeats) -> ExpectedRepeats {
        ExpectedRepeats(self.0 | other.0)
    }

    /// Records that a packet was resent. `ack` is its acknowledgment: PUBACK or PUBCOMP.
    pub(super) fn expect_one_more(&mut self, ack: Ack) {
        let shift = ExpectedRepeats::shift(ack);
        if self.0 >> shift & ExpectedRepeats::COUNT_MAX < ExpectedRepeats::COUNT_MAX {
            self.0 += 1 << shift;
        }
    }

    /// Takes one expected acknowledgment of this kind.
    ///
    /// # Errors
    /// No acknowledgment of this kind is expected.
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
    /// Returns a slot that has never held a message. Its times are meaningless.
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
    fn counts_of_repeated_acks_are_independent() {
        let mut repeats = ExpectedRepeats::NONE;
        for _ in 0..=ExpectedRepeats::COUNT_MAX {
            repeats.expect_one_more(Ack::Puback);
        }
        assert_eq!(repeats.take_one(Ack::Pubcomp), Err(UnexpectedAck));
        repeats.expect_one_more(Ack::Pubcomp);
        repeats = repeats.or(ExpectedRepeats::RECS);
        assert!((0..ExpectedRepeats::COUNT_MAX).all(|_| repeats.take_one(Ack::Puback).is_ok()));
        assert_eq!(repeats.take_one(Ack::Puback), Err(UnexpectedAck), "the count saturates");
        assert_eq!((repeats.take_one(Ack::Pubcomp), repeats), (Ok(()), ExpectedRepeats::RECS));
    }
}
