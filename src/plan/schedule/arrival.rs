//! Due times of messages: a pure function of the seed and the load. A device has one [`Cursor`] per stream, which returns one
//! due time after another. Must not depend on clocks or on the contents of messages.
//!
//! `L(t)` is the integral of the load. The n-th message of a regular stream is due when `rate * L(t)` reaches `n + phase`. The n-th
//! message of a Poisson stream is due when `rate * L(t)` reaches the sum of n exponential gaps. No due time is computed from the
//! previous one, so there is no drift. A burst is several messages with the same due time.
//!
//! The rows of a recording are due when `speed * L(t)` reaches their recorded times. So a load of 200% replays twice as fast.
//!
//! In a closed loop, a message is due when the think time has passed since the end of the previous message. A slow target therefore
//! slows the load, and the load does not follow the phases.

use super::load::Load;
use super::phases::Span;
use super::round_robin::RoundRobin;
use super::run_load::RunLoad;
use crate::plan::recording::{Recording, Row, RowCursor};
use crate::rng::{Purpose, Rng, generator};
use rand::RngExt;
use std::sync::Arc;

/// The arrival process of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Evenly spaced, with a random phase per device.
    Regular,
    /// Evenly spaced over the whole fleet: the devices take turns.
    Stratified(RoundRobin),
    /// A Poisson process for each device.
    Poisson,
    /// A closed loop: each message is due a fixed time after the end of the previous message.
    Closed {
        /// Think time, in nanoseconds.
        think_ns: u64,
    },
    /// The recorded times of the payload's recording.
    Replay,
}

/// The arrivals of a stream at a load of 100%.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Arrival process.
    pub spread: Spread,
    /// Messages per second from each device. For a closed loop, whose rate depends on the target, an upper estimate. For a replay, the
    /// mean over the run.
    pub rate_hz: f64,
    /// Number of messages with the same due time.
    pub burst: u32,
}

impl Arrival {
    /// Returns whether this is a closed loop. Its latencies are not corrected for coordinated omission.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.spread, Spread::Closed { .. })
    }
}

/// A due message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Sequence number: how many messages in the device's stream were due before this one.
    pub seq: u64,
    /// Due time, in nanoseconds since the start of the run.
    pub at_ns: u64,
}

/// The position of a device in a stream. It advances only within the [`Span`]s that it enters.
#[derive(Clone, Debug)]
pub struct Cursor {
    load: RunLoad,
    /// Bursts per second. For a replay, its speed.
    rate_hz: f64,
    position: Position,
    burst: u32,
    /// Remaining messages in the current burst, including the one that `peek` returns.
    left: u32,
    span: Span,
    due: Option<Due>,
    seq: u64,
}

/// The position of the next burst: in operational time, counted in bursts, or (in a closed loop) in nanoseconds. For a replay, in
/// recorded seconds.
#[derive(Clone, Debug)]
enum Position {
    /// At `n + phase`. An integer `n` keeps the position exact.
    Regular { n: u64, phase: f64 },
    /// At `sum`.
    Poisson { sum: f64, rng: Rng },
    /// At `next_ns`, once known. The first message is due within the think time, at a random phase.
    Closed { think_ns: u64, phase: f64, next_ns: Option<u64>, in_flight: bool },
    /// At the next row of the device, if it has any.
    Replay(Option<Box<RowCursor>>),
}

impl Position {
    #[expect(clippy::cast_precision_loss, reason = "message counts of a device are far below 2^52")]
    fn at_ns(&self, load: &Load, rate_hz: f64) -> Option<u64> {
        // A rate of zero gives infinity or NaN, which has no due time.
        let bursts = match self {
            Position::Regular { n, phase } => *n as f64 + phase,
            Position::Poisson { sum, .. } => *sum,
            Position::Closed { next_ns, .. } => return *next_ns,
            Position::Replay(rows) => rows.as_ref()?.time_s()?,
        };
        // One call, so that it is inlined.
        load.inverse(bursts / rate_hz)
    }

    fn advance(&mut self) {
        match self {
            Position::Regular { n, .. } => *n += 1,
            Position::Poisson { sum, rng } => *sum += exponential(rng),
            Position::Closed { next_ns, in_flight, .. } => (*next_ns, *in_flight) = (None, true),
            Position::Replay(rows) => {
                if let Some(rows) = rows {
                    rows.advance();
                }
            }
        }
    }

    /// Skips all bursts before `from`. A Poisson process has no memory, so a new gap starts at `from`; there is no need to loop over
    /// the skipped bursts. A closed loop starts again unless a message is in flight.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the casts saturate, at 0 too; message counts and think times are far below 2^52"
    )]
    fn skip_to(&mut self, from_ns: u64, from: f64) {
        match self {
            Position::Regular { n, phase } if *n as f64 + *phase < from => {
                *n = (from - *phase).ceil() as u64;
            }
            Position::Poisson { sum, rng } if *sum < from => *sum = from + exponential(rng),
            Position::Closed { think_ns, phase, next_ns, in_flight: false } => {
                *next_ns = Some(from_ns.saturating_add((*think_ns as f64 * *phase) as u64));
            }
            Position::Replay(Some(rows)) => rows.skip_to(from),
            _ => {}
        }
    }
}

/// Returns a random gap of a Poisson process with a rate of 1.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    let uniform: f64 = rng.random();
    -(1.0 - uniform).ln()
}

impl Cursor {
    /// Creates a cursor for a device, given by its index among all devices and its index within the fleet. `purpose`
    /// selects the sequence of random numbers. No message is due before [`enter`](Cursor::enter).
    #[must_use]
    pub fn new(
        arrival: &Arrival,
        load: &RunLoad,
        seed: u64,
        device_global: u64,
        purpose: Purpose,
        index: u32,
    ) -> Cursor {
        let mut rng = generator(seed, device_global, purpose);
        let position = match arrival.spread {
            Spread::Regular => Position::Regular { n: 0, phase: rng.random() },
            Spread::Stratified(order) => Position::Regular { n: 0, phase: order.phase(index) },
            Spread::Poisson => Position::Poisson { sum: exponential(&mut rng), rng },
            Spread::Closed { think_ns } => {
                Position::Closed { think_ns, phase: rng.random(), next_ns: None, in_flight: false }
            }
            Spread::Replay => Position::Replay(None),
        };
        Cursor::at(load, position, arrival.rate_hz / f64::from(arrival.burst), arrival.burst)
    }

    /// Creates a cursor for the rows of a device, given by its index within the fleet. No row is due before [`enter`](Cursor::enter).
    #[must_use]
    pub fn replay(recording: &Arc<Recording>, load: &RunLoad, index: u32) -> Cursor {
        Cursor::at(load, Position::Replay(RowCursor::new(recording, index)), recording.speed(), 1)
    }

    fn at(load: &RunLoad, position: Position, rate_hz: f64, burst: u32) -> Cursor {
        Cursor {
            load: load.clone(),
            rate_hz,
            position,
            burst,
            left: burst,
            span: Span { from_ns: 0, to_ns: 0 },
            due: None,
            seq: 0,
        }
    }

    /// Enters a span in which the device is online. Spans must be entered in order.
    pub fn enter(&mut self, span: Span) {
        self.span = span;
        self.position.skip_to(span.from_ns, self.rate_hz * self.load.read().integral(span.from_ns));
        self.left = self.burst;
        self.due = self.find();
    }

    /// Ends the current span early.
    pub fn leave_at(&mut self, to_ns: u64) {
        self.span.to_ns = self.span.to_ns.min(to_ns);
        self.due = self.find();
    }

    /// Returns the next due message. `None` if no further message is due in this span under the current load. The load may be
    /// extended, so after `None` the next call searches again.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Due> {
        if self.due.is_some() { self.due } else { self.look_again() }
    }

    /// Returns the recorded row of the message from [`peek`](Cursor::peek). `None` if this is no replay.
    #[must_use]
    pub fn row(&self) -> Option<Row> {
        match &self.position {
            Position::Replay(rows) => rows.as_ref()?.row(),
            _ => None,
        }
    }

    /// Searches again for a due message. A separate function, to keep `peek` small: usually a message is already known.
    #[cold]
    fn look_again(&self) -> Option<Due> {
        self.find()
    }

    /// Moves on to the message after the one from [`peek`](Cursor::peek).
    pub fn advance(&mut self) {
        if self.peek().is_some() {
            self.seq += 1;
            self.left -= 1;
            if self.left == 0 {
                self.left = self.burst;
                self.position.advance();
            }
            self.due = self.find();
        }
    }

    /// Records the end of the previous message. In a closed loop, returns when the next message is due. Has no effect on other
    /// arrival processes.
    pub fn ended(&mut self, at_ns: u64) -> Option<u64> {
        let Position::Closed { think_ns, next_ns, in_flight, .. } = &mut self.position else { return None };
        if !*in_flight {
            return None;
        }
        (*next_ns, *in_flight) = (Some(at_ns.saturating_add(*think_ns)), false);
        self.due = self.find();
        self.due.map(|due| due.at_ns)
    }

    #[inline]
    fn find(&self) -> Option<Due> {
        self.position
            .at_ns(&self.load.read(), self.rate_hz)
            .map(|at_ns| Due { seq: self.seq, at_ns: at_ns.max(self.span.from_ns) })
            .filter(|due| due.at_ns < self.span.to_ns)
    }
}

#[cfg(test)]
mod tests;
