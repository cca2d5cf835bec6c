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
    /// The other hosts, if `host` is a list. Devices use the hosts in turn: see [`Target::host_of`].
    pub others: Vec<HostPort>,
    /// True if a device tries the next host after it could not connect or lost its connection.
    pub failover: bool,
    /// TLS options. `None` for plain TCP (plain brokers only).
    pub tls: Option<TlsPlan>,
    /// Local addresses that devices connect from, round robin. If empty, the operating system chooses.
    pub source_ips: Vec<IpAddr>,
    /// Tier and units of a real IoT hub, for the comparison with its limits.
    pub size: Option<HubSize>,
}

/// A host of a target that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Target {
    /// Returns all hosts with their ports, in the order of the scenario.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        let others = self.others.iter().map(|other| (other.host.as_str(), other.port));
        std::iter::once((self.host.as_str(), self.port)).chain(others)
    }

    /// Returns the number of hosts.
    #[must_use]
    pub fn host_count(&self) -> u16 {
        u16::try_from(1 + self.others.len()).unwrap_or(u16::MAX)
    }

    /// Returns the index of the host that a device starts with: its index over all fleets, modulo the number of hosts.
    #[must_use]
    pub fn host_of(&self, global: u64) -> u16 {
        u16::try_from(global % u64::from(self.host_count())).unwrap_or(0)
    }

    /// Returns whether all hosts are loopback names or addresses, so that traffic stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.hosts().all(|(host, _)| is_loopback_host(host))
    }

    /// Returns `host:port`, with IPv6 addresses in brackets; several hosts as `a:8883, b:8884`.
    #[must_use]
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.hosts().map(|(host, port)| address_of(host, port)).collect();
        hosts.join(", ")
    }
}

/// Returns whether a host is a loopback name or address.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns `host:port`, with IPv6 addresses in brackets.
#[must_use]
pub fn address_of(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
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
