//! How long a device waits between a loss and its next attempt, and when it does not try again. `plan` holds one
//! [`Reconnect`] per fleet; `fleet` keeps the [`Retries`] of each device and asks for each delay with the device's own
//! generator, so the same seed gives the same storm.
//!
//! It reads no clock: how long a connection lasted is an argument.

use crate::rng::Rng;
use rand::RngExt;
use std::time::Duration;

/// A connection must last so long at least for back-off to start afresh: an immediate first retry must not become a
/// loop of them (our choice).
const RESET_AFTER_MIN: Duration = Duration::from_secs(1);

/// What a device does after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How long it waits.
    pub back_off: BackOff,
    /// The first retry waits so long instead, and the second as long as the first otherwise would.
    pub first: Option<Duration>,
    /// It stays offline when it has not got in for so long.
    pub gives_up_after: Option<Duration>,
    /// It stays offline when the server refuses it for good: another CONNACK code than "unavailable".
    pub gives_up_refused: bool,
}

/// Why a device is offline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// How long the lost connection had been online; `None` after an attempt that failed.
    pub online_for: Option<Duration>,
    /// For how long the device ought to have been online.
    pub offline_for: Duration,
    /// The server refused it for good.
    pub refused: bool,
}

impl From<BackOff> for Reconnect {
    /// Waits so, and tries for ever.
    fn from(back_off: BackOff) -> Reconnect {
        Reconnect { back_off, first: None, gives_up_after: None, gives_up_refused: false }
    }
}

/// How long a device waits between a loss and the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackOff {
    /// The device stays offline.
    Never,
    /// Always the same delay.
    Fixed {
        /// Before every retry.
        delay: Duration,
    },
    /// `base` doubled with every attempt, up to `max`.
    Exponential {
        /// Before the first retry, without jitter.
        base: Duration,
        /// The delay never exceeds this.
        max: Duration,
        /// How the delay is spread.
        jitter: Jitter,
    },
    /// `least` and a growing multiple of a random step, up to `max`.
    Stepped {
        /// What every delay begins with.
        least: Duration,
        /// The delay never exceeds this.
        max: Duration,
        /// The step is drawn evenly between these two, anew each time.
        step: [Duration; 2],
        /// The n-th delay, counted from 0, has 2^(n + `head_start`) - 1 steps.
        head_start: u32,
        /// A shorter delay is made as long as this.
        floor: Duration,
    },
}

/// How a delay is spread, so that a fleet that lost its hub does not return as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Uniformly between zero and the delay.
    Full,
    /// Uniformly between the delay and so much more, also beyond its maximum.
    Above {
        /// In percent of the delay.
        percent: u8,
    },
}

/// How a device's attempts have gone so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    failures: u32,
    last_delay: Duration,
}

impl Retries {
    /// How long to wait before the next attempt, `None` when there is to be none.
    ///
    /// Back-off starts afresh only after a connection that lasted as long as the wait before it. A hub that accepts
    /// and closes at once, for ever, is as dead as one that refuses, and must not be hammered either (our choice).
    pub fn next_delay(&mut self, policy: &Reconnect, loss: Loss, rng: &mut Rng) -> Option<Duration> {
        let too_long = policy.gives_up_after.is_some_and(|most| loss.offline_for >= most);
        if too_long || (loss.refused && policy.gives_up_refused) {
            return None;
        }
        if loss.online_for.is_some_and(|lasted| lasted >= self.last_delay.max(RESET_AFTER_MIN)) {
            self.failures = 0;
        }
        let delay = match (policy.first, self.failures) {
            (Some(first), 0) => first,
            (first, failures) => policy.back_off.delay(failures - u32::from(first.is_some()), rng)?,
        };
        *self = Retries { failures: self.failures.saturating_add(1), last_delay: delay };
        Some(delay)
    }
}

impl BackOff {
    /// The shortest and the longest delay before the first retry; `None` when there is none.
    #[must_use]
    pub fn first_between(&self) -> Option<[Duration; 2]> {
        Some(match *self {
            BackOff::Never => return None,
            BackOff::Fixed { delay } => [delay, delay],
            BackOff::Exponential { base, max, jitter } => {
                let ceiling = base.min(max);
                match jitter {
                    Jitter::None => [ceiling, ceiling],
                    Jitter::Full => [Duration::ZERO, ceiling],
                    Jitter::Above { percent } => [ceiling, ceiling.mul_f64(1.0 + f64::from(percent) / 100.0)],
                }
            }
            BackOff::Stepped { least, max, step, head_start, floor } => {
                let steps = 2_u32.saturating_pow(head_start) - 1;
                step.map(|step| least.saturating_add(step.saturating_mul(steps)).min(max).max(floor))
            }
        })
    }

    /// How long to wait before the next attempt, `None` when there is to be none. `attempt` counts the failures
    /// since back-off last started afresh: 0 asks for the delay before the first retry.
    pub fn delay(&self, attempt: u32, rng: &mut Rng) -> Option<Duration> {
        match *self {
            BackOff::Never => None,
            BackOff::Fixed { delay } => Some(delay),
            BackOff::Exponential { base, max, jitter } => {
                let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
                let ceiling = base.saturating_mul(factor).min(max);
                Some(match jitter {
                    Jitter::None => ceiling,
                    Jitter::Full => ceiling.mul_f64(rng.random_range(0.0..=1.0)),
                    Jitter::Above { percent } => {
                        ceiling.mul_f64(1.0 + f64::from(percent) / 100.0 * rng.random_range(0.0..=1.0))
                    }
                })
            }
            BackOff::Stepped { least, max, step: [from, to], head_start, floor } => {
                let step_s = rng.random_range(from.as_secs_f64()..=to.as_secs_f64());
                let steps = f64::from(attempt.saturating_add(head_start)).exp2() - 1.0;
                let delay_s = (least.as_secs_f64() + steps * step_s).min(max.as_secs_f64());
                Some(Duration::from_secs_f64(delay_s).max(floor))
            }
        }
    }
}

#[cfg(test)]
mod tests;
