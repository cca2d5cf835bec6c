//! The control packets of MQTT 3.1.1 and the standard's limits. Used by everything that sends or receives packets. Independent of how
//! packets are encoded.

use bytes::Bytes;
use std::fmt;
use zeroize::Zeroizing;

/// The maximum length in bytes of a string or binary field, whose length prefix is two bytes long (MQTT 3.1.1 §1.5.3).
pub const STRING_BYTES_MAX: usize = 65_535;

/// The largest remaining length that four bytes can encode (MQTT 3.1.1 §2.2.3).
pub const REMAINING_BYTES_MAX: usize = 268_435_455;

/// The SUBACK return code of a refused topic filter (MQTT 3.1.1 §3.9.3).
pub const SUBACK_FAILURE: u8 = 0x80;

/// Quality of service (MQTT 3.1.1 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: no acknowledgment.
    AtMostOnce = 0,
    /// QoS 1: acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// Returns the quality of service with this number, or `None` if the number is above 2.
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
    /// CONNECT (§3.1), from client to server.
    Connect(Connect),
    /// CONNACK (§3.2), from server to client.
    ConnAck {
        /// True if the server has a session for this client id.
        session_present: bool,
        /// Return code: 0 if accepted, 1 to 5 for the standard's refusals. Other codes are kept as received.
        code: u8,
    },
    /// PUBLISH (§3.3), in both directions.
    Publish(Publish),
    /// PUBACK (§3.4), with its packet id.
    PubAck(u16),
    /// PUBREC (§3.5), with its packet id.
    PubRec(u16),
    /// PUBREL (§3.6), with its packet id.
    PubRel(u16),
    /// PUBCOMP (§3.7), with its packet id.
    PubComp(u16),
    /// SUBSCRIBE (§3.8), from client to server.
    Subscribe(Subscribe),
    /// SUBACK (§3.9), from server to client.
    SubAck {
        /// Packet id of the SUBSCRIBE.
        pid: u16,
        /// Return code of each filter: the granted QoS (0, 1 or 2), or [`SUBACK_FAILURE`].
        granted: Vec<u8>,
    },
    /// UNSUBSCRIBE (§3.10), from client to server.
    Unsubscribe {
        /// Packet id.
        pid: u16,
        /// Topic filters to remove.
        filters: Vec<String>,
    },
    /// UNSUBACK (§3.11), with its packet id.
    UnsubAck(u16),
    /// PINGREQ (§3.12), from client to server.
    PingReq,
    /// PINGRESP (§3.13), from server to client.
    PingResp,
    /// DISCONNECT (§3.14), from client to server.
    Disconnect,
}

/// CONNECT (MQTT 3.1.1 §3.1).
///
/// If the protocol level is not 4, the decoder does not read the rest of the packet, and all other fields are empty. A server refuses
/// such a client with return code 1.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// Protocol level. MQTT 3.1.1 is 4.
    pub level: u8,
    /// Client id. May be empty.
    pub client_id: String,
    /// Keep-alive in seconds. 0 turns it off.
    pub keep_alive_s: u16,
    /// Clean session flag. False asks the server to keep the session.
    pub clean_session: bool,
    /// User name. `Some`, even if empty, if its flag is set.
    pub username: Option<String>,
    /// Password: binary, wiped when dropped, and hidden by `Debug`.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// Message that the server publishes when the connection ends without DISCONNECT.
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
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
}

/// PUBLISH (MQTT 3.1.1 §3.3), as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Topic name.
    pub topic: String,
    /// Payload. It shares memory with the input buffer, so copy it to keep it.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// DUP flag: the packet may be a retransmission.
    pub dup: bool,
    /// Retain flag.
    pub retain: bool,
    /// Packet id. 0 for QoS 0, which has no packet id.
    pub pid: u16,
}

/// SUBSCRIBE (MQTT 3.1.1 §3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet id.
    pub pid: u16,
    /// Topic filters with the requested QoS, in the order of the return codes.
    pub filters: Vec<(String, QoS)>,
}
