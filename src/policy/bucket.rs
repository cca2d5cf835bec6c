//! A token bucket with a bounded queue, as a pure function of its state and the time. The emulator shares one such state between threads;
//! tests use it in virtual time. It must not depend on clocks, threads or tiers.
//!
//! The state is a single number: the time at which the last token that was taken is earned. A request whose tokens are already earned
//! passes immediately. A request for future tokens waits until they are earned, so all requests pass in the order in which they arrived.
//! A request that would have to wait longer than the queue allows takes nothing.

use std::time::Duration;

/// Number of ticks per nanosecond. A token of the fastest throttle is earned every 260,416.7 ticks, so rounding is negligible, and 64 bits
/// last for years.
const TICKS_PER_NS: u64 = 64;

/// The time at which a bucket's state begins. It leaves room for bursts before it.
pub const ORIGIN: u64 = 1 << 62;

const TICKS_PER_MINUTE: u64 = 60 * 1_000_000_000 * TICKS_PER_NS;

/// Returns a duration in ticks. Durations above two years count as two years.
#[inline]
#[must_use]
pub fn ticks(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000 * TICKS_PER_NS);
    seconds.saturating_add(u64::from(duration.subsec_nanos()) * TICKS_PER_NS).min(ORIGIN)
}

/// Returns a number of ticks as a duration, rounded up to the next nanosecond, so that a deadline is not too early.
#[must_use]
pub fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.div_ceil(TICKS_PER_NS))
}

/// The parameters of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    interval: u64,
    burst: u64,
    queue: u64,
}

/// The tokens that a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When the first of the tokens is earned, in ticks. Each further token is earned [`Bucket::interval`] later.
    pub first: u64,
    /// Number of tokens.
    pub tokens: u64,
    /// New state of the bucket. Also the time at which the last of the tokens is earned.
    pub state: u64,
}

impl Bucket {
    /// Creates a bucket that earns `per_minute` tokens, keeps the unused tokens of `burst`, and lets requests wait for up to `queue`.
    #[must_use]
    pub fn new(per_minute: u64, burst: Duration, queue: Duration) -> Bucket {
        let interval = TICKS_PER_MINUTE / per_minute.clamp(1, TICKS_PER_MINUTE);
        Bucket { interval, burst: ticks(burst), queue: ticks(queue) }
    }

    /// Returns the time between two tokens, in ticks.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// Returns the number of tokens that a full bucket holds.
    #[must_use]
    pub fn burst_tokens(&self) -> u64 {
        self.burst / self.interval
    }

    /// Takes at least `least` and at most `most` tokens at `now`: `most` if they are earned in time. Returns `None` if even `least` are not.
    /// A bucket holds at least `least` tokens, so that even without a burst, a request passes now and then.
    #[must_use]
    pub fn take(&self, state: u64, now: u64, least: u64, most: u64) -> Option<Taken> {
        let burst = self.burst.max(least.saturating_mul(self.interval));
        let start = state.max(now.saturating_sub(burst));
        let room = now.saturating_add(self.queue).saturating_sub(start) / self.interval;
        let tokens = most.min(room);
        (tokens >= least).then(|| Taken {
            first: start + self.interval,
            tokens,
            state: start + tokens * self.interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Offers `per_s` requests in each second. Returns the wait of each in milliseconds, and `None` for those that are refused.
    fn offer(bucket: Bucket, per_s: u64, seconds: u64) -> Vec<Option<u64>> {
        let mut state = 0;
        let offered = (0..per_s * seconds).map(|n| {
            let now = ORIGIN + ticks(Duration::from_nanos(n * 1_000_000_000 / per_s));
            let taken = bucket.take(state, now, 1, 1)?;
            state = taken.state;
            Some(u64::try_from(duration(taken.first.saturating_sub(now)).as_millis()).unwrap())
        });
        offered.collect()
    }

    #[test]
    fn twice_the_rate_uses_the_burst_then_the_queue() {
        // 100 per second with a minute of burst and a minute of queue.
        let waits = offer(Bucket::new(6_000, 60 * SECOND, 60 * SECOND), 200, 180);
        let [immediately, late, refused] = [
            waits.iter().filter(|wait| **wait == Some(0)).count(),
            waits.iter().filter(|wait| wait.is_some_and(|ms| ms > 0)).count(),
            waits.iter().filter(|wait| wait.is_none()).count(),
        ];
        // After 180 s, 6,000 tokens of the burst, 18,000 earned ones and 6,000 of the queue are taken.
        assert_eq!(immediately + late, 30_000 - 1);
        assert_eq!((immediately, refused), (11_999, 6_001));
        assert_eq!(waits.iter().position(|wait| wait.is_some_and(|ms| ms > 0)), Some(11_999), "after 60 s");
        assert_eq!(waits.iter().position(Option::is_none), Some(23_999), "after 120 s");
        assert_eq!(waits.iter().flatten().max(), Some(&60_000));
    }

    #[test]
    fn a_load_below_the_rate_never_waits() {
        for burst in [Duration::ZERO, SECOND] {
            let waits = offer(Bucket::new(6_000, burst, Duration::ZERO), 100, 60);
            assert!(waits.iter().all(|wait| *wait == Some(0)), "{burst:?}");
        }
    }

    #[test]
    fn requests_take_all_their_tokens_or_none() {
        let bucket = Bucket::new(60, 4 * SECOND, Duration::ZERO);
        let at = |s: u32| ORIGIN + ticks(s * SECOND);
        let taken = bucket.take(0, at(0), 3, 3).unwrap();
        assert_eq!(taken.state, at(0) - ticks(SECOND), "one token is left");
        assert_eq!(bucket.take(taken.state, at(1), 3, 3), None);
        assert!(bucket.take(taken.state, at(2), 3, 3).is_some());
        // A batch is as large as the tokens allow.
        assert_eq!(bucket.take(taken.state, at(1), 1, 64).unwrap().tokens, 2);
        // Larger than the burst, and still possible when the bucket is full.
        assert!(bucket.take(0, at(0), 9, 9).is_some());
    }
}
