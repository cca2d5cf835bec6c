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
}
