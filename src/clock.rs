//! The one place that reads clocks. Drivers ask here and hand the answer down; nothing below `link` does.
//!
//! `now` uses tokio's clock, so that a test with paused time controls every part of the program. Durations are measured on the
//! monotonic clock. The wall clock is read whenever a date is needed: it can be set at any time, so nothing is derived from an
//! earlier reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// If the clocks diverge by more than this between two readings, the wall clock was set or the machine was suspended. NTP corrects smaller
/// errors by slowing or speeding up the clock (our choice).
pub const STEP_MIN: Duration = Duration::from_secs(1);

/// A pair of readings taken within this time is close enough: it is far below [`STEP_MIN`].
const PAIR_MAX: Duration = Duration::from_micros(100);

/// The most attempts to read both clocks within [`PAIR_MAX`].
const PAIRS_MAX: usize = 5;

/// The most steps that a [`StepWatch`] remembers. Further steps would not change the verdict.
const STEPS_MAX: usize = 64;

/// The monotonic clock (tokio's, so that paused tests work).
#[expect(clippy::disallowed_methods, reason = "the one clock")]
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock since the Unix epoch, for one-time uses: a certificate, a token on the command line.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
#[must_use]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// On the monotonic clock.
    pub at: Instant,
    /// On the wall clock, since the Unix epoch.
    pub unix: Duration,
}

/// The wall clock of a run or of a hub: this machine's, or one that a test sets.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Option<Arc<TestClock>>);

#[derive(Debug)]
struct TestClock {
    zero: Reading,
    stepped_us: AtomicI64,
}

impl WallClock {
    /// Returns a clock that shows `unix` at `at`, follows the monotonic clock, and can be stepped.
    #[must_use]
    pub fn of(at: Instant, unix: Duration) -> WallClock {
        WallClock(Some(Arc::new(TestClock { zero: Reading { at, unix }, stepped_us: AtomicI64::new(0) })))
    }

    /// Steps a clock made by [`WallClock::of`], and every clone of it. This machine's clock stays as it is.
    pub fn step(&self, by_us: i64) {
        if let Some(clock) = &self.0 {
            clock.stepped_us.fetch_add(by_us, Ordering::Relaxed);
        }
    }

    /// Reads the clock. `now` is the present instant, from which a test's clock is computed.
    #[must_use]
    pub fn unix(&self, now: Instant) -> Duration {
        match &self.0 {
            None => unix(),
            Some(clock) => clock.unix(now),
        }
    }

    /// Reads both clocks. A pause between the two readings would look like a step, so the closest of several pairs is returned.
    #[must_use]
    pub fn read(&self, now: Instant) -> Reading {
        if let Some(clock) = &self.0 {
            return Reading { at: now, unix: clock.unix(now) };
        }
        let pair = || {
            let (before, unix, after) = (self::now(), unix(), self::now());
            (after - before, Reading { at: before, unix })
        };
        let mut best = pair();
        for _ in 1..PAIRS_MAX {
            if best.0 <= PAIR_MAX {
                break;
            }
            best = [best, pair()].into_iter().min_by_key(|(took, _)| *took).unwrap_or(best);
        }
        best.1
    }
}

impl TestClock {
    fn unix(&self, now: Instant) -> Duration {
        let Reading { at, unix } = self.zero;
        let shown =
            (unix + now.saturating_duration_since(at)).saturating_sub(at.saturating_duration_since(now));
        moved(shown, self.stepped_us.load(Ordering::Relaxed))
    }
}

/// A time since the Unix epoch, moved by `by_us` microseconds, but not before the epoch.
#[must_use]
pub fn moved(unix: Duration, by_us: i64) -> Duration {
    let by = Duration::from_micros(by_us.unsigned_abs());
    if by_us < 0 { unix.saturating_sub(by) } else { unix.saturating_add(by) }
}

/// A step of the wall clock against the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was noticed.
    pub at: Instant,
    /// By how much the wall clock moved; negative when it was set back.
    pub by_us: i64,
}

/// Detects steps of the wall clock by comparing each reading of both clocks with the one before.
#[derive(Debug)]
pub struct StepWatch {
    last: Reading,
    steps: Vec<Step>,
}

impl StepWatch {
    /// Starts with a reading of both clocks.
    #[must_use]
    pub fn new(first: Reading) -> StepWatch {
        StepWatch { last: first, steps: Vec::new() }
    }

    /// Adds a reading. Returns by how much the wall clock moved against the monotonic clock since the last one, in microseconds. More
    /// than [`STEP_MIN`] is a step.
    pub fn compare(&mut self, reading: Reading) -> i64 {
        let last = std::mem::replace(&mut self.last, reading);
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let wall_us = us(reading.unix) - us(last.unix);
        let passed_us = us(reading.at.saturating_duration_since(last.at))
            - us(last.at.saturating_duration_since(reading.at));
        let by_us = wall_us.saturating_sub(passed_us);
        if is_step(by_us) && self.steps.len() < STEPS_MAX {
            self.steps.push(Step { at: reading.at, by_us });
        }
        by_us
    }

    /// The steps so far, the oldest first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Iterates over what the wall clock would show without the last step, without the last two, and so on. Each item has the earliest step
/// left out, the sum of the steps left out in microseconds, and the resulting time.
pub fn without(steps: &[Step], unix: Duration) -> impl Iterator<Item = (Step, i64, Duration)> {
    steps.iter().rev().scan(0_i64, move |by_us, step| {
        *by_us = by_us.saturating_add(step.by_us);
        Some((*step, *by_us, moved(unix, by_us.saturating_neg())))
    })
}

/// True if a divergence of the clocks is a step.
#[must_use]
pub fn is_step(by_us: i64) -> bool {
    u128::from(by_us.unsigned_abs()) > STEP_MIN.as_micros()
}

/// A run's zero on both clocks. Every time in a run is counted from it on the monotonic clock, so setting the wall clock does not affect
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunClock {
    /// The zero on the monotonic clock.
    pub zero: Instant,
    /// The wall clock at the zero, since the Unix epoch.
    pub zero_unix: Duration,
}

impl RunClock {
    /// Returns a clock whose zero is `lead` from now.
    #[must_use]
    pub fn starts_in(lead: Duration, wall: &WallClock) -> RunClock {
        let Reading { at, unix } = wall.read(now());
        RunClock { zero: at + lead, zero_unix: unix + lead }
    }

    /// Returns the zero, as a reading of both clocks.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading { at: self.zero, unix: self.zero_unix }
    }

    /// Returns the time from the zero to `at`; zero for anything before it.
    #[must_use]
    pub fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.zero)
    }

    /// Returns the nanoseconds from the zero to `at`; 0 for anything before it. Saturates after 584 years.
    #[must_use]
    pub fn ns(&self, at: Instant) -> u64 {
        u64::try_from(self.since(at).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the instant that lies so many nanoseconds after the zero.
    #[must_use]
    pub fn at(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }

    /// Returns the date of an instant by a wall clock without steps since the zero. Used for the age of messages that the run itself sends
    /// and receives, which must not contain a step.
    #[must_use]
    pub fn unstepped_unix(&self, at: Instant) -> Duration {
        self.zero_unix + self.since(at)
    }
}

#[cfg(test)]
mod tests;
