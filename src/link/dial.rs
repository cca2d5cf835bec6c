//! From a host name to an established connection: DNS, TCP and TLS, each timed apart, under one deadline. `fleet` dials
//! for its devices.
//!
//! A dial that fails is a measurement: its error says which step, how long the earlier ones took, a stable class,
//! and whose fault it is as far as the wire can tell.

use nix::errno::Errno;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{timeout, timeout_at};

use super::addresses::{self, Path};
use super::records::Records;
use super::secure::{self, Secure};
use super::tls::TlsFacts;
use super::transport::Transport;
use crate::clock;

/// Where to connect to, and how.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// A name or an address; with TLS also what the certificate must name and, for a name, what SNI says.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS, one configuration for the whole fleet; `None` speaks plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
    /// This machine's addresses to connect from, in turn; empty lets the system choose.
    pub sources: Vec<IpAddr>,
}

/// The steps of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Name resolution.
    Dns,
    /// The TCP handshake.
    Tcp,
    /// The TLS handshake.
    Tls,
}

/// How long each step took that completed. An address needs no DNS, and plain TCP no TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Name resolution.
    pub dns: Option<Duration>,
    /// The TCP handshake.
    pub tcp: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

/// An established connection and what it took.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub transport: Transport,
    /// How long each step took.
    pub steps: Steps,
    /// What TLS agreed on.
    pub tls: Option<TlsFacts>,
}

/// Whose fault a failed dial is, as far as the wire can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// The server that was dialled.
    Peer,
    /// What lies between.
    Network,
    /// This machine.
    Us,
}

/// A dial that failed.
#[derive(Debug, thiserror::Error)]
#[error("{} {}{}", .kind.what(), Cause(.source), plain_hint(*.kind, .source))]
#[non_exhaustive]
pub struct DialError {
    /// The step that failed.
    pub step: Step,
    /// How long the earlier steps took.
    pub steps: Steps,
    /// A stable name for counting: `dns`, `tcp_refused`, `tcp_timeout`, `tcp_unreachable`, `tls`, `tls_timeout`,
    /// `tls_certificate`, `fd_limit`, `ports_exhausted`, `source_address`, `no_memory`.
    pub class: &'static str,
    kind: Class,
    source: io::Error,
}

impl DialError {
    fn new(step: Step, steps: Steps, source: io::Error) -> DialError {
        let kind = Class::of(step, &source);
        DialError { step, steps, class: kind.name(), kind, source }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        self.kind.culprit()
    }
}

/// What can go wrong. A closed set, so that reports can count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Dns,
    TcpRefused,
    TcpTimeout,
    TcpUnreachable,
    Tls,
    TlsTimeout,
    TlsCertificate,
    FdLimit,
    PortsExhausted,
    SourceAddress,
    NoMemory,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Dns => "dns",
            Class::TcpRefused => "tcp_refused",
            Class::TcpTimeout => "tcp_timeout",
            Class::TcpUnreachable => "tcp_unreachable",
            Class::Tls => "tls",
            Class::TlsTimeout => "tls_timeout",
            Class::TlsCertificate => "tls_certificate",
            Class::FdLimit => "fd_limit",
            Class::PortsExhausted => "ports_exhausted",
            Class::SourceAddress => "source_address",
            Class::NoMemory => "no_memory",
        }
    }

    fn culprit(self) -> Culprit {
        match self {
            Class::TcpRefused | Class::Tls | Class::TlsTimeout | Class::TlsCertificate => Culprit::Peer,
            Class::Dns | Class::TcpTimeout | Class::TcpUnreachable => Culprit::Network,
            Class::FdLimit | Class::PortsExhausted | Class::SourceAddress | Class::NoMemory => Culprit::Us,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Class::Dns => "the host name could not be resolved:",
            Class::TcpRefused => "the TCP connection was refused:",
            Class::TcpTimeout => "the TCP handshake did not finish:",
            Class::TcpUnreachable => "the host could not be reached:",
            Class::Tls => "the TLS handshake failed:",
            Class::TlsTimeout => "the TLS handshake did not finish:",
            Class::TlsCertificate => "the server's certificate was not accepted:",
            Class::FdLimit => "this process has no file descriptor left (raise `ulimit -n`):",
            Class::PortsExhausted => "this machine has no local port left for that address:",
            Class::SourceAddress => "no source address can be used:",
            Class::NoMemory => "this machine has no memory left for a socket:",
        }
    }

    /// What an error of that step means.
    fn of(step: Step, error: &io::Error) -> Class {
        // Our own shortages first: they can show in any step.
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE) => return Class::FdLimit,
            Some(Errno::EADDRNOTAVAIL) => return Class::PortsExhausted,
            Some(Errno::ENOMEM | Errno::ENOBUFS) => return Class::NoMemory,
            _ => {}
        }
        match (step, error.kind()) {
            // Without a number it is not the system's: see `addresses`.
            (Step::Tcp, io::ErrorKind::AddrNotAvailable) => Class::SourceAddress,
            (Step::Dns, _) => Class::Dns,
            (Step::Tcp, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => {
                Class::TcpRefused
            }
            (Step::Tcp, io::ErrorKind::TimedOut) => Class::TcpTimeout,
            (Step::Tcp, _) => Class::TcpUnreachable,
            (Step::Tls, io::ErrorKind::TimedOut) => Class::TlsTimeout,
            (Step::Tls, _) => match tls_error(error) {
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                    Class::TlsCertificate
                }
                _ => Class::Tls,
            },
        }
    }
}

/// rustls's error inside the one that `secure` gives.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The cause in words; the certificate's case without the words that `Class::what` has already said.
struct Cause<'a>(&'a io::Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tls_error(self.0) {
            Some(rustls::Error::InvalidCertificate(error)) => write!(f, "{error}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// What a server without TLS does to a handshake: it answers in its own protocol, or goes.
fn plain_hint(class: Class, error: &io::Error) -> &'static str {
    let gone = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
    let strange = matches!(tls_error(error), Some(rustls::Error::InvalidMessage(_)));
    if class == Class::Tls && (gone || strange) {
        "; a server without TLS on this port answers so"
    } else {
        ""
    }
}

/// Connects to `endpoint`; all steps together may take until `deadline`. `turn` is the caller's number among all: source and
/// target addresses are taken in turn.
///
/// # Errors
/// Any step failed or did not finish in time.
pub async fn dial(endpoint: &Endpoint, turn: u64, deadline: Instant) -> Result<Dialled, DialError> {
    let mut steps = Steps::default();
    let mut step = Step::Dns;
    // Boxed: a device's task would otherwise keep room for a handshake all its life.
    let connecting = Box::pin(connect(endpoint, turn, deadline, &mut step, &mut steps));
    let result = match timeout_at(deadline.into(), connecting).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match result {
        Ok(transport) => Ok(Dialled { tls: transport.tls_facts(), transport, steps }),
        Err(source) => Err(DialError::new(step, steps, source)),
    }
}

/// `step` and `steps` tell the caller how far it came, also when it is dropped at the deadline.
async fn connect(
    endpoint: &Endpoint,
    turn: u64,
    deadline: Instant,
    step: &mut Step,
    steps: &mut Steps,
) -> io::Result<Transport> {
    let mut began = clock::now();
    let mut lap = || {
        let now = clock::now();
        now.duration_since(std::mem::replace(&mut began, now))
    };
    let found = if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        vec![SocketAddr::new(address, endpoint.port)]
    } else {
        let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
        steps.dns = Some(lap());
        found
    };
    *step = Step::Tcp;
    let paths = addresses::paths(&found, &endpoint.sources, turn);
    if paths.is_empty() && !found.is_empty() {
        let what = "none is of the kind of the host's addresses, IPv4 or IPv6";
        return Err(addresses::not_ours(what.to_owned()));
    }
    let stream = connect_any(&paths, deadline).await?;
    // Acks and small messages must not wait for each other (Nagle).
    stream.set_nodelay(true)?;
    steps.tcp = Some(lap());

    let Some(config) = &endpoint.tls else { return Ok(Transport::Tcp(stream)) };
    *step = Step::Tls;
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let records = Records::client(Arc::clone(config), name).map_err(secure::failed)?;
    let stream = Secure::handshake(stream, records).await?;
    steps.tls = Some(lap());
    Ok(Transport::Tls(Box::new(stream)))
}

/// Tries the paths in their order, each with its share of the time that is left: one that does not answer
/// must not cost the others their turn.
async fn connect_any(paths: &[Path], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, &path) in paths.iter().enumerate() {
        let left = deadline.saturating_duration_since(clock::now());
        let share = left / u32::try_from(paths.len() - tried).unwrap_or(u32::MAX);
        match timeout(share, addresses::connect(path)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(step: Step, errno: Errno) -> (&'static str, Culprit) {
        let class = Class::of(step, &io::Error::from(errno));
        (class.name(), class.culprit())
    }

    #[test]
    fn our_own_shortages_are_ours_in_every_step() {
        for step in [Step::Dns, Step::Tcp, Step::Tls] {
            assert_eq!(class(step, Errno::EMFILE), ("fd_limit", Culprit::Us));
            assert_eq!(class(step, Errno::ENFILE), ("fd_limit", Culprit::Us));
            assert_eq!(class(step, Errno::EADDRNOTAVAIL), ("ports_exhausted", Culprit::Us));
            assert_eq!(class(step, Errno::ENOMEM), ("no_memory", Culprit::Us));
        }
    }

    #[test]
    fn what_the_network_and_the_peer_do_is_told_apart() {
        assert_eq!(class(Step::Tcp, Errno::ECONNREFUSED), ("tcp_refused", Culprit::Peer));
        assert_eq!(class(Step::Tcp, Errno::ETIMEDOUT), ("tcp_timeout", Culprit::Network));
        assert_eq!(class(Step::Tcp, Errno::EHOSTUNREACH), ("tcp_unreachable", Culprit::Network));
        assert_eq!(class(Step::Tls, Errno::ECONNRESET), ("tls", Culprit::Peer));
        assert_eq!(class(Step::Tls, Errno::ETIMEDOUT), ("tls_timeout", Culprit::Peer));
    }
}
