//! The faults of a hub: those that its configuration plans, and those that control lines add while it runs. Part of the
//! [`Directory`](super::directory::Directory). Sessions ask it at CONNECT, and after each change, which faults affect their device.
//! Independent of sessions and sockets.
//!
//! Telemetry never asks it: a session without faults has one empty field, and a session with faults has its own list.

use crate::policy::fault::{Fault, FaultKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The number of faults that a hub remembers. Above it, control lines with faults are refused (our choice).
pub const FAULTS_MAX: usize = 10_000;

/// A fault whose start and end are known.
#[derive(Debug)]
pub(super) struct HubFault {
    pub(super) fault: Fault,
    pub(super) from: Instant,
    pub(super) to: Instant,
    applied: AtomicU64,
}

impl HubFault {
    /// Returns true if the fault is in progress. One that happens once is never in progress.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        (self.from..self.to).contains(&now)
    }

    /// Counts that the fault affected a connection or a packet.
    pub(super) fn count(&self) {
        self.applied.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often a hub applied a fault.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FaultStats {
    /// Kind.
    pub kind: String,
    /// Number of connections or packets that the fault affected.
    pub applied: u64,
}

/// All faults of a hub.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    /// Faults that wait for the start of the run.
    planned: Mutex<Vec<Fault>>,
    /// Faults whose time is known. A fault keeps its number, which is its index.
    known: Mutex<Vec<Arc<HubFault>>>,
    /// True if `known` is not empty.
    any: AtomicBool,
    /// True if `known` contains a certificate change.
    changes_certificate: AtomicBool,
}

impl Faults {
    /// Creates the faults of a hub. The planned ones wait for [`Faults::start`].
    pub(super) fn new(planned: Vec<Fault>, seed: u64) -> Faults {
        Faults {
            seed,
            planned: Mutex::new(planned),
            known: Mutex::default(),
            any: AtomicBool::new(false),
            changes_certificate: AtomicBool::new(false),
        }
    }

    /// Starts the clock of the planned faults. Returns false if there is nothing to start.
    pub(super) fn start(&self, zero: Instant) -> bool {
        let planned = std::mem::take(&mut *lock(&self.planned));
        let any = !planned.is_empty();
        for fault in planned {
            self.insert(zero, fault);
        }
        any
    }

    /// Adds a fault whose clock starts at `now`. Returns its number, or `None` if there are too many.
    pub(super) fn add(&self, now: Instant, fault: Fault) -> Option<usize> {
        let count = self.lock_known().len();
        (count < FAULTS_MAX).then(|| self.insert(now, fault))
    }

    fn insert(&self, zero: Instant, fault: Fault) -> usize {
        let (from, to) = (zero + fault.at, zero + fault.end());
        if fault.kind == FaultKind::CertificateChange {
            self.changes_certificate.store(true, Ordering::Release);
        }
        let mut known = self.lock_known();
        known.push(Arc::new(HubFault { fault, from, to, applied: AtomicU64::new(0) }));
        self.any.store(true, Ordering::Release);
        known.len() - 1
    }

    /// Returns the faults that affect a device and were not over at `since`.
    pub(super) fn of(&self, device: &str, since: Instant) -> Vec<Arc<HubFault>> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let affects = |number: usize, one: &HubFault| {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            one.to >= since && one.fault.affects(self.seed, number, device)
        };
        let known = self.lock_known();
        let affecting = known.iter().enumerate().filter(|(number, one)| affects(*number, one));
        affecting.map(|(_, one)| Arc::clone(one)).collect()
    }

    /// Returns how many times the certificate has changed.
    pub(super) fn certificate_changes(&self, now: Instant) -> usize {
        if !self.changes_certificate.load(Ordering::Acquire) {
            return 0;
        }
        let changed =
            |one: &&Arc<HubFault>| one.fault.kind == FaultKind::CertificateChange && one.from <= now;
        self.lock_known().iter().filter(changed).count()
    }

    /// Returns the counts of all faults, in the order in which they became known.
    pub(super) fn stats(&self) -> Vec<FaultStats> {
        let stats = |one: &Arc<HubFault>| FaultStats {
            kind: one.fault.kind.name().to_owned(),
            applied: one.applied.load(Ordering::Relaxed),
        };
        self.lock_known().iter().map(stats).collect()
    }

    fn lock_known(&self) -> MutexGuard<'_, Vec<Arc<HubFault>>> {
        lock(&self.known)
    }
}

/// Locks even if a thread panicked while holding the lock: the lists are always intact.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
