//! Messages from the server and the replies to them, which are written in the order of the packets that they acknowledge (MQTT
//! 3.1.1 §4.6). A QoS 2 packet id is remembered until PUBREL; until then, a PUBLISH with the same id is a repetition (§4.3.3,
//! method B).

use super::types::Event;
use crate::wire::{Publish, QoS, encode};
use bytes::BytesMut;

/// Maximum number of queued replies before the session stops reading, so that a peer that sends but does not read cannot use up
/// memory.
const REPLIES_MAX: usize = 1024;

/// State of received messages. Allocated with the first reply: a device that only sends at QoS 0 and 1 needs none.
#[derive(Debug, Default)]
pub(super) struct Incoming(Option<Box<Exchanges>>);

/// Queued replies and open QoS 2 exchanges.
#[derive(Debug, Default)]
struct Exchanges {
    replies: Vec<(Reply, u16)>,
    /// Packet ids of received QoS 2 messages without PUBREL, sorted.
    received: Vec<u16>,
}

/// A packet that acknowledges another one with the same packet id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Ack,
    Rec,
    Rel,
    Comp,
}

impl Incoming {
    /// Handles PUBLISH. Returns its event, or `None` for a repetition.
    pub(super) fn publish<T>(&mut self, publish: Publish) -> Option<Event<T>> {
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.queue_reply(Reply::Ack, publish.pid),
            QoS::ExactlyOnce => {
                self.queue_reply(Reply::Rec, publish.pid);
                let received = &mut self.exchanges().received;
                let place = received.binary_search(&publish.pid).err()?;
                received.insert(place, publish.pid);
            }
        }
        Some(Event::Message(publish))
    }

    /// Handles PUBREL. It is answered even if the id is unknown, because it may be a repetition [MQTT-4.3.3-2].
    pub(super) fn pubrel(&mut self, pid: u16) {
        let received = &mut self.exchanges().received;
        if let Ok(place) = received.binary_search(&pid) {
            received.remove(place);
        }
        self.queue_reply(Reply::Comp, pid);
    }

    pub(super) fn queue_reply(&mut self, reply: Reply, pid: u16) {
        self.exchanges().replies.push((reply, pid));
    }

    fn exchanges(&mut self) -> &mut Exchanges {
        self.0.get_or_insert_default()
    }

    pub(super) fn has_room(&self) -> bool {
        self.0.as_ref().is_none_or(|exchanges| exchanges.replies.len() < REPLIES_MAX)
    }

    /// Writes the queued replies. Returns true if there were any.
    pub(super) fn poll_output(&mut self, out: &mut BytesMut) -> bool {
        let Some(exchanges) = self.0.as_deref_mut() else { return false };
        for (reply, pid) in &exchanges.replies {
            match reply {
                Reply::Ack => encode::puback(out, *pid),
                Reply::Rec => encode::pubrec(out, *pid),
                Reply::Rel => out.extend_from_slice(&encode::pubrel(*pid)),
                Reply::Comp => encode::pubcomp(out, *pid),
            }
        }
        let some = !exchanges.replies.is_empty();
        exchanges.replies.clear();
        some
    }

    /// Handles the end of the connection. A persistent session remembers its received QoS 2 ids.
    pub(super) fn handle_closed(&mut self, keep: bool) {
        if let Some(exchanges) =
            self.0.as_deref_mut().filter(|exchanges| keep && !exchanges.received.is_empty())
        {
            exchanges.replies.clear();
        } else {
            self.forget();
        }
    }

    /// Forgets everything, because the server has no session.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
