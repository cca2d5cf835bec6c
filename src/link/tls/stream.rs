//! TLS on a socket: the handshake for `dial` and `accept`, then the reads and writes of `transport`. The TLS protocol
//! itself is in `records`.
//!
//! All connections of a worker encrypt and decrypt in one scratch buffer, so an idle connection does not own a buffer.

use bytes::{Buf, BytesMut};
use rustls::CommonState;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::failure::TlsFailure;
use super::records::{Outgoing, Records};
use crate::link::handshake_memory::HandshakeMemory;

/// The maximum size of one read from the socket, and of one write before encryption. A flooding peer cannot make a
/// connection use more memory than this, and a peer that stops reading causes back-pressure after this many bytes.
pub(in crate::link) const CHUNK_BYTES: usize = 16 * 1024;

thread_local! {
    /// Ciphertext in transit, never kept across two polls. A worker is one thread, so this is one buffer per worker.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The socket below TLS.
pub(in crate::link) trait Socket: AsyncRead + AsyncWrite + Unpin + fmt::Debug {
    /// Returns the TCP socket.
    fn tcp(&self) -> &TcpStream;

    /// Returns `Ready` when a read returns something.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes what the socket accepts immediately.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

impl Socket for TcpStream {
    #[inline]
    fn tcp(&self) -> &TcpStream {
        self
    }

    #[inline]
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    #[inline]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TcpStream::try_write(self, bytes)
    }
}

/// A TLS connection after the handshake. Only a device with faults has another socket than TCP's.
pub struct TlsStream<S = TcpStream> {
    socket: S,
    records: Records,
    /// Plaintext that arrived together with the end of the handshake.
    first_plaintext: BytesMut,
    /// True once close_notify has been written.
    close_notify_sent: bool,
}

#[expect(private_bounds, reason = "only this room has sockets for TLS")]
impl<S: Socket> TlsStream<S> {
    /// Performs the handshake on `socket`; `records` is the client's or the server's end. `memory` must allow each
    /// read, and receives the size of the connection's buffers after the read.
    ///
    /// # Errors
    /// Returns `InvalidData` around a [`TlsFailure`] if TLS failed, `UnexpectedEof` if the peer closed the connection, and
    /// otherwise the socket's error.
    pub(in crate::link) async fn handshake(
        socket: S,
        records: Records,
        mut memory: impl HandshakeMemory,
    ) -> io::Result<TlsStream<S>> {
        let mut this =
            TlsStream { socket, records, first_plaintext: BytesMut::new(), close_notify_sent: false };
        let mut first_plaintext = BytesMut::new();
        while this.records.is_handshaking() {
            this.flush_or_read_alert(&mut first_plaintext).await?;
            if poll_fn(|cx| this.poll_receive_bounded(cx, &mut first_plaintext, &mut memory)).await? == 0 {
                return Err(closed_during_handshake());
            }
        }
        this.flush_or_read_alert(&mut first_plaintext).await?;
        this.first_plaintext = first_plaintext;
        Ok(this)
    }

    /// Reads when the socket is readable and `memory` allows it.
    fn poll_receive_bounded(
        &mut self,
        cx: &mut Context<'_>,
        first_plaintext: &mut BytesMut,
        memory: &mut impl HandshakeMemory,
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_readable(cx))?;
        ready!(memory.poll_room(cx, CHUNK_BYTES));
        let received = self.poll_receive(cx, first_plaintext);
        memory.after_read(received.is_ready(), self.owned_bytes() + first_plaintext.capacity());
        received
    }

    /// Returns `Ready` when a read would return something.
    pub(in crate::link) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first_plaintext.is_empty() {
            self.socket.tcp().poll_read_ready(cx).map(drop)
        } else {
            Poll::Ready(())
        }
    }

    /// Flushes the output. If the peer has closed the connection, reads the peer's alert first, because it explains
    /// more than the failed write. Which of the two this side encounters first is a matter of chance.
    async fn flush_or_read_alert(&mut self, first_plaintext: &mut BytesMut) -> io::Result<()> {
        let Err(failed) = poll_fn(|cx| self.poll_flush(cx)).await else { return Ok(()) };
        if !matches!(failed.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            return Err(failed);
        }
        // This loop ends: after a reset, a read returns an error or the end of the stream.
        while poll_fn(|cx| self.poll_receive(cx, first_plaintext)).await? > 0 {}
        Err(if failed.kind() == io::ErrorKind::ConnectionReset { failed } else { closed_during_handshake() })
    }

    /// Returns rustls's connection state; `None` once TLS has failed.
    pub(in crate::link) fn common(&self) -> Option<&CommonState> {
        self.records.common()
    }

    /// Returns the TCP socket.
    pub(in crate::link) fn socket(&self) -> &TcpStream {
        self.socket.tcp()
    }

    /// Returns the socket below TLS.
    pub(in crate::link) fn any_socket(&self) -> &S {
        &self.socket
    }

    /// Returns the socket below TLS, for writing around TLS.
    pub(in crate::link) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Returns true if the server has requested a client certificate.
    pub(in crate::link) fn client_certificate_requested(&self) -> bool {
        self.records.client_certificate_requested()
    }

    /// Returns the buffer memory of this connection in bytes, not counting rustls's own state.
    pub(in crate::link) fn owned_bytes(&self) -> usize {
        self.records.owned_bytes() + self.first_plaintext.capacity()
    }

    /// Reads once from the socket, and appends the decrypted plaintext. Returns 0 after close_notify, and
    /// `UnexpectedEof` after an end of stream without one. If an error follows plaintext in the same read, the next
    /// call returns it.
    pub(in crate::link) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        plaintext: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if !self.first_plaintext.is_empty() {
            let first_plaintext = std::mem::take(&mut self.first_plaintext);
            plaintext.extend_from_slice(&first_plaintext);
            return Poll::Ready(Ok(first_plaintext.len()));
        }
        let before = plaintext.len();
        while !self.records.peer_closed() {
            let received = self.poll_receive(cx, plaintext);
            if plaintext.len() > before {
                break;
            }
            if ready!(received)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Poll::Ready(Ok(plaintext.len() - before))
    }

    /// Encrypts at most [`CHUNK_BYTES`] of `plaintext`, and only once the kernel has all earlier output.
    pub(in crate::link) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let chunk = plaintext.get(..CHUNK_BYTES).unwrap_or(plaintext);
        self.send(cx, Outgoing::Data(chunk))?;
        Poll::Ready(Ok(chunk.len()))
    }

    /// Returns `Ready` once the kernel has everything.
    pub(in crate::link) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unsent = &mut self.records.unsent;
        while !unsent.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n if n == unsent.len() => *unsent = BytesMut::new(),
                n => unsent.advance(n),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends close_notify once, then closes the sending side.
    pub(in crate::link) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        if !self.close_notify_sent {
            self.close_notify_sent = true;
            self.send(cx, Outgoing::CloseNotify)?;
            ready!(self.poll_flush(cx))?;
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Reads once from the socket and decrypts. Returns the number of bytes read from the socket; 0 means the end of
    /// the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, plaintext: &mut BytesMut) -> Poll<io::Result<usize>> {
        if let Some(error) = self.records.failure() {
            return Poll::Ready(Err(tls_io_error(
                error.clone(),
                self.records.client_certificate_requested(),
            )));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.records.partial_bytes();
            if scratch.len() < kept + CHUNK_BYTES {
                scratch.resize(kept + CHUNK_BYTES, 0);
            }
            // tokio treats a read that does not fill its buffer as the last one, so the next call does not make a
            // system call.
            let mut room = ReadBuf::new(&mut scratch[kept..kept + CHUNK_BYTES]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
            let n = room.filled().len();
            if n > 0 {
                let opened = self.records.decrypt(&mut scratch[..kept + n], plaintext);
                opened.map_err(|error| self.report_failure(error))?;
            }
            Poll::Ready(Ok(n))
        })
    }

    /// Encrypts and writes, and keeps the bytes that the socket does not accept. There must be no unsent data before
    /// the call.
    fn send(&mut self, cx: &mut Context<'_>, outgoing: Outgoing<'_>) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let n = self.records.encrypt(outgoing, scratch).map_err(|error| self.report_failure(error))?;
            let taken = match Pin::new(&mut self.socket).poll_write(cx, &scratch[..n]) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            self.records.unsent.extend_from_slice(&scratch[taken..n]);
            Ok(())
        })
    }

    /// Sends the alert if the socket accepts it immediately, and converts the error to the form that `dial` and
    /// `driver` expect.
    fn report_failure(&mut self, error: rustls::Error) -> io::Error {
        // Ignore the error: if the alert cannot be sent, the connection ends in the same way.
        if let Ok(n) = self.socket.try_write(&self.records.unsent) {
            self.records.unsent.advance(n);
        }
        tls_io_error(error, self.records.client_certificate_requested())
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Returns a TLS error as an I/O error.
pub(in crate::link) fn tls_io_error(error: rustls::Error, client_certificate_requested: bool) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, TlsFailure::new(error, client_certificate_requested))
}

fn closed_during_handshake() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection during the TLS handshake")
}
