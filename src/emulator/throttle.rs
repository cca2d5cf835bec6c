//! The throttles and the daily quota of a hub with a tier. Sessions and service requests ask it before they accept something; it answers
//! immediately, later or never. One per hub, part of the [`Directory`](super::directory::Directory), used by all shards. A hub without a
//! tier has none. It must not depend on sessions or sockets.
//!
//! Nothing here takes a lock. Each class has one bucket for the whole hub. Telemetry does not use it for each message: a shard takes tokens
//! in batches (`lease`). The quota is one counter, because it must be exact to the message.
//!
//! Fairness: everything passes in the order in which it arrives, whichever device sends it. As in Azure, the throttles belong to the hub,
//! so a device that sends more gets more. When the queue is full, each token that becomes free goes to whichever shard asks first.

mod lease;
mod quota;

use crate::clock::WallClock;
use crate::iothub::emulator_options::TierOptions;
use crate::iothub::limits::Tier;
use crate::iothub::message_size::message_bytes;
use crate::iothub::throttles::Class;
use crate::policy::bucket::{self, Bucket, ORIGIN, Taken};
use lease::ShardState;
use quota::Quota;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The reason why a hub refuses something because of its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The throttle's queue is full.
    #[error("a throttle of the hub is exceeded, and too much is waiting already")]
    Throttled,
    /// The daily quota is used up.
    #[error("the daily message quota of the hub is used up")]
    QuotaUsedUp,
    /// The tier does not have this operation.
    #[error("the hub's tier does not have this operation")]
    NotInTier,
}

/// When something that a hub accepts is acknowledged: `None` means immediately.
pub type Held = Option<Instant>;

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClassStats {
    /// Number of operations that were accepted and acknowledged late.
    pub delayed: u64,
    /// Number of operations that were refused.
    pub rejected: u64,
    /// When the first operation was delayed or refused, in microseconds since the Unix epoch; 0 if none was.
    pub first_unix_us: u64,
}

/// The counts of a hub with a tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ThrottleStats {
    /// Counts by class. Classes that were never throttled are left out.
    pub classes: BTreeMap<String, ClassStats>,
    /// Number of billed messages today.
    pub quota_used: u64,
    /// Number of billed messages since the start of the hub, with those that were used up at the start.
    #[serde(default)]
    pub billed: u64,
    /// Number of messages and requests that were refused because the quota was used up.
    pub quota_refused: u64,
    /// When the first of them was refused, in microseconds since the Unix epoch; 0 if none was.
    pub quota_first_unix_us: u64,
}

/// Counts of delayed and refused operations. They are rare, so all shards share them.
#[derive(Debug, Default)]
struct Counts {
    delayed: AtomicU64,
    rejected: AtomicU64,
    first_unix_us: AtomicU64,
}

/// A bucket that all threads share.
#[derive(Debug)]
struct SharedBucket {
    bucket: Bucket,
    state: AtomicU64,
}

impl SharedBucket {
    /// Takes tokens, as [`Bucket::take`] does.
    fn take(&self, now: u64, least: u64, most: u64) -> Option<Taken> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let taken = self.bucket.take(state, now, least, most)?;
            let swapped =
                self.state.compare_exchange_weak(state, taken.state, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Some(taken),
                Err(changed) => state = changed,
            }
        }
    }
}

/// The throttles and the quota of a hub.
#[derive(Debug)]
pub struct Throttle {
    options: TierOptions,
    zero: Instant,
    wall: WallClock,
    /// In the order of [`Class::ALL`]; `None` for classes that the tier does not have.
    buckets: [Option<SharedBucket>; Class::ALL.len()],
    counts: [Counts; Class::ALL.len()],
    /// One per shard.
    shards: Box<[ShardState]>,
    /// The maximum number of tokens in a lease.
    lease_tokens: u64,
    quota: Quota,
    quota_counts: Counts,
}

impl Throttle {
    /// Creates the throttles of a hub that starts at `now`.
    pub(super) fn new(options: TierOptions, shards: usize, now: Instant, wall: WallClock) -> Throttle {
        let bucket = |class: Class| {
            let queue = if class == Class::Connections { options.connect_wait } else { options.queue };
            let bucket = Bucket::new(options.size.per_minute(class)?, options.burst, queue);
            Some(SharedBucket { bucket, state: AtomicU64::new(0) })
        };
        let buckets = Class::ALL.map(bucket);
        let burst = buckets[Class::D2c as usize].as_ref().map_or(0, |shared| shared.bucket.burst_tokens());
        let shards = shards.max(1);
        Throttle {
            quota: Quota::new(options.size.messages_per_day(), wall.unix(now), options.quota_used),
            options,
            zero: now,
            wall,
            buckets,
            counts: Default::default(),
            shards: (0..shards).map(|_| ShardState::new()).collect(),
            lease_tokens: lease::tokens(burst, shards),
            quota_counts: Counts::default(),
        }
    }

    /// Accepts or refuses a device-to-cloud message that arrives on `shard`.
    #[inline]
    pub(super) fn telemetry(
        &self,
        shard: usize,
        now: Instant,
        body_bytes: usize,
        bag: &str,
    ) -> Result<Held, Refused> {
        if self.passes_at_once(shard, now, body_bytes + bag.len()) {
            return Ok(None);
        }
        self.decide_telemetry(shard, now, body_bytes, bag)
    }

    /// Accepts a message of at most `bytes` bytes if that takes only a few instructions: the shard has a token that is earned, and the
    /// message is a single billed one. Otherwise takes nothing and returns false.
    #[inline]
    fn passes_at_once(&self, shard: usize, now: Instant, bytes: usize) -> bool {
        let Some(state) = self.shards.get(shard) else { return false };
        let Some(day) = state.day_if_earned(now) else { return false };
        let passes = bytes as u64 <= self.tier().block_bytes() && self.quota.charge(day, 1);
        if passes {
            state.take_earned();
        }
        passes
    }

    #[cold]
    fn decide_telemetry(
        &self,
        shard: usize,
        now: Instant,
        body_bytes: usize,
        bag: &str,
    ) -> Result<Held, Refused> {
        let ticks = self.ticks(now);
        let Some(state) = self.shards.get(shard) else { return Err(Refused::Throttled) };
        let Some(shared) = &self.buckets[Class::D2c as usize] else { return Err(Refused::NotInTier) };
        let day = state.day(now, ticks, || self.wall.unix(now));
        if self.quota.is_used_up(day) {
            return Err(self.refuse_quota(now));
        }
        let lease = || shared.take(ticks, 1, self.lease_tokens);
        let Some(at) = state.take(ticks, shared.bucket.interval(), lease) else {
            return Err(self.refuse(Class::D2c, now));
        };
        if !self.quota.charge(day, self.blocks(body_bytes, bag)) {
            return Err(self.refuse_quota(now));
        }
        if at <= ticks { Ok(None) } else { Ok(Some(self.hold(Class::D2c, now, at))) }
    }

    /// Accepts or refuses `tokens` of a class other than device-to-cloud messages. Charges nothing to the quota.
    pub(super) fn request(&self, class: Class, now: Instant, tokens: u64) -> Result<Held, Refused> {
        let Some(shared) = &self.buckets[class as usize] else { return Err(Refused::NotInTier) };
        let ticks = self.ticks(now);
        match shared.take(ticks, tokens, tokens) {
            None => Err(self.refuse(class, now)),
            Some(taken) if taken.state <= ticks => Ok(None),
            Some(taken) => Ok(Some(self.hold(class, now, taken.state))),
        }
    }

    /// Returns an error if the daily quota is used up.
    pub(super) fn check_quota(&self, now: Instant) -> Result<(), Refused> {
        let is_used_up = self.quota.is_used_up(quota::day(self.wall.unix(now)));
        if is_used_up { Err(self.refuse_quota(now)) } else { Ok(()) }
    }

    /// Charges something that the hub has accepted to the quota. It may exceed the quota, because its size may be known only afterward.
    pub(super) fn charge(&self, now: Instant, bytes: usize) {
        self.quota.add(quota::day(self.wall.unix(now)), self.tier().billed(bytes as u64));
    }

    /// Returns the tier.
    pub(super) fn tier(&self) -> Tier {
        self.options.size.tier
    }

    /// Returns the counts so far.
    pub(crate) fn stats(&self, now: Instant) -> ThrottleStats {
        let of = |counts: &Counts| ClassStats {
            delayed: counts.delayed.load(Ordering::Relaxed),
            rejected: counts.rejected.load(Ordering::Relaxed),
            first_unix_us: counts.first_unix_us.load(Ordering::Relaxed),
        };
        let classes =
            Class::ALL.iter().zip(&self.counts).map(|(class, counts)| (class.name().to_owned(), of(counts)));
        let quota = of(&self.quota_counts);
        ThrottleStats {
            classes: classes.filter(|(_, stats)| *stats != ClassStats::default()).collect(),
            quota_used: self.quota.used(quota::day(self.wall.unix(now))),
            billed: self.quota.total(),
            quota_refused: quota.rejected,
            quota_first_unix_us: quota.first_unix_us,
        }
    }

    /// Returns the number of billed messages for a message. Its exact size is computed only if it may exceed a block.
    fn blocks(&self, body_bytes: usize, bag: &str) -> u64 {
        let most = (body_bytes + bag.len()) as u64;
        match self.tier().billed(most) {
            1 => 1,
            _ => self.tier().billed(message_bytes(body_bytes, bag) as u64),
        }
    }

    fn ticks(&self, now: Instant) -> u64 {
        ORIGIN + bucket::ticks(now.saturating_duration_since(self.zero))
    }

    #[cold]
    fn hold(&self, class: Class, now: Instant, at: u64) -> Instant {
        let counts = &self.counts[class as usize];
        counts.delayed.fetch_add(1, Ordering::Relaxed);
        self.note_first(counts, now);
        self.zero + bucket::duration(at - ORIGIN)
    }

    #[cold]
    fn refuse(&self, class: Class, now: Instant) -> Refused {
        let counts = &self.counts[class as usize];
        counts.rejected.fetch_add(1, Ordering::Relaxed);
        self.note_first(counts, now);
        Refused::Throttled
    }

    #[cold]
    fn refuse_quota(&self, now: Instant) -> Refused {
        self.quota_counts.rejected.fetch_add(1, Ordering::Relaxed);
        self.note_first(&self.quota_counts, now);
        Refused::QuotaUsedUp
    }

    fn note_first(&self, counts: &Counts, now: Instant) {
        if counts.first_unix_us.load(Ordering::Relaxed) == 0 {
            let unix_us = u64::try_from(self.wall.unix(now).as_micros()).unwrap_or(u64::MAX);
            let _ = counts.first_unix_us.compare_exchange(0, unix_us, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
