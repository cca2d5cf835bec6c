//! What a session is given and what it gives back. Plain data.

use crate::policy::ping::PingPolicy;
use crate::wire::{self, QoS};
use std::fmt;
use std::time::{Duration, Instant};

/// How a session behaves; the same for every connection it makes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// CONNECT's keep-alive; 0 turns it off.
    pub keep_alive_s: u16,
    /// CONNECT's flag. False keeps unacknowledged messages over a reconnect.
    pub clean_session: bool,
    /// The window: unacknowledged messages at once; 0 counts as 1, and beyond the 65,279 packet ids it is those.
    pub in_flight: u16,
    /// PUBLISH to PUBACK, or at QoS 2 to PUBCOMP.
    pub ack_timeout: Duration,
    /// CONNECT sent to CONNACK.
    pub connack_timeout: Duration,
    /// When PINGREQ is sent, and the timeout of PINGRESP.
    pub pings: PingPolicy,
    /// The largest packet that is accepted, in mebibytes: every device holds these settings.
    pub frame_mib_max: u16,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never connected.
    Idle,
    /// CONNECT is written, CONNACK is awaited.
    Connecting,
    /// CONNACK accepted.
    Online,
    /// Refused, disconnected, or the connection is gone; it may connect again.
    Closed,
}

/// Who a device says it is.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// The user name.
    pub username: Option<&'a str>,
    /// Never printed.
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
    /// The topic name.
    pub topic: &'a str,
    /// The application message.
    pub payload: &'a [u8],
    /// The quality of service.
    pub qos: QoS,
    /// The server is to keep it for later subscribers (MQTT 3.1.1 §3.3.1.3).
    pub retain: bool,
}

/// What happened, in the order in which it is polled. `T` is what the caller gave with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// CONNACK accepted.
    Connected {
        /// The server had kept the session.
        session_present: bool,
    },
    /// CONNACK with another code than 0 (MQTT 3.1.1 §3.2.2.3). The connection ends.
    Refused {
        /// The return code.
        code: u8,
        /// Session Present, which must be 0 here [MQTT-3.2.2-4].
        session_present: bool,
    },
    /// A message ended well: QoS 2 completed, QoS 1 acknowledged, QoS 0 flushed.
    Acked {
        /// As given to `publish`.
        tag: T,
        /// When it was first sent.
        sent: Instant,
        /// It was sent more than once.
        resent: bool,
    },
    /// A message was not acknowledged (QoS 2: completed) in time. Told once; its id stays in use.
    TimedOut {
        /// As given to `publish`.
        tag: T,
        /// When it was first sent.
        sent: Instant,
    },
    /// The ack of a message that had timed out.
    LateAck,
    /// The connection went away, and the message will not be sent again.
    Lost {
        /// As given to `publish`.
        tag: T,
        /// When it was first sent.
        sent: Instant,
    },
    /// One kept message, or the PUBREL that stands for it, was sent again.
    Resent,
    /// SUBACK.
    Subscribed {
        /// As `subscribe` returned it.
        pid: u16,
        /// When SUBSCRIBE was sent.
        sent: Instant,
        /// A return code for each filter, in their order (MQTT 3.1.1 §3.9.3): the QoS that is granted, or
        /// [`SUBACK_FAILURE`](crate::wire::SUBACK_FAILURE).
        granted: Vec<u8>,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// As `unsubscribe` returned it.
        pid: u16,
        /// When UNSUBSCRIBE was sent.
        sent: Instant,
    },
    /// A message from the server, acknowledged by the session; at QoS 2 told once, however often it came.
    Message(wire::Publish),
    /// PINGRESP.
    Pong {
        /// When PINGREQ was sent.
        sent: Instant,
    },
}

/// Why the connection cannot go on. Whatever was open becomes events when it is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer sent what is not MQTT 3.1.1.
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    /// The peer sent what it may not send, or not now.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// No CONNACK in time.
    #[error("no CONNACK in time")]
    ConnackTimeout,
    /// No PINGRESP in time (MQTT 3.1.1 §3.1.2.10).
    #[error("no PINGRESP in time")]
    PingTimeout,
    /// As many messages timed out unacknowledged as the window holds.
    #[error("a whole window of messages was not acknowledged in time")]
    AckStall,
}

impl SessionError {
    /// Its class in the result file.
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

/// Why a message was not taken. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Only an online session publishes.
    #[error("not online")]
    NotOnline,
    /// `has_room` was false.
    #[error("the window is full")]
    WindowFull,
    /// MQTT cannot say it.
    #[error(transparent)]
    Encode(#[from] wire::encode::EncodeError),
}

/// A message that was not taken. The caller gets its tag back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotPublished<T> {
    /// Why.
    pub error: PublishError,
    /// As given to `publish`.
    pub tag: T,
}

/// Why nothing was subscribed. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Only an online session subscribes.
    #[error("not online")]
    NotOnline,
    /// Too many subscriptions wait for their SUBACK or UNSUBACK.
    #[error("too many subscriptions at once")]
    TooMany,
    /// MQTT cannot say it.
    #[error(transparent)]
    Encode(#[from] wire::encode::EncodeError),
}
