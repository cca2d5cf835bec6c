//! What the hub's connections share: who is connected where, and what the hub knows of each device, connected or not. Behind striped
//! locks; telemetry touches none of them: they are for the beginning and the end of a connection, for subscriptions, twins, methods
//! and cloud-to-device messages.
//!
//! It tells which connection has to go or to look for something; telling that connection is the caller's business.

use super::Config;
use super::device::Device;
use super::telemetry::{Log, Telemetry};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(super) struct Entry {
    /// The newest connection: it may still wait for the one before to go.
    claimed: Option<Address>,
    /// The one that was admitted and is not over.
    pub(super) online: Option<Address>,
    pub(super) device: Device,
}

impl Entry {
    fn is_blank(&self) -> bool {
        self.claimed.is_none() && self.online.is_none() && self.device.is_blank()
    }
}

/// Devices and their connections.
#[derive(Debug)]
pub struct Directory {
    config: Arc<Config>,
    telemetry: Log,
    /// Numbers of method calls.
    calls: AtomicU64,
    hasher: RandomState,
    stripes: [Mutex<HashMap<Box<str>, Entry>>; STRIPES],
}

impl Directory {
    /// Of a hub that nobody has come to.
    #[must_use]
    pub fn new(config: Config) -> Directory {
        Directory {
            telemetry: Log::new(config.telemetry_kept),
            config: Arc::new(config),
            calls: AtomicU64::new(1),
            hasher: RandomState::new(),
            stripes: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// How the hub behaves.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Makes `by` the connection of `device`, from now on. Returns the one that was it: that one has to end, and to call
    /// [`Directory::release`], before `by` calls [`Directory::begin`].
    pub(super) fn claim(&self, device: &str, by: Address) -> Option<Address> {
        self.visit(device, |entry| entry.claimed.replace(by))
    }

    /// The session of `device` begins on `by`. True if it goes on with what an earlier one left behind; `None` if the device is
    /// disabled.
    pub(super) fn begin(&self, device: &str, by: Address, clean_session: bool) -> Option<bool> {
        self.visit(device, |entry| {
            if entry.device.disabled {
                return None;
            }
            entry.online = Some(by);
            Some(entry.device.begin(clean_session))
        })
    }

    /// The connection `of` is over. Another one may have claimed the device by now, and this one may never have begun.
    pub(super) fn release(&self, device: &str, of: Address, clean_session: bool) {
        self.visit(device, |entry| {
            if entry.claimed == Some(of) {
                entry.claimed = None;
            }
            if entry.online == Some(of) {
                entry.online = None;
                entry.device.end(clean_session);
            }
        });
    }

    /// The last telemetry that was accepted since the last call, as many as `Config::telemetry_kept` says.
    pub fn take_telemetry(&self) -> Vec<Telemetry> {
        self.telemetry.take()
    }

    pub(super) fn telemetry(&self) -> &Log {
        &self.telemetry
    }

    /// A number for a method call.
    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
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

    /// Does something with what is known of `device`, under its lock. What is blank afterwards is forgotten.
    pub(super) fn visit<R>(&self, device: &str, act: impl FnOnce(&mut Entry) -> R) -> R {
        let mut stripe = self.stripe(device);
        if let Some(entry) = stripe.get_mut(device) {
            let result = act(entry);
            if entry.is_blank() {
                stripe.remove(device);
            }
            return result;
        }
        let mut entry = Entry::default();
        let result = act(&mut entry);
        if !entry.is_blank() {
            stripe.insert(device.into(), entry);
        }
        result
    }

    fn stripe(&self, device: &str) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let index = self.hasher.hash_one(device) as usize % STRIPES;
        let [first, ..] = &self.stripes;
        locked(self.stripes.get(index).unwrap_or(first))
    }
}

/// A panic elsewhere leaves the map whole: a device may miss a change, and no other device is touched.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iothub::topics::Subscription;
    use crate::wire::QoS;

    const OLD: Address = Address { shard: 0, connection: 1 };
    const NEW: Address = Address { shard: 1, connection: 1 };

    fn subscribe(directory: &Directory, device: &str) {
        directory.visit(device, |entry| {
            entry.device.subscriptions.set(Subscription::C2d, Some(QoS::AtLeastOnce));
        });
    }

    #[test]
    fn a_device_has_one_connection_and_is_forgotten_after_the_last() {
        let directory = Directory::new(Config::default());
        assert_eq!(directory.claim("d", OLD), None);
        assert_eq!(directory.claim("D", NEW), None, "ids differ by case");
        assert_eq!(directory.claim("d", NEW), Some(OLD));
        directory.release("d", OLD, true);
        assert_eq!(directory.claim("d", OLD), Some(NEW), "the late release of the old one changed nothing");
        directory.release("d", OLD, true);
        directory.release("D", NEW, true);
        assert!(directory.is_empty());
    }

    #[test]
    fn subscriptions_outlive_the_connection_until_a_clean_session() {
        let directory = Directory::new(Config::default());
        directory.claim("d", OLD);
        assert_eq!(directory.begin("d", OLD, false), Some(false));
        subscribe(&directory, "d");
        // Taken over: what the old session had is the new one's.
        directory.claim("d", NEW);
        directory.release("d", OLD, false);
        assert_eq!(directory.begin("d", NEW, false), Some(true));
        directory.release("d", NEW, false);
        assert_eq!(directory.len(), 1);
        directory.claim("d", OLD);
        assert_eq!(directory.begin("d", OLD, true), Some(false));
        subscribe(&directory, "d");
        directory.release("d", OLD, true);
        assert!(directory.is_empty(), "a clean session leaves nothing behind");
    }

    #[test]
    fn one_that_never_began_ends_nobodys_session() {
        let directory = Directory::new(Config::default());
        directory.claim("d", OLD);
        directory.begin("d", OLD, false);
        subscribe(&directory, "d");
        directory.claim("d", NEW);
        directory.release("d", NEW, true);
        directory.release("d", OLD, false);
        assert_eq!(directory.len(), 1, "the subscription is still there");
    }
}
