//! Reads the monotonic clock and the wall clock, and detects steps of the wall clock. Only this file reads clocks. Drivers pass the time
//! down as an argument, so rooms below `link` do not read clocks. Used by `link`, `fleet`, `emulator` and `app`. This file must not
//! depend on any room.
//!
//! `now` uses tokio's clock, so a test with paused time controls the whole program. Durations come from the monotonic clock. The wall
//! clock is read for every date. It can be set at any time, so no date is derived from an earlier reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The smallest divergence of the clocks between two readings that counts as a step: the wall clock was set, or the machine was suspended.
/// NTP corrects smaller errors by slowing down or speeding up the clock (our choice).
pub const STEP_MIN: Duration = Duration::from_secs(1);

/// The maximum time for reading both clocks as a pair, far below [`STEP_MIN`].
const PAIR_MAX: Duration = Duration::from_micros(100);

/// The maximum number of attempts to read both clocks within [`PAIR_MAX`].
const PAIRS_MAX: usize = 5;

/// The maximum number of steps that a [`StepWatch`] stores. Further steps would not change the verdict.
const STEPS_MAX: usize = 64;

/// Reads the monotonic clock. It is tokio's, so that tests can pause it.
#[expect(clippy::disallowed_methods, reason = "only this file reads clocks")]
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Reads the wall clock, as the time since the Unix epoch. For one-off uses, such as a certificate or a token on the command line.
#[expect(clippy::disallowed_methods, reason = "only this file reads clocks")]
#[must_use]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// An instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Monotonic clock.
    pub at: Instant,
    /// Wall clock, as the time since the Unix epoch.
    pub unix: Duration,
}

/// The wall clock of a run or an emulator: the clock of this machine, or one that a test controls.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Option<Arc<TestClock>>);

#[derive(Debug)]
struct TestClock {
    zero: Reading,
    stepped_us: AtomicI64,
}

impl WallClock {
    /// Returns a test clock that shows `unix` at `at`, follows the monotonic clock, and can be stepped.
    #[must_use]
    pub fn of(at: Instant, unix: Duration) -> WallClock {
        WallClock(Some(Arc::new(TestClock { zero: Reading { at, unix }, stepped_us: AtomicI64::new(0) })))
    }

    /// Steps a clock from [`WallClock::of`] and all its clones. Does nothing for this machine's clock.
    pub fn step(&self, by_us: i64) {
        if let Some(clock) = &self.0 {
            clock.stepped_us.fetch_add(by_us, Ordering::Relaxed);
        }
    }

    /// Reads the clock. `now` is the current instant, from which the time of a test clock is computed.
    #[must_use]
    pub fn unix(&self, now: Instant) -> Duration {
        match &self.0 {
            None => unix(),
            Some(clock) => clock.unix(now),
        }
    }

    /// Reads both clocks. A pause between the two readings would look like a step, so this returns the fastest of several attempts.
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
        let time =
            (unix + now.saturating_duration_since(at)).saturating_sub(at.saturating_duration_since(now));
        moved(time, self.stepped_us.load(Ordering::Relaxed))
    }
}

/// Returns a time since the Unix epoch moved by `by_us` microseconds, but not before the epoch.
#[must_use]
pub fn moved(unix: Duration, by_us: i64) -> Duration {
    let by = Duration::from_micros(by_us.unsigned_abs());
    if by_us < 0 { unix.saturating_sub(by) } else { unix.saturating_add(by) }
}

/// A step of the wall clock relative to the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Instant at which the step was detected.
    pub at: Instant,
    /// Size of the step. Negative if the wall clock was set back.
    pub by_us: i64,
}

/// Detects steps of the wall clock by comparing each reading of both clocks with the previous one.
#[derive(Debug)]
pub struct StepWatch {
    last: Reading,
    steps: Vec<Step>,
}

impl StepWatch {
    /// Creates a watch with a first reading of both clocks.
    #[must_use]
    pub fn new(first: Reading) -> StepWatch {
        StepWatch { last: first, steps: Vec::new() }
    }

    /// Adds a reading. Returns how far the wall clock moved relative to the monotonic clock since the last reading, in microseconds. More
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

    /// Returns the steps so far, oldest first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Iterates over the times that the wall clock would show without the last step, without the last two, and so on. Each item has the
/// earliest omitted step, the sum of the omitted steps in microseconds, and the resulting time.
pub fn without_last_steps(steps: &[Step], unix: Duration) -> impl Iterator<Item = (Step, i64, Duration)> {
    steps.iter().rev().scan(0_i64, move |by_us, step| {
        *by_us = by_us.saturating_add(step.by_us);
        Some((*step, *by_us, moved(unix, by_us.saturating_neg())))
    })
}

/// Returns true if a divergence of the clocks is a step.
#[must_use]
pub fn is_step(by_us: i64) -> bool {
    u128::from(by_us.unsigned_abs()) > STEP_MIN.as_micros()
}

/// The start of a run on both clocks. All times in a run are measured from the start with the monotonic clock, so changes to the wall clock
/// do not affect them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunClock {
    /// Start of the run on the monotonic clock.
    pub zero: Instant,
    /// Start of the run on the wall clock, as the time since the Unix epoch.
    pub zero_unix: Duration,
}

impl RunClock {
    /// Returns a clock for a run that starts `lead` from now.
    #[must_use]
    pub fn starts_in(lead: Duration, wall: &WallClock) -> RunClock {
        let Reading { at, unix } = wall.read(now());
        RunClock { zero: at + lead, zero_unix: unix + lead }
    }

    /// Returns the start of the run as a reading of both clocks.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading { at: self.zero, unix: self.zero_unix }
    }

    /// Returns the time from the start of the run to `at`, or zero if `at` is earlier.
    #[must_use]
    pub fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.zero)
    }

    /// Returns the nanoseconds from the start of the run to `at`, or 0 if `at` is earlier. Saturates after 584 years.
    #[must_use]
    pub fn ns(&self, at: Instant) -> u64 {
        u64::try_from(self.since(at).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the instant `ns` nanoseconds after the start of the run.
    #[must_use]
    pub fn at(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }

    /// Returns the date of an instant, as the time since the Unix epoch, on a wall clock without steps since the start of the run. Used for
    /// the age of messages that the run itself sends and receives, which must not include steps.
    #[must_use]
    pub fn unstepped_unix(&self, at: Instant) -> Duration {
        self.zero_unix + self.since(at)
    }
}

#[cfg(test)]
mod tests;
