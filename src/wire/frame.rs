//! The frame of a packet, its fixed header (MQTT 3.1.1 §2.2), and what can be wrong with a frame or with its content. Used by every
//! decoder of this room.

/// The bytes are not MQTT 3.1.1. The connection cannot go on; what remains in the buffer means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame, its header included, is larger than the caller accepts.
    #[error("a frame of {frame_bytes} bytes, more than the {frame_bytes_max} that are accepted")]
    TooLarge {
        /// The size it announces.
        frame_bytes: usize,
        /// The bound given to [`decode`].
        frame_bytes_max: usize,
    },
    /// More than four bytes of remaining length (MQTT 3.1.1 §2.2.3).
    #[error("a remaining length of more than four bytes")]
    RemainingLength,
    /// Packet types 0 and 15 are reserved (MQTT 3.1.1 §2.2.1).
    #[error("the reserved packet type {0}")]
    ReservedType(u8),
    /// A packet whose content is wrong.
    #[error("malformed {packet}: {reason}")]
    Malformed {
        /// Its name in the standard.
        packet: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Names of the packet types; the index is the type.
const NAMES: [&str; 16] = [
    "packet",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "packet",
];

/// The fixed header (MQTT 3.1.1 §2.2).
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// Type and flags.
    pub(super) first: u8,
    /// Bytes of the header itself: 2 to 5.
    pub(super) header_bytes: usize,
    /// Bytes behind it.
    pub(super) remaining_bytes: usize,
}

impl Header {
    pub(super) fn kind(self) -> u8 {
        self.first >> 4
    }

    pub(super) fn malformed(self, reason: &'static str) -> DecodeError {
        let packet = NAMES.get(usize::from(self.kind())).copied().unwrap_or("packet");
        DecodeError::Malformed { packet, reason }
    }
}
