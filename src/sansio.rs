//! The contract between a protocol endpoint and the link that drives it. Both ends of a connection obey it:
//! `fleet::Device` on one side, the emulator's connection on the other; `link::Link` is the only driver.
//!
//! A machine touches neither a socket nor a clock: `now` is an argument, bytes come and go through buffers.

use bytes::BytesMut;
use std::time::Instant;

/// A machine is asked for output only while less than this waits to be written: a slow peer shows as
/// waiting messages, not as memory.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A protocol endpoint that touches neither a socket nor a clock.
///
/// In one wake the link reads until the socket has no more, its budget is spent, or the machine
/// [wants no more](Machine::wants_input); reads the clock and calls [`handle_input`](Machine::handle_input) after each
/// read, and goes on with the last reading: runs [`handle_timeout`](Machine::handle_timeout), collects [`poll_output`](Machine::poll_output), writes, flushes,
/// and arms one timer for [`poll_timeout`](Machine::poll_timeout).
pub trait Machine {
    /// Why the endpoint cannot go on with this connection. The link drops the socket and returns it.
    type Error;

    /// Consumes whole frames from `input` and leaves a partial one. What it does not want yet it leaves too: it is called again with
    /// that, and before anything more is read, once [`wants_input`](Machine::wants_input) is true.
    ///
    /// # Errors
    /// The peer broke the protocol.
    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Self::Error>;

    /// Runs the timers that are due. Early calls are harmless.
    ///
    /// # Errors
    /// A timer whose expiry ends the connection.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error>;

    /// Everything that `poll_output` produced so far has been handed to the kernel.
    fn handle_flushed(&mut self, now: Instant);

    /// The connection is over. Called once, whatever the reason, before the link returns; what the peer sent before has
    /// been handed over, unless this side ended it.
    fn handle_closed(&mut self, now: Instant, why: Closed);

    /// Appends what wants to be sent. Called only while less than [`OUTPUT_BYTES_MAX`] waits in `out`;
    /// due messages are encoded here.
    fn poll_output(&mut self, now: Instant, out: &mut BytesMut);

    /// When `handle_timeout` wants to be called next. What it has dealt with must not be asked for again: while the
    /// peer does not read, `poll_output` is not called, and a past instant would hide the ones to come.
    fn poll_timeout(&self) -> Option<Instant>;

    /// False stops reading: back-pressure on the peer.
    fn wants_input(&self) -> bool;

    /// How the endpoint wants the connection to end, once it does.
    fn poll_close(&self) -> Option<Close>;
}

/// Why a connection is over.
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
    /// This side ended it: `poll_close` or an error of the machine.
    Local,
}

/// Why TLS failed after the handshake. [`Closed`] holds a reference to keep every connection small.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TlsEnd {
    /// The cause.
    pub cause: &'static str,
    /// What the user can do about it.
    pub fix: &'static str,
}

/// How a machine wants its connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// Write what is waiting, say goodbye in TLS, close.
    AfterFlush,
    /// RST: zero linger, nothing more is written.
    Reset,
}
