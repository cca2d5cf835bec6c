//! Messages on their way out: packet ids, acks, timeouts, and what is kept to be sent again.
//!
//! A packet id is one more than the index of a slot. A slot is free, live (unacknowledged) or quarantined (timed
//! out, and in MQTT 3.1.1 still in use), so one late ack never holds up the others. Live and quarantined slots form a list
//! each in the order in which they were sent, free ones a queue, so that an id rests before it is used again. Every
//! step of a message is O(1), and once the slots and buffers exist nothing is allocated.
//!
//! At QoS 2 the id is in use until PUBCOMP, and in a session that the server keeps over connections as well: a new message
//! under an id whose exchange is not complete would be taken for the old one. So what timed out there is sent again like
//! what did not, and only its outcome is not told a second time.
//!
//! The server may answer every packet that it received (MQTT 3.1.1 §4.3.2, §4.3.3), so a packet that is sent twice may be answered
//! twice: a PUBREL for each PUBREC, and a PUBLISH or PUBREL resent on a new connection. Each slot counts such extra answers. Its id, and
//! any id of a QoS 2 message, rests while other ids are available, so that a late answer is not matched to another message.
//!
//! A slot holds the caller's tag until its outcome is told: an event carries the tag away, so no message can end twice.

use super::linked_list::{Links, List, NONE};
use super::packet_id::{Ack, ExpectedRepeats, Slot, SlotState, UnexpectedAck};
use super::subscribe;
use super::types::{Event, Message, NotPublished, PublishError};
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::wire::{QoS, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many packet ids messages have.
pub(super) const IDS: u16 = subscribe::FIRST_PID - 1;

/// The most ids that rest (our choice). Each costs a device the memory of a slot.
const RESTING_MAX: u16 = 8;

/// Made at the first message: an idle session has none.
#[derive(Debug)]
pub(super) struct Window<T> {
    in_flight_max: u16,
    /// Kept over a reconnect.
    persistent: bool,
    slots: Vec<Slot<T>>,
    /// What each slot has to send again: its PUBLISH, or its PUBREL once PUBREC came; by slot, only if persistent.
    frames: Vec<Vec<u8>>,
    /// The buffers of slots that rest, for the next messages: ids that rest take no memory for messages.
    spare: Vec<Vec<u8>>,
    live: List,
    quarantine: List,
    free: List,
    /// Slots without a message whose ids may still be answered, the oldest first.
    resting: List,
    live_count: u16,
    quarantined_count: u16,
    resting_count: u16,
    /// The first live slot that waits to be sent again; all behind it wait as well.
    kept: u16,
    /// QoS 0: written, not yet flushed.
    unflushed: VecDeque<(T, Instant)>,
    /// Not yet polled.
    events: VecDeque<Event<T>>,
}

impl<T> Window<T> {
    pub(super) fn new(in_flight_max: u16, persistent: bool) -> Window<T> {
        Window {
            // More than there are ids would never be full.
            in_flight_max: in_flight_max.min(IDS),
            persistent,
            slots: Vec::new(),
            frames: Vec::new(),
            spare: Vec::new(),
            live: List::EMPTY,
            quarantine: List::EMPTY,
            free: List::EMPTY,
            resting: List::EMPTY,
            live_count: 0,
            quarantined_count: 0,
            resting_count: 0,
            kept: NONE,
            unflushed: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        usize::from(self.live_count)
    }

    /// What the buffers of kept messages take.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.frames.iter().chain(&self.spare).map(Vec::capacity).sum()
    }

    #[cfg(test)]
    pub(super) fn quarantined(&self) -> usize {
        usize::from(self.quarantined_count)
    }

    /// Everything timed out: only a new connection helps.
    pub(super) fn is_stalled(&self) -> bool {
        self.quarantined_count >= self.in_flight_max
    }

    /// What is kept goes first, and quarantined ids do not count, but for their number.
    pub(super) fn has_room(&self) -> bool {
        self.next_free().is_some()
    }

    /// The slot of the next message, if there is room for one.
    fn next_free(&self) -> Option<u16> {
        if self.live_count >= self.in_flight_max || self.is_stalled() || self.kept != NONE {
            return None;
        }
        match self.free.head() {
            NONE => self.next_unused(),
            index => Some(index),
        }
    }

    /// No slot is free: a new one, or the one that has rested for longest.
    #[cold]
    fn next_unused(&self) -> Option<u16> {
        let new = u16::try_from(self.slots.len()).ok().filter(|index| *index < IDS);
        let resting = self.resting.head();
        new.or((resting != NONE).then_some(resting))
    }

    pub(super) fn publish(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        tag: T,
        out: &mut BytesMut,
    ) -> Result<(), NotPublished<T>> {
        let Message { topic, payload, qos, retain } = *message;
        let mut publish = encode::PublishRef { topic, payload, qos, dup: false, retain, pid: 0 };
        let awaits = match qos {
            QoS::AtMostOnce => {
                if let Err(error) = encode::publish(out, &publish) {
                    return Err(NotPublished { error: error.into(), tag });
                }
                self.unflushed.push_back((tag, now));
                return Ok(());
            }
            QoS::AtLeastOnce => Ack::Puback,
            QoS::ExactlyOnce => Ack::Pubrec,
        };
        let Some(index) = self.next_free() else {
            return Err(NotPublished { error: PublishError::WindowFull, tag });
        };
        publish.pid = index + 1;
        let start = out.len();
        if let Err(error) = encode::publish(out, &publish) {
            return Err(NotPublished { error: error.into(), tag });
        }
        let (tag, links, state) = (Some(tag), Links::NONE, SlotState::Live);
        let repeats = if awaits == Ack::Pubrec { ExpectedRepeats::RECS } else { ExpectedRepeats::NONE };
        let slot = Slot { tag, sent: now, last_sent: now, links, state, awaits, resent: false, repeats };
        self.occupy(index, slot);
        if self.persistent {
            let frame = &mut self.frames[usize::from(index)];
            if frame.capacity() == 0 {
                *frame = self.spare.pop().unwrap_or_default();
            }
            frame.clear();
            frame.extend_from_slice(&out[start..]);
            encode::mark_dup(frame);
        }
        Ok(())
    }

    /// Makes [`next_free`](Window::next_free) live.
    fn occupy(&mut self, index: u16, mut slot: Slot<T>) {
        if self.free.head() != index {
            self.make_free(index, slot.sent);
        }
        self.free.remove(&mut self.slots, index);
        let free = &mut self.slots[usize::from(index)];
        slot.repeats = slot.repeats.or(free.repeats);
        *free = slot;
        self.live.push(&mut self.slots, index);
        self.live_count += 1;
    }

    /// Makes a slot free that is new or rests.
    #[cold]
    fn make_free(&mut self, index: u16, now: Instant) {
        if usize::from(index) < self.slots.len() {
            return self.wake(index);
        }
        self.slots.push(Slot::free(now));
        self.free.push(&mut self.slots, index);
        if self.persistent {
            self.frames.push(Vec::new());
        }
    }

    /// Handles a PUBACK or PUBCOMP. Returns its event; `None` for a repeated answer.
    ///
    /// # Errors
    /// It answers no packet that was sent.
    pub(super) fn ack(&mut self, ack: Ack, pid: u16) -> Result<Option<Event<T>>, UnexpectedAck> {
        let index = self.index(pid)?;
        let slot = &mut self.slots[usize::from(index)];
        if slot.state < SlotState::Live || slot.awaits != ack {
            return self.repeated_ack(ack, index).map(|()| None);
        }
        let (tag, sent, resent, state) = (slot.tag.take(), slot.sent, slot.resent, slot.state);
        if state == SlotState::Live {
            self.end(index, SlotState::Free);
        } else {
            self.discharge(index);
        }
        Ok(Some(tag.map_or(Event::LateAck, |tag| Event::Acked { tag, sent, resent })))
    }

    /// Handles a PUBACK or PUBCOMP for an id that does not wait for it: a repeated answer, or an error.
    #[cold]
    fn repeated_ack(&mut self, ack: Ack, index: u16) -> Result<(), UnexpectedAck> {
        let slot = &mut self.slots[usize::from(index)];
        slot.repeats.take_one(ack)?;
        if slot.state == SlotState::Resting && !slot.repeats.any() {
            self.wake(index);
        }
        Ok(())
    }

    /// Handles a PUBREC, which may be a repeated one: from here on PUBREL is resent instead of PUBLISH.
    ///
    /// # Errors
    /// No QoS 2 message had this id.
    pub(super) fn pubrec(&mut self, pid: u16) -> Result<(), UnexpectedAck> {
        let index = self.index(pid)?;
        let slot = &mut self.slots[usize::from(index)];
        if slot.state < SlotState::Live || slot.awaits != Ack::Pubrec {
            return self.pubrec_again(index);
        }
        slot.awaits = Ack::Pubcomp;
        if let Some(frame) = self.frames.get_mut(usize::from(index)) {
            frame.clear();
            frame.extend_from_slice(&encode::pubrel(pid));
        }
        Ok(())
    }

    /// Handles a PUBREC for an id that does not wait for it. PUBREL is sent once more, and may be answered once more.
    #[cold]
    fn pubrec_again(&mut self, index: u16) -> Result<(), UnexpectedAck> {
        let slot = &mut self.slots[usize::from(index)];
        if !slot.repeats.has_recs() {
            return Err(UnexpectedAck);
        }
        slot.repeats.expect_one_more(Ack::Pubcomp);
        Ok(())
    }

    /// The slot of an id that has been used.
    fn index(&self, pid: u16) -> Result<u16, UnexpectedAck> {
        let index = pid.checked_sub(1).ok_or(UnexpectedAck)?;
        if usize::from(index) < self.slots.len() { Ok(index) } else { Err(UnexpectedAck) }
    }

    /// Takes a live slot out of the send order, to be free or quarantined.
    fn end(&mut self, index: u16, state: SlotState) {
        if self.kept == index {
            self.kept = self.slots[usize::from(index)].links.next;
        }
        self.live.remove(&mut self.slots, index);
        self.live_count -= 1;
        if state == SlotState::Free {
            self.release(index);
        } else {
            self.slots[usize::from(index)].state = state;
            self.quarantine.push(&mut self.slots, index);
            self.quarantined_count += 1;
        }
    }

    /// Takes a slot out of quarantine, to be free.
    fn discharge(&mut self, index: u16) {
        self.quarantine.remove(&mut self.slots, index);
        self.quarantined_count -= 1;
        self.release(index);
    }

    fn release(&mut self, index: u16) {
        let slot = &mut self.slots[usize::from(index)];
        if slot.repeats.any() {
            return self.rest(index);
        }
        slot.state = SlotState::Free;
        self.free.push(&mut self.slots, index);
    }

    /// Lets the id of a slot that is in no list rest. If too many rest, the oldest becomes free.
    fn rest(&mut self, index: u16) {
        self.slots[usize::from(index)].state = SlotState::Resting;
        self.resting.push(&mut self.slots, index);
        self.resting_count += 1;
        self.spare.extend(self.frames.get_mut(usize::from(index)).map(std::mem::take));
        if self.resting_count > RESTING_MAX {
            self.wake(self.resting.head());
        }
    }

    /// Frees a resting slot.
    fn wake(&mut self, index: u16) {
        self.resting.remove(&mut self.slots, index);
        self.resting_count -= 1;
        self.slots[usize::from(index)].state = SlotState::Free;
        self.free.push(&mut self.slots, index);
    }

    /// Quarantines what has waited too long; returns when the next will have.
    pub(super) fn expire(&mut self, now: Instant, ack_timeout: Duration) -> Option<Instant> {
        loop {
            let index = self.live.head();
            if index == NONE || index == self.kept {
                return None; // What waits to be sent again has no clock.
            }
            let slot = &mut self.slots[usize::from(index)];
            let expires = slot.last_sent + ack_timeout;
            if expires > now {
                return Some(expires);
            }
            let (tag, sent) = (slot.tag.take(), slot.sent);
            self.end(index, SlotState::Quarantined);
            if let Some(tag) = tag {
                self.events.push_back(Event::TimedOut { tag, sent });
            }
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
            // Any number of PUBRECs is allowed anyway.
            if slot.awaits != Ack::Pubrec {
                slot.repeats.expect_one_more(slot.awaits);
            }
            self.kept = slot.links.next;
            self.events.push_back(Event::Resent);
        }
        out.len() > before
    }

    pub(super) fn handle_flushed(&mut self) {
        let acked = |(tag, sent)| Event::Acked { tag, sent, resent: false };
        self.events.extend(self.unflushed.drain(..).map(acked));
    }

    /// The connection is gone, and with it the use of every quarantined id, but for those of exchanges at QoS 2 that a
    /// kept session has to complete.
    pub(super) fn handle_closed(&mut self, keep: bool) {
        self.events.extend(self.unflushed.drain(..).map(|(tag, sent)| Event::Lost { tag, sent }));
        // What timed out was sent before what is live: it goes in front.
        let mut live = std::mem::replace(&mut self.live, List::EMPTY);
        while self.quarantine.head() != NONE {
            let index = self.quarantine.head();
            let slot = &mut self.slots[usize::from(index)];
            if keep && slot.awaits != Ack::Puback {
                slot.state = SlotState::Live;
                self.quarantine.remove(&mut self.slots, index);
                self.live.push(&mut self.slots, index);
                self.live_count += 1;
                self.quarantined_count -= 1;
            } else {
                self.discharge(index);
            }
        }
        while live.head() != NONE {
            let index = live.head();
            live.remove(&mut self.slots, index);
            self.live.push(&mut self.slots, index);
        }
        while self.resting_count > 0 {
            self.wake(self.resting.head());
        }
        // On the next connection there are no answers for free slots.
        for slot in self.slots.iter_mut().filter(|slot| slot.state == SlotState::Free) {
            slot.repeats = ExpectedRepeats::NONE;
        }
        self.kept = self.live.head();
        if !keep {
            self.lose_kept();
        }
    }

    /// The server has no session: no message is resent, and no answer to an earlier packet can arrive.
    pub(super) fn lose_kept(&mut self) {
        for slot in &mut self.slots {
            slot.repeats = ExpectedRepeats::NONE;
        }
        while self.kept != NONE {
            let slot = &mut self.slots[usize::from(self.kept)];
            let (tag, sent) = (slot.tag.take(), slot.sent);
            self.end(self.kept, SlotState::Free);
            if let Some(tag) = tag {
                self.events.push_back(Event::Lost { tag, sent });
            }
        }
    }

    /// Messages without an outcome, in the order in which they were sent; unflushed QoS 0 last.
    pub(super) fn open(&self) -> impl Iterator<Item = (&T, Instant)> {
        let some = |index: u16| self.slots.get(usize::from(index));
        std::iter::successors(some(self.live.head()), move |slot| some(slot.links.next))
            .filter_map(|slot| Some((slot.tag.as_ref()?, slot.sent)))
            .chain(self.unflushed.iter().map(|(tag, sent)| (tag, *sent)))
    }

    /// Takes the tags of [`open`](Window::open): no event tells how these messages end.
    pub(super) fn take_open(&mut self) -> Vec<T> {
        let mut tags = Vec::new();
        let mut index = self.live.head();
        while let Some(slot) = self.slots.get_mut(usize::from(index)) {
            tags.extend(slot.tag.take());
            index = slot.links.next;
        }
        tags.extend(self.unflushed.drain(..).map(|(tag, _)| tag));
        tags
    }

    pub(super) fn poll_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }
}
