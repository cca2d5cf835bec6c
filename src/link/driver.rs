//! The one driver of every protocol endpoint: it moves bytes between a [`Machine`] and its [`Transport`] and keeps its
//! one timer. `fleet` polls it for each device, `emulator` for each connection.
//!
//! It does not own the machine, and it does not know what the bytes mean.

use bytes::{Buf, BytesMut};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::buffers::{SharedBuffers, give_back, lend};
use super::deadlines::{Alarm, Deadlines};
use super::tls::TlsFailure;
use super::transport::Transport;
use crate::clock;
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// Reads of one connection in one wake; then the worker's other connections have their turn.
pub(super) const READS_PER_POLL_MAX: usize = 8;

/// Rounds of collecting and writing in one wake; then the worker's other connections have their turn.
const WRITES_PER_POLL_MAX: usize = 4;

/// What a read finds free, at least: a read that is cut short costs another one.
const READ_BYTES_MIN: usize = 4 * 1024;

/// How long a connection that is to be closed may wait for a peer that does not take its last bytes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why [`Link::poll`] is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// The connection is over.
    Closed(Closed),
    /// The machine could not go on with it; the socket is closed.
    Failed(E),
}

/// Drives one connection. What it owns while nothing moves is the transport, a timer and two empty buffers.
#[derive(Debug)]
pub struct Link {
    /// `None` once the link has ended.
    transport: Option<Transport>,
    buffers: SharedBuffers,
    /// A partial frame, or what the machine did not want yet, which is no more than one read; otherwise empty and without
    /// memory.
    input: BytesMut,
    /// What the transport would not take, otherwise empty and without memory.
    output: BytesMut,
    alarm: Alarm,
    /// When a close that waits for the peer is given up.
    close_by: Option<Instant>,
    /// Written, and perhaps not yet with the kernel.
    unflushed: bool,
    /// The machine stopped listening: there may be whole frames in `input`.
    has_unhandled_input: bool,
    /// A write failed, for this reason: what the peer has said before is still result.
    write_failure: Option<WriteFailure>,
    bytes_in: u64,
    bytes_out: u64,
}

/// Why a write failed. Smaller than [`Closed`], because every connection stores one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteFailure {
    Eof,
    Reset,
    Unreachable,
}

impl WriteFailure {
    /// `None` if TLS itself failed: after that nothing more can be read.
    fn of(why: Closed) -> Option<WriteFailure> {
        match why {
            Closed::Eof => Some(WriteFailure::Eof),
            Closed::Reset => Some(WriteFailure::Reset),
            Closed::Unreachable => Some(WriteFailure::Unreachable),
            Closed::TlsAlert(_) | Closed::Local => None,
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

/// What a turn of reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadEnd {
    /// The machine wanted no input from the start; nothing will wake us.
    NotWanted,
    /// The transport has no more and will wake us.
    Drained,
    /// The reads are used up, or the machine wants no more for now: there may be more.
    Interrupted,
}

impl Link {
    /// A link over an established connection, on the worker to which the buffers and the deadlines belong.
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

    /// Bytes received, after TLS.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes sent, before TLS.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Buffer memory of this connection and its transport, in bytes, without rustls's own state.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.owned_bytes() + self.transport.as_ref().map_or(0, Transport::owned_bytes)
    }

    /// Ready once the next read will bring something; otherwise the task is woken then.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.as_ref().map_or(Poll::Ready(()), |transport| transport.poll_read_ready(cx))
    }

    /// Memory that this link keeps to itself, in bytes.
    pub(super) fn owned_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// Where it keeps what the machine has not consumed.
    #[cfg(test)]
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Where its timer is kept.
    #[cfg(test)]
    pub(super) fn deadlines(&self) -> Rc<Deadlines> {
        self.alarm.deadlines()
    }

    /// Runs `machine` until it waits for the peer or for its timer. Poll it after every command given to the machine.
    ///
    /// A machine should not ask for a time that has passed: what cannot happen before an ack comes has no due time.
    /// One that does is asked again in the next tick.
    ///
    /// Ready when the connection is over, the machine having been told by `handle_closed`; after that it is always
    /// ready, and says `Closed::Local`.
    pub fn poll<M: Machine>(&mut self, cx: &mut Context<'_>, machine: &mut M) -> Poll<End<M::Error>> {
        if self.transport.is_none() {
            return Poll::Ready(End::Closed(Closed::Local));
        }
        match self.turn(cx, machine) {
            Ok(()) => Poll::Pending,
            Err(end) => {
                self.transport = None;
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

    /// One wake, in the order that [`Machine`] promises. An error is how the connection ends.
    fn turn<M: Machine>(&mut self, cx: &mut Context<'_>, machine: &mut M) -> Result<(), End<M::Error>> {
        let write_failure = self.write_failure;
        let (read, now) = self.read(cx, machine).map_err(|end| match (end, write_failure) {
            // A write has reported the reset; after that, a read reports an end of stream.
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
        self.abort(machine.poll_close())?;
        let wrote_all = match self.write(cx, now, machine) {
            Ok(wrote_all) => wrote_all,
            Err(why) => {
                // The peer's last words, a refusal for instance, explain more than the failed write.
                let write_failure = WriteFailure::of(why).ok_or(End::Closed(why))?;
                self.write_failure = Some(write_failure);
                return self.read_after_write_failure(cx, now, machine, write_failure, true);
            }
        };
        self.abort(machine.poll_close())?;
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

    /// After a failed write, reads what the peer sent before the end: it may give a better reason than `write_failure`. Takes no longer than
    /// a close may take.
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
            // It wants to be rid of its answers first, which nobody will read.
            self.output.clear();
            collect(now, machine, &mut self.output);
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Reads the clock. Stalls of this thread are noted before the machine handles what it held up.
    fn now(&self) -> Instant {
        let now = clock::now();
        self.alarm.observe(now);
        now
    }

    /// Reads what there is, and as much as the machine wants to read_and_handle. With it, the clock's reading for the rest of the turn.
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

    /// Hands over each read before the next one: so the machine hears all that came before an end, and what it does not
    /// want yet is never more than one read.
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

    /// One read. An error is how the connection ended.
    fn fill(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<Result<(), Closed>> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(Err(Closed::Local)) };
        // TLS reserves space itself once it has plaintext: an incomplete record must not grow the buffer.
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

    /// Collects and writes until the machine has no more (true), the transport takes no more (true: it will wake us),
    /// or the rounds are used up (false).
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

    /// Ready once the kernel has all of `output`.
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

    /// Closes in the way that writes nothing more.
    fn abort<E>(&mut self, close: Option<Close>) -> Result<(), End<E>> {
        if close != Some(Close::Reset) {
            return Ok(());
        }
        if let Some(transport) = self.transport.take() {
            transport.reset();
        }
        Err(End::Closed(Closed::Local))
    }

    /// Ready when the goodbye is out, or cannot be said.
    fn shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.transport {
            Some(transport) => transport.poll_shutdown(cx).map(drop),
            None => Poll::Ready(()),
        }
    }
}

/// Asks the machine for output until it has no more or the bound is reached.
fn collect<M: Machine>(now: Instant, machine: &mut M, output: &mut BytesMut) {
    while output.len() < OUTPUT_BYTES_MAX {
        let before = output.len();
        machine.poll_output(now, output);
        if output.len() == before {
            return;
        }
    }
}

/// Why an established connection ended. The result is the same whether a read or a write fails first: Linux reports a reset once, as
/// `ECONNRESET`, and a reset after the peer's end of stream as `EPIPE`.
fn why_closed(error: &io::Error) -> Closed {
    match error.kind() {
        // TLS was cut off without its goodbye; brokers do that.
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
