//! Dialing: from a host name to an established connection. DNS, TCP and TLS are timed separately and share one deadline.
//! `fleet` dials for its devices, `app` for its checks.
//!
//! A failed dial is a measurement, not an error in the program: see `dial_error`.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::addresses::{self, Route};
use super::dial_error::{Class, Culprit, DialError, Step, Steps, is_after_tcp_handshake};
use super::endpoint::Endpoint;
use super::faults::{Faults, InjectedFault};
use super::resolver::{self, Resolver};
use super::shaped::ShapedSocket;
use super::shaped_stream::ShapedStream;
use super::tls::{Records, Socket, TlsFacts, TlsStream, tls_io_error};
use super::transport::Transport;
use crate::clock;

/// An established connection.
#[derive(Debug)]
pub struct Dialed {
    /// The transport, ready to be driven.
    pub transport: Transport,
    /// Duration of each step.
    pub steps: Steps,
    /// Negotiated TLS parameters; `None` without TLS.
    pub tls: Option<TlsFacts>,
}

/// Connects to `endpoint` with a full TLS handshake. All steps must finish by `deadline`. `turn` is the number of the caller's connection:
/// consecutive connections to a host use the source and target addresses in turn.
///
/// # Errors
/// A step failed or did not finish in time.
pub fn dial<'a>(
    endpoint: &'a Endpoint,
    resolver: &'a Resolver,
    turn: u64,
    deadline: Instant,
) -> impl Future<Output = Result<Dialed, DialError>> + use<'a> {
    dial_with(endpoint, endpoint.tls.as_ref(), resolver, turn, deadline, None)
}

/// Connects a device, which is given by its index over all fleets, like [`dial`]. If the endpoint has sessions, the device resumes its own.
/// `faults` act on its connection.
///
/// # Errors
/// Returns the same errors as [`dial`].
pub fn dial_device<'a>(
    endpoint: &'a Endpoint,
    resolver: &'a Resolver,
    device: u64,
    deadline: Instant,
    faults: Option<Rc<Faults>>,
) -> impl Future<Output = Result<Dialed, DialError>> + use<'a> {
    let own = endpoint.sessions.as_ref().map(|sessions| sessions.config_of(device));
    dial_with(endpoint, own.or(endpoint.tls.as_ref()), resolver, device, deadline, faults)
}

/// Boxed, because the device's task would otherwise reserve memory for a handshake until the task ends.
fn dial_with<'a>(
    endpoint: &'a Endpoint,
    tls: Option<&'a Arc<ClientConfig>>,
    resolver: &'a Resolver,
    turn: u64,
    deadline: Instant,
    faults: Option<Rc<Faults>>,
) -> Pin<Box<impl Future<Output = Result<Dialed, DialError>> + use<'a>>> {
    Box::pin(async move {
        let faults = faults.as_ref();
        if let Some(faults) = faults {
            faults.dials();
        }
        let mut steps = Steps::default();
        match connect(endpoint, tls, (resolver, turn), deadline, faults, &mut steps).await {
            Ok(transport) => Ok(Dialed { tls: transport.tls_facts(), transport, steps }),
            Err((step, source)) => {
                let is_blocked = faults.is_some_and(|faults| faults.blocks(clock::now()));
                let is_timeout = source.kind() == io::ErrorKind::TimedOut;
                let source =
                    if is_blocked && is_timeout { InjectedFault::error(source.kind()) } else { source };
                Err(DialError::new(step, steps, source))
            }
        }
    })
}

/// Connects, and stores the duration of each finished step in `steps`.
async fn connect(
    endpoint: &Endpoint,
    tls_config: Option<&Arc<ClientConfig>>,
    (resolver, turn): (&Resolver, u64),
    deadline: Instant,
    faults: Option<&Rc<Faults>>,
    steps: &mut Steps,
) -> Result<Transport, (Step, io::Error)> {
    let mut began = clock::now();
    let found = if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        Arc::from([SocketAddr::new(address, endpoint.port)])
    } else {
        let answer = within(deadline, resolver.resolve(&endpoint.host, endpoint.port)).await;
        let answer = answer.map_err(|error| (Step::Dns, error))?;
        let found = answer.found.map_err(|error| (Step::Dns, resolver::clone_error(&error)))?;
        // Measure until the answer arrived, not until this task ran, because other tasks that share the answer may have
        // run first.
        steps.dns = Some(answer.at.saturating_duration_since(began));
        began = clock::now();
        found
    };
    let mut lap = || {
        let now = clock::now();
        now.duration_since(std::mem::replace(&mut began, now))
    };
    let mut connected = tcp(endpoint, &found, turn, deadline).await;
    if let (Ok(_), Some(faults)) = (&connected, faults) {
        let passed = within(deadline, async {
            faults.pass_tcp_handshake().await;
            Ok(())
        })
        .await;
        connected = connected.and_then(|stream| passed.map(|()| stream));
    }
    if connected.as_ref().err().is_none_or(is_after_tcp_handshake) {
        steps.tcp = Some(lap());
    }
    let stream = connected.map_err(|error| match &endpoint.tls {
        _ if !is_after_tcp_handshake(&error) => (Step::Tcp, error),
        Some(_) => (Step::Tls, error),
        None => (Step::AfterTcp, error),
    })?;

    let transport = match (tls_config, faults) {
        (None, None) => return Ok(Transport::Tcp(stream)),
        (None, Some(faults)) => {
            let socket = ShapedSocket::new(stream, faults.clone());
            return Ok(Transport::Shaped(Box::new(ShapedStream::tcp(socket))));
        }
        (Some(config), None) => {
            let stream = tls(endpoint, config, stream, deadline).await;
            Transport::Tls(Box::new(stream.map_err(|error| (Step::Tls, error))?))
        }
        (Some(config), Some(faults)) => {
            let socket = ShapedSocket::new(stream, faults.clone());
            let stream = tls(endpoint, config, socket, deadline).await;
            let stream = stream.map_err(|error| (Step::Tls, error))?;
            Transport::Shaped(Box::new(ShapedStream::tls(stream)))
        }
    };
    steps.tls = Some(lap());
    Ok(transport)
}

async fn within<T>(deadline: Instant, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(deadline.into(), step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn tcp(
    endpoint: &Endpoint,
    found: &[SocketAddr],
    turn: u64,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let routes = addresses::routes(found, &endpoint.sources, turn);
    if routes.is_empty() && !found.is_empty() {
        let what = "none is of the same family (IPv4 or IPv6) as the host's addresses";
        return Err(addresses::source_address_error(what.to_owned()));
    }
    let stream = connect_any(&routes, deadline).await?;
    // Without this, Nagle's algorithm delays acknowledgments and small messages.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tries the routes in order. Each gets an equal share of the remaining time, so that an unresponsive address leaves
/// time for the others. Returns the error of the first route, which is the preferred one, unless another error shows
/// that this machine ran out of a resource.
async fn connect_any(routes: &[Route], deadline: Instant) -> io::Result<TcpStream> {
    let is_ours = |error: &io::Error| Class::of(Step::Tcp, error).culprit() == Culprit::Generator;
    let mut failed: Option<io::Error> = None;
    for (tried, &route) in routes.iter().enumerate() {
        let now = clock::now();
        let left = deadline.saturating_duration_since(now);
        let share = left / u32::try_from(routes.len() - tried).unwrap_or(u32::MAX);
        match within(now + share, addresses::connect(route)).await {
            Ok(stream) => return Ok(stream),
            Err(error) if is_after_tcp_handshake(&error) => return Err(error),
            Err(error) => match &failed {
                Some(first) if is_ours(first) || !is_ours(&error) => {}
                _ => failed = Some(error),
            },
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host name has no address")))
}

async fn tls<S: Socket>(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    stream: S,
    deadline: Instant,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let records = Records::client(Arc::clone(config), name).map_err(|error| tls_io_error(error, false))?;
    within(deadline, TlsStream::handshake(stream, records, ())).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Returns the class of the error when every route fails.
    async fn class_of(routes: &[Route]) -> &'static str {
        let deadline = clock::now() + Duration::from_secs(60);
        Class::of(Step::Tcp, &connect_any(routes, deadline).await.unwrap_err()).name()
    }

    #[tokio::test]
    async fn the_first_error_wins_unless_this_machine_lacks_a_resource() {
        let to = |ip: [u8; 4], from: Option<[u8; 4]>| {
            let port = crate::link::testing::listener().1.port(); // The listener is already closed.
            Route { to: SocketAddr::from((ip, port)), from: from.map(IpAddr::from) }
        };
        let refused = to([127, 0, 0, 1], None);
        // TCP cannot connect to a broadcast address. No machine has a documentation address (RFC 5737).
        let unreachable = to([255; 4], None);
        let lacking = to([127, 0, 0, 1], Some([192, 0, 2, 1]));
        assert_eq!(class_of(&[refused, unreachable]).await, "tcp_refused");
        assert_eq!(class_of(&[unreachable, refused]).await, "tcp_unreachable");
        assert_eq!(class_of(&[refused, lacking, unreachable]).await, "source_address");
        assert_eq!(class_of(&[lacking, refused]).await, "source_address");
        assert_eq!(class_of(&[]).await, "tcp_unreachable");
    }
}
