//! The system under test: where it is, how TLS is spoken, and the options of the built-in hub. Data only.

use crate::scenario::TargetKind;
use core::net::IpAddr; // Addresses only: sockets live in std::net.
use std::path::PathBuf;

/// The system under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Kind of target.
    pub kind: TargetKind,
    /// Host name or address. For the built-in hub, set from its ready line.
    pub host: String,
    /// Port. For the built-in hub, set from its ready line.
    pub port: u16,
    /// TLS options. `None` for plain TCP (plain brokers only).
    pub tls: Option<TlsPlan>,
    /// Local addresses that devices connect from, round robin. If empty, the operating system chooses.
    pub source_ips: Vec<IpAddr>,
}

impl Target {
    /// Returns whether the host's name or address says that traffic stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Returns `host:port`, with IPv6 addresses in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// TLS options of devices.
#[derive(Clone, Debug, Default)]
pub struct TlsPlan {
    /// PEM file with root certificates, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether to verify the server's certificate. If not, the report says so.
    pub verify: bool,
}
