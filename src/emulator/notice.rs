//! Notices for the person who started the hub: refused CONNECTs, and connections that the hub had to close. The hub sends them through
//! a bounded channel and never waits; `app` prints them. They contain text from the network.

use super::admission::Refusal;
use super::session::HubError;
use std::net::SocketAddr;

/// The most notices that wait to be printed. Further ones are dropped; `stats` counts all of them.
pub(super) const NOTICES_MAX: usize = 256;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A CONNECT was refused.
    Refused {
        /// The client's address.
        peer: SocketAddr,
        /// The first 128 characters of the client id, as sent: it may be any text.
        client_id: Box<str>,
        /// Why.
        refusal: Refusal,
    },
    /// A connection was closed because of its first packet.
    NoConnect {
        /// The client's address.
        peer: SocketAddr,
        /// Why.
        error: HubError,
    },
    /// New connections wait, and silent ones that have sent no CONNECT are closed to make room.
    Short(Shortage),
}

/// The resource that the hub lacks for another connection. Reported once a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Connections that are not admitted use all the memory they may use.
    Memory,
    /// The process has used all its file descriptors; the value is their limit.
    Descriptors(u64),
    /// The system has no file descriptors left.
    SystemDescriptors,
}
