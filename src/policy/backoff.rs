//! How long a device waits between a loss and its next attempt. `plan` holds one [`BackOff`] per fleet; `fleet`
//! keeps the [`Retries`] of each device and asks for each delay with the device's own generator, so the same seed gives
//! the same storm.
//!
//! It reads no clock: how long a connection lasted is an argument.

use crate::rng::Rng;
use rand::RngExt;
use std::time::Duration;

/// What happens between a loss and the next attempt.
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
}

/// How a delay is spread, so that a fleet that lost its hub does not return as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Uniformly between zero and the delay.
    Full,
}

/// How a device's attempts have gone so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    failures: u32,
    waited: Duration,
}

impl Retries {
    /// An attempt failed (`None`), or its connection was lost after `online_for`: how long to wait before the next, `None`
    /// when there is to be none.
    ///
    /// Back-off starts afresh only after a connection that lasted as long as the wait before it. A hub that accepts
    /// and closes at once, for ever, is as dead as one that refuses, and must not be hammered either (our choice).
    pub fn next_delay(
        &mut self,
        policy: &BackOff,
        online_for: Option<Duration>,
        rng: &mut Rng,
    ) -> Option<Duration> {
        if online_for.is_some_and(|lasted| lasted >= self.waited) {
            self.failures = 0;
        }
        let delay = policy.delay(self.failures, rng)?;
        *self = Retries { failures: self.failures.saturating_add(1), waited: delay };
        Some(delay)
    }
}

impl BackOff {
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
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, generator};

    const BASE: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(60);

    fn exponential(jitter: Jitter) -> BackOff {
        BackOff::Exponential { base: BASE, max: MAX, jitter }
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum_and_never_overflows() {
        let mut rng = generator(1, 1, Purpose::Connection);
        let seconds = |attempt, rng: &mut Rng| {
            exponential(Jitter::None).delay(attempt, rng).expect("exponential always retries").as_secs()
        };
        let delays: Vec<u64> = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|n| seconds(n, &mut rng)).to_vec();
        assert_eq!(delays, [1, 2, 4, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn full_jitter_covers_the_whole_span_evenly() {
        let mut rng = generator(1, 1, Purpose::Connection);
        let mut quarters = [0u32; 4];
        for _ in 0..4_000 {
            let delay = exponential(Jitter::Full).delay(2, &mut rng).expect("exponential always retries");
            assert!(delay <= 4 * BASE);
            quarters[(delay.as_millis() / 1_000).min(3) as usize] += 1;
        }
        // Five standard deviations of a binomial (4,000; 1/4) are 137.
        assert!(quarters.iter().all(|&n| n.abs_diff(1_000) < 137), "{quarters:?}");
    }

    #[test]
    fn the_same_seed_waits_equally_long_and_devices_differ() {
        let delays = |device| {
            let mut rng = generator(9, device, Purpose::Connection);
            (0..8).map(|n| exponential(Jitter::Full).delay(n, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    #[test]
    fn only_a_connection_that_outlasts_the_wait_before_it_starts_afresh() {
        let mut rng = generator(1, 1, Purpose::Connection);
        let mut retries = Retries::default();
        let mut next = |online_for: Option<u64>| {
            let online_for = online_for.map(Duration::from_secs);
            let delay = retries.next_delay(&exponential(Jitter::None), online_for, &mut rng);
            delay.expect("exponential always retries").as_secs()
        };
        assert_eq!([next(None), next(None), next(None)], [1, 2, 4], "refused");
        assert_eq!([next(Some(0)), next(Some(3)), next(Some(15))], [8, 16, 32], "accepted and closed");
        assert_eq!([next(Some(32)), next(Some(0)), next(Some(600))], [1, 2, 1], "a hub that lives");
    }

    #[test]
    fn never_and_fixed_are_what_they_say() {
        let mut rng = generator(1, 1, Purpose::Connection);
        assert_eq!(BackOff::Never.delay(0, &mut rng), None);
        assert_eq!(BackOff::Fixed { delay: BASE }.delay(7, &mut rng), Some(BASE));
    }
}
