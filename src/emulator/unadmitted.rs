//! Connections that have not been admitted yet, and the memory that they may hold: [`CONNECTION_BYTES_MAX`] each and [`BYTES_MAX`]
//! together. All of it is our choice; what Azure does is not documented. `accept` asks it for room, and a connection asks before
//! each read until its device is admitted.
//!
//! The bound is hard. A closed connection counts until its memory is free, and a connection for whose read there is no room does not
//! read: its bytes stay in the kernel, and the oldest connection is closed for it.
//!
//! Devices that connect all at once must not suffer from strangers, nor from each other. So nothing more is accepted well before the
//! bound, and the devices wait in the kernel's queue while others are admitted. Silent connections are closed for them.

use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

use super::address::Address;
use crate::iothub::limits;

/// What one connection may hold: the largest CONNECT, a whole TLS record that waits for its rest, and [`BASE_BYTES`].
/// `tests/strangers.rs` shows that it does not hold more.
pub const CONNECTION_BYTES_MAX: usize = 80 * 1024;

/// The memory limit of all of them together, in bytes.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a connection counts for beside its buffers: its task, its socket, and the state of TLS. 5 KiB of it are ours and rustls's; the
/// rest is for the memory of aws-lc, which is not Rust's, and for what the allocator adds.
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
    /// The same for a connection that has not sent any.
    unsent_max: u32,
    places: Mutex<Places>,
    /// One of them was admitted or is gone.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Places {
    /// What all of them hold.
    held_bytes: usize,
    /// How much of it belongs to connections that were told to close. Nothing has to be closed for it again.
    condemned_bytes: usize,
    /// By number: in the order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// Those that wait for room to read.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
    closed: u64,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    held_bytes: usize,
    /// Sweeps since it received something, and since it was accepted.
    silent: u32,
    age: u32,
    has_sent: bool,
    flags: Arc<Flags>,
}

/// What changes with each read, or is asked at each turn: without the lock.
#[derive(Debug)]
struct Flags {
    /// It received something since the last sweep.
    heard: AtomicBool,
    /// It has to go.
    closing: AtomicBool,
}

/// A connection's place among them, until it is admitted or over. To be dropped after all that the connection holds.
#[derive(Debug)]
pub(super) struct Ticket {
    all: Arc<Unadmitted>,
    address: Address,
    flags: Arc<Flags>,
}

impl Unadmitted {
    /// None yet. They may hold `bytes_max` together, and one may be silent for `silence_max` while others wait,
    /// or for `first_byte_max` if it has not sent a byte.
    pub(super) fn new(bytes_max: usize, silence_max: Duration, first_byte_max: Duration) -> Arc<Unadmitted> {
        let sweeps = |time: Duration| {
            u32::try_from(time.as_millis().div_ceil(SWEEP.as_millis())).unwrap_or(u32::MAX).max(1)
        };
        Arc::new(Unadmitted {
            bytes_max,
            silent_max: sweeps(silence_max),
            unsent_max: sweeps(silence_max.min(first_byte_max)),
            places: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Adds a connection of a shard.
    pub(super) fn enter(self: &Arc<Unadmitted>, shard: usize) -> Ticket {
        // The first sweep comes at any time: no silence is counted with it.
        let flags = Arc::new(Flags { heard: AtomicBool::new(true), closing: AtomicBool::new(false) });
        let mut places = self.places();
        let connection = places.next;
        places.next += 1;
        places.held_bytes += BASE_BYTES;
        let entry = Entry {
            shard,
            held_bytes: BASE_BYTES,
            silent: 0,
            age: 0,
            has_sent: false,
            flags: Arc::clone(&flags),
        };
        places.entries.insert(connection, entry);
        Ticket { all: Arc::clone(self), address: Address { shard, connection }, flags }
    }

    /// True if another connection must wait. A quarter of the memory is reserved for the buffers of accepted connections.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes() + BASE_BYTES > self.bytes_max / 4 * 3
    }

    /// What they hold, those included that are being closed.
    pub(super) fn held_bytes(&self) -> usize {
        self.places().held_bytes
    }

    /// How many were closed to make room.
    pub(super) fn closed(&self) -> u64 {
        self.places().closed
    }

    /// Resolves once a connection has been admitted or has ended since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Counts silence and age of one shard's connections. The shard calls it every [`SWEEP`].
    pub(super) fn sweep(&self, shard: usize) {
        let Places { entries, waiting, .. } = &mut *self.places();
        for (connection, entry) in entries.iter_mut().filter(|(_, entry)| entry.shard == shard) {
            entry.age += 1;
            // One that waits for room has sent something.
            if entry.flags.heard.swap(false, Ordering::Relaxed) || waiting.contains_key(connection) {
                entry.silent = 0;
            } else {
                entry.silent += 1;
            }
        }
    }

    /// Marks the oldest connection that was silent for too long, or not admitted for even longer. The caller must tell its shard.
    pub(super) fn close_idle(&self) -> Option<Address> {
        self.places().close(|entry| {
            let silent_max = if entry.has_sent { self.silent_max } else { self.unsent_max };
            entry.silent >= silent_max || entry.age >= self.silent_max.saturating_mul(AGE_FACTOR)
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Chooses the oldest ones until there is room for `bytes` more, once all that were chosen are gone.
    fn close_for(&mut self, bytes: usize, bytes_max: usize) -> Vec<Address> {
        let mut closed = Vec::new();
        while self.held_bytes - self.condemned_bytes + bytes > bytes_max {
            let Some(address) = self.close(|_| true) else { break };
            closed.push(address);
        }
        closed
    }

    fn close(&mut self, may_go: impl Fn(&Entry) -> bool) -> Option<Address> {
        let (&connection, entry) = self
            .entries
            .iter()
            .find(|(_, entry)| !entry.flags.closing.load(Ordering::Relaxed) && may_go(entry))?;
        entry.flags.closing.store(true, Ordering::Release);
        self.condemned_bytes += entry.held_bytes;
        self.closed += 1;
        Some(Address { shard: entry.shard, connection })
    }

    /// The connection holds so much now. What it held before; `None` if it is being closed, and counts for what it held then.
    fn set(&mut self, connection: u64, bytes: usize) -> Option<usize> {
        let entry = self.entries.get_mut(&connection)?;
        if entry.flags.closing.load(Ordering::Relaxed) {
            return None;
        }
        let before = std::mem::replace(&mut entry.held_bytes, bytes);
        self.held_bytes = self.held_bytes - before + bytes;
        Some(before)
    }

    /// Lets the oldest one that waits for room try again. Each that finds room wakes the next.
    fn wake_next(&mut self) {
        if let Some((_, waker)) = self.waiting.pop_first() {
            waker.wake();
        }
    }
}

impl Ticket {
    /// The connection's address; its number is never reused.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// True once the connection must be closed to make room.
    pub(super) fn is_closing(&self) -> bool {
        self.flags.closing.load(Ordering::Acquire)
    }

    /// Ready once the connection may grow by `bytes`, which count from then on: call [`Ticket::hold`] after the read. If it has to
    /// wait, calls `close` with each connection that has to go for it: its shard has to be told.
    pub(super) fn poll_room(&self, cx: &Context<'_>, bytes: usize, close: impl FnMut(Address)) -> Poll<()> {
        let mut places = self.all.places();
        let connection = self.address.connection;
        let Some(entry) = places.entries.get(&connection).filter(|_| !self.is_closing()) else {
            // It is woken to be closed.
            return Poll::Pending;
        };
        if places.held_bytes + bytes <= self.all.bytes_max {
            let bytes = entry.held_bytes + bytes;
            places.waiting.remove(&connection);
            places.set(connection, bytes);
            places.wake_next();
            return Poll::Ready(());
        }
        places.waiting.insert(connection, cx.waker().clone());
        let closed = places.close_for(bytes, self.all.bytes_max);
        drop(places);
        closed.into_iter().for_each(close);
        Poll::Pending
    }

    /// The connection may have read; its buffers hold so much now. Calls `close` with each connection that has to go if that is too
    /// much after all: its shard has to be told.
    pub(super) fn hold(&self, received: bool, buffers_bytes: usize, close: impl FnMut(Address)) {
        if received {
            self.flags.heard.store(true, Ordering::Relaxed);
        }
        let mut places = self.all.places();
        if let Some(entry) = places.entries.get_mut(&self.address.connection) {
            entry.has_sent |= received;
        }
        let bytes = BASE_BYTES + buffers_bytes;
        let Some(before) = places.set(self.address.connection, bytes) else { return };
        let closed = places.close_for(0, self.all.bytes_max);
        if bytes < before {
            places.wake_next();
        }
        drop(places);
        closed.into_iter().for_each(close);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.all.places();
        places.waiting.remove(&self.address.connection);
        if let Some(entry) = places.entries.remove(&self.address.connection) {
            places.held_bytes -= entry.held_bytes;
            if entry.flags.closing.load(Ordering::Relaxed) {
                places.condemned_bytes -= entry.held_bytes;
            }
        }
        places.wake_next();
        drop(places);
        self.all.freed.notify_one();
    }
}

/// Space after an incomplete CONNECT for the next read, in bytes.
const FIT_SLACK_BYTES: usize = 4 * 1024;

/// Shrinks a buffer with an incomplete CONNECT. Growing doubles it, and clients that are not admitted must not hold much memory.
pub(super) fn fit(input: &mut BytesMut) {
    if input.len() > FIT_SLACK_BYTES && input.capacity() > limits::CONNECT_BYTES_MAX + FIT_SLACK_BYTES {
        let mut fitting = BytesMut::with_capacity(limits::CONNECT_BYTES_MAX + FIT_SLACK_BYTES);
        fitting.extend_from_slice(input);
        *input = fitting;
    }
}

#[cfg(test)]
mod tests;
