//! Messages from the server, and the answers that are owed, in the order of what they answer (MQTT 3.1.1 §4.6). At QoS 2
//! the packet id is remembered until PUBREL, and what comes under it meanwhile is the same message (§4.3.3, method B).

use super::types::Event;
use crate::wire::{Publish, QoS, encode};
use bytes::BytesMut;

/// Answers that may be owed before nothing more is read: a peer that sends and does not read costs no memory.
const REPLIES_MAX: usize = 1024;

/// Made when there is something to answer: a device that only sends at QoS 0 and 1 has none.
#[derive(Debug, Default)]
pub(super) struct Incoming(Option<Box<Exchanges>>);

/// What is owed, and what is being received.
#[derive(Debug, Default)]
struct Exchanges {
    replies: Vec<(Reply, u16)>,
    /// Packet ids of messages at QoS 2 that were taken and not released; sorted.
    received: Vec<u16>,
}

/// A packet that answers another one with the same packet id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Ack,
    Rec,
    Rel,
    Comp,
}

impl Incoming {
    /// A message came: what it means, or `None` if it came before.
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

    /// PUBREL came: answered whether or not the id is known, as it may have come before [MQTT-4.3.3-2].
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

    /// Writes what is owed; true if there was something.
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

    /// The connection is gone; what was taken is known for as long as the session is kept.
    pub(super) fn handle_closed(&mut self, keep: bool) {
        if let Some(exchanges) =
            self.0.as_deref_mut().filter(|exchanges| keep && !exchanges.received.is_empty())
        {
            exchanges.replies.clear();
        } else {
            self.forget();
        }
    }

    /// The server has no session any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
