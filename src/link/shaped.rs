//! A socket whose device has faults: it delays bytes, limits their rate, passes none for a time, or ends the connection, as `faults` says.
//! It lies below TLS, so handshakes are affected too. Created by `dial`, used by `shaped_stream` and `tls`. A device without faults
//! never has one.
//!
//! A network has a rate first and a delay after it: bytes leave at the rate, and arrive later by the delay, in order.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::deadlines::Alarm;
use super::faults::{Faults, InjectedFault};
use super::tls::Socket;
use crate::clock;
use crate::policy::fault::FaultKind;
use crate::policy::network::Network;

/// The maximum number of bytes that a direction holds. A peer or a device that sends more is slowed down.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// The largest piece of a stream on a slow network: the payload of a TCP segment on Ethernet.
const PIECE_BYTES_MAX: u64 = 1460;
/// A slow network passes this many pieces per second, so that even few bytes arrive slowly.
const PIECES_PER_S: u64 = 20;
/// The number of pieces of a slow handshake (our choice).
const HANDSHAKE_PIECES: u32 = 10;
/// A limit that was not used for longer than this starts anew.
const IDLE: Duration = Duration::from_millis(10);

/// One direction of a network.
#[derive(Debug, Default)]
struct Direction {
    /// Pieces, with the time of their arrival.
    held: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When the last accepted byte has left.
    free_at: Option<Instant>,
}

impl Direction {
    /// Accepts bytes that leave at `rate` bits per second (0: at once), and arrive `delay` after that, but not before earlier ones.
    fn accept(&mut self, now: Instant, mut bytes: Bytes, rate: u64, delay: Duration) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(piece_bytes(rate).min(bytes.len()));
            let mut arrives = now + delay;
            if rate > 0 {
                let from = self.free_at.filter(|at| *at + IDLE > now).unwrap_or(now);
                let left = from
                    + Duration::from_secs(8 * piece.len() as u64) / u32::try_from(rate).unwrap_or(u32::MAX);
                self.free_at = Some(left);
                arrives = left + delay;
            }
            self.hold(arrives, piece);
        }
    }

    fn hold(&mut self, arrives: Instant, piece: Bytes) {
        let arrives = self.held.back().map_or(arrives, |(earlier, _)| arrives.max(*earlier));
        self.bytes += piece.len();
        self.held.push_back((arrives, piece));
    }

    fn first_arrival(&self) -> Option<Instant> {
        self.held.front().map(|(arrives, _)| *arrives)
    }

    /// Removes bytes from the first piece.
    fn consume(&mut self, count: usize) {
        let Some((_, piece)) = self.held.front_mut() else { return };
        piece.advance(count);
        self.bytes -= count;
        if piece.is_empty() {
            self.held.pop_front();
        }
    }
}

/// Returns the size of a piece at this rate.
fn piece_bytes(rate: u64) -> usize {
    if rate == 0 {
        return HELD_BYTES_MAX;
    }
    usize::try_from((rate / 8 / PIECES_PER_S).clamp(1, PIECE_BYTES_MAX)).unwrap_or(1)
}

/// A socket with faults.
#[derive(Debug)]
pub(super) struct ShapedSocket {
    tcp: TcpStream,
    faults: Rc<Faults>,
    alarm: Alarm,
    /// When the connection was established.
    since: Instant,
    up: Direction,
    down: Direction,
    /// The end of the peer's stream, with the time of its arrival.
    end: Option<(Instant, Result<(), io::ErrorKind>)>,
    /// True once the connection has sent its first bytes.
    has_started: bool,
    /// True once a stall has been counted, until it is over.
    is_stalled: bool,
    /// True once a slow network has been counted, until it is over.
    is_slow: bool,
    /// True once nothing passes any more, for the rest of the connection.
    is_silent: bool,
    is_reset: bool,
}

impl ShapedSocket {
    pub(super) fn new(tcp: TcpStream, faults: Rc<Faults>) -> ShapedSocket {
        ShapedSocket {
            tcp,
            alarm: faults.deadlines.alarm(),
            faults,
            since: clock::now(),
            up: Direction::default(),
            down: Direction::default(),
            end: None,
            has_started: false,
            is_stalled: false,
            is_slow: false,
            is_silent: false,
            is_reset: false,
        }
    }

    /// Returns true once nothing passes any more, for the rest of the connection, although it is open.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Returns true when the next bytes must be cut off.
    pub(super) fn must_cut(&self) -> bool {
        let is_cut = |kind| kind == FaultKind::CloseMidFrame;
        self.faults.ending(self.since, self.now(), is_cut).is_some()
    }

    /// Reads the clock. A late timer is a stall of this thread.
    fn now(&self) -> Instant {
        let now = clock::now();
        self.alarm.observe(now);
        now
    }

    /// Applies the faults that act by themselves. `Pending` while nothing passes.
    fn poll_passes(&mut self, cx: &Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let acts = |kind| matches!(kind, FaultKind::Reset | FaultKind::HalfOpen);
        if !self.is_silent && !self.is_reset {
            match self.faults.ending(self.since, now, acts) {
                Some(FaultKind::HalfOpen) => self.is_silent = true,
                Some(_) => {
                    self.is_reset = true;
                    // The socket is closed in any case. If this fails, the peer sees an end of stream.
                    let _ = self.tcp.set_zero_linger();
                }
                None => {}
            }
        }
        if self.is_reset {
            return Poll::Ready(Err(InjectedFault::error(io::ErrorKind::ConnectionReset)));
        }
        if self.is_silent {
            return Poll::Pending;
        }
        if let Some(at) = self.faults.next_start(now) {
            self.alarm.set(cx, now, at);
        }
        let until = self.faults.stalled_until(now);
        if until.is_some() && !self.is_stalled {
            self.faults.count(FaultKind::Stall, now, 1);
        }
        self.is_stalled = until.is_some();
        if let Some(until) = until {
            self.alarm.set(cx, now, until);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the network, and counts a connection that begins to use a slow one.
    fn network(&mut self, now: Instant) -> Network {
        let network = self.faults.network(now);
        if network.is_some() && !self.is_slow {
            self.faults.count_network(now);
        }
        self.is_slow = network.is_some();
        network.unwrap_or_default()
    }

    /// Writes everything that has arrived at the peer's side. `Pending` if the socket does not accept it.
    fn poll_drain(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while let Some((arrives, piece)) = self.up.held.front() {
            if *arrives > now {
                self.alarm.set(cx, now, *arrives);
                break;
            }
            let count = ready!(Pin::new(&mut self.tcp).poll_write(cx, piece))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.up.consume(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes everything that the socket has received.
    fn pull(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut buffer = [0; 4096];
        while self.end.is_none() && self.down.bytes < HELD_BYTES_MAX {
            let mut room = ReadBuf::new(&mut buffer);
            let Poll::Ready(read) = Pin::new(&mut self.tcp).poll_read(cx, &mut room) else { return };
            let network = self.network(now);
            let delay = self.faults.one_way(&network);
            match read {
                Ok(()) if !room.filled().is_empty() => {
                    let bytes = Bytes::copy_from_slice(room.filled());
                    self.down.accept(now, bytes, network.down_bits_per_s, delay);
                }
                read => {
                    let after = self.down.held.back().map_or(now + delay, |(at, _)| (now + delay).max(*at));
                    self.end = Some((after, read.map_err(|error| error.kind())));
                }
            }
        }
    }

    /// Returns `Ready` when a read returns something.
    fn poll_arrived(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        ready!(self.poll_passes(cx, now))?;
        // A failed write is reported by the next write. Until then, received bytes explain more.
        let _ = self.poll_drain(cx, now);
        self.pull(cx, now);
        let first = self.down.first_arrival().or(self.end.map(|(at, _)| at));
        match first {
            Some(at) if at <= now => Poll::Ready(Ok(())),
            Some(at) => {
                self.alarm.set(cx, now, at);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    /// Accepts the first bytes of a connection, which arrive over the time `by`.
    fn start_slowly(&mut self, now: Instant, bytes: &[u8], by: Duration) {
        let size = bytes.len().div_ceil(HANDSHAKE_PIECES as usize).max(1);
        let count = u32::try_from(bytes.len().div_ceil(size)).unwrap_or(u32::MAX);
        for (number, piece) in (0..).zip(bytes.chunks(size)) {
            let arrives = now + by * number / count.saturating_sub(1).max(1);
            self.up.hold(arrives, Bytes::copy_from_slice(piece));
        }
    }
}

impl Socket for ShapedSocket {
    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.now();
        self.poll_arrived(cx, now)
    }

    fn try_write(&mut self, _: &[u8]) -> io::Result<usize> {
        // The network has not delivered the earlier bytes yet.
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl AsyncRead for ShapedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let now = self.now();
        ready!(self.poll_arrived(cx, now))?;
        let before = into.filled().len();
        while let Some((arrives, piece)) = self.down.held.front()
            && *arrives <= now
            && into.remaining() > 0
        {
            let count = piece.len().min(into.remaining());
            into.put_slice(&piece[..count]);
            self.down.consume(count);
        }
        match self.end {
            Some((_, Err(kind))) if into.filled().len() == before => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for ShapedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let now = self.now();
        let passes = self.poll_passes(cx, now);
        if self.is_silent {
            return Poll::Ready(Ok(bytes.len())); // They are lost.
        }
        ready!(passes)?;
        ready!(self.poll_drain(cx, now))?;
        let network = self.network(now);
        let delay = self.faults.one_way(&network);
        if !std::mem::replace(&mut self.has_started, true)
            && let Some(by) = self.faults.slow_handshake(now)
        {
            self.start_slowly(now + delay, bytes, by);
            return self.poll_drain(cx, now).map_ok(|()| bytes.len());
        }
        let rate = network.up_bits_per_s;
        if let Some(free_at) = self.up.free_at.filter(|at| rate > 0 && *at > now) {
            self.alarm.set(cx, now, free_at);
            return Poll::Pending;
        }
        if self.up.bytes >= HELD_BYTES_MAX {
            return Poll::Pending; // The alarm for the first piece is set.
        }
        let count = bytes.len().min(piece_bytes(rate));
        self.up.accept(now, Bytes::copy_from_slice(&bytes[..count]), rate, delay);
        let _ = self.poll_drain(cx, now)?;
        Poll::Ready(Ok(count))
    }

    /// Ready when all bytes have left the device, although they may not have arrived.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.now();
        let passes = self.poll_passes(cx, now);
        if self.is_silent {
            return Poll::Ready(Ok(()));
        }
        ready!(passes)?;
        ready!(self.poll_drain(cx, now))?;
        match self.up.free_at {
            Some(free_at) if free_at > now => {
                self.alarm.set(cx, now, free_at);
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.now();
        let passes = self.poll_passes(cx, now);
        if self.is_silent {
            return Poll::Ready(Ok(()));
        }
        ready!(passes)?;
        ready!(self.poll_drain(cx, now))?;
        if !self.up.held.is_empty() {
            return Poll::Pending; // The alarm for the first piece is set.
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
