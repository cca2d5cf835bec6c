//! Outgoing messages: packet ids, acknowledgments, timeouts, and messages that are kept to be resent. Used by `Session`.
//!
//! A packet id is the index of a slot plus one. A slot is free, live (unacknowledged) or quarantined (timed out, but MQTT 3.1.1
//! does not allow its id to be reused yet), so one late acknowledgment does not block other messages. Live and quarantined slots
//! each form a list, in sending order. Free slots form a queue, so that an id rests before it is reused. Each step of a message
//! is O(1), and does not allocate once the slots and buffers exist.
//!
//! At QoS 2 the id is in use until PUBCOMP. In a persistent session, this holds across reconnects: the server would mistake a new message
//! with this id for the old one. So a timed-out QoS 2 message is resent like any other, but its outcome is not reported again.
//!
//! The server may answer every packet that it receives (MQTT 3.1.1 §4.3.2, §4.3.3). A packet that is sent twice may be answered
//! twice. This applies to PUBREL, which is sent for each repeated PUBREC, and to a PUBLISH or PUBREL that is resent on a new
//! connection. Each slot counts such extra answers. Its id, and any id of a QoS 2 message, rests while other ids are available,
//! so that a late answer is not matched to another message.
//!
//! A slot holds the caller's tag until its outcome is reported. The event takes the tag, so no message can end twice.

use super::linked_list::{Links, List, NONE};
use super::packet_id::{Ack, ExpectedRepeats, Slot, SlotState, UnexpectedAck};
use super::subscribe;
use super::types::{Event, Message, NotPublished, PublishError};
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::wire::{QoS, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Number of packet ids for messages.
pub(super) const IDS: u16 = subscribe::FIRST_PID - 1;

/// Maximum number of resting ids (our choice). Each costs a device the memory of a slot.
const RESTING_MAX: u16 = 8;

/// The in-flight window. Allocated with the first message.
#[derive(Debug)]
pub(super) struct Window<T> {
    in_flight_max: u16,
    /// Whether messages are kept across a reconnect.
    persistent: bool,
    slots: Vec<Slot<T>>,
    /// Packet to resend for each slot: PUBLISH, or PUBREL after PUBREC. Empty unless `persistent` is set.
    frames: Vec<Vec<u8>>,
    /// Buffers of resting slots, for later messages, so that resting ids hold no payloads.
    spare: Vec<Vec<u8>>,
    live: List,
    quarantine: List,
    free: List,
    /// Slots without a message whose ids may still be answered, oldest first.
    resting: List,
    live_count: u16,
    quarantined_count: u16,
    resting_count: u16,
    /// First live slot that waits to be resent. All slots after it wait as well.
    kept: u16,
    /// QoS 0 messages that are written but not flushed.
    unflushed: VecDeque<(T, Instant)>,
    /// Events that have not been polled.
    events: VecDeque<Event<T>>,
}

impl<T> Window<T> {
    pub(super) fn new(in_flight_max: u16, persistent: bool) -> Window<T> {
        Window {
            // A window larger than the number of packet ids would never be full.
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

    /// Returns the capacity of the buffers for kept messages.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.frames.iter().chain(&self.spare).map(Vec::capacity).sum()
    }

    #[cfg(test)]
    pub(super) fn quarantined(&self) -> usize {
        usize::from(self.quarantined_count)
    }

    /// Returns true if every message of a full window has timed out. Only a new connection helps.
    pub(super) fn is_stalled(&self) -> bool {
        self.quarantined_count >= self.in_flight_max
    }

    /// Returns true if a message can be sent. Kept messages go first. Quarantined ids do not use up the window, unless it is
    /// stalled.
    pub(super) fn has_room(&self) -> bool {
        self.next_free().is_some()
    }

    /// Returns the slot for the next message, if there is room.
    fn next_free(&self) -> Option<u16> {
        if self.live_count >= self.in_flight_max || self.is_stalled() || self.kept != NONE {
            return None;
        }
        match self.free.head() {
            NONE => self.next_unused(),
            index => Some(index),
        }
    }

    /// Returns a new slot or, if all ids are in use, the slot that has rested longest.
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

    /// Puts a message into the slot of [`next_free`](Window::next_free).
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

    /// Makes a new or resting slot free.
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

    /// Handles PUBACK or PUBCOMP. Returns the event, or `None` for a repeated acknowledgment.
    ///
    /// # Errors
    /// No sent packet could have caused this acknowledgment.
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

    /// Handles a PUBACK or PUBCOMP that the slot does not expect: a repetition, or an error.
    #[cold]
    fn repeated_ack(&mut self, ack: Ack, index: u16) -> Result<(), UnexpectedAck> {
        let slot = &mut self.slots[usize::from(index)];
        slot.repeats.take_one(ack)?;
        if slot.state == SlotState::Resting && !slot.repeats.any() {
            self.wake(index);
        }
        Ok(())
    }

    /// Handles PUBREC, which may be repeated. After it, PUBREL is resent instead of PUBLISH.
    ///
    /// # Errors
    /// No QoS 2 message has used this id.
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

    /// Handles a PUBREC that the slot does not expect. PUBREL is sent again, so another PUBCOMP may arrive.
    #[cold]
    fn pubrec_again(&mut self, index: u16) -> Result<(), UnexpectedAck> {
        let slot = &mut self.slots[usize::from(index)];
        if !slot.repeats.has_recs() {
            return Err(UnexpectedAck);
        }
        slot.repeats.expect_one_more(Ack::Pubcomp);
        Ok(())
    }

    /// Returns the slot of a packet id that has been used.
    fn index(&self, pid: u16) -> Result<u16, UnexpectedAck> {
        let index = pid.checked_sub(1).ok_or(UnexpectedAck)?;
        if usize::from(index) < self.slots.len() { Ok(index) } else { Err(UnexpectedAck) }
    }

    /// Removes a live slot from the sending order and frees or quarantines it.
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

    /// Frees a quarantined slot.
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

    /// Lets the id of a slot rest. The slot must not be in a list. If too many ids are resting, frees the oldest.
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

    /// Quarantines the messages whose ack timeout has expired. Returns when the next one expires.
    pub(super) fn expire(&mut self, now: Instant, ack_timeout: Duration) -> Option<Instant> {
        loop {
            let index = self.live.head();
            if index == NONE || index == self.kept {
                return None; // The ack timeout does not run while a message waits to be resent.
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

    /// Resends kept messages in sending order (MQTT 3.1.1 §4.4, §4.6) while the output has room. Returns true if it wrote any.
    pub(super) fn resend(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        let before = out.len();
        while self.kept != NONE && out.len() < OUTPUT_BYTES_MAX {
            let index = usize::from(self.kept);
            out.extend_from_slice(&self.frames[index]);
            let slot = &mut self.slots[index];
            (slot.last_sent, slot.resent) = (now, true);
            // PUBREC needs no count: any number is allowed.
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

    /// Handles the end of the connection. It frees the quarantined ids, except those of QoS 2 exchanges that a persistent session must
    /// complete.
    pub(super) fn handle_closed(&mut self, keep: bool) {
        self.events.extend(self.unflushed.drain(..).map(|(tag, sent)| Event::Lost { tag, sent }));
        // Timed-out messages were sent before the live ones, so they go first.
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
        // On the next connection, no acknowledgment for a free slot can arrive.
        for slot in self.slots.iter_mut().filter(|slot| slot.state == SlotState::Free) {
            slot.repeats = ExpectedRepeats::NONE;
        }
        self.kept = self.live.head();
        if !keep {
            self.lose_kept();
        }
    }

    /// Loses all kept messages, because the server has no session. No acknowledgment of an earlier packet can arrive.
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

    /// Returns the messages without an outcome in sending order, unflushed QoS 0 messages last.
    pub(super) fn open(&self) -> impl Iterator<Item = (&T, Instant)> {
        let some = |index: u16| self.slots.get(usize::from(index));
        std::iter::successors(some(self.live.head()), move |slot| some(slot.links.next))
            .filter_map(|slot| Some((slot.tag.as_ref()?, slot.sent)))
            .chain(self.unflushed.iter().map(|(tag, sent)| (tag, *sent)))
    }

    /// Takes the tags of [`open`](Window::open). No event will report the end of these messages.
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
