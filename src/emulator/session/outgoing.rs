//! The packets that a [`HubSession`](super::HubSession) has yet to write. Data only.

/// A packet that is waiting to be written. Packets are written in the order of the requests.
#[derive(Debug)]
pub(super) enum OutgoingPacket {
    ConnAck {
        session_present: bool,
        code: u8,
    },
    PubAck(u16),
    SubAck {
        pid: u16,
        granted: Vec<u8>,
    },
    UnsubAck(u16),
    PingResp,
    /// An encoded packet.
    Frame(Box<[u8]>),
}
