//! Lines for the person who started the hub: refused CONNECTs, and connections that the hub had to close. The hub hands them over
//! through a bounded channel and never waits; `app` prints them. They hold text from the network.

use super::admission::Refusal;
use super::session::HubError;
use std::net::SocketAddr;

/// Notices that may wait to be printed; what comes beyond is dropped. `stats` counts everything.
pub(super) const NOTICES_MAX: usize = 256;

/// One thing that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A CONNECT was refused.
    Refused {
        /// Where it came from.
        peer: SocketAddr,
        /// The client id, as sent and at most 128 characters of it: any text.
        client_id: Box<str>,
        /// Why.
        refusal: Refusal,
    },
    /// A connection was closed because of its first packet.
    NoConnect {
        /// Where it came from.
        peer: SocketAddr,
        /// Why.
        error: HubError,
    },
    /// New connections wait, and silent ones without a CONNECT are closed for them.
    Short(Shortage),
}

/// What the hub has too little of for another connection. Told once a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Connections without a CONNECT hold all the memory that they may hold.
    Memory,
    /// The process has no descriptor left of so many.
    Descriptors(u64),
    /// The system has no descriptor left.
    SystemDescriptors,
}
