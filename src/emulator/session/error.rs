//! Why a hub closes a connection without a word. A part of `session`; shown by `notice`.

use crate::wire::DecodeError;

/// Why the hub drops a connection without a word; MQTT 3.1.1 has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// What came is not MQTT 3.1.1.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The first packet is not CONNECT (MQTT 3.1.1 §3.1).
    #[error("the first packet is not CONNECT")]
    NotConnect,
    /// CONNECT did not come in time.
    #[error("no CONNECT came in time")]
    ConnectTimeout,
    /// A packet that this client may not send, or not now.
    #[error("a {0} that a device must not send here")]
    Unexpected(&'static str),
    /// Nothing was heard for one and a half times the keep-alive.
    #[error("nothing was heard within the keep-alive time")]
    KeepAlive,
    /// A publish with QoS 2.
    #[error("a publish with QoS 2")]
    QosTwo,
    /// A publish to a topic that is not the device's.
    #[error("a publish to a topic that is not the device's")]
    ForeignTopic,
    /// More than a message may have.
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// A character in a property bag that must be percent-encoded.
    #[error("a property bag with {0:?}, which must be percent-encoded")]
    Unescaped(char),
    /// A request id so long that its answer has no topic.
    #[error("a request id that leaves no room for an answer")]
    RequestId,
    /// A subscription to a filter that a hub does not grant.
    #[error("a subscription to a filter that a hub does not grant")]
    ForeignFilter,
    /// More than five subscriptions.
    #[error("{0} subscriptions")]
    TooManySubscriptions(usize),
}
