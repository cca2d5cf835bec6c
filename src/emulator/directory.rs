//! Who is connected where: identity to shard and connection, and what sessions left behind. Shared by all shards, behind
//! striped locks; touched when a connection begins and when it ends, never in between.
//!
//! It tells which connection has to go; telling that connection is the caller's business.

use super::session::Subscriptions;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Far more than cores, so that a storm of connects seldom meets at one lock.
const STRIPES: usize = 64;

/// Which connection: the shard's index, and the connection's number on that shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Index of the shard.
    pub shard: usize,
    /// Number of the connection, never used again on that shard.
    pub connection: u64,
}

#[derive(Debug, Default)]
struct Entry {
    live: Option<Address>,
    stored: Option<Subscriptions>,
}

/// Identities and their connections.
#[derive(Debug)]
pub struct Directory {
    hasher: RandomState,
    stripes: [Mutex<HashMap<Box<str>, Entry>>; STRIPES],
}

impl Default for Directory {
    fn default() -> Directory {
        Directory { hasher: RandomState::new(), stripes: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Directory {
    /// Makes `by` the connection of `device`, from now on. Returns the one that was it: that one has to end, and to call
    /// [`Directory::release`], before `by` calls [`Directory::begin`].
    pub fn claim(&self, device: &str, by: Address) -> Option<Address> {
        self.stripe(device).entry(device.into()).or_default().live.replace(by)
    }

    /// The session of `device` begins: gives what an earlier one left behind. A clean session forgets it.
    pub fn begin(&self, device: &str, clean_session: bool) -> Option<Subscriptions> {
        let mut stripe = self.stripe(device);
        let entry = stripe.get_mut(device)?;
        if clean_session {
            entry.stored = None;
        }
        entry.stored
    }

    /// The connection `of` is over; its session leaves `stored` behind. Another one may have claimed the device by now.
    pub fn release(&self, device: &str, of: Address, stored: Option<Subscriptions>) {
        let mut stripe = self.stripe(device);
        let Some(entry) = stripe.get_mut(device) else { return };
        entry.stored = stored;
        if entry.live == Some(of) {
            entry.live = None;
        }
        if entry.live.is_none() && entry.stored.is_none() {
            stripe.remove(device);
        }
    }

    /// Devices that are connected or left something behind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| locked(stripe).len()).sum()
    }

    /// True when it knows nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn stripe(&self, device: &str) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let index = self.hasher.hash_one(device) as usize % STRIPES;
        let [first, ..] = &self.stripes;
        locked(self.stripes.get(index).unwrap_or(first))
    }
}

/// A panic elsewhere leaves the map as it was: every change above is a single assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::session::tests::subscribed;

    const OLD: Address = Address { shard: 0, connection: 1 };
    const NEW: Address = Address { shard: 1, connection: 1 };

    #[test]
    fn a_device_has_one_connection_and_is_forgotten_after_the_last() {
        let directory = Directory::default();
        assert_eq!(directory.claim("d", OLD), None);
        assert_eq!(directory.claim("D", NEW), None, "ids differ by case");
        assert_eq!(directory.claim("d", NEW), Some(OLD));
        directory.release("d", OLD, None);
        assert_eq!(directory.claim("d", OLD), Some(NEW), "the late release of the old one changed nothing");
        directory.release("d", OLD, None);
        directory.release("D", NEW, None);
        assert!(directory.is_empty());
    }

    #[test]
    fn subscriptions_outlive_the_connection_until_a_clean_session() {
        let directory = Directory::default();
        let stored = Some(subscribed());
        directory.claim("d", OLD);
        assert_eq!(directory.begin("d", false), None);
        // Taken over: what the old session had is the new one's.
        directory.claim("d", NEW);
        directory.release("d", OLD, stored);
        assert_eq!(directory.begin("d", false), stored);
        directory.release("d", NEW, stored);
        assert_eq!(directory.len(), 1);
        directory.claim("d", OLD);
        assert_eq!(directory.begin("d", true), None);
        directory.release("d", OLD, None);
        assert!(directory.is_empty());
    }
}
