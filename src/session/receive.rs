//! Messages from the server: QoS 1 is acknowledged in the order of arrival (MQTT 3.1.1 §4.6), QoS 2 is refused.

use super::types::{Event, SessionError};
use crate::wire::{Publish, QoS, encode};
use bytes::BytesMut;

/// PUBACKs that may be owed before nothing more is read: a peer that sends and does not read costs no memory.
const OWED_MAX: usize = 1024;

/// PUBACKs that are owed.
#[derive(Debug, Default)]
pub(super) struct Receive {
    owed: Vec<u16>,
}

impl Receive {
    pub(super) fn publish(&mut self, publish: Publish) -> Result<Event, SessionError> {
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.owed.push(publish.pid),
            // This session never subscribes above QoS 1, so the server may not send it [MQTT-3.8.4-6].
            QoS::ExactlyOnce => {
                return Err(SessionError::Protocol("PUBLISH at QoS 2, which was not asked for"));
            }
        }
        Ok(Event::Message(publish))
    }

    pub(super) fn has_room(&self) -> bool {
        self.owed.len() < OWED_MAX
    }

    /// Writes what is owed; true if there was something.
    pub(super) fn poll_output(&mut self, out: &mut BytesMut) -> bool {
        for pid in &self.owed {
            encode::puback(out, *pid);
        }
        let some = !self.owed.is_empty();
        self.owed.clear();
        some
    }

    pub(super) fn clear(&mut self) {
        self.owed = Vec::new();
    }
}
