//! The contract between a protocol endpoint, the [`Machine`], and the link that drives it. `fleet`'s device and the emulator's connection
//! implement it; `link::Link` is the only driver. Bytes and the time go in, and bytes, deadlines and a close request come out.
//!
//! It must not depend on sockets or clocks: `now` is an argument, and buffers carry the bytes.

use bytes::BytesMut;
use std::time::Instant;

/// The link requests output from a machine only while fewer bytes than this are waiting to be written, so a slow peer delays messages but
/// does not increase memory use.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A protocol endpoint without sockets or clocks.
///
/// Each time the link wakes up, it
///
/// 1. reads until the socket has no more bytes, the read budget is spent, or the machine [wants no input](Machine::wants_input). After each
///    read, it reads the clock and calls [`handle_input`](Machine::handle_input). The last of these times is used in the next steps;
/// 2. calls [`handle_timeout`](Machine::handle_timeout);
/// 3. collects bytes with [`poll_output`](Machine::poll_output), writes and flushes them;
/// 4. sets one timer for [`poll_timeout`](Machine::poll_timeout).
pub trait Machine {
    /// Error after which the endpoint cannot continue the connection. The link drops the socket and returns the error.
    type Error;

    /// Consumes complete frames from `input`. A partial frame stays in `input`, and so do frames that the machine does not want yet. Once
    /// [`wants_input`](Machine::wants_input) is true, the link calls this method again with these frames before it reads more.
    ///
    /// # Errors
    /// The peer violated the protocol.
    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Self::Error>;

    /// Handles due timers. Early calls are harmless.
    ///
    /// # Errors
    /// A timer that ends the connection has expired.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error>;

    /// Called when the kernel has accepted all bytes that `poll_output` has produced so far.
    fn handle_flushed(&mut self, now: Instant);

    /// Called once when the connection has ended for any reason, before the link returns. Unless this side ended it, `handle_input` has
    /// received all bytes from the peer.
    fn handle_closed(&mut self, now: Instant, why: Closed);

    /// Appends output. Called only while fewer than [`OUTPUT_BYTES_MAX`] bytes wait in `out`. Due messages are encoded here.
    fn poll_output(&mut self, now: Instant, out: &mut BytesMut);

    /// Returns the time at which to call `handle_timeout` next. Timers that `handle_timeout` has handled must not be returned again: while
    /// the peer does not read, `poll_output` is not called, and a past instant would hide later ones.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Returns false to stop reading, which applies back-pressure to the peer.
    fn wants_input(&self) -> bool;

    /// Returns how to end the connection, once the endpoint wants it to end.
    fn poll_close(&self) -> Option<Close>;
}

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The peer closed its side.
    Eof,
    /// The peer or the network reset the connection (RST).
    Reset,
    /// The connection timed out, or the network reports the host as unreachable.
    Unreachable,
    /// TLS failed after the handshake.
    TlsAlert(&'static TlsEnd),
    /// A fault that the scenario asks for ended the connection.
    Fault,
    /// This side ended the connection, through `poll_close` or an error from the machine.
    Local,
}

/// A TLS failure after the handshake. [`Closed`] stores a reference to it, so that connections use less memory.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TlsEnd {
    /// Cause.
    pub cause: &'static str,
    /// Suggested fix.
    pub fix: &'static str,
}

/// How a machine wants its connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// Write all pending output, send a TLS close_notify, and close.
    AfterFlush,
    /// Send RST (zero linger) and write nothing more.
    Reset,
    /// Neither write nor read any more, and leave the connection open until the peer closes it: for the peer, this side has vanished.
    Silent,
}
