//! The target that a device connects to, and how it connects. Created by `fleet` and `app`; read by `dial` and
//! `addresses`.

use rustls::ClientConfig;
use std::net::IpAddr;
use std::sync::Arc;

use super::tls::DeviceSessions;

/// The target of a connection.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Host name or IP address. With TLS, the certificate must be valid for it, and a host name is sent as the server
    /// name (SNI).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS configuration, shared by the whole fleet; `None` for plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
    /// The TLS configurations of devices that resume their sessions. If `None`, every handshake is a full one.
    pub sessions: Option<Arc<DeviceSessions>>,
    /// True if the trusted roots come from a `ca` file. In that case, advice must not ask for such a file.
    pub own_roots: bool,
    /// Local addresses to connect from, in turn. If empty, the operating system chooses.
    pub sources: Vec<IpAddr>,
    /// Number of hosts that devices use in turn, of which this is one; 0 means 1.
    pub hosts: u64,
}

impl Endpoint {
    /// Returns the number of a device among those of this host. With the number among all devices, a host would be reached through only
    /// some of the addresses.
    pub(super) fn turn(&self, device: u64) -> u64 {
        device / self.hosts.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_each_host_take_turns() {
        let turns = |hosts| {
            let endpoint = Endpoint { hosts, ..Endpoint::default() };
            [0, 1, 2, 3, 4].map(|device| endpoint.turn(device))
        };
        assert_eq!(turns(0), [0, 1, 2, 3, 4]);
        assert_eq!(turns(2), [0, 0, 1, 1, 2]);
    }
}
