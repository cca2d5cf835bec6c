//! The part of the throttles that one shard uses alone: a lease of telemetry tokens, and the current day. Only the shard's thread writes it;
//! it is in shared memory so that the hub's state needs no thread-local part. Independent of buckets and quotas.

use super::quota;
use crate::policy::bucket::{ORIGIN, Taken, ticks};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// The state of one shard, on its own cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct ShardState {
    /// Number of tokens left in the lease.
    left: AtomicU64,
    /// When the next of them is earned.
    next: AtomicU64,
    day: AtomicU64,
    day_until: AtomicU64,
}

impl ShardState {
    /// Takes a token, from the lease if it has one and otherwise from a new lease. Returns the time at which it is earned.
    #[inline]
    pub(super) fn take(&self, interval: u64, lease: impl FnOnce() -> Option<Taken>) -> Option<u64> {
        let left = self.left.load(Ordering::Relaxed);
        let (at, left) = if left > 0 {
            (self.next.load(Ordering::Relaxed), left - 1)
        } else {
            let taken = lease()?;
            (taken.first, taken.tokens - 1)
        };
        self.left.store(left, Ordering::Relaxed);
        self.next.store(at + interval, Ordering::Relaxed);
        Some(at)
    }

    /// Returns the current day. `unix` reads the wall clock, at least at midnight and once a second.
    #[inline]
    pub(super) fn day(&self, now: u64, unix: impl FnOnce() -> Duration) -> u64 {
        if now >= self.day_until.load(Ordering::Relaxed) {
            let unix = unix();
            let until = now + ticks(quota::to_midnight(unix).min(DAY_CHECKED_FOR));
            self.day.store(quota::day(unix), Ordering::Relaxed);
            self.day_until.store(until.max(ORIGIN), Ordering::Relaxed);
        }
        self.day.load(Ordering::Relaxed)
    }
}
