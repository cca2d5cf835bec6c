//! The system under test: where it is, how TLS is spoken, and the options of the built-in hub. Data only.

use crate::scenario::TargetKind;
use core::net::IpAddr; // Addresses only: sockets live in std::net.
use std::path::PathBuf;
use std::time::Duration;

/// What is loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which kind.
    pub kind: TargetKind,
    /// The host name; with the built-in hub, filled in from its ready line.
    pub host: String,
    /// The port; with the built-in hub, filled in from its ready line.
    pub port: u16,
    /// TLS; `None` over plain TCP (plain brokers only).
    pub tls: Option<TlsPlan>,
    /// This machine's addresses that devices connect from, in turn; empty lets the system choose.
    pub source_ips: Vec<IpAddr>,
}

impl Target {
    /// True when what is sent never leaves this machine, as far as the host's name tells.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// `host:port`, with IPv6 in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// How devices speak TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsPlan {
    /// A PEM file of roots; the system's otherwise.
    pub ca: Option<PathBuf>,
    /// Turned off only by a long flag or key; marks the report.
    pub verify: bool,
}

/// How the built-in hub behaves.
#[derive(Clone, Debug)]
pub struct EmulatorPlan {
    /// How long after its token's expiry a connection is closed.
    pub expiry_grace: Duration,
    /// Accept unescaped `#`, `+` and `/` in property bags.
    pub lenient_properties: bool,
}
