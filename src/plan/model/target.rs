//! The system under test: its address and its TLS options. Data only.

use crate::iothub::throttles::HubSize;
use crate::scenario::TargetKind;
use core::net::IpAddr; // `core::net` has addresses but no sockets.
use std::path::PathBuf;

/// The system under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Kind of target.
    pub kind: TargetKind,
    /// Host name or address. For the built-in hub, set from the line that it prints when it is ready.
    pub host: String,
    /// Port. For the built-in hub, set from the line that it prints when it is ready.
    pub port: u16,
    /// TLS options. `None` for plain TCP (plain brokers only).
    pub tls: Option<TlsPlan>,
    /// Local addresses that devices connect from, round robin. If empty, the operating system chooses.
    pub source_ips: Vec<IpAddr>,
    /// Tier and units of a real IoT hub, for the comparison with its limits.
    pub size: Option<HubSize>,
}

impl Target {
    /// Returns whether the host is a loopback name or address, so that traffic stays on this machine.
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

/// TLS options for devices.
#[derive(Clone, Debug, Default)]
pub struct TlsPlan {
    /// PEM file with root certificates to use instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether to verify the server's certificate. If not, the report says so.
    pub verify: bool,
    /// Whether each device resumes its own TLS sessions.
    pub resumption: bool,
}
