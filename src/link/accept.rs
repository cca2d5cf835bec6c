//! The server side of a new connection: the TLS handshake on an accepted socket, under a deadline. Used by the emulator,
//! which then drives the connection with a `Link`, as a device does.

use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::handshake_memory::HandshakeMemory;
use super::tls::{Records, TlsStream, tls_io_error};
use super::transport::Transport;

/// A failed TLS handshake with a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The handshake did not finish before the deadline.
    #[error("the TLS handshake did not finish in time")]
    Timeout,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
}

/// Performs the server's side of the TLS handshake.
///
/// # Errors
/// The handshake failed, or did not finish by `deadline`.
pub async fn accept_tls(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    deadline: Instant,
) -> Result<Transport, AcceptError> {
    accept_tls_bounded(stream, config, deadline, ()).await
}

/// Performs the handshake like [`accept_tls`], but reads only when `memory` allows it.
///
/// # Errors
/// Returns the same errors as [`accept_tls`].
pub async fn accept_tls_bounded(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    deadline: Instant,
    memory: impl HandshakeMemory,
) -> Result<Transport, AcceptError> {
    // Without this, Nagle's algorithm delays acknowledgments.
    stream.set_nodelay(true).map_err(AcceptError::Tls)?;
    let records = Records::server(Arc::clone(config))
        .map_err(|error| tls_io_error(error, false))
        .map_err(AcceptError::Tls)?;
    // Boxed, because the connection's task would otherwise reserve memory for the handshake until the task ends.
    let accepting = Box::pin(TlsStream::handshake(stream, records, memory));
    match timeout_at(deadline.into(), accepting).await {
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(AcceptError::Tls(error)),
        Err(_) => Err(AcceptError::Timeout),
    }
}
