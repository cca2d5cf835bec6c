//! TLS on a socket: the handshake for `dial` and `accept`, then the reads and writes of `transport`. What the bytes of TLS mean
//! is left to `records`.
//!
//! All connections of a worker encrypt and decrypt in one scratch buffer: one that waits owns none.

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

use super::accept::Watch;
use super::records::{Outgoing, Records};
use super::tls_failure::TlsFailure;

/// What one read takes from the socket, and what one write encrypts. A peer that floods us gets no more memory, and one
/// that stops reading is felt after so much.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

thread_local! {
    /// Ciphertext on its way in or out, never across two polls. A worker is a thread, so this is the worker's.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A socket under TLS, the handshake done.
pub struct Secure {
    socket: TcpStream,
    records: Records,
    /// Plaintext that came in one segment with the handshake's end.
    early: BytesMut,
    /// Our goodbye is written.
    left: bool,
}

impl Secure {
    /// Does the handshake on `socket`; `records` say from which side. `watch` allows each read, and is told after it how many bytes
    /// the connection keeps to itself.
    ///
    /// # Errors
    /// `InvalidData` around a [`TlsFailure`]: TLS failed. `UnexpectedEof`: the peer hung up. Otherwise the socket's.
    pub(super) async fn handshake(
        socket: TcpStream,
        records: Records,
        mut watch: impl Watch,
    ) -> io::Result<Secure> {
        let mut this = Secure { socket, records, early: BytesMut::new(), left: false };
        let mut early = BytesMut::new();
        while this.records.is_handshaking() {
            this.flush_or_hear(&mut early).await?;
            if poll_fn(|cx| this.poll_watched(cx, &mut early, &mut watch)).await? == 0 {
                return Err(hung_up());
            }
        }
        this.flush_or_hear(&mut early).await?;
        this.early = early;
        Ok(this)
    }

    /// Reads once there is something to read and `watch` has room for it.
    fn poll_watched(
        &mut self,
        cx: &mut Context<'_>,
        early: &mut BytesMut,
        watch: &mut impl Watch,
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_read_ready(cx))?;
        ready!(watch.poll_room(cx, CHUNK_BYTES));
        let received = self.poll_receive(cx, early);
        watch.read(received.is_ready(), self.owned_bytes() + early.capacity());
        received
    }

    /// Ready once the next read will bring something.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.early.is_empty() { self.socket.poll_read_ready(cx).map(drop) } else { Poll::Ready(()) }
    }

    /// Flushes. When the peer is gone, its last words are heard first: an alert explains more than the failed write, and which of
    /// the two this side meets first is chance.
    async fn flush_or_hear(&mut self, early: &mut BytesMut) -> io::Result<()> {
        let Err(failed) = poll_fn(|cx| self.poll_flush(cx)).await else { return Ok(()) };
        if !matches!(failed.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            return Err(failed);
        }
        // This ends: after a reset, reading returns an error or the end of the stream.
        while poll_fn(|cx| self.poll_receive(cx, early)).await? > 0 {}
        Err(if failed.kind() == io::ErrorKind::ConnectionReset { failed } else { hung_up() })
    }

    /// What rustls knows of the connection; `None` once TLS has failed.
    pub(super) fn common(&self) -> Option<&CommonState> {
        self.records.common()
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// True if the server has requested a client certificate.
    pub(super) fn certificate_asked(&self) -> bool {
        self.records.certificate_asked()
    }

    /// Buffer memory of this connection in bytes, without rustls's own state.
    pub(super) fn owned_bytes(&self) -> usize {
        self.records.owned_bytes() + self.early.capacity()
    }

    /// Appends all the plaintext that one read of the socket brings. 0 is the peer's goodbye, `UnexpectedEof` an end without
    /// one. An error that follows plaintext in the same read is told by the next call.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        plaintext: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            plaintext.extend_from_slice(&early);
            return Poll::Ready(Ok(early.len()));
        }
        let before = plaintext.len();
        while !self.records.ended() {
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

    /// Takes at most [`CHUNK_BYTES`] of `plaintext`, and only once the kernel has all that was taken before.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let chunk = plaintext.get(..CHUNK_BYTES).unwrap_or(plaintext);
        self.send(cx, Outgoing::Data(chunk))?;
        Poll::Ready(Ok(chunk.len()))
    }

    /// Ready once the kernel has everything.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Says goodbye, once, then closes the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        if !self.left {
            self.left = true;
            self.send(cx, Outgoing::Goodbye)?;
            ready!(self.poll_flush(cx))?;
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Reads once from the socket and decrypts what came. How many bytes the socket had; 0 is its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>, plaintext: &mut BytesMut) -> Poll<io::Result<usize>> {
        if let Some(error) = self.records.failure() {
            return Poll::Ready(Err(failed(error.clone(), self.records.certificate_asked())));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.records.kept_bytes();
            if scratch.len() < kept + CHUNK_BYTES {
                scratch.resize(kept + CHUNK_BYTES, 0);
            }
            // tokio takes a read that does not fill its room for the last one: the next asks the kernel for nothing.
            let mut room = ReadBuf::new(&mut scratch[kept..kept + CHUNK_BYTES]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
            let n = room.filled().len();
            if n > 0 {
                let opened = self.records.open(&mut scratch[..kept + n], plaintext);
                opened.map_err(|error| self.failed(error))?;
            }
            Poll::Ready(Ok(n))
        })
    }

    /// Encrypts and writes; what the socket does not take is kept. To be called with nothing unsent.
    fn send(&mut self, cx: &mut Context<'_>, outgoing: Outgoing<'_>) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let n = self.records.seal(outgoing, scratch).map_err(|error| self.failed(error))?;
            let taken = match Pin::new(&mut self.socket).poll_write(cx, &scratch[..n]) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            self.records.unsent.extend_from_slice(&scratch[taken..n]);
            Ok(())
        })
    }

    /// Tells the peer, if the socket takes it at once, and gives the error the form that `dial` and `driver` know.
    fn failed(&mut self, error: rustls::Error) -> io::Error {
        // Whether the peer hears of it changes nothing.
        if let Ok(n) = self.socket.try_write(&self.records.unsent) {
            self.records.unsent.advance(n);
        }
        failed(error, self.records.certificate_asked())
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A TLS error as an I/O error.
pub(super) fn failed(error: rustls::Error, certificate_asked: bool) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, TlsFailure::new(error, certificate_asked))
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer hung up during the TLS handshake")
}
