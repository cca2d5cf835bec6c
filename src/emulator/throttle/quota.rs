//! The daily quota of billed messages, which starts again at 00:00 UTC. One counter for the whole hub, without a lock, exact to the message.
//! Independent of clocks: the day is an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Number of bits for the messages of a day; the bits above contain the day.
const USED_BITS: u32 = 44;
const USED_MASK: u64 = (1 << USED_BITS) - 1;

/// Returns the number of the day in UTC.
pub(super) fn day(unix: Duration) -> u64 {
    unix.as_secs() / DAY.as_secs()
}

/// Returns the time to the next 00:00 UTC.
pub(super) fn to_midnight(unix: Duration) -> Duration {
    DAY - Duration::new(unix.as_secs() % DAY.as_secs(), unix.subsec_nanos())
}

/// The quota.
#[derive(Debug)]
pub(super) struct Quota {
    messages_per_day: u64,
    /// The day, and the number of messages on that day.
    state: AtomicU64,
    /// Number of messages on earlier days.
    earlier: AtomicU64,
}

impl Quota {
    /// Creates a quota of which `used` messages are used up on the day of `unix`.
    pub(super) fn new(messages_per_day: u64, unix: Duration, used: u64) -> Quota {
        let state = (day(unix) << USED_BITS) | used.min(USED_MASK);
        Quota { messages_per_day, state: AtomicU64::new(state), earlier: AtomicU64::new(0) }
    }

    /// Returns the number of messages on all days.
    pub(super) fn total(&self) -> u64 {
        self.earlier.load(Ordering::Relaxed) + (self.state.load(Ordering::Relaxed) & USED_MASK)
    }

    /// Returns the number of messages on `day`.
    pub(super) fn used(&self, day: u64) -> u64 {
        used_on(self.state.load(Ordering::Relaxed), day)
    }

    /// Returns true if the quota of `day` is used up.
    #[inline]
    pub(super) fn is_used_up(&self, day: u64) -> bool {
        self.used(day) >= self.messages_per_day
    }

    /// Adds messages, unless the quota is used up. The last message may consist of several billed ones and exceed the quota. (Our choice:
    /// Azure does not document what happens to a message that fits only in part.)
    #[inline]
    pub(super) fn charge(&self, day: u64, messages: u64) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        // The number of messages, or far more than the quota if the state is of another day.
        let used = state.wrapping_sub(day << USED_BITS);
        let next = state + messages;
        let is_charged = used < self.messages_per_day
            && self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_charged || self.change(day, messages, self.messages_per_day)
    }

    /// Adds messages even if the quota is used up.
    pub(super) fn add(&self, day: u64, messages: u64) {
        self.change(day, messages, u64::MAX);
    }

    #[cold]
    fn change(&self, day: u64, messages: u64, below: u64) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let used = used_on(state, day);
            if used >= below {
                return false;
            }
            // A step of the clock to an earlier day does not bring back that day's quota.
            let day = day.max(state >> USED_BITS);
            let next = (day << USED_BITS) | (used + messages).min(USED_MASK);
            match self.state.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if day > state >> USED_BITS {
                        self.earlier.fetch_add(state & USED_MASK, Ordering::Relaxed);
                    }
                    return true;
                }
                Err(changed) => state = changed,
            }
        }
    }
}

/// Returns the number of messages in `state`, which is 0 if `day` is a later day.
#[inline]
fn used_on(state: u64, day: u64) -> u64 {
    if day > state >> USED_BITS { 0 } else { state & USED_MASK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_exact_and_starts_again_on_the_next_day() {
        let quota = Quota::new(8_000, 3 * DAY, 7_998);
        assert!(quota.charge(3, 1) && quota.charge(3, 1) && !quota.charge(3, 1));
        assert_eq!((quota.used(3), quota.is_used_up(3), quota.used(4)), (8_000, true, 0));
        assert!(!quota.is_used_up(4) && quota.charge(4, 5));
        assert_eq!((quota.used(4), quota.used(3)), (5, 5), "the clock went back");
        assert!(quota.charge(3, 1));
        assert_eq!((quota.used(4), quota.used(3)), (6, 6), "the clock went back");
        assert_eq!(quota.total(), 8_006, "both days");
        quota.add(4, 8_000);
        assert!(!quota.charge(4, 1));
        assert_eq!(to_midnight(3 * DAY + Duration::from_secs(1)), DAY - Duration::from_secs(1));
    }
}
