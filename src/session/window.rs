//! Messages on their way out: packet ids, acks, timeouts, and what is kept to be sent again.
//!
//! A packet id is one more than the index of a slot. A slot is free, live (unacknowledged) or quarantined (timed
//! out, and in MQTT 3.1.1 still in use), so one late ack never holds up the others. Live slots form a list in the order in
//! which they were sent, free ones a queue, so that an id rests before it is used again. Every step is O(1), and
//! once the slots and buffers exist nothing is allocated.

use super::list::{Links, List, NONE, Node};
use super::subscribe;
use super::types::{Event, Message, PublishError, Tag};
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::wire::{QoS, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Made at the first message: an idle session has none.
#[derive(Debug)]
pub(super) struct Window {
    in_flight_max: u16,
    /// Kept over a reconnect.
    persistent: bool,
    slots: Vec<Slot>,
    /// The retransmission of each slot's message, by slot; only if persistent.
    frames: Vec<Vec<u8>>,
    live: List,
    free: List,
    live_count: u16,
    quarantined_count: u16,
    /// The first live slot that waits to be sent again; all behind it wait as well.
    kept: u16,
    /// QoS 0: written, not yet flushed.
    unflushed: VecDeque<(Tag, Instant)>,
    /// Not yet polled.
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Slot {
    tag: Tag,
    /// When it was first sent.
    sent: Instant,
    /// When it was last sent: the ack timeout counts from here.
    last_sent: Instant,
    links: Links,
    place: Place,
    resent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Live,
    Quarantined,
}

impl Node for Slot {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Window {
    pub(super) fn new(in_flight_max: u16, persistent: bool) -> Window {
        Window {
            in_flight_max,
            persistent,
            slots: Vec::new(),
            frames: Vec::new(),
            live: List::EMPTY,
            free: List::EMPTY,
            live_count: 0,
            quarantined_count: 0,
            kept: NONE,
            unflushed: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(super) fn live(&self) -> usize {
        usize::from(self.live_count)
    }

    pub(super) fn quarantined(&self) -> usize {
        usize::from(self.quarantined_count)
    }

    /// Everything timed out: only a new connection helps.
    pub(super) fn is_stalled(&self) -> bool {
        self.quarantined_count >= self.in_flight_max
    }

    /// What is kept goes first, and quarantined ids do not count, but for their number.
    pub(super) fn has_room(&self) -> bool {
        self.live_count < self.in_flight_max
            && !self.is_stalled()
            && self.kept == NONE
            && self.next_free().is_some()
    }

    fn next_free(&self) -> Option<u16> {
        match self.free.head() {
            NONE => u16::try_from(self.slots.len()).ok().filter(|index| *index < subscribe::FIRST_PID - 1),
            index => Some(index),
        }
    }

    pub(super) fn publish(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        tag: Tag,
        out: &mut BytesMut,
    ) -> Result<(), PublishError> {
        let Message { topic, payload, qos } = *message;
        let mut publish = encode::PublishRef { topic, payload, qos, dup: false, retain: false, pid: 0 };
        match qos {
            QoS::AtMostOnce => {
                encode::publish(out, &publish)?;
                self.unflushed.push_back((tag, now));
                return Ok(());
            }
            QoS::AtLeastOnce => {}
            QoS::ExactlyOnce => return Err(PublishError::QoS2),
        }
        let index = self.next_free().filter(|_| self.has_room()).ok_or(PublishError::WindowFull)?;
        publish.pid = index + 1;
        let start = out.len();
        encode::publish(out, &publish)?;
        self.occupy(
            index,
            Slot { tag, sent: now, last_sent: now, links: Links::NONE, place: Place::Live, resent: false },
        );
        if self.persistent {
            let frame = &mut self.frames[usize::from(index)];
            frame.clear();
            frame.extend_from_slice(&out[start..]);
            encode::mark_dup(frame);
        }
        Ok(())
    }

    /// Makes [`next_free`](Window::next_free) live.
    fn occupy(&mut self, index: u16, slot: Slot) {
        if self.free.head() == index {
            self.free.remove(&mut self.slots, index);
            self.slots[usize::from(index)] = slot;
        } else {
            self.slots.push(slot);
            if self.persistent {
                self.frames.push(Vec::new());
            }
        }
        self.live.push(&mut self.slots, index);
        self.live_count += 1;
    }

    /// PUBACK came: what it means, or `None` if the id is not in use.
    pub(super) fn ack(&mut self, pid: u16) -> Option<Event> {
        let index = pid.checked_sub(1)?;
        let slot = self.slots.get(usize::from(index))?;
        let (tag, sent, resent) = (slot.tag, slot.sent, slot.resent);
        match slot.place {
            Place::Free => None,
            Place::Live => {
                self.end(index, Place::Free);
                Some(Event::Acked { tag, sent, resent })
            }
            Place::Quarantined => {
                self.quarantined_count -= 1;
                self.release(index);
                Some(Event::LateAck)
            }
        }
    }

    /// Takes a live slot out of the send order, to be free or quarantined.
    fn end(&mut self, index: u16, place: Place) {
        if self.kept == index {
            self.kept = self.slots[usize::from(index)].links.next;
        }
        self.live.remove(&mut self.slots, index);
        self.live_count -= 1;
        if place == Place::Free {
            self.release(index);
        } else {
            self.slots[usize::from(index)].place = place;
            self.quarantined_count += 1;
        }
    }

    fn release(&mut self, index: u16) {
        self.slots[usize::from(index)].place = Place::Free;
        self.free.push(&mut self.slots, index);
    }

    /// Quarantines what has waited too long; returns when the next will have.
    pub(super) fn expire(&mut self, now: Instant, ack_timeout: Duration) -> Option<Instant> {
        loop {
            let index = self.live.head();
            if index == NONE || index == self.kept {
                return None; // What waits to be sent again has no clock.
            }
            let Slot { tag, sent, last_sent, .. } = self.slots[usize::from(index)];
            if last_sent + ack_timeout > now {
                return Some(last_sent + ack_timeout);
            }
            self.end(index, Place::Quarantined);
            self.events.push_back(Event::TimedOut { tag, sent });
        }
    }

    /// Sends kept messages again, in their order (MQTT 3.1.1 §4.4, §4.6), while the output has room; true if any.
    pub(super) fn resend(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        let before = out.len();
        while self.kept != NONE && out.len() < OUTPUT_BYTES_MAX {
            let index = usize::from(self.kept);
            out.extend_from_slice(&self.frames[index]);
            let slot = &mut self.slots[index];
            (slot.last_sent, slot.resent) = (now, true);
            self.kept = slot.links.next;
            self.events.push_back(Event::Resent);
        }
        out.len() > before
    }

    pub(super) fn handle_flushed(&mut self) {
        let acked = |(tag, sent)| Event::Acked { tag, sent, resent: false };
        self.events.extend(self.unflushed.drain(..).map(acked));
    }

    /// The connection is gone, and with it the use of every quarantined id.
    pub(super) fn handle_closed(&mut self, keep: bool) {
        self.events.extend(self.unflushed.drain(..).map(|(tag, sent)| Event::Lost { tag, sent }));
        self.kept = self.live.head();
        if !keep {
            self.lose_kept();
        }
        for index in 0..self.slots.len() {
            if self.slots[index].place == Place::Quarantined {
                #[expect(clippy::cast_possible_truncation, reason = "slots are packet ids")]
                self.release(index as u16);
            }
        }
        self.quarantined_count = 0;
    }

    /// Nothing that waits to be sent again will be.
    pub(super) fn lose_kept(&mut self) {
        while self.kept != NONE {
            let Slot { tag, sent, .. } = self.slots[usize::from(self.kept)];
            self.end(self.kept, Place::Free);
            self.events.push_back(Event::Lost { tag, sent });
        }
    }

    /// Unacknowledged and unflushed messages, in the order in which they were sent, QoS 1 first.
    pub(super) fn open(&self) -> impl Iterator<Item = (Tag, Instant)> {
        let some = |index: u16| self.slots.get(usize::from(index));
        std::iter::successors(some(self.live.head()), move |slot| some(slot.links.next))
            .map(|slot| (slot.tag, slot.sent))
            .chain(self.unflushed.iter().copied())
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
