//! The state that all connections of the hub share: which connection each device has, and the [`Device`] state that outlives connections.
//! Used by sessions and by [`service`](super::service). Striped locks protect the state. Telemetry does not take a lock; only the beginning
//! and end of a connection, subscriptions, twins, methods and cloud-to-device messages do.
//!
//! The directory returns the address of a connection that must close or send something. The caller notifies that connection, because the
//! directory does not know shards or channels.

use super::address::Address;
use super::config::Config;
use super::device::Device;
use super::faults::Faults;
use super::telemetry::{Log, Telemetry};
use super::throttle::Throttle;
use crate::clock;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Far more than the number of cores, so that lock contention is rare even when thousands of devices connect at the same time.
const STRIPES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The newest connection. It may still be waiting for the previous one to close.
    claimed: Option<Address>,
    /// The connection that is admitted and open.
    pub(super) online: Option<Address>,
    pub(super) device: Device,
}

impl Entry {
    fn is_blank(&self) -> bool {
        self.claimed.is_none() && self.online.is_none() && self.device.is_blank()
    }
}

/// All devices that are connected or have state that outlives a connection.
#[derive(Debug)]
pub struct Directory {
    config: Arc<Config>,
    telemetry: Log,
    /// `None` without a tier.
    throttle: Option<Box<Throttle>>,
    faults: Faults,
    /// Number of the next method call.
    next_call: AtomicU64,
    hasher: RandomState,
    stripes: [Mutex<HashMap<Box<str>, Entry>>; STRIPES],
}

impl Directory {
    /// Creates an empty directory.
    #[must_use]
    pub fn new(config: Config) -> Directory {
        Directory::at(config, clock::now())
    }

    /// Creates an empty directory of a hub that starts at `now`.
    pub(super) fn at(config: Config, now: Instant) -> Directory {
        let throttle = |tier| Box::new(Throttle::new(tier, config.shards, now, config.wall.clone()));
        Directory {
            throttle: config.options.tier.map(throttle),
            telemetry: Log::new(config.telemetry_kept),
            faults: Faults::new(config.faults.clone(), config.seed),
            config: Arc::new(config),
            next_call: AtomicU64::new(1),
            hasher: RandomState::new(),
            stripes: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Returns the configuration of the hub.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Makes `by` the connection of `device`. Returns the previous connection, which must close and call [`Directory::release`] before `by`
    /// calls [`Directory::begin`].
    pub(super) fn claim(&self, device: &str, by: Address) -> Option<Address> {
        self.visit(device, |entry| entry.claimed.replace(by))
    }

    /// Begins the session of `device` on the connection `by`. Returns true if it continues an earlier session, and `None` if the device is
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

    /// Ends the connection `of`. Another connection may have claimed the device in the meantime, and this one may never have begun a
    /// session.
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

    /// Returns the latest telemetry since the previous call: at most [`Config::telemetry_kept`] messages.
    pub fn take_telemetry(&self) -> Vec<Telemetry> {
        self.telemetry.take()
    }

    pub(super) fn telemetry(&self) -> &Log {
        &self.telemetry
    }

    /// Returns the throttles and the quota of the hub's tier; `None` without a tier.
    #[inline]
    pub(crate) fn throttle(&self) -> Option<&Throttle> {
        self.throttle.as_deref()
    }

    /// Returns the faults of the hub.
    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Returns a new number for a method call.
    pub(super) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the number of devices that are connected or have state that outlives a connection.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).len()).sum()
    }

    /// Returns true if no device is connected or has state that outlives a connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs `act` on the entry of `device` under its lock. Creates the entry if needed, and removes it if it is blank afterwards.
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
        lock(self.stripes.get(index).unwrap_or(first))
    }
}

/// Locks a stripe even if a thread panicked while holding the lock: the map is intact, and at most one device misses a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
    fn a_device_has_one_connection_and_is_removed_after_it() {
        let directory = Directory::new(Config::default());
        assert_eq!(directory.claim("d", OLD), None);
        assert_eq!(directory.claim("D", NEW), None, "device ids are case-sensitive");
        assert_eq!(directory.claim("d", NEW), Some(OLD));
        directory.release("d", OLD, true);
        assert_eq!(directory.claim("d", OLD), Some(NEW), "the late release of the old one changed nothing");
        directory.release("d", OLD, true);
        directory.release("D", NEW, true);
        assert!(directory.is_empty());
    }

    #[test]
    fn subscriptions_outlive_connections_until_a_clean_session() {
        let directory = Directory::new(Config::default());
        directory.claim("d", OLD);
        assert_eq!(directory.begin("d", OLD, false), Some(false));
        subscribe(&directory, "d");
        // Takeover: the new connection continues the session.
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
    fn a_connection_that_never_began_does_not_end_a_session() {
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
