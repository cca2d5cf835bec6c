//! When messages are due: a pure function of the seed, in operational time. A device holds one [`Cursor`] per
//! stream; it asks for the next due instant and moves on. It knows neither the clock nor what a message is.
//!
//! The n-th message of a regular stream is due where `rate * L(t)` reaches `n + phase`; of a Poisson stream, where
//! it reaches the sum of n exponential gaps. Nothing is ever computed as "last + step", so nothing drifts. A burst is so many
//! messages at such an instant.
//!
//! A closed loop is the exception: its next message is due when the one before has ended, plus the time to think. What
//! slows the answers slows the load with them, and the load does not follow the phases.

use super::load::{Load, RunLoad};
use super::phases::Span;
use super::round_robin::RoundRobin;
use crate::rng::{Purpose, Rng, generator};
use rand::RngExt;

/// How the messages of a stream are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Evenly, each device with a phase of its own drawn from the seed.
    Regular,
    /// Evenly over the whole fleet: the devices take turns.
    Stratified(RoundRobin),
    /// Independently of each other.
    Poisson,
    /// Each so many nanoseconds after the end of the one before.
    Closed {
        /// The time to think.
        think_ns: u64,
    },
}

/// A stream's arrivals at a load of 100%.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// How they are spread.
    pub spread: Spread,
    /// Messages per second and device. Of a closed loop, whose rate is the hub's, an estimate from above.
    pub rate_hz: f64,
    /// So many messages at one instant.
    pub burst: u32,
}

impl Arrival {
    /// The load waits for the hub: what is measured is not corrected for what was not sent meanwhile.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.spread, Spread::Closed { .. })
    }
}

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// How many this device was due to send in this stream before.
    pub seq: u64,
    /// When, in nanoseconds since the run's zero.
    pub at_ns: u64,
}

/// One device's place in one stream. It advances only inside the [`Span`]s that it is told to enter.
#[derive(Clone, Debug)]
pub struct Cursor {
    load: RunLoad,
    /// Of bursts.
    rate_hz: f64,
    position: Position,
    burst: u32,
    /// Of the burst that is due, the one that `peek` gives included.
    left: u32,
    span: Span,
    due: Option<Due>,
    seq: u64,
}

/// Where the next burst stands: in operational time (in bursts), or on the clock.
#[derive(Clone, Debug)]
enum Position {
    /// At `n + phase`; counting keeps it exact.
    Regular { n: u64, phase: f64 },
    /// At `sum`.
    Poisson { sum: f64, rng: Rng },
    /// At `next_ns`, once it is known. The first is due within the time to think, at the device's own phase.
    Closed { think_ns: u64, phase: f64, next_ns: Option<u64>, under_way: bool },
}

impl Position {
    #[expect(clippy::cast_precision_loss, reason = "message counts of a device are far below 2^52")]
    fn at_ns(&self, load: &Load, rate_hz: f64) -> Option<u64> {
        // A rate of zero gives infinity or no number, for which there is no instant.
        match self {
            Position::Regular { n, phase } => load.inverse((*n as f64 + phase) / rate_hz),
            Position::Poisson { sum, .. } => load.inverse(*sum / rate_hz),
            Position::Closed { next_ns, .. } => *next_ns,
        }
    }

    fn advance(&mut self) {
        match self {
            Position::Regular { n, .. } => *n += 1,
            Position::Poisson { sum, rng } => *sum += exponential(rng),
            Position::Closed { next_ns, under_way, .. } => (*next_ns, *under_way) = (None, true),
        }
    }

    /// Skips what lies before `from`: for Poisson the gap starts anew there, which is the same process (it has
    /// no memory) and needs no loop over what was skipped. A closed loop begins again, unless it waits for an end.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the casts saturate, at 0 too; message counts and times to think are far below 2^52"
    )]
    fn skip_to(&mut self, from_ns: u64, from: f64) {
        match self {
            Position::Regular { n, phase } if *n as f64 + *phase < from => {
                *n = (from - *phase).ceil() as u64;
            }
            Position::Poisson { sum, rng } if *sum < from => *sum = from + exponential(rng),
            Position::Closed { think_ns, phase, next_ns, under_way: false } => {
                *next_ns = Some(from_ns.saturating_add((*think_ns as f64 * *phase) as u64));
            }
            _ => {}
        }
    }
}

/// A gap of a Poisson process of rate 1.
fn exponential(rng: &mut Rng) -> f64 {
    let uniform: f64 = rng.random();
    -(1.0 - uniform).ln()
}

impl Cursor {
    /// The cursor of a device (global index over all fleets, and index within its fleet) for a stream whose random numbers are
    /// for `purpose`. Nothing is due before [`enter`](Cursor::enter).
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
            Spread::Stratified(turns) => Position::Regular { n: 0, phase: turns.phase(index) },
            Spread::Poisson => Position::Poisson { sum: exponential(&mut rng), rng },
            Spread::Closed { think_ns } => {
                Position::Closed { think_ns, phase: rng.random(), next_ns: None, under_way: false }
            }
        };
        Cursor {
            load: load.clone(),
            rate_hz: arrival.rate_hz / f64::from(arrival.burst),
            position,
            burst: arrival.burst,
            left: arrival.burst,
            span: Span { from_ns: 0, to_ns: 0 },
            due: None,
            seq: 0,
        }
    }

    /// The plan has the device online for this span; spans come in order.
    pub fn enter(&mut self, span: Span) {
        self.span = span;
        self.position.skip_to(span.from_ns, self.rate_hz * self.load.read().integral(span.from_ns));
        self.left = self.burst;
        self.due = self.find();
    }

    /// The next message; `None` when nothing more is due in this span, as far as the load is known. Where nothing was due, this
    /// looks again: the load may have been extended since.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Due> {
        if self.due.is_some() { self.due } else { self.look_again() }
    }

    /// Apart from `peek` and `advance`, so that these stay small where something is due.
    #[cold]
    fn look_again(&self) -> Option<Due> {
        self.find()
    }

    /// Moves on to the message after the one that [`peek`](Cursor::peek) gave.
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

    /// The message before has ended, well or not: in a closed loop the next one is due after the time to think, and this
    /// returns when. Other loads do not wait for it.
    pub fn ended(&mut self, at_ns: u64) -> Option<u64> {
        let Position::Closed { think_ns, next_ns, under_way, .. } = &mut self.position else { return None };
        if !*under_way {
            return None;
        }
        (*next_ns, *under_way) = (Some(at_ns.saturating_add(*think_ns)), false);
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
