//! The inputs and outputs of a session: settings, credentials, messages, events, errors. Plain data.

use crate::policy::ping::PingPolicy;
use crate::wire::{self, QoS};
use std::fmt;
use std::time::{Duration, Instant};

/// Settings of a session, the same for each of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Keep-alive in CONNECT; 0 turns it off.
    pub keep_alive_s: u16,
    /// Clean-session flag in CONNECT. If false, unacknowledged messages are kept across a reconnect.
    pub clean_session: bool,
    /// Maximum number of unacknowledged messages. 0 counts as 1. Limited to 65,279, the number of packet ids for messages.
    pub in_flight: u16,
    /// How long to wait after PUBLISH for PUBACK, or for PUBCOMP at QoS 2.
    pub ack_timeout: Duration,
    /// How long to wait after CONNECT for CONNACK.
    pub connack_timeout: Duration,
    /// When to send PINGREQ, and the timeout for PINGRESP.
    pub pings: PingPolicy,
    /// Maximum size of a received packet, in mebibytes. A `u16` because each device has a copy.
    pub frame_mib_max: u16,
}

/// Connection state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never connected.
    Idle,
    /// CONNECT was written; waiting for CONNACK.
    Connecting,
    /// CONNACK was accepted.
    Online,
    /// Refused, disconnected, or the connection ended. The session may connect again.
    Closed,
}

/// Credentials of a device.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Client id.
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password. Never printed.
    pub password: Option<&'a [u8]>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// RETAIN flag: asks the server to keep the message for later subscribers (MQTT 3.1.1 §3.3.1.3).
    pub retain: bool,
}

/// An event. Events are reported in the order in which they happened. `T` is the tag that the caller passed with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// CONNACK with code 0.
    Connected {
        /// Session Present: the server had kept the session.
        session_present: bool,
    },
    /// CONNACK with a code other than 0 (MQTT 3.1.1 §3.2.2.3). The connection ends.
    Refused {
        /// Return code.
        code: u8,
        /// Session Present, which must be 0 here [MQTT-3.2.2-4].
        session_present: bool,
    },
    /// A message succeeded: it was completed (QoS 2), acknowledged (QoS 1) or flushed (QoS 0).
    Acked {
        /// Tag passed to `publish`.
        tag: T,
        /// When the message was first sent.
        sent: Instant,
        /// Whether the message was sent more than once.
        resent: bool,
    },
    /// A message was not acknowledged (QoS 2: not completed) in time. Reported once. Its packet id stays in use.
    TimedOut {
        /// Tag passed to `publish`.
        tag: T,
        /// When the message was first sent.
        sent: Instant,
    },
    /// The acknowledgment of a message that had timed out.
    LateAck,
    /// The connection ended, and the message will not be resent.
    Lost {
        /// Tag passed to `publish`.
        tag: T,
        /// When the message was first sent.
        sent: Instant,
    },
    /// A kept message, or its PUBREL, was resent.
    Resent,
    /// SUBACK.
    Subscribed {
        /// Packet id that `subscribe` returned.
        pid: u16,
        /// When SUBSCRIBE was sent.
        sent: Instant,
        /// Return code of each filter, in order (MQTT 3.1.1 §3.9.3): the granted QoS or
        /// [`SUBACK_FAILURE`](crate::wire::SUBACK_FAILURE).
        granted: Vec<u8>,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// Packet id that `unsubscribe` returned.
        pid: u16,
        /// When UNSUBSCRIBE was sent.
        sent: Instant,
    },
    /// A message from the server. The session acknowledges it. A QoS 2 message is reported once, even if it arrives several
    /// times.
    Message(wire::Publish),
    /// PINGRESP.
    Pong {
        /// When PINGREQ was sent.
        sent: Instant,
    },
}

/// Why the connection must be closed. Open messages end in `handle_closed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer sent bytes that are not valid MQTT 3.1.1.
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    /// The peer sent a packet that is not allowed, or not at this point.
    #[error("protocol violation by the peer: {0}")]
    Protocol(&'static str),
    /// CONNACK did not arrive in time.
    #[error("no CONNACK in time")]
    ConnackTimeout,
    /// PINGRESP did not arrive in time (MQTT 3.1.1 §3.1.2.10).
    #[error("no PINGRESP in time")]
    PingTimeout,
    /// Every message in a full in-flight window timed out.
    #[error("no message in a full in-flight window was acknowledged in time")]
    AckStall,
}

impl SessionError {
    /// Returns the error class in the result file.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            SessionError::Decode(_) | SessionError::Protocol(_) => "protocol_error",
            SessionError::ConnackTimeout => "connack_timeout",
            SessionError::PingTimeout => "ping_timeout",
            SessionError::AckStall => "ack_stall",
        }
    }
}

/// Why a message was not sent. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The session is not online.
    #[error("not online")]
    NotOnline,
    /// `has_room` was false.
    #[error("the window is full")]
    WindowFull,
    /// MQTT cannot encode the message.
    #[error(transparent)]
    Encode(#[from] wire::encode::EncodeError),
}

/// A message that was not sent, with its tag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotPublished<T> {
    /// Reason.
    pub error: PublishError,
    /// Tag passed to `publish`.
    pub tag: T,
}

/// Why SUBSCRIBE or UNSUBSCRIBE was not sent. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The session is not online.
    #[error("not online")]
    NotOnline,
    /// Too many subscriptions wait for SUBACK or UNSUBACK.
    #[error("too many pending subscriptions")]
    TooMany,
    /// MQTT cannot encode the filters.
    #[error(transparent)]
    Encode(#[from] wire::encode::EncodeError),
}
