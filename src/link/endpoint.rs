//! Where a device connects to, and how. Created by `fleet` and `app`, read by `dial` and `addresses`.

use rustls::ClientConfig;
use std::net::IpAddr;
use std::sync::Arc;

/// Where to connect to, and how.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// A name or an address; with TLS also what the certificate must name and, for a name, what SNI says.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS, one configuration for the whole fleet; `None` speaks plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
    /// The trusted roots come from a `ca` file, so advice must not ask for one.
    pub own_roots: bool,
    /// This machine's addresses to connect from, in turn; empty lets the system choose.
    pub sources: Vec<IpAddr>,
}
