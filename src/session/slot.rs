//! One packet id in the publish window: the message that has it, and what the server may still answer under it. Used by the
//! window alone, which moves slots between its lists.

use super::list::{Links, Node};
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
    pub(super) place: Place,
    pub(super) awaits: Answer,
    pub(super) resent: bool,
    /// What may be answered besides the message that is in it now.
    pub(super) repeats: Repeats,
}

/// Answers of the server to packets that were sent before, under the same id and on the same connection or, in a kept session, an
/// earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    /// PUBACKs: so many PUBLISHes were sent again.
    pub(super) acks: u16,
    /// PUBCOMPs: so many PUBRELs were sent again.
    pub(super) comps: u16,
    /// A message at QoS 2 had the id on this connection. Its PUBREC may come again at any time, and each wants a PUBREL
    /// [MQTT-4.3.3-1].
    pub(super) recs: bool,
}

/// What the server says next about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// PUBACK, the end at QoS 1.
    Ack,
    /// PUBREC: it has the message, at QoS 2.
    Rec,
    /// PUBCOMP, the end at QoS 2.
    Comp,
}

/// An answer that no packet of ours can have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unasked;

/// Those in use come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Free,
    /// Without a message, and to be used again late.
    Resting,
    Live,
    Quarantined,
}

impl Repeats {
    pub(super) const NONE: Repeats = Repeats { acks: 0, comps: 0, recs: false };

    /// Something may still come under this id.
    pub(super) fn any(self) -> bool {
        (self.acks | self.comps) != 0 || self.recs
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
            place: Place::Free,
            awaits: Answer::Ack,
            resent: false,
            repeats: Repeats::NONE,
        }
    }
}

impl<T> Node for Slot<T> {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}
