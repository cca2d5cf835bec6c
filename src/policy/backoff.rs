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
        Reconnect { back_off, first: None, gives_up_after: None, gives_up_refused: false }
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
    /// `base` doubled with every attempt, up to `max`.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// No randomness.
    None,
    /// Uniform between zero and the delay.
    Full,
    /// Uniform between the delay and `percent` percent more. The result can exceed the maximum.
    Above {
        /// Percent of the delay.
        percent: u8,
    },
}

/// The failed attempts of a device since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    failures: u32,
    last_delay: Duration,
}

impl Retries {
    /// Returns the delay before the next attempt, or `None` if the device gives up.
    ///
    /// Only a connection that lasted at least as long as the delay before it resets the back-off. A hub that accepts connections and closes
    /// them immediately must not be flooded with attempts either (our choice).
    pub fn next_delay(&mut self, policy: &Reconnect, loss: Loss, rng: &mut Rng) -> Option<Duration> {
        let too_long = policy.gives_up_after.is_some_and(|limit| loss.offline_for >= limit);
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
    /// Returns the shortest and the longest delay before the first retry, or `None` if there is no retry.
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

    /// Returns the delay before the next attempt, or `None` if there is no retry. `attempt` is the number of failures since the last reset,
    /// so it is 0 for the first retry.
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
