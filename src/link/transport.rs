//! The transports of a connection: TCP, or TLS over TCP, behind the same poll functions. Created by `dial` and
//! `accept`; driven by `driver`. Independent of machines and timers.

use bytes::{BufMut, BytesMut};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::buffers::READ_BYTES_MAX;
use super::shaped_stream::ShapedStream;
use super::tls::{NO_CLIENT_CERTIFICATE, TlsFacts, TlsFailure, TlsStream};
use crate::sansio::TlsEnd;

/// An established connection.
#[derive(Debug)]
pub enum Transport {
    /// TCP without TLS, for plain brokers.
    Tcp(TcpStream),
    /// TLS over TCP, as a client or as a server.
    Tls(Box<TlsStream>),
    /// Either of them, for a device with faults.
    Shaped(Box<ShapedStream>),
    /// A pipe in memory, for tests in virtual time.
    #[cfg(test)]
    Duplex(tokio::io::DuplexStream),
}

impl Transport {
    /// Returns the negotiated TLS parameters; `None` without TLS.
    #[must_use]
    pub fn tls_facts(&self) -> Option<TlsFacts> {
        match self {
            Transport::Tls(stream) => stream.common().map(TlsFacts::of),
            Transport::Shaped(stream) => stream.tls_facts(),
            _ => None,
        }
    }

    /// Waits until `deadline` for a refusal from a TLS server that has requested a client certificate. In TLS 1.3 the
    /// refusal follows the handshake (RFC 8446 §4.4.2.4). Returns immediately if the server did not request one.
    /// Discards all data, so the connection cannot be used for anything else.
    ///
    /// # Errors
    /// Returns the cause and the fix if the server ended the connection.
    pub async fn await_refusal(&mut self, deadline: Instant) -> Result<(), &'static TlsEnd> {
        let Transport::Tls(secure) = self else { return Ok(()) };
        if !secure.client_certificate_requested() {
            return Ok(());
        }
        let mut data = BytesMut::new();
        let read = timeout_at(deadline.into(), poll_fn(|cx| secure.poll_read(cx, &mut data))).await;
        match read {
            Err(_) | Ok(Ok(1..)) => Ok(()),
            Ok(Ok(0)) => Err(&NO_CLIENT_CERTIFICATE),
            Ok(Err(error)) => Err(TlsFailure::of(&error).map_or(&NO_CLIENT_CERTIFICATE, TlsFailure::end)),
        }
    }

    /// Returns the buffer memory of this connection, in bytes.
    pub(super) fn owned_bytes(&self) -> usize {
        match self {
            Transport::Tls(stream) => stream.owned_bytes(),
            Transport::Shaped(stream) => stream.owned_bytes(),
            _ => 0,
        }
    }

    /// Returns the socket, if the transport has one.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Transport::Tcp(stream) => Some(stream),
            Transport::Tls(stream) => Some(stream.socket()),
            Transport::Shaped(stream) => Some(stream.socket()),
            #[cfg(test)]
            Transport::Duplex(_) => None,
        }
    }

    /// Returns `Ready` when a read would return data, the end of the stream or an error.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Transport::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Transport::Tls(stream) => stream.poll_read_ready(cx),
            Transport::Shaped(stream) => stream.socket().poll_read_ready(cx).map(drop),
            #[cfg(test)]
            Transport::Duplex(_) => Poll::Ready(()),
        }
    }

    /// Appends the data of one read to `into`, and returns its length. 0 means the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Transport::Tcp(stream) => pin!(stream.read_buf(&mut into.limit(READ_BYTES_MAX))).poll(cx),
            Transport::Tls(stream) => stream.poll_read(cx, into),
            Transport::Shaped(stream) => stream.poll_read(cx, into),
            #[cfg(test)]
            Transport::Duplex(stream) => pin!(stream.read_buf(&mut into.limit(READ_BYTES_MAX))).poll(cx),
        }
    }

    /// Accepts some of `bytes`, and returns the number of accepted bytes. With TLS, they may not reach the socket
    /// before `poll_flush` returns `Ready`.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => stream.poll_write(cx, bytes),
            Transport::Shaped(stream) => stream.poll_write(cx, bytes),
            #[cfg(test)]
            Transport::Duplex(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Returns `Ready` once the kernel has everything.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => stream.poll_flush(cx),
            Transport::Shaped(stream) => stream.poll_flush(cx),
            #[cfg(test)]
            Transport::Duplex(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Sends TLS's close_notify, then closes the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => stream.poll_shutdown(cx),
            Transport::Shaped(stream) => stream.poll_shutdown(cx),
            #[cfg(test)]
            Transport::Duplex(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Returns true if a fault has silenced the connection, so that the peer must not learn its end.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Transport::Shaped(stream) if stream.is_silent())
    }

    /// Resets the connection: the peer sees a reset instead of an end of stream.
    pub fn reset(self) {
        if let Some(socket) = self.socket() {
            // The socket is closed in any case. If this fails, the peer sees an end of stream.
            let _ = socket.set_zero_linger();
        }
    }
}
