//! The server side of a connection's beginning: TLS on an accepted socket, under a deadline. The emulator calls it; from
//! then on its connections are driven like a device's.

use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::records::Records;
use super::secure::{self, Secure};
use super::transport::Transport;

/// A client that did not get through TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The handshake did not finish in time.
    #[error("the TLS handshake did not finish in time")]
    Timeout,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
}

/// Bounds the memory of a connection during its handshake.
pub trait Watch {
    /// Ready once the connection may read, by which it grows by at most `bytes`. To be called when there is something to read.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()>;

    /// It has read, or `received` nothing, and its buffers hold so much now. TLS's own state is not in it.
    fn read(&mut self, received: bool, buffers_bytes: usize);
}

/// No bound.
impl Watch for () {
    fn poll_room(&mut self, _cx: &mut Context<'_>, _bytes: usize) -> Poll<()> {
        Poll::Ready(())
    }

    fn read(&mut self, _received: bool, _buffers_bytes: usize) {}
}

/// Does the server's side of the TLS handshake.
///
/// # Errors
/// The handshake failed, or did not finish by `deadline`.
pub async fn accept_tls(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    deadline: Instant,
) -> Result<Transport, AcceptError> {
    accept_tls_watched(stream, config, deadline, ()).await
}

/// The same; `watch` allows each read, and is told what the connection holds.
///
/// # Errors
/// As [`accept_tls`].
pub async fn accept_tls_watched(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    deadline: Instant,
    watch: impl Watch,
) -> Result<Transport, AcceptError> {
    // Acks must not wait for each other (Nagle).
    stream.set_nodelay(true).map_err(AcceptError::Tls)?;
    let records = Records::server(Arc::clone(config))
        .map_err(|error| secure::failed(error, false))
        .map_err(AcceptError::Tls)?;
    // Boxed: a connection's task would otherwise keep room for a handshake all its life.
    let accepting = Box::pin(Secure::handshake(stream, records, watch));
    match timeout_at(deadline.into(), accepting).await {
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(AcceptError::Tls(error)),
        Err(_) => Err(AcceptError::Timeout),
    }
}
