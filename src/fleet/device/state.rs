//! The state of a device's connection and of its messages from the hub. Used by all parts of `device`; depends only on the parts
//! that hold the state of hub messages.

use super::c2d_sequence::C2dSequence;
use super::desired_versions::DesiredVersions;
use super::pending_calls::PendingCalls;
use crate::fleet::open::Open;
use crate::sansio::Close;
use std::time::Instant;

/// Connection state of a device.
#[derive(Debug)]
pub(super) enum ConnectionState {
    /// No connection and no attempt.
    Offline,
    /// Dialing, or waiting for CONNACK.
    Connecting(Attempt),
    /// Online.
    Online { since: Instant },
    /// About to disconnect.
    Disconnecting(Disconnecting),
}

/// Why a connection ends or ended. It determines whether and when the device connects again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The plan takes the device offline, or the run ends.
    Finished,
    /// Churn takes the device offline without its messages having ended.
    Left,
    /// The token is about to expire: the device reconnects immediately with a new one.
    Renewal,
    /// A method call made the device reconnect.
    Method,
    /// The scenario disconnects the device, which then reconnects by its policy.
    Disconnected,
    /// The connection was lost.
    Lost,
    /// The attempt to connect failed.
    Failed,
}

/// The current attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) open: Open,
    /// When the attempt, including the wait for CONNACK, times out.
    pub(super) deadline: Instant,
    pub(super) reached: Reached,
}

/// Progress of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Dialing.
    Nothing,
    /// The TCP connection and TLS are established. From here on, a failure is attributed to the MQTT step, even before CONNECT is sent.
    Transport,
    /// CONNECT was sent at this instant.
    Connect(Instant),
}

/// State of the connection's subscriptions.
#[derive(Debug)]
pub(super) enum SubscribeState {
    Due,
    /// SUBSCRIBE was sent; SUBACK has not arrived.
    Sent(Box<Open>),
    /// SUBACK arrived or timed out, or there are no subscriptions.
    Done,
    /// UNSUBSCRIBE was sent; UNSUBACK has not arrived.
    Unsubscribing(Box<Open>),
    /// Unsubscribed.
    Unsubscribed,
}

/// A connection that is about to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disconnecting {
    pub(super) reason: ConnectionEnd,
    /// When the device went online, if it did.
    pub(super) online_since: Option<Instant>,
    /// How to close the connection. Set once DISCONNECT is in the output, or cannot be written because the peer does not read.
    pub(super) close: Option<Close>,
    /// When the device stops waiting for acknowledgments.
    pub(super) drain_until: Instant,
}

/// State for messages from the hub. Allocated when the first one arrives.
#[derive(Debug, Default)]
pub(super) struct IotHubState {
    pub(super) desired: DesiredVersions,
    pub(super) calls: PendingCalls,
    pub(super) c2d: C2dSequence,
}
