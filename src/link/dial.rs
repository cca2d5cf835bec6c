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
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::addresses::{self, Path};
use super::records::Records;
use super::resolve::{self, Resolver};
use super::secure::{self, Secure};
use super::tls::TlsFacts;
use super::tls_failure::TlsFailure;
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
    /// The trusted roots come from a `ca` file, so advice must not ask for one.
    pub own_roots: bool,
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
    /// After the TCP handshake, without TLS. A dial fails here if the connection ends before the dial returns.
    After,
}

/// How long each step took that completed. An address needs no DNS, and plain TCP no TLS. Who joins a lookup that others
/// have begun waits for less than it takes.
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
#[error("{}", InWords(self))]
#[non_exhaustive]
pub struct DialError {
    /// The step that failed.
    pub step: Step,
    /// How long the earlier steps took.
    pub steps: Steps,
    /// A stable name for counting: `dns`, `tcp_refused`, `tcp_timeout`, `tcp_unreachable`, `reset`, `closed_by_peer`, `tls`,
    /// `tls_timeout`, `tls_certificate`, `fd_limit`, `ports_exhausted`, `source_address`, `no_memory`.
    pub class: &'static str,
    kind: Class,
    source: io::Error,
}

impl DialError {
    pub(crate) fn new(step: Step, steps: Steps, source: io::Error) -> DialError {
        let kind = Class::of(step, &source);
        DialError { step, steps, class: kind.name(), kind, source }
    }

    /// A TLS handshake that failed with `error`.
    #[cfg(test)]
    pub(crate) fn of_tls(error: rustls::Error) -> DialError {
        DialError::new(Step::Tls, Steps::default(), io::Error::other(TlsFailure::new(error, false)))
    }

    /// Whose fault it is.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        self.kind.culprit()
    }

    /// The step did not finish in time, whichever it was.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.source.kind() == io::ErrorKind::TimedOut
    }

    /// True if the server's certificate has expired or is not valid yet, but would be valid at `unix`, a time since the Unix epoch.
    #[must_use]
    pub fn is_valid_at(&self, unix: Duration) -> bool {
        TlsFailure::of(&self.source).is_some_and(|failure| failure.is_valid_at(unix))
    }

    /// Nothing listens there, or the connection was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.kind == Class::TcpRefused
    }

    /// The fix, if TLS failed; `own_roots` as in [`Endpoint`].
    #[must_use]
    pub fn tls_fix(&self, own_roots: bool) -> Option<&'static str> {
        TlsFailure::of(&self.source).map(|failure| failure.fix(own_roots))
    }

    /// True if the port may not use TLS: the answer was not TLS, or the connection ended during the handshake.
    #[must_use]
    pub fn may_lack_tls(&self) -> bool {
        let gone = matches!(self.kind, Class::Reset | Class::ClosedByPeer) && self.step == Step::Tls;
        gone || TlsFailure::of(&self.source).is_some_and(TlsFailure::is_not_tls)
    }
}

/// What can go wrong. A closed set, so that reports can count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Dns,
    TcpRefused,
    TcpTimeout,
    TcpUnreachable,
    Reset,
    ClosedByPeer,
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
            Class::Reset => "reset",
            Class::ClosedByPeer => "closed_by_peer",
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
            Class::TcpRefused
            | Class::ClosedByPeer
            | Class::Tls
            | Class::TlsTimeout
            | Class::TlsCertificate => Culprit::Peer,
            Class::Dns | Class::TcpTimeout | Class::TcpUnreachable | Class::Reset => Culprit::Network,
            Class::FdLimit | Class::PortsExhausted | Class::SourceAddress | Class::NoMemory => Culprit::Us,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Class::Dns => "the host name could not be resolved:",
            Class::TcpRefused => "the TCP connection was refused:",
            Class::TcpTimeout => "the TCP handshake did not finish:",
            Class::TcpUnreachable => "the host could not be reached:",
            Class::Reset => "the connection was reset",
            Class::ClosedByPeer => "the server closed the connection",
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
            // The same end of a connection has the same class in every step, because it is chance which step meets it.
            (_, io::ErrorKind::ConnectionReset) => Class::Reset,
            (_, io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => Class::ClosedByPeer,
            (Step::Tcp, io::ErrorKind::ConnectionRefused) => Class::TcpRefused,
            (Step::Tcp, io::ErrorKind::TimedOut) => Class::TcpTimeout,
            (Step::Tcp | Step::After, _) => Class::TcpUnreachable,
            (Step::Tls, io::ErrorKind::TimedOut) => Class::TlsTimeout,
            (Step::Tls, _) if TlsFailure::of(error).is_some_and(TlsFailure::is_certificate) => {
                Class::TlsCertificate
            }
            (Step::Tls, _) => Class::Tls,
        }
    }
}

/// What happened, and the cause. The system's error text adds nothing to a reset or a close, so it is left out there.
struct InWords<'a>(&'a DialError);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DialError { kind, step, source, .. } = self.0;
        match (kind, step) {
            (Class::Reset | Class::ClosedByPeer, Step::Tls) => {
                write!(f, "{} during the TLS handshake", kind.what())
            }
            (Class::Reset | Class::ClosedByPeer, _) => {
                write!(f, "{} right after the TCP handshake", kind.what())
            }
            _ => write!(f, "{} {source}", kind.what()),
        }
    }
}

/// True if the connection ended after TCP's handshake. The system reports a reset in answer to the handshake itself as a refusal
/// (RFC 9293 §3.10.7.3).
fn was_made(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Connects to `endpoint`; all steps together may take until `deadline`. `turn` is the caller's number among all: source and
/// target addresses are taken in turn.
///
/// # Errors
/// Any step failed or did not finish in time.
pub async fn dial(
    endpoint: &Endpoint,
    resolver: &Resolver,
    turn: u64,
    deadline: Instant,
) -> Result<Dialled, DialError> {
    let mut steps = Steps::default();
    // Boxed: a device's task would otherwise keep room for a handshake all its life.
    let connecting = Box::pin(connect(endpoint, resolver, turn, deadline, &mut steps));
    match connecting.await {
        Ok(transport) => Ok(Dialled { tls: transport.tls_facts(), transport, steps }),
        Err((step, source)) => Err(DialError::new(step, steps, source)),
    }
}

/// `steps` tell the caller how far it came.
async fn connect(
    endpoint: &Endpoint,
    resolver: &Resolver,
    turn: u64,
    deadline: Instant,
    steps: &mut Steps,
) -> Result<Transport, (Step, io::Error)> {
    let mut began = clock::now();
    let found = if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        Arc::from([SocketAddr::new(address, endpoint.port)])
    } else {
        let answer = by(deadline, resolver.resolve(&endpoint.host, endpoint.port)).await;
        let answer = answer.map_err(|error| (Step::Dns, error))?;
        let found = answer.found.map_err(|error| (Step::Dns, resolve::shared(&error)))?;
        // Not until we had our turn: the others who waited for the same answer had theirs before.
        steps.dns = Some(answer.at.saturating_duration_since(began));
        began = clock::now();
        found
    };
    let mut lap = || {
        let now = clock::now();
        now.duration_since(std::mem::replace(&mut began, now))
    };
    let connected = tcp(endpoint, &found, turn, deadline).await;
    if connected.as_ref().err().is_none_or(was_made) {
        steps.tcp = Some(lap());
    }
    let stream = connected.map_err(|error| match &endpoint.tls {
        _ if !was_made(&error) => (Step::Tcp, error),
        Some(_) => (Step::Tls, error),
        None => (Step::After, error),
    })?;

    let Some(config) = &endpoint.tls else { return Ok(Transport::Tcp(stream)) };
    let stream = tls(endpoint, config, stream, deadline).await.map_err(|error| (Step::Tls, error))?;
    steps.tls = Some(lap());
    Ok(Transport::Tls(Box::new(stream)))
}

async fn by<T>(deadline: Instant, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(deadline.into(), step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn tcp(
    endpoint: &Endpoint,
    found: &[SocketAddr],
    turn: u64,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let paths = addresses::paths(found, &endpoint.sources, turn);
    if paths.is_empty() && !found.is_empty() {
        let what = "none is of the kind of the host's addresses, IPv4 or IPv6";
        return Err(addresses::not_ours(what.to_owned()));
    }
    let stream = connect_any(&paths, deadline).await?;
    // Acks and small messages must not wait for each other (Nagle).
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tries the paths in their order, each with its share of the time that is left: one that does not answer
/// must not cost the others their turn. The error is the first path's, which is preferred, unless another one shows what
/// this machine lacks.
async fn connect_any(paths: &[Path], deadline: Instant) -> io::Result<TcpStream> {
    let is_ours = |error: &io::Error| Class::of(Step::Tcp, error).culprit() == Culprit::Us;
    let mut failed: Option<io::Error> = None;
    for (tried, &path) in paths.iter().enumerate() {
        let now = clock::now();
        let left = deadline.saturating_duration_since(now);
        let share = left / u32::try_from(paths.len() - tried).unwrap_or(u32::MAX);
        match by(now + share, addresses::connect(path)).await {
            Ok(stream) => return Ok(stream),
            Err(error) if was_made(&error) => return Err(error),
            Err(error) => match &failed {
                Some(first) if is_ours(first) || !is_ours(&error) => {}
                _ => failed = Some(error),
            },
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

async fn tls(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    stream: TcpStream,
    deadline: Instant,
) -> io::Result<Secure> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let records = Records::client(Arc::clone(config), name).map_err(|error| secure::failed(error, false))?;
    by(deadline, Secure::handshake(stream, records, ())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(step: Step, errno: Errno) -> (&'static str, Culprit) {
        let class = Class::of(step, &io::Error::from(errno));
        (class.name(), class.culprit())
    }

    /// What is said of paths that all fail.
    async fn why_none(paths: &[Path]) -> &'static str {
        let deadline = clock::now() + Duration::from_secs(60);
        Class::of(Step::Tcp, &connect_any(paths, deadline).await.unwrap_err()).name()
    }

    #[tokio::test]
    async fn of_several_addresses_the_first_ones_error_is_told_unless_this_machine_lacks_something() {
        let to = |ip: [u8; 4], from: Option<[u8; 4]>| {
            let port = crate::link::tls_tests::listener().1.port(); // Nobody listens there any more.
            Path { to: SocketAddr::from((ip, port)), from: from.map(IpAddr::from) }
        };
        let refused = to([127, 0, 0, 1], None);
        // A broadcast is no address for TCP; documentation addresses are nobody's (RFC 5737).
        let unreachable = to([255; 4], None);
        let lacking = to([127, 0, 0, 1], Some([192, 0, 2, 1]));
        assert_eq!(why_none(&[refused, unreachable]).await, "tcp_refused");
        assert_eq!(why_none(&[unreachable, refused]).await, "tcp_unreachable");
        assert_eq!(why_none(&[refused, lacking, unreachable]).await, "source_address");
        assert_eq!(why_none(&[lacking, refused]).await, "source_address");
        assert_eq!(why_none(&[]).await, "tcp_unreachable");
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
        assert_eq!(class(Step::Tls, Errno::ETIMEDOUT), ("tls_timeout", Culprit::Peer));
        // The class does not depend on the step.
        for step in [Step::Tcp, Step::Tls, Step::After] {
            assert_eq!(class(step, Errno::ECONNRESET), ("reset", Culprit::Network));
            assert_eq!(class(step, Errno::EPIPE), ("closed_by_peer", Culprit::Peer));
        }
        let timed_out = [Step::Dns, Step::Tcp, Step::Tls]
            .map(|step| DialError::new(step, Steps::default(), io::ErrorKind::TimedOut.into()).is_timeout());
        assert_eq!(timed_out, [true; 3]);
    }
}
