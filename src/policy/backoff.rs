//! The delay between a lost connection and the next attempt, and when a device gives up. `plan` has one [`Reconnect`] per fleet. `fleet`
//! stores the [`Retries`] of each device, and computes delays with the device's random generator, so the same seed gives the same delays.
//!
//! It must not depend on clocks: the duration of a connection is an argument.

use crate::rng::Rng;
use rand::RngExt;
use std::time::Duration;

/// The minimum duration of a connection that resets the back-off. Without it, an immediate first retry could become a loop of immediate
/// retries (our choice).
const RESET_AFTER_MIN: Duration = Duration::from_secs(1);

/// A device's policy for reconnecting after a lost connection or a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Delays between attempts.
    pub back_off: BackOff,
    /// Delay of the first retry, if different. The second retry then has the first delay of `back_off`.
    pub first: Option<Duration>,
    /// Time offline after which the device gives up.
    pub gives_up_after: Option<Duration>,
    /// True if the device gives up after a permanent refusal: any CONNACK code other than "server unavailable".
    pub gives_up_refused: bool,
    /// Number of failed attempts in a row after which the device gives up. A connection restarts the count.
    pub gives_up_attempts: Option<u16>,
    /// Delays after permanent refusals, if they differ. They grow separately from the other delays.
    pub refused: Option<BackOff>,
}

/// A lost connection or a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Duration of the lost connection. `None` after a failed attempt.
    pub online_for: Option<Duration>,
    /// How long the device has been offline although it is planned to be online.
    pub offline_for: Duration,
    /// True if the server refused the device permanently.
    pub refused: bool,
}

impl From<BackOff> for Reconnect {
    /// Returns a policy with these delays that never gives up.
    fn from(back_off: BackOff) -> Reconnect {
        Reconnect {
            back_off,
            first: None,
            gives_up_after: None,
            gives_up_refused: false,
            gives_up_attempts: None,
            refused: None,
        }
    }
}

/// The delays between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackOff {
    /// No retry: the device stays offline.
    Never,
    /// The same delay every time.
    Fixed {
        /// Delay before every retry.
        delay: Duration,
    },
    /// `base` doubled with every attempt, up to `max`. Decorrelated jitter has its own growth.
    Exponential {
        /// Delay before the first retry, without jitter.
        base: Duration,
        /// Maximum delay.
        max: Duration,
        /// Randomness of the delay.
        jitter: Jitter,
    },
    /// `least` plus a growing multiple of a random step, up to `max`.
    Stepped {
        /// Constant part of every delay.
        least: Duration,
        /// Maximum delay.
        max: Duration,
        /// Range of the step, which is drawn uniformly for each delay.
        step: [Duration; 2],
        /// Offset of the exponent: delay n, counted from 0, has 2^(n + `head_start`) - 1 steps.
        head_start: u32,
        /// Minimum delay.
        floor: Duration,
    },
}

/// The randomness of a delay. It keeps devices that were disconnected at the same time from all reconnecting at the same time.
/// Full, equal and decorrelated are the terms of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// No randomness.
    None,
    /// Uniform between zero and the delay.
    Full,
    /// Uniform between half of the delay and the delay.
    Equal,
    /// Uniform between the base and three times the previous delay, up to the maximum. The first delay counts the base as the previous
    /// one.
    Decorrelated,
    /// Uniform between the delay and `percent` percent more. The result can exceed the maximum.
    Above {
        /// Percent of the delay.
        percent: u8,
    },
    /// Uniform between `percent` percent less and `percent` percent more than the delay. The result can exceed the maximum.
    Around {
        /// Percent of the delay, at most 100.
        percent: u8,
    },
}

/// The failed attempts of a device since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Losses and failed attempts that the growing delays count.
    failures: u16,
    /// Permanent refusals, which `Reconnect::refused` counts.
    refusals: u16,
    /// Failed attempts since the last connection.
    failed_attempts: u16,
    last_delay: Duration,
}

impl Retries {
    /// Returns the delay before the next attempt, or `None` if the device gives up.
    ///
    /// Only a connection that lasted at least as long as the delay before it resets the back-off. A hub that accepts connections and closes
    /// them immediately must not be flooded with attempts either (our choice).
    pub fn next_delay(&mut self, policy: &Reconnect, loss: Loss, rng: &mut Rng) -> Option<Duration> {
        match loss.online_for {
            Some(_) => (self.failed_attempts, self.refusals) = (0, 0),
            None => self.failed_attempts = self.failed_attempts.saturating_add(1),
        }
        let too_long = policy.gives_up_after.is_some_and(|limit| loss.offline_for >= limit);
        let too_often = policy.gives_up_attempts.is_some_and(|limit| self.failed_attempts >= limit);
        if too_long || too_often || (loss.refused && policy.gives_up_refused) {
            return None;
        }
        if loss.online_for.is_some_and(|lasted| lasted >= self.last_delay.max(RESET_AFTER_MIN)) {
            self.failures = 0;
        }
        let delay = match policy.refused.filter(|_| loss.refused) {
            Some(back_off) => {
                self.refusals = self.refusals.saturating_add(1);
                back_off.delay((self.refusals - 1).into(), self.last_delay, rng)?
            }
            None => {
                let delay = policy.delay(self.failures.into(), self.last_delay, rng)?;
                self.failures = self.failures.saturating_add(1);
                delay
            }
        };
        self.last_delay = delay;
        Some(delay)
    }
}

impl Reconnect {
    /// Returns the delay before an attempt, or `None` if there is no retry. See [`BackOff::delay`].
    fn delay(&self, attempt: u32, previous: Duration, rng: &mut Rng) -> Option<Duration> {
        match (self.first, attempt) {
            (Some(first), 0) => Some(first),
            (first, attempt) => self.back_off.delay(attempt - u32::from(first.is_some()), previous, rng),
        }
    }

    /// Returns the shortest and the longest delay before an attempt, or `None` if there is no retry.
    fn between(&self, attempt: u32) -> Option<[Duration; 2]> {
        match (self.first, attempt) {
            (Some(first), 0) => Some([first; 2]),
            (first, attempt) => self.back_off.between(attempt - u32::from(first.is_some())),
        }
    }

    /// Returns the shortest time from the loss of a connection until the device gives up because its attempts failed, or `None` if it
    /// retries without end. Assumes that attempts fail at once.
    #[must_use]
    pub fn gives_up_after_at_least(&self) -> Option<Duration> {
        let after_attempts = self.gives_up_attempts.and_then(|attempts| {
            let delays =
                (0..u32::from(attempts)).map(|attempt| self.between(attempt).map(|[least, _]| least));
            delays.sum::<Option<Duration>>()
        });
        [self.gives_up_after, after_attempts].into_iter().flatten().min()
    }
}

impl BackOff {
    /// Returns the shortest and the longest delay before an attempt, or `None` if there is no retry. `attempt` is as in [`BackOff::delay`].
    #[must_use]
    pub fn between(&self, attempt: u32) -> Option<[Duration; 2]> {
        Some(match *self {
            BackOff::Never => return None,
            BackOff::Fixed { delay } => [delay, delay],
            BackOff::Exponential { base, max, jitter } => {
                let delay = doubled(base, attempt).min(max);
                let percent = |percent: u8| f64::from(percent) / 100.0;
                match jitter {
                    Jitter::None => [delay, delay],
                    Jitter::Full => [Duration::ZERO, delay],
                    Jitter::Equal => [delay / 2, delay],
                    Jitter::Decorrelated => {
                        let factor = 3_u32.saturating_pow(attempt.saturating_add(1));
                        [base.min(max), base.saturating_mul(factor).min(max)]
                    }
                    Jitter::Above { percent: more } => [delay, delay.mul_f64(1.0 + percent(more))],
                    Jitter::Around { percent: off } => {
                        [1.0 - percent(off), 1.0 + percent(off)].map(|factor| delay.mul_f64(factor))
                    }
                }
            }
            BackOff::Stepped { least, max, step, head_start, floor } => {
                let steps = 2_u32.saturating_pow(attempt.saturating_add(head_start)) - 1;
                step.map(|step| least.saturating_add(step.saturating_mul(steps)).min(max).max(floor))
            }
        })
    }

    /// Returns the delay before the next attempt, or `None` if there is no retry. `attempt` is the number of failures since the last reset,
    /// so it is 0 for the first retry. `previous` is the delay before that; it only matters for decorrelated jitter after the first retry.
    pub fn delay(&self, attempt: u32, previous: Duration, rng: &mut Rng) -> Option<Duration> {
        let mut share = || rng.random_range(0.0..=1.0);
        match *self {
            BackOff::Never => None,
            BackOff::Fixed { delay } => Some(delay),
            BackOff::Exponential { base, max, jitter } => {
                let ceiling = doubled(base, attempt).min(max);
                Some(match jitter {
                    Jitter::None => ceiling,
                    Jitter::Full => ceiling.mul_f64(share()),
                    Jitter::Equal => ceiling / 2 + (ceiling / 2).mul_f64(share()),
                    Jitter::Decorrelated => {
                        let previous = if attempt == 0 { base } else { previous.max(base) };
                        let range = previous.saturating_mul(3) - base;
                        base.saturating_add(range.mul_f64(share())).min(max)
                    }
                    Jitter::Above { percent } => ceiling.mul_f64(1.0 + f64::from(percent) / 100.0 * share()),
                    Jitter::Around { percent } => {
                        ceiling.mul_f64(1.0 + f64::from(percent) / 100.0 * (2.0 * share() - 1.0))
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

/// Returns `base` doubled `times` times. Saturates.
fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(2_u32.checked_pow(times).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
