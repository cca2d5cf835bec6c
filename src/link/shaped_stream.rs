//! A connection of a device with faults: a shaped socket, with or without TLS on top. `transport` contains it. The only fault that acts on
//! packets instead of bytes below TLS, a close in the middle of a packet, is here.

use bytes::{BufMut, BytesMut};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::buffers::READ_BYTES_MAX;
use super::faults::InjectedFault;
use super::shaped::ShapedSocket;
use super::tls::{Socket, TlsFacts, TlsStream};

/// A connection with faults.
#[derive(Debug)]
pub struct ShapedStream {
    stream: Stream,
    /// The number of bytes to send before the connection closes in the middle of a packet, once that has begun.
    cut: Option<usize>,
}

#[derive(Debug)]
enum Stream {
    Tcp(Box<ShapedSocket>),
    Tls(Box<TlsStream<ShapedSocket>>),
}

impl ShapedStream {
    pub(super) fn tcp(socket: ShapedSocket) -> ShapedStream {
        ShapedStream { stream: Stream::Tcp(Box::new(socket)), cut: None }
    }

    pub(super) fn tls(stream: TlsStream<ShapedSocket>) -> ShapedStream {
        ShapedStream { stream: Stream::Tls(Box::new(stream)), cut: None }
    }

    fn shaped(&mut self) -> &mut ShapedSocket {
        match &mut self.stream {
            Stream::Tcp(socket) => socket,
            Stream::Tls(stream) => stream.socket_mut(),
        }
    }

    /// Returns true if the peer must not learn that this side is gone.
    pub(super) fn is_silent(&self) -> bool {
        match &self.stream {
            Stream::Tcp(socket) => socket.is_silent(),
            Stream::Tls(stream) => stream.any_socket().is_silent(),
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(socket) => socket.tcp(),
            Stream::Tls(stream) => stream.socket(),
        }
    }

    pub(super) fn tls_facts(&self) -> Option<TlsFacts> {
        match &self.stream {
            Stream::Tcp(_) => None,
            Stream::Tls(stream) => stream.common().map(TlsFacts::of),
        }
    }

    pub(super) fn owned_bytes(&self) -> usize {
        match &self.stream {
            Stream::Tcp(_) => 0,
            Stream::Tls(stream) => stream.owned_bytes(),
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(socket) => pin!(socket.read_buf(&mut into.limit(READ_BYTES_MAX))).poll(cx),
            Stream::Tls(stream) => stream.poll_read(cx, into),
        }
    }

    /// Accepts some of `bytes`, which end with a whole packet.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.is_none() && self.shaped().must_cut() {
            // Without its last byte, the last packet is incomplete, whatever the others are.
            self.cut = Some(bytes.len().saturating_sub(1));
        }
        let bytes = match self.cut {
            Some(0) => {
                ready!(self.poll_cut(cx))?;
                return Poll::Ready(Err(InjectedFault::error(io::ErrorKind::ConnectionAborted)));
            }
            Some(left) => bytes.get(..left).unwrap_or(bytes),
            None => bytes,
        };
        let count = ready!(match &mut self.stream {
            Stream::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(stream) => stream.poll_write(cx, bytes),
        })?;
        if let Some(left) = &mut self.cut {
            *left -= count;
        }
        Poll::Ready(Ok(count))
    }

    /// Closes the sending side without TLS's close_notify, once everything before it has been sent.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Stream::Tls(stream) = &mut self.stream {
            ready!(stream.poll_flush(cx))?;
        }
        Pin::new(self.shaped()).poll_shutdown(cx)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Stream::Tls(stream) = &mut self.stream {
            ready!(stream.poll_flush(cx))?;
        }
        Pin::new(self.shaped()).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}
