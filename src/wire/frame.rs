//! The fixed header of a packet (MQTT 3.1.1 §2.2), and the error type of all decoders. Used by `decode`, `connect` and `strict`. This file
//! must not depend on them.

/// The bytes are not valid MQTT 3.1.1. The connection cannot continue, because the next packet cannot be found in the buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame, including its header, is larger than the caller allows.
    #[error("a frame of {frame_bytes} bytes, larger than the limit of {frame_bytes_max} bytes")]
    TooLarge {
        /// Size of the frame, from its header.
        frame_bytes: usize,
        /// Limit given to [`decode`](super::decode).
        frame_bytes_max: usize,
    },
    /// The remaining length is encoded in more than four bytes (MQTT 3.1.1 §2.2.3).
    #[error("a remaining length of more than four bytes")]
    RemainingLength,
    /// The packet type is 0 or 15, which are reserved (MQTT 3.1.1 §2.2.1).
    #[error("the reserved packet type {0}")]
    ReservedType(u8),
    /// The content of a packet is invalid.
    #[error("malformed {packet}: {reason}")]
    Malformed {
        /// Name of the packet in the standard.
        packet: &'static str,
        /// Description of the error.
        reason: &'static str,
    },
}

/// The names of the packet types, indexed by type.
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
    /// First byte: type and flags.
    pub(super) first: u8,
    /// Length of the header: 2 to 5 bytes.
    pub(super) header_bytes: usize,
    /// Number of bytes after the header.
    pub(super) remaining_bytes: usize,
}

impl Header {
    /// Returns the packet type.
    pub(super) fn packet_type(self) -> u8 {
        self.first >> 4
    }

    /// Returns an error about the content of this packet.
    pub(super) fn malformed(self, reason: &'static str) -> DecodeError {
        let packet = NAMES.get(usize::from(self.packet_type())).copied().unwrap_or("packet");
        DecodeError::Malformed { packet, reason }
    }
}
