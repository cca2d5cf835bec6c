//! TLS over a socket, driven through rustls's unbuffered API, either side of it. `dial` and `accept` do the handshake here,
//! `transport` reads and writes; neither configurations, timers nor machines are known.
//!
//! All connections of a worker encrypt and decrypt in one scratch buffer. A connection owns memory only for a record that has
//! not come whole and for ciphertext that the socket did not take: one that waits owns none.
//!
//! Between two calls rustls holds no plaintext for us, has nothing queued but perhaps an answer to a key update, which goes
//! out before the next record, and `received` has no whole record. So a write never finds something to read.

use bytes::{Buf, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, ServerConfig};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What one read takes from the socket, and what one write encrypts: a record's worth. A peer that floods us gets no
/// more memory than that, and one that stops reading is felt after it.
const CHUNK_BYTES: usize = 16 * 1024;

/// The most that may wait for its rest. A record is smaller; this is rustls's own bound for a handshake message.
const RECEIVED_BYTES_MAX: usize = 64 * 1024;

/// What the scratch starts with: a chunk of plaintext and what TLS adds to it.
const SCRATCH_BYTES: usize = CHUNK_BYTES + 512;

thread_local! {
    /// Ciphertext on its way in or out, never across a poll. A worker is a thread, so this is the worker's.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection under TLS, its handshake done.
pub struct Secure {
    socket: TcpStream,
    /// Gone after its first error: rustls must not be asked again, and its memory is of no use any more.
    session: Result<Session, rustls::Error>,
    /// Ciphertext: a record or a handshake message without its end.
    received: Vec<u8>,
    /// Ciphertext that the socket did not take.
    unsent: BytesMut,
    /// Plaintext that came in one segment with the handshake's end.
    early: BytesMut,
    /// The peer has said goodbye.
    ended: bool,
    /// We have said goodbye.
    left: bool,
}

enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What a write is to carry.
#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Data(&'a [u8]),
    Goodbye,
}

/// What rustls says after one step.
enum Step {
    /// Go on.
    More,
    /// It has used what there is.
    Starved,
    /// The peer has said goodbye: there is nothing more to read.
    Ended,
}

impl Secure {
    /// Does the client's side of the handshake. Boxed, as links keep it.
    ///
    /// # Errors
    /// `InvalidData` around a [`rustls::Error`]: TLS failed. `UnexpectedEof`: the peer hung up. Otherwise the socket's.
    pub(super) async fn connect(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Box<Secure>> {
        let session = UnbufferedClientConnection::new(config, name).map_err(failed)?;
        Secure::handshake(socket, Session::Client(session)).await
    }

    /// Does the server's side of the handshake.
    ///
    /// # Errors
    /// As [`Secure::connect`].
    pub(super) async fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Box<Secure>> {
        let session = UnbufferedServerConnection::new(config).map_err(failed)?;
        Secure::handshake(socket, Session::Server(session)).await
    }

    async fn handshake(socket: TcpStream, session: Session) -> io::Result<Box<Secure>> {
        let mut this = Box::new(Secure {
            socket,
            session: Ok(session),
            received: Vec::new(),
            unsent: BytesMut::new(),
            early: BytesMut::new(),
            ended: false,
            left: false,
        });
        let mut early = BytesMut::new();
        // A client speaks first.
        this.digest(&mut [], &mut early)?;
        loop {
            poll_fn(|cx| this.poll_flush(cx)).await?;
            if !this.common().is_some_and(CommonState::is_handshaking) {
                this.early = early;
                return Ok(this);
            }
            if poll_fn(|cx| this.poll_receive(cx, &mut early)).await? == 0 {
                let why = "the peer hung up during the TLS handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
    }

    /// What rustls knows of the connection; `None` once TLS has failed.
    pub(super) fn common(&self) -> Option<&CommonState> {
        match self.session.as_ref().ok()? {
            Session::Client(session) => Some(session),
            Session::Server(session) => Some(session),
        }
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket below, without a goodbye.
    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Memory beside rustls's own that this connection keeps to itself, in bytes.
    #[cfg(test)]
    pub(super) fn owned_bytes(&self) -> usize {
        self.received.capacity() + self.unsent.capacity() + self.early.capacity()
    }

    /// Appends plaintext: all that one read of the socket brings. 0 is the peer's goodbye, `UnexpectedEof` its end without
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
        if !self.unsent.is_empty() {
            // It may be rustls's answer to something read, for which nobody else would wait. Whoever writes next gets the error.
            let _ = self.poll_flush(cx);
        }
        let before = plaintext.len();
        while !self.ended {
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

    /// Takes at most [`CHUNK_BYTES`] of `plaintext`, and only once the socket has all that was taken before.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let chunk = plaintext.get(..CHUNK_BYTES).unwrap_or(plaintext);
        self.send(cx, Outgoing::Data(chunk))?;
        Poll::Ready(Ok(chunk.len()))
    }

    /// Ready once the kernel has everything.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n if n == self.unsent.len() => self.unsent = BytesMut::new(),
                n => self.unsent.advance(n),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye, once, then closes the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.left {
            self.left = true;
            self.send(cx, Outgoing::Goodbye)?;
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Reads once from the socket and gives rustls all that has come. How many bytes the socket had; 0 is its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>, plaintext: &mut BytesMut) -> Poll<io::Result<usize>> {
        let kept = self.received.len();
        if kept >= RECEIVED_BYTES_MAX {
            return Poll::Ready(Err(self.fail(rustls::InvalidMessage::HandshakePayloadTooLarge.into())));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let whole = grown(scratch, kept + CHUNK_BYTES);
            let (front, room) = whole.split_at_mut(kept);
            let mut room = ReadBuf::new(room);
            // A read that does not fill the room clears the socket's readiness: the next one asks the kernel for nothing.
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
            let n = room.filled().len();
            front.copy_from_slice(&self.received);
            let come = &mut whole[..kept + n];
            let used = self.digest(come, plaintext)?;
            self.received = come[used..].to_vec();
            Poll::Ready(Ok(n))
        })
    }

    /// Has rustls work on `come` until it needs more. How many bytes are used up; the rest must be shown again.
    fn digest(&mut self, come: &mut [u8], plaintext: &mut BytesMut) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = &mut come[used..];
            let session = self.session.as_mut().map_err(|error| failed(error.clone()))?;
            let (discard, step) = session.step(rest, plaintext, &mut self.unsent);
            used += discard;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Starved) => return Ok(used),
                Ok(Step::Ended) => {
                    self.ended = true;
                    // What follows a goodbye is to be ignored (RFC 8446 §6.1).
                    return Ok(come.len());
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Encrypts and offers it to the socket; what that does not take is kept.
    fn send(&mut self, cx: &mut Context<'_>, outgoing: Outgoing<'_>) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let session = self.session.as_mut().map_err(|error| failed(error.clone()))?;
            let n = match session.seal(&mut self.received, outgoing, scratch) {
                Ok(n) => n,
                Err(error) => return Err(self.fail(error)),
            };
            let sealed = &scratch[..n];
            let taken = if self.unsent.is_empty() {
                match Pin::new(&mut self.socket).poll_write(cx, sealed) {
                    Poll::Ready(taken) => taken?,
                    Poll::Pending => 0,
                }
            } else {
                0
            };
            self.unsent.extend_from_slice(&sealed[taken..]);
            Ok(())
        })
    }

    /// Ends TLS with what rustls has to say about it, as far as the socket takes that at once.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        if let Ok(mut session) = std::mem::replace(&mut self.session, Err(error.clone())) {
            session.last_words(&mut self.unsent);
            // The peer is told if it can be; what counts is the error.
            if let Ok(n) = self.socket.try_write(&self.unsent) {
                self.unsent.advance(n);
            }
        }
        failed(error)
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Session {
    /// One step of rustls. How many bytes at the front of `come` must not be shown again, and how it goes on.
    fn step(
        &mut self,
        come: &mut [u8],
        plaintext: &mut BytesMut,
        unsent: &mut BytesMut,
    ) -> (usize, Result<Step, rustls::Error>) {
        match self {
            Session::Client(session) => step(session.process_tls_records(come), plaintext, unsent),
            Session::Server(session) => step(session.process_tls_records(come), plaintext, unsent),
        }
    }

    /// Encrypts into `room`, which grows as needed. rustls wants to see what has come whenever it is asked for something.
    fn seal(
        &mut self,
        come: &mut [u8],
        outgoing: Outgoing<'_>,
        room: &mut Vec<u8>,
    ) -> Result<usize, rustls::Error> {
        match self {
            Session::Client(session) => seal(session.process_tls_records(come), outgoing, room),
            Session::Server(session) => seal(session.process_tls_records(come), outgoing, room),
        }
    }

    /// Takes out the alert that an error has queued. While something is queued, rustls does not look at the input, which
    /// after an error it must not do again.
    fn last_words(&mut self, unsent: &mut BytesMut) {
        let mut unread = BytesMut::new();
        loop {
            let queued = match self {
                Session::Client(session) => session.wants_write(),
                Session::Server(session) => session.wants_write(),
            };
            if !queued || self.step(&mut [], &mut unread, unsent).1.is_err() {
                return;
            }
        }
    }
}

fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &mut BytesMut,
    unsent: &mut BytesMut,
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plaintext.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::More),
            }
        },
        Ok(ConnectionState::EncodeTlsData(message)) => encode(message, unsent).map(|()| Step::More),
        Ok(ConnectionState::TransmitTlsData(transmission)) => {
            // It is in `unsent`, and nothing overtakes that.
            transmission.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Starved),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::Ended),
        Ok(other) => Err(rustls::Error::General(format!("not expected of rustls here: {other:?}"))),
        Err(error) => Err(error),
    };
    (discard, step)
}

/// Appends a message of rustls's own: of the handshake, or an alert.
fn encode<D>(mut message: EncodeTlsData<'_, D>, unsent: &mut BytesMut) -> Result<(), rustls::Error> {
    let before = unsent.len();
    loop {
        match message.encode(&mut unsent[before..]) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(error)) => unsent.resize(before + error.required_size, 0),
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
}

fn seal<D>(
    status: UnbufferedStatus<'_, '_, D>,
    outgoing: Outgoing<'_>,
    room: &mut Vec<u8>,
) -> Result<usize, rustls::Error> {
    let mut traffic = match status.state? {
        ConnectionState::WriteTraffic(traffic) => traffic,
        state => return Err(rustls::Error::General(format!("rustls takes no data: {state:?}"))),
    };
    grown(room, SCRATCH_BYTES);
    loop {
        match outgoing.seal(&mut traffic, room) {
            Err(EncryptError::InsufficientSize(error)) => {
                grown(room, error.required_size);
            }
            Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
            Ok(n) => return Ok(n),
        }
    }
}

impl Outgoing<'_> {
    fn seal<D>(self, traffic: &mut WriteTraffic<'_, D>, room: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Outgoing::Data(plaintext) => traffic.encrypt(plaintext, room),
            Outgoing::Goodbye => traffic.queue_close_notify(room),
        }
    }
}

/// The first `len` bytes of a buffer that never shrinks.
fn grown(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

/// As `dial` and `driver` know a failure of TLS.
fn failed(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
