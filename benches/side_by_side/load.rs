//! The load of a run, in terms that every client supports.

use super::Failure;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

/// In-flight window per connection, in runs that are as fast as the broker permits.
pub(crate) const WINDOW: u16 = 32;

/// The load of one run: connections start evenly over the ramp; then work starts and lasts `work_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    pub(crate) connections: u32,
    pub(crate) ramp_s: u32,
    pub(crate) work_s: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Connects and stays idle.
    Idle,
    /// QoS 1 messages per second of all connections together, independent of acknowledgments.
    Open(u32),
    /// QoS 1 messages as fast as a window of 32 per connection permits.
    Window,
}

impl Load {
    /// Returns the number of planned messages, if it is known.
    pub(crate) fn messages(self) -> Option<u64> {
        match self.kind {
            Kind::Idle => Some(0),
            Kind::Open(rate) => Some(u64::from(rate) * u64::from(self.work_s)),
            Kind::Window => None,
        }
    }

    /// Returns the command line of the floor and of the rumqttc program: address, CA file, connections, seconds of
    /// ramp, seconds of work, and `idle`, messages per second, or `window`.
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

    /// Parses [`arguments`](Load::arguments) in the child process, without address and CA file.
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
