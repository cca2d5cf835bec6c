//! Notices for the user who started the hub: refused CONNECT packets, and connections that the hub had to close. `accept` and `connection`
//! send them through a bounded channel and never wait; `app` prints them. Notices contain text from the network, so they must be escaped
//! before they are displayed.

use super::admission::Refusal;
use super::session::HubError;
use std::net::SocketAddr;

/// Capacity of the channel. Further notices are dropped; `stats` counts all of them.
pub(super) const NOTICES_MAX: usize = 256;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A CONNECT was refused.
    Refused {
        /// Address of the client.
        peer: SocketAddr,
        /// The first 128 characters of the client id, as sent. It can be arbitrary text.
        client_id: Box<str>,
        /// The reason for the refusal.
        refusal: Refusal,
    },
    /// A connection was closed because of its first packet.
    NoConnect {
        /// Address of the client.
        peer: SocketAddr,
        /// The reason for closing the connection.
        error: HubError,
    },
    /// The hub stopped, and closed connections before it had sent all of their acknowledgments.
    CutOff {
        /// Number of connections.
        connections: u64,
    },
    /// New connections must wait, and silent connections that have not sent CONNECT are closed to make room.
    Shortage(Shortage),
}

/// The resource whose shortage prevents the hub from accepting another connection. Reported at most once a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Connections that are not admitted use all the memory that they are allowed to use.
    Memory,
    /// The process uses all its file descriptors; the value is the limit.
    Descriptors(u64),
    /// The system has no file descriptors left.
    SystemDescriptors,
}
