//! The driver of every protocol endpoint: it moves bytes between a [`Machine`] and its [`Transport`] and keeps the
//! connection's timer. `fleet` polls it for each device, `emulator` for each connection.
//!
//! It borrows the machine for each call, and must not depend on what the bytes mean.

use bytes::{Buf, BytesMut};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::buffers::{SharedBuffers, give_back, lend};
use super::deadlines::{Alarm, Deadlines};
use super::faults::InjectedFault;
use super::half_open;
use super::tls::TlsFailure;
use super::transport::Transport;
use crate::clock;
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// The maximum number of reads from one connection per wake, so that the worker's other connections can run.
pub(super) const READS_PER_POLL_MAX: usize = 8;

/// The maximum number of collect-and-write rounds per wake, so that the worker's other connections can run.
const WRITES_PER_POLL_MAX: usize = 4;

/// The minimum free space for a read, because a read that is cut short costs another one.
const READ_BYTES_MIN: usize = 4 * 1024;

/// How long a closing connection waits for a peer that does not read the last bytes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why [`Link::poll`] returned `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// The connection ended.
    Closed(Closed),
    /// The machine failed; the socket is closed.
    Failed(E),
}

/// Drives one connection. While it is idle, it owns only the transport, a timer and two empty buffers.
#[derive(Debug)]
pub struct Link {
    /// `None` once the link has ended.
    transport: Option<Transport>,
    buffers: SharedBuffers,
    /// A partial frame, or input that the machine did not want yet, which is at most one read. Otherwise empty, with no
    /// memory allocated.
    input: BytesMut,
    /// Output that the transport has not accepted yet. Otherwise empty, with no memory allocated.
    output: BytesMut,
    alarm: Alarm,
    /// The deadline for a close that waits for the peer.
    close_by: Option<Instant>,
    /// True if written bytes may not have reached the kernel yet.
    unflushed: bool,
    /// True if the machine stopped reading, so `input` may hold whole frames.
    has_unhandled_input: bool,
    /// The reason why a write failed. The link then still reads what the peer sent before the failure.
    write_failure: Option<WriteFailure>,
    bytes_in: u64,
    bytes_out: u64,
}

/// The reason why a write failed. Smaller than [`Closed`], because every connection stores one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteFailure {
    Eof,
    Reset,
    Unreachable,
}

impl WriteFailure {
    /// Returns `None` if TLS itself failed, because then nothing more can be read.
    fn of(why: Closed) -> Option<WriteFailure> {
        match why {
            Closed::Eof => Some(WriteFailure::Eof),
            Closed::Reset => Some(WriteFailure::Reset),
            Closed::Unreachable => Some(WriteFailure::Unreachable),
            Closed::TlsAlert(_) | Closed::Fault | Closed::Local => None,
        }
    }

    fn closed(self) -> Closed {
        match self {
            WriteFailure::Eof => Closed::Eof,
            WriteFailure::Reset => Closed::Reset,
            WriteFailure::Unreachable => Closed::Unreachable,
        }
    }
}

/// The reason why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadEnd {
    /// The machine did not want input in the first place. No wake is registered.
    NotWanted,
    /// The transport has no more input for now. It wakes the task when there is more.
    Drained,
    /// The limit on reads was reached, or the machine wants no more input for now. There may be more input.
    Interrupted,
}

impl Link {
    /// Creates a link over an established connection, on the worker that owns `buffers` and `deadlines`.
    #[must_use]
    pub fn new(transport: Transport, buffers: SharedBuffers, deadlines: &Rc<Deadlines>) -> Link {
        Link {
            transport: Some(transport),
            buffers,
            input: BytesMut::new(),
            output: BytesMut::new(),
            alarm: deadlines.alarm(),
            close_by: None,
            unflushed: false,
            has_unhandled_input: false,
            write_failure: None,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Returns the number of received bytes, after TLS decryption.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Returns the number of sent bytes, before TLS encryption.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Returns the buffer memory of this connection and its transport, in bytes, not counting rustls's own state.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.owned_bytes() + self.transport.as_ref().map_or(0, Transport::owned_bytes)
    }

    /// Returns `Ready` when a read would return something. Otherwise, the task is woken once it would.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.as_ref().map_or(Poll::Ready(()), |transport| transport.poll_read_ready(cx))
    }

    /// Returns the memory of the link's own buffers, in bytes.
    pub(super) fn owned_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// Returns the buffer of unconsumed input.
    #[cfg(test)]
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Returns the queue of the link's timer.
    #[cfg(test)]
    pub(super) fn deadlines(&self) -> Rc<Deadlines> {
        self.alarm.deadlines()
    }

    /// Runs `machine` until it waits for the peer or for its timer. Call it after every command to the machine.
    ///
    /// A machine should not request a wake in the past: an action that waits for an acknowledgment has no due time. A
    /// machine that requests one anyway is called again in the next tick.
    ///
    /// Returns `Ready` when the connection has ended, after calling `handle_closed`. Every later call returns
    /// `Closed::Local`.
    pub fn poll<M: Machine>(&mut self, cx: &mut Context<'_>, machine: &mut M) -> Poll<End<M::Error>> {
        if self.transport.is_none() {
            return Poll::Ready(End::Closed(Closed::Local));
        }
        match self.handle_wake(cx, machine) {
            Ok(()) => Poll::Pending,
            Err(end) => {
                if let Some(transport) = self.transport.take() {
                    leave(transport);
                }
                self.input = BytesMut::new();
                self.output = BytesMut::new();
                let why = match end {
                    End::Closed(why) => why,
                    End::Failed(_) => Closed::Local,
                };
                machine.handle_closed(self.now(), why);
                Poll::Ready(end)
            }
        }
    }

    /// Handles one wake, in the order that [`Machine`] promises. An `Err` says how the connection ended.
    fn handle_wake<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut M,
    ) -> Result<(), End<M::Error>> {
        let write_failure = self.write_failure;
        let (read, now) = self.read(cx, machine).map_err(|end| match (end, write_failure) {
            // The failed write reported the reset; a read after it reports the end of the stream.
            (End::Closed(Closed::Eof), Some(WriteFailure::Reset)) => End::Closed(Closed::Reset),
            (end, _) => end,
        })?;
        if let Some(write_failure) = self.write_failure {
            return self.read_after_write_failure(
                cx,
                now,
                machine,
                write_failure,
                read == ReadEnd::Interrupted,
            );
        }
        machine.handle_timeout(now).map_err(End::Failed)?;
        self.end_if_requested(machine.poll_close())?;
        let wrote_all = match self.write(cx, now, machine) {
            Ok(wrote_all) => wrote_all,
            Err(why) => {
                // Input that the peer sent before, such as a refusal, explains more than the failed write.
                let write_failure = WriteFailure::of(why).ok_or(End::Closed(why))?;
                self.write_failure = Some(write_failure);
                return self.read_after_write_failure(cx, now, machine, write_failure, true);
            }
        };
        self.end_if_requested(machine.poll_close())?;
        let wake_at = match machine.poll_close() {
            Some(Close::AfterFlush) => {
                let close_by = *self.close_by.get_or_insert(now + CLOSE_TIMEOUT);
                let flushed = wrote_all && self.output.is_empty() && !self.unflushed;
                if now >= close_by || (flushed && self.shut_down(cx).is_ready()) {
                    return Err(End::Closed(Closed::Local));
                }
                Some(machine.poll_timeout().map_or(close_by, |at| at.min(close_by)))
            }
            _ => machine.poll_timeout(),
        };
        if !wrote_all || (read != ReadEnd::Drained && machine.wants_input()) {
            cx.waker().wake_by_ref();
        } else if let Some(at) = wake_at {
            self.alarm.set(cx, now, at);
        }
        Ok(())
    }

    /// After a failed write, reads what the peer sent before the connection ended, because that may give a better
    /// reason than `write_failure`. Takes no longer than a close.
    fn read_after_write_failure<M: Machine>(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        machine: &mut M,
        write_failure: WriteFailure,
        more: bool,
    ) -> Result<(), End<M::Error>> {
        let close_by = *self.close_by.get_or_insert(now + CLOSE_TIMEOUT);
        if !more || now >= close_by {
            return Err(End::Closed(write_failure.closed()));
        }
        if !machine.wants_input() {
            // The machine waits for its output to be accepted. No peer will read it, so discard it.
            self.output.clear();
            collect(now, machine, &mut self.output);
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Reads the clock, and notes a stall before the machine handles anything that the stall delayed.
    fn now(&self) -> Instant {
        let now = clock::now();
        self.alarm.observe(now);
        now
    }

    /// Reads available input for as long as the machine wants input. Also returns the time to use for the rest of the
    /// wake.
    fn read<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut M,
    ) -> Result<(ReadEnd, Instant), End<M::Error>> {
        if !machine.wants_input() {
            return Ok((ReadEnd::NotWanted, self.now()));
        }
        let mut input = lend(&mut self.buffers.borrow_mut().input, &mut self.input);
        let result = self.read_and_handle(cx, machine, &mut input);
        self.input = give_back(&mut self.buffers.borrow_mut().input, input);
        result
    }

    /// Passes each read to the machine before the next one. So the machine sees everything that arrived before the end
    /// of the connection, and unwanted input is never more than one read.
    fn read_and_handle<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut M,
        input: &mut BytesMut,
    ) -> Result<(ReadEnd, Instant), End<M::Error>> {
        let mut handled_at = None;
        if std::mem::take(&mut self.has_unhandled_input) && !input.is_empty() {
            let now = *handled_at.insert(self.now());
            machine.handle_input(now, input).map_err(End::Failed)?;
        }
        for _ in 0..READS_PER_POLL_MAX {
            if !machine.wants_input() {
                break;
            }
            match self.fill(cx, input) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(why)) => return Err(End::Closed(why)),
                Poll::Pending => return Ok((ReadEnd::Drained, handled_at.unwrap_or_else(|| self.now()))),
            }
            let now = *handled_at.insert(self.now());
            machine.handle_input(now, input).map_err(End::Failed)?;
        }
        self.has_unhandled_input = !machine.wants_input();
        Ok((ReadEnd::Interrupted, handled_at.unwrap_or_else(|| self.now())))
    }

    /// Reads once. An `Err` says how the connection ended.
    fn fill(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<Result<(), Closed>> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(Err(Closed::Local)) };
        // TLS reserves space itself when it has plaintext: an incomplete record must not grow the buffer.
        if !matches!(transport, Transport::Tls(_)) {
            input.reserve(READ_BYTES_MIN);
        }
        match ready!(transport.poll_read(cx, input)) {
            Ok(0) => return Poll::Ready(Err(Closed::Eof)),
            Ok(n) => self.bytes_in += n as u64,
            Err(error) => return Poll::Ready(Err(why_closed(&error))),
        }
        Poll::Ready(Ok(()))
    }

    /// Collects and writes until the machine has no more output (true), the transport accepts no more (true, because it
    /// will wake the task), or the limit on rounds is reached (false).
    fn write<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        machine: &mut M,
    ) -> Result<bool, Closed> {
        let mut output = lend(&mut self.buffers.borrow_mut().output, &mut self.output);
        let mut result = Ok(false);
        for _ in 0..WRITES_PER_POLL_MAX {
            collect(now, machine, &mut output);
            if output.is_empty() && !self.unflushed {
                result = Ok(true);
                break;
            }
            match self.push(cx, &mut output) {
                Poll::Ready(Ok(())) => machine.handle_flushed(now),
                Poll::Ready(Err(error)) => {
                    result = Err(why_closed(&error));
                    break;
                }
                Poll::Pending => {
                    result = Ok(true);
                    break;
                }
            }
        }
        self.output = give_back(&mut self.buffers.borrow_mut().output, output);
        result
    }

    /// Returns `Ready` once the kernel has all of `output`.
    fn push(&mut self, cx: &mut Context<'_>, output: &mut BytesMut) -> Poll<io::Result<()>> {
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while !output.is_empty() {
            let n = ready!(transport.poll_write(cx, output))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.bytes_out += n as u64;
            if n == output.len() {
                output.clear(); // Unlike `advance`, this keeps the capacity.
            } else {
                output.advance(n);
            }
        }
        ready!(transport.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Ends the connection if `close` requests an end without further output.
    fn end_if_requested<E>(&mut self, close: Option<Close>) -> Result<(), End<E>> {
        match (close, &mut self.transport) {
            (None | Some(Close::AfterFlush), _) => return Ok(()),
            (Some(Close::Reset), Some(transport)) if transport.is_silent() => {}
            (Some(Close::Reset), transport) => transport.take().map_or((), Transport::reset),
            (Some(Close::Silent), transport) => transport.take().map_or((), half_open::hold),
        }
        Err(End::Closed(Closed::Local))
    }

    /// Returns `Ready` when the sending side has been closed, or cannot be closed cleanly.
    fn shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.transport {
            Some(transport) => transport.poll_shutdown(cx).map(drop),
            None => Poll::Ready(()),
        }
    }
}

/// Closes the socket, unless a fault has silenced the connection: then the socket stays open until the peer closes it.
fn leave(transport: Transport) {
    if transport.is_silent() {
        half_open::hold(transport);
    }
}

/// Collects output from the machine until it has no more or the limit is reached.
fn collect<M: Machine>(now: Instant, machine: &mut M, output: &mut BytesMut) {
    while output.len() < OUTPUT_BYTES_MAX {
        let before = output.len();
        machine.poll_output(now, output);
        if output.len() == before {
            return;
        }
    }
}

/// Returns why an established connection ended. The result does not depend on whether a read or a write fails first: Linux
/// reports a reset once, as `ECONNRESET`, and a reset after the peer's end of stream as `EPIPE`.
fn why_closed(error: &io::Error) -> Closed {
    match error.kind() {
        _ if InjectedFault::is_cause_of(error) => Closed::Fault,
        // The TLS connection ended without close_notify, as some brokers do.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Closed::Eof,
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Closed::Unreachable,
        _ => match TlsFailure::of(error) {
            Some(failure) => Closed::TlsAlert(failure.end()),
            None => Closed::Reset,
        },
    }
}
