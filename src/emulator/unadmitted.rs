//! Connections that have not been admitted yet, and the memory that they may hold: [`CONNECTION_BYTES_MAX`] each and [`BYTES_MAX`]
//! together. All of it is our choice; what Azure does is not documented. `accept` asks it for room, and a connection says
//! what it holds until its device is admitted.
//!
//! Devices that connect all at once must not suffer from strangers, nor from each other. So nothing more is accepted well before the
//! bound, and the devices wait in the kernel's queue while others are admitted. Connections are closed for others, the oldest
//! first, if they have been silent for long, or if what they hold goes beyond the bound after all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

use super::directory::Address;

/// What one connection may hold. `tests/strangers.rs` shows that it does not hold more.
pub const CONNECTION_BYTES_MAX: usize = 80 * 1024;

/// What all of them may hold together.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest CONNECT, its header included. With a whole TLS record that waits for its rest, and [`BASE_BYTES`], it stays below
/// [`CONNECTION_BYTES_MAX`].
pub const CONNECT_BYTES_MAX: usize = 48 * 1024;

/// What a connection counts for beside its buffers: its task, its socket, and the state of TLS. 5 KiB of it are ours and rustls's; the
/// rest is for the memory of aws-lc, which is not Rust's, and for what the allocator adds.
pub const BASE_BYTES: usize = 8 * 1024;

/// How often a shard looks which of its connections have been silent. Silence is counted in these, on the shard itself: a hub that
/// does not get to run must not mistake its own delay for its peers' silence.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// A connection that keeps sending without a CONNECT may be closed for others after so many times the silence that is allowed.
const AGE_FACTOR: u32 = 3;

/// All connections that have not been admitted.
#[derive(Debug)]
pub(super) struct Unadmitted {
    bytes_max: usize,
    /// Sweeps without a byte after which a connection may be closed for others.
    silent_max: u32,
    held_bytes: AtomicUsize,
    /// By number: in the order of arrival.
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    closed: AtomicU64,
    /// One of them was admitted or is gone.
    freed: Notify,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    held_bytes: AtomicUsize,
    /// It received something since the last sweep.
    heard: AtomicBool,
    /// Sweeps since it received something, and since it was accepted.
    silent: AtomicU32,
    age: AtomicU32,
    /// It has to go.
    closing: AtomicBool,
}

/// A connection's place among them, until it is admitted or over.
#[derive(Debug)]
pub(super) struct Ticket {
    all: Arc<Unadmitted>,
    entry: Arc<Entry>,
}

impl Unadmitted {
    /// None yet. They may hold `bytes_max` together, and one may be silent for `silence_max` while others wait.
    pub(super) fn new(bytes_max: usize, silence_max: Duration) -> Arc<Unadmitted> {
        let sweeps = silence_max.as_millis().div_ceil(SWEEP.as_millis());
        Arc::new(Unadmitted {
            bytes_max,
            silent_max: u32::try_from(sweeps).unwrap_or(u32::MAX).max(1),
            held_bytes: AtomicUsize::new(0),
            entries: Mutex::default(),
            next: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// A place for a connection of that shard.
    pub(super) fn enter(self: &Arc<Unadmitted>, shard: usize) -> Ticket {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            address: Address { shard, connection },
            held_bytes: AtomicUsize::new(BASE_BYTES),
            heard: AtomicBool::new(true),
            silent: AtomicU32::new(0),
            age: AtomicU32::new(0),
            closing: AtomicBool::new(false),
        });
        self.held_bytes.fetch_add(BASE_BYTES, Ordering::Relaxed);
        self.entries().insert(connection, Arc::clone(&entry));
        Ticket { all: Arc::clone(self), entry }
    }

    /// True if another connection has to wait: a quarter of the room is for the buffers of those that are accepted.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes() + BASE_BYTES > self.bytes_max / 4 * 3
    }

    /// What they hold, without those that are being closed.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// How many were closed for others.
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// Resolves when one was admitted or has gone, perhaps since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Counts silence and age of one shard's connections. To be called by the shard, once in each [`SWEEP`].
    pub(super) fn sweep(&self, shard: usize) {
        for entry in self.entries().values().filter(|entry| entry.address.shard == shard) {
            entry.age.fetch_add(1, Ordering::Relaxed);
            if entry.heard.swap(false, Ordering::Relaxed) {
                entry.silent.store(0, Ordering::Relaxed);
            } else {
                entry.silent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Chooses the oldest one that others need not wait for: it has been silent for too long, or has kept its place for longer still.
    /// Its shard has to be told.
    pub(super) fn close_idle(&self) -> Option<Address> {
        self.close(|entry| {
            entry.silent.load(Ordering::Relaxed) >= self.silent_max
                || entry.age.load(Ordering::Relaxed) >= self.silent_max.saturating_mul(AGE_FACTOR)
        })
    }

    /// Chooses the oldest one, if they hold too much. Its shard has to be told.
    fn close_excess(&self) -> Option<Address> {
        if self.held_bytes() <= self.bytes_max { None } else { self.close(|_| true) }
    }

    fn close(&self, may_go: impl Fn(&Entry) -> bool) -> Option<Address> {
        let entries = self.entries();
        let entry = entries.values().find(|entry| !entry.closing.load(Ordering::Relaxed) && may_go(entry))?;
        entry.closing.store(true, Ordering::Release);
        self.release(entry);
        self.closed.fetch_add(1, Ordering::Relaxed);
        Some(entry.address)
    }

    /// What the entry counts for is free.
    fn release(&self, entry: &Entry) {
        self.held_bytes.fetch_sub(entry.held_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Where the connection is; the number is never used again.
    pub(super) fn address(&self) -> Address {
        self.entry.address
    }

    /// True once the connection has to go, for others.
    pub(super) fn is_closing(&self) -> bool {
        self.entry.closing.load(Ordering::Acquire)
    }

    /// The connection received something.
    pub(super) fn heard(&self) {
        self.entry.heard.store(true, Ordering::Relaxed);
    }

    /// The connection's buffers hold so much now. Calls `close` with each connection that has to go for it: its shard has to be told.
    /// One that grows may take the place of several that are small.
    pub(super) fn hold(&self, buffers_bytes: usize, close: impl FnMut(Address)) {
        if self.is_closing() {
            return;
        }
        let bytes = BASE_BYTES + buffers_bytes;
        let before = self.entry.held_bytes.swap(bytes, Ordering::Relaxed);
        // Two's complement: a difference below zero is added as well.
        self.all.held_bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        if bytes > before {
            std::iter::from_fn(|| self.all.close_excess()).for_each(close);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.entries().remove(&self.entry.address.connection);
        self.all.release(&self.entry);
        self.all.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_the_oldest_connections_are_closed() {
        let all = Unadmitted::new(BYTES_MAX, Duration::from_secs(10));
        let each = CONNECTION_BYTES_MAX - BASE_BYTES;
        let fit = BYTES_MAX / CONNECTION_BYTES_MAX;
        let mut tickets: Vec<Ticket> = (0..fit + 3).map(|_| all.enter(0)).collect();
        let mut closed = Vec::new();
        tickets.iter().for_each(|ticket| ticket.hold(each, |address| closed.push(address.connection)));
        assert_eq!(closed, [0, 1, 2]);
        assert!(all.held_bytes() <= BYTES_MAX, "{}", all.held_bytes());
        assert!(tickets[2].is_closing() && !tickets[3].is_closing());
        tickets[0].hold(each, |_| panic!("it is being closed, and counts for nothing"));
        tickets.last().unwrap().hold(0, |_| panic!("less is never too much"));
        // Admitted or over: either way its place is free.
        tickets.clear();
        assert_eq!((all.held_bytes(), all.closed()), (0, 3));
    }

    #[test]
    fn connections_that_grow_late_stay_within_the_bound() {
        let all = Unadmitted::new(BYTES_MAX, Duration::from_secs(10));
        let tickets: Vec<Ticket> = std::iter::from_fn(|| (!all.is_full()).then(|| all.enter(0))).collect();
        // The youngest first: what the oldest hold is little.
        for ticket in tickets.iter().rev() {
            ticket.hold(CONNECTION_BYTES_MAX - BASE_BYTES, |_| ());
            assert!(all.held_bytes() <= BYTES_MAX, "{}", all.held_bytes());
        }
        assert!(!tickets.last().unwrap().is_closing());
    }

    #[test]
    fn silent_connections_are_closed_before_devices_wait() {
        let all = Unadmitted::new(BYTES_MAX, SWEEP * 2);
        let (silent, talking, other_shard) = (all.enter(0), all.enter(0), all.enter(1));
        all.sweep(0);
        assert_eq!(all.close_idle(), None);
        for _ in 0..2 {
            talking.heard();
            all.sweep(0);
        }
        assert_eq!(all.close_idle(), Some(silent.address()));
        assert_eq!(all.close_idle(), None);
        assert!(!other_shard.is_closing(), "its shard did not get to run: that is not its silence");
        // One that sends a byte now and then has its place for three times as long.
        for _ in 0..3 {
            talking.heard();
            all.sweep(0);
        }
        assert_eq!(all.close_idle(), Some(talking.address()));
    }

    #[test]
    fn accepting_stops_before_the_bound_and_goes_on() {
        let all = Unadmitted::new(BYTES_MAX, SWEEP);
        let mut tickets = Vec::new();
        while !all.is_full() {
            tickets.push(all.enter(0));
        }
        assert!(all.held_bytes() > BYTES_MAX / 2 && all.held_bytes() < BYTES_MAX);
        assert!(tickets.len() >= 1_000, "{} handshakes at a time", tickets.len());
        tickets.pop();
        assert!(!all.is_full());
    }

    #[tokio::test]
    async fn a_place_that_becomes_free_is_told() {
        let all = Unadmitted::new(BYTES_MAX, SWEEP);
        let ticket = all.enter(0);
        drop(ticket);
        all.freed().await;
    }
}
