//! The part of the throttles that one shard uses alone: a lease of telemetry tokens, and the current day. Only the shard's thread writes it;
//! it is in shared memory so that the hub's state needs no thread-local part, apart from a cache. Independent of buckets and quotas.

use super::quota;
use crate::policy::bucket::{ORIGIN, Taken, ticks};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The maximum number of tokens in a lease. The cost of taking a lease is negligible above it.
const TOKENS_MAX: u64 = 64;

/// The leases of all shards together are at most the burst divided by this number: a shard may keep a lease while it has nothing to do, and
/// use it later in addition to a full bucket.
const BURST_DIVISOR: u64 = 200;

/// How long a shard uses the date that it has read. Steps of the wall clock take effect after this time.
const DAY_CHECKED_FOR: Duration = Duration::from_secs(1);

/// Returns the maximum number of tokens in a lease.
pub(super) fn tokens(burst_tokens: u64, shards: usize) -> u64 {
    (burst_tokens / (BURST_DIVISOR * shards as u64)).clamp(1, TOKENS_MAX)
}

thread_local! {
    /// Until when this thread's shard knows the day, and the number of the shard. Comparing instants costs a tenth of computing the time
    /// since the start of the hub. Only a cache: if a thread has several shards, only one of them finds its own number here.
    static DAY_UNTIL: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

/// The state of one shard, on its own cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct ShardState {
    /// A number that no other shard of this process has.
    number: u64,
    /// Number of tokens left in the lease that were earned when it was taken.
    earned: AtomicU64,
    /// Number of tokens left in a lease of which some were not. One of the two is 0.
    left: AtomicU64,
    /// When the next of them is earned.
    next: AtomicU64,
    day: AtomicU64,
    day_until: AtomicU64,
}

impl ShardState {
    /// Creates the state of a shard without a lease.
    pub(super) fn new() -> ShardState {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        ShardState {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            earned: AtomicU64::new(0),
            left: AtomicU64::new(0),
            next: AtomicU64::new(0),
            day: AtomicU64::new(0),
            day_until: AtomicU64::new(0),
        }
    }

    /// Returns the current day if there is an earned token and this thread knows the day.
    #[inline]
    pub(super) fn day_if_earned(&self, now: Instant) -> Option<u64> {
        let (number, until) = DAY_UNTIL.get()?;
        let is_known = number == self.number && now < until;
        (is_known && self.earned.load(Ordering::Relaxed) > 0).then(|| self.day.load(Ordering::Relaxed))
    }

    /// Takes an earned token. Must be called only if there is one.
    #[inline]
    pub(super) fn take_earned(&self) {
        self.earned.store(self.earned.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Takes a token, from the lease if it has one and otherwise from a new lease. Returns the time at which it is earned, or `now` if it
    /// already is.
    pub(super) fn take(&self, now: u64, interval: u64, lease: impl FnOnce() -> Option<Taken>) -> Option<u64> {
        if self.earned.load(Ordering::Relaxed) > 0 {
            self.take_earned();
            return Some(now);
        }
        let left = self.left.load(Ordering::Relaxed);
        let (at, left) = if left > 0 {
            (self.next.load(Ordering::Relaxed), left - 1)
        } else {
            let taken = lease()?;
            if taken.state <= now {
                self.earned.store(taken.tokens - 1, Ordering::Relaxed);
                return Some(now);
            }
            (taken.first, taken.tokens - 1)
        };
        self.left.store(left, Ordering::Relaxed);
        self.next.store(at + interval, Ordering::Relaxed);
        Some(at.max(now))
    }

    /// Returns the current day. `now_ticks` is the same as `now`. `unix` reads the wall clock, at least at midnight and once a second.
    pub(super) fn day(&self, now: Instant, now_ticks: u64, unix: impl FnOnce() -> Duration) -> u64 {
        if now_ticks >= self.day_until.load(Ordering::Relaxed) {
            let unix = unix();
            let known_for = quota::to_midnight(unix).min(DAY_CHECKED_FOR);
            self.day.store(quota::day(unix), Ordering::Relaxed);
            self.day_until.store((now_ticks + ticks(known_for)).max(ORIGIN), Ordering::Relaxed);
            DAY_UNTIL.set(Some((self.number, now + known_for)));
        }
        self.day.load(Ordering::Relaxed)
    }
}
