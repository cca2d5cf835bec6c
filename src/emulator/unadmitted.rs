//! Limits the memory of connections that have not been admitted yet: [`CONNECTION_BYTES_MAX`] each and [`BYTES_MAX`] together.
//! These limits are our choice; Azure's are not documented. `accept` asks for room here, and each connection reports its memory until
//! its device is admitted.
//!
//! Unknown clients must not harm devices, and devices that connect all at once must not harm each other. So accepting stops well below
//! the limit, and new connections wait in the kernel's queue while others are admitted. To make room, connections are closed, the
//! oldest first, if they have been silent for long, or if memory exceeds the limit anyway.

use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

use super::directory::Address;

/// The memory limit of one connection, in bytes. `tests/strangers.rs` checks it.
pub const CONNECTION_BYTES_MAX: usize = 80 * 1024;

/// The memory limit of all of them together, in bytes.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest CONNECT with its header, in bytes. Together with one incomplete TLS record and [`BASE_BYTES`] it stays below
/// [`CONNECTION_BYTES_MAX`].
pub const CONNECT_BYTES_MAX: usize = 48 * 1024;

/// Space after an incomplete CONNECT for the next read, in bytes.
const FIT_SLACK_BYTES: usize = 4 * 1024;

/// What a connection counts for besides its buffers, in bytes: its task, socket and TLS state. Of this, 5 KiB are ours and rustls's. The
/// rest is for aws-lc, which does not use Rust's allocator, and for the allocator's overhead.
pub const BASE_BYTES: usize = 8 * 1024;

/// How often a shard checks which of its connections have been silent. The shard itself counts silence, in sweeps, so that a stalled hub
/// does not mistake its own delay for silence of its peers.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// A connection that keeps sending but is not admitted may be closed after this many times the allowed silence.
const AGE_FACTOR: u32 = 3;

/// All connections that have not been admitted.
#[derive(Debug)]
pub(super) struct Unadmitted {
    bytes_max: usize,
    /// Sweeps without a byte after which a connection may be closed.
    silent_max: u32,
    held_bytes: AtomicUsize,
    /// By connection number, which is the order of arrival.
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
    /// It must be closed.
    closing: AtomicBool,
}

/// A connection's entry, until it is admitted or over.
#[derive(Debug)]
pub(super) struct Ticket {
    all: Arc<Unadmitted>,
    entry: Arc<Entry>,
}

impl Unadmitted {
    /// Without connections. All together may hold `bytes_max`, and one may be silent for `silence_max` while others wait.
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

    /// Adds a connection of a shard.
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

    /// True if another connection must wait. A quarter of the memory is reserved for the buffers of accepted connections.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes() + BASE_BYTES > self.bytes_max / 4 * 3
    }

    /// Their memory in bytes, without connections that are being closed.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// How many were closed to make room.
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// Resolves once a connection has been admitted or has ended since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Counts silence and age of one shard's connections. The shard calls it every [`SWEEP`].
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

    /// Marks the oldest connection that was silent for too long, or not admitted for even longer. The caller must tell its shard.
    pub(super) fn close_idle(&self) -> Option<Address> {
        self.close(|entry| {
            entry.silent.load(Ordering::Relaxed) >= self.silent_max
                || entry.age.load(Ordering::Relaxed) >= self.silent_max.saturating_mul(AGE_FACTOR)
        })
    }

    /// Marks the oldest connection if they hold too much memory. The caller must tell its shard.
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

    /// Subtracts the entry's memory from the sum.
    fn release(&self, entry: &Entry) {
        self.held_bytes.fetch_sub(entry.held_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The connection's address; its number is never reused.
    pub(super) fn address(&self) -> Address {
        self.entry.address
    }

    /// True once the connection must be closed to make room.
    pub(super) fn is_closing(&self) -> bool {
        self.entry.closing.load(Ordering::Acquire)
    }

    /// Records that the connection received something.
    pub(super) fn heard(&self) {
        self.entry.heard.store(true, Ordering::Relaxed);
    }

    /// Sets the bytes in the connection's buffers. Calls `close` with each connection that has to go for it; the
    /// caller must tell its shard. One that grows may take the place of several small ones.
    pub(super) fn hold(&self, buffers_bytes: usize, close: impl FnMut(Address)) {
        if self.is_closing() {
            return;
        }
        let bytes = BASE_BYTES + buffers_bytes;
        let before = self.entry.held_bytes.swap(bytes, Ordering::Relaxed);
        // Wrapping arithmetic also adds a negative difference correctly.
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

/// Shrinks a buffer with an incomplete CONNECT. Growing doubles it, and clients that are not admitted must not hold much memory.
pub(super) fn fit(input: &mut BytesMut) {
    if input.len() > FIT_SLACK_BYTES && input.capacity() > CONNECT_BYTES_MAX + FIT_SLACK_BYTES {
        let mut fitting = BytesMut::with_capacity(CONNECT_BYTES_MAX + FIT_SLACK_BYTES);
        fitting.extend_from_slice(input);
        *input = fitting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_memory_limit_the_oldest_are_closed() {
        let all = Unadmitted::new(BYTES_MAX, Duration::from_secs(10));
        let each = CONNECTION_BYTES_MAX - BASE_BYTES;
        let fit = BYTES_MAX / CONNECTION_BYTES_MAX;
        let mut tickets: Vec<Ticket> = (0..fit + 3).map(|_| all.enter(0)).collect();
        let mut closed = Vec::new();
        tickets.iter().for_each(|ticket| ticket.hold(each, |address| closed.push(address.connection)));
        assert_eq!(closed, [0, 1, 2]);
        assert!(all.held_bytes() <= BYTES_MAX, "{}", all.held_bytes());
        assert!(tickets[2].is_closing() && !tickets[3].is_closing());
        tickets[0].hold(each, |_| panic!("it is being closed, and does not count"));
        tickets.last().unwrap().hold(0, |_| panic!("a smaller buffer closes no other"));
        // A ticket is dropped when its connection is admitted or over.
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
        assert!(!other_shard.is_closing(), "its shard did not run, so it was not silent");
        // A connection that keeps sending may stay three times as long.
        for _ in 0..3 {
            talking.heard();
            all.sweep(0);
        }
        assert_eq!(all.close_idle(), Some(talking.address()));
    }

    #[test]
    fn accepting_stops_below_the_limit_and_resumes() {
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
    async fn a_dropped_ticket_is_signaled() {
        let all = Unadmitted::new(BYTES_MAX, SWEEP);
        let ticket = all.enter(0);
        drop(ticket);
        all.freed().await;
    }
}
