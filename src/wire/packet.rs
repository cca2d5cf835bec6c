//! The control packets of MQTT 3.1.1, and the standard's limits. Independent of how they are written as bytes.

use bytes::Bytes;
use std::fmt;
use zeroize::Zeroizing;

/// The longest string or binary field: its length has two bytes (MQTT 3.1.1 §1.5.3).
pub const STRING_BYTES_MAX: usize = 65_535;

/// The largest remaining length that four bytes can say (MQTT 3.1.1 §2.2.3).
pub const REMAINING_BYTES_MAX: usize = 268_435_455;

/// The return code of a filter that was refused (MQTT 3.1.1 §3.9.3).
pub const SUBACK_FAILURE: u8 = 0x80;

/// Quality of service (MQTT 3.1.1 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: fire and forget.
    AtMostOnce = 0,
    /// QoS 1: acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: the four-packet exchange.
    ExactlyOnce = 2,
}

impl QoS {
    /// The quality of service of that number; 3 and above mean nothing.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<QoS> {
        match number {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// One control packet (MQTT 3.1.1 §2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// §3.1, client to server.
    Connect(Connect),
    /// §3.2, server to client.
    ConnAck {
        /// The server has stored state for this client id.
        session_present: bool,
        /// 0 is accepted; 1 to 5 are the standard's refusals; others are passed on as they came.
        code: u8,
    },
    /// §3.3, both ways.
    Publish(Publish),
    /// §3.4: the packet id.
    PubAck(u16),
    /// §3.5: the packet id.
    PubRec(u16),
    /// §3.6: the packet id.
    PubRel(u16),
    /// §3.7: the packet id.
    PubComp(u16),
    /// §3.8, client to server.
    Subscribe(Subscribe),
    /// §3.9, server to client.
    SubAck {
        /// The packet id of the SUBSCRIBE.
        pid: u16,
        /// One return code per filter: the granted QoS 0, 1 or 2, or [`SUBACK_FAILURE`].
        granted: Vec<u8>,
    },
    /// §3.10, client to server.
    Unsubscribe {
        /// The packet id.
        pid: u16,
        /// The filters to drop.
        filters: Vec<String>,
    },
    /// §3.11: the packet id.
    UnsubAck(u16),
    /// §3.12, client to server.
    PingReq,
    /// §3.13, server to client.
    PingResp,
    /// §3.14, client to server.
    Disconnect,
}

/// CONNECT (MQTT 3.1.1 §3.1).
///
/// With a protocol level other than 4 nothing behind the level was read: every other field is empty, and a server
/// answers with code 1.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// The protocol level: 4 is MQTT 3.1.1.
    pub level: u8,
    /// May be empty.
    pub client_id: String,
    /// Seconds; 0 turns keep-alive off.
    pub keep_alive_s: u16,
    /// False asks the server to keep the session.
    pub clean_session: bool,
    /// Present, even if empty, when its flag was set.
    pub username: Option<String>,
    /// Binary; wiped when dropped, and never printed.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// What the server publishes when the client goes without DISCONNECT.
    pub will: Option<Will>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("level", &self.level)
            .field("client_id", &self.client_id)
            .field("keep_alive_s", &self.keep_alive_s)
            .field("clean_session", &self.clean_session)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| ".."))
            .field("will", &self.will)
            .finish()
    }
}

/// The will of a CONNECT (MQTT 3.1.1 §3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: String,
    /// What is published.
    pub payload: Bytes,
    /// At which QoS.
    pub qos: QoS,
    /// Retained or not.
    pub retain: bool,
}

/// PUBLISH (MQTT 3.1.1 §3.3), as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The topic name.
    pub topic: String,
    /// Shares memory with the buffer it was read from: copy it to keep it.
    pub payload: Bytes,
    /// The quality of service.
    pub qos: QoS,
    /// It may have been delivered before.
    pub dup: bool,
    /// To be retained, or delivered because it was.
    pub retain: bool,
    /// The packet id; 0 at QoS 0, which has none.
    pub pid: u16,
}

/// SUBSCRIBE (MQTT 3.1.1 §3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The packet id.
    pub pid: u16,
    /// Filters and the QoS asked for each, in the order of the return codes.
    pub filters: Vec<(String, QoS)>,
}
