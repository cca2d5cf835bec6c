//! What is asked of a client, in words that each of them understands.

use super::Failure;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

/// Messages in flight per connection, in the runs that go as fast as the broker lets them.
pub(crate) const WINDOW: u16 = 32;

/// One run of a client: connections start evenly over the ramp; work begins then and lasts `work_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    pub(crate) connections: u32,
    pub(crate) ramp_s: u32,
    pub(crate) work_s: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Connect and hold.
    Idle,
    /// QoS 1, messages per second of all connections together, whatever the acks do.
    Open(u32),
    /// QoS 1, as fast as a window of 32 per connection allows.
    Window,
}

impl Load {
    /// The messages that are to be sent, where that is known.
    pub(crate) fn messages(self) -> Option<u64> {
        match self.kind {
            Kind::Idle => Some(0),
            Kind::Open(rate) => Some(u64::from(rate) * u64::from(self.work_s)),
            Kind::Window => None,
        }
    }

    /// The command line of the floor and of the rumqttc program: address, ca, connections, seconds of ramp, seconds of work,
    /// and what to do: `idle`, messages per second, or `window`.
    pub(crate) fn arguments(self, address: SocketAddr, ca: &Path) -> [OsString; 6] {
        let kind = match self.kind {
            Kind::Idle => "idle".to_owned(),
            Kind::Open(rate) => rate.to_string(),
            Kind::Window => "window".to_owned(),
        };
        [
            address.to_string().into(),
            ca.into(),
            self.connections.to_string().into(),
            self.ramp_s.to_string().into(),
            self.work_s.to_string().into(),
            kind.into(),
        ]
    }

    /// The child's side of [`arguments`](Load::arguments), without address and ca.
    pub(crate) fn parse(arguments: &[String]) -> Result<Load, Failure> {
        let [connections, ramp_s, work_s, kind] = arguments else { return Err("wrong arguments".into()) };
        let kind = match kind.as_str() {
            "idle" => Kind::Idle,
            "window" => Kind::Window,
            rate => Kind::Open(rate.parse()?),
        };
        Ok(Load { connections: connections.parse()?, ramp_s: ramp_s.parse()?, work_s: work_s.parse()?, kind })
    }
}
