//! The reasons why a hub closes a connection without a response. Returned by `session`, and displayed as part of a `notice`.

use crate::emulator::throttle::Refused;
use crate::iothub::limits;
use crate::wire::DecodeError;

/// The reason why the hub closes a connection without a response. MQTT 3.1.1 has no packet to report it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// The input is not MQTT 3.1.1.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The first packet is not CONNECT (MQTT 3.1.1 §3.1).
    #[error("the first packet is not CONNECT")]
    NotConnect,
    /// CONNECT did not arrive in time.
    #[error("CONNECT did not arrive in time")]
    ConnectTimeout,
    /// A device must not send this packet at all, or not in this state.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// No packet arrived within one and a half times the keep-alive.
    #[error("no packet arrived within the keep-alive timeout")]
    KeepAlive,
    /// A PUBLISH has QoS 2.
    #[error("a PUBLISH has QoS 2")]
    QosTwo,
    /// A PUBLISH has a topic that does not belong to the device.
    #[error("a PUBLISH has a topic that does not belong to the device")]
    ForeignTopic,
    /// A message is too large.
    #[error("a message is {0} bytes long; the limit is {max}", max = limits::TELEMETRY_BYTES_MAX)]
    TooLarge(usize),
    /// A property bag contains a character that must be percent-encoded.
    #[error("a property bag contains {0:?}, which must be percent-encoded")]
    Unescaped(char),
    /// A request id is too long for the topic of its response.
    #[error("a request id is too long for the topic of its response")]
    RequestId,
    /// A SUBSCRIBE has a filter that IoT Hub does not allow.
    #[error("a SUBSCRIBE has a filter that IoT Hub does not allow")]
    ForeignFilter,
    /// The hub's tier refuses the packet.
    #[error("{0}")]
    Tier(#[from] Refused),
    /// A fault makes the daily quota used up.
    #[error("a fault makes the daily message quota used up")]
    QuotaFault,
    /// There are too many subscriptions.
    #[error("{0} subscriptions are too many; the limit is {max}", max = limits::SUBSCRIPTIONS_MAX)]
    TooManySubscriptions(usize),
}
