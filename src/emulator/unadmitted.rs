//! Limits the memory of connections that are not admitted yet: [`CONNECTION_BYTES_MAX`] each and [`BYTES_MAX`] together. `accept` checks
//! for room before it accepts a connection, and a connection reserves room before each read until its device is admitted. This module
//! returns the addresses of connections that must close, and the caller notifies their shards. All of this is our choice, because Azure
//! does not document such limits.
//!
//! The limit is hard. A closed connection counts until its memory is freed. If there is no room for a read, the connection does not read:
//! incoming bytes stay in the kernel, and the oldest connection is closed to make room.
//!
//! Thousands of devices must be able to connect at the same time, even if there are silent clients. So accepting stops well below the
//! limit, new connections wait in the kernel's queue while others are admitted, and silent connections are closed to make room for them.

use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

use super::address::Address;
use crate::iothub::limits;

/// Memory limit for one connection: the largest CONNECT, an incomplete TLS record, and [`BASE_BYTES`]. `tests/strangers.rs` shows that a
/// connection does not use more.
pub const CONNECTION_BYTES_MAX: usize = 80 * 1024;

/// Memory limit for all connections that are not admitted.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory of a connection besides its buffers: its task, its socket and its TLS state. hubstorm and rustls allocate 5 KiB of it. The rest
/// is for aws-lc, which allocates outside Rust, and for allocator overhead.
pub const BASE_BYTES: usize = 8 * 1024;

/// Interval at which a shard checks which of its connections are silent. The shard itself counts silence, in sweeps, so that a stalled hub
/// does not mistake its own delay for silent clients.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// A connection that keeps sending but is not admitted may be closed after this many times the allowed silence.
const AGE_FACTOR: u32 = 3;

/// All connections that are not admitted.
#[derive(Debug)]
pub(super) struct Unadmitted {
    bytes_max: usize,
    /// Number of sweeps without received data after which a connection may be closed.
    silent_max: u32,
    /// The same limit for a connection that has not sent a single byte.
    unsent_max: u32,
    connections: Mutex<Connections>,
    /// Notified when a connection is admitted or ends.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    /// Memory of all connections.
    held_bytes: usize,
    /// The part of `held_bytes` that belongs to closing connections. It will be freed anyway, so no other connection needs to close in
    /// their place.
    closing_bytes: usize,
    /// Keyed by connection number, and therefore in order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// Connections that wait for room to read.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
    closed: u64,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    held_bytes: usize,
    /// Number of sweeps since the connection last received something.
    silent: u32,
    /// Number of sweeps since the connection was accepted.
    age: u32,
    has_sent: bool,
    flags: Arc<Flags>,
}

/// State that is accessed on every read or poll, and therefore kept outside the lock.
#[derive(Debug)]
struct Flags {
    /// True if the connection received something since the last sweep.
    received: AtomicBool,
    /// True if the connection must close.
    closing: AtomicBool,
}

/// Counts the memory of a connection until it is admitted or ends. Drop it after everything else that the connection holds.
#[derive(Debug)]
pub(super) struct Ticket {
    all: Arc<Unadmitted>,
    address: Address,
    flags: Arc<Flags>,
}

impl Unadmitted {
    /// Creates the limits. All connections together may use `bytes_max`. While others wait, a connection may be silent for `silence_max`,
    /// or for `first_byte_max` if it has not sent a byte.
    pub(super) fn new(bytes_max: usize, silence_max: Duration, first_byte_max: Duration) -> Arc<Unadmitted> {
        let sweeps = |time: Duration| {
            u32::try_from(time.as_millis().div_ceil(SWEEP.as_millis())).unwrap_or(u32::MAX).max(1)
        };
        Arc::new(Unadmitted {
            bytes_max,
            silent_max: sweeps(silence_max),
            unsent_max: sweeps(silence_max.min(first_byte_max)),
            connections: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Adds a connection that `shard` will serve.
    pub(super) fn enter(self: &Arc<Unadmitted>, shard: usize) -> Ticket {
        // The first sweep may come right after this, so that sweep must not count as silence.
        let flags = Arc::new(Flags { received: AtomicBool::new(true), closing: AtomicBool::new(false) });
        let mut connections = self.connections();
        let connection = connections.next;
        connections.next += 1;
        connections.held_bytes += BASE_BYTES;
        let entry = Entry {
            shard,
            held_bytes: BASE_BYTES,
            silent: 0,
            age: 0,
            has_sent: false,
            flags: Arc::clone(&flags),
        };
        connections.entries.insert(connection, entry);
        Ticket { all: Arc::clone(self), address: Address { shard, connection }, flags }
    }

    /// Returns true if new connections must wait. A quarter of the memory is reserved for the buffers of accepted connections.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes() + BASE_BYTES > self.bytes_max / 4 * 3
    }

    /// Returns the memory of all connections, including closing ones.
    pub(super) fn held_bytes(&self) -> usize {
        self.connections().held_bytes
    }

    /// Returns the number of connections that were closed to make room.
    pub(super) fn closed(&self) -> u64 {
        self.connections().closed
    }

    /// Resolves when a connection has been admitted or has ended since the previous call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Updates the silence and age counters of a shard's connections. The shard calls this every [`SWEEP`].
    pub(super) fn sweep(&self, shard: usize) {
        let Connections { entries, waiting, .. } = &mut *self.connections();
        for (connection, entry) in entries.iter_mut().filter(|(_, entry)| entry.shard == shard) {
            entry.age += 1;
            // A connection that waits for room has sent something.
            if entry.flags.received.swap(false, Ordering::Relaxed) || waiting.contains_key(connection) {
                entry.silent = 0;
            } else {
                entry.silent += 1;
            }
        }
    }

    /// Marks one connection as closing: the oldest one that has been silent for too long, or that has remained unadmitted for even longer.
    /// The caller must notify its shard.
    pub(super) fn close_idle(&self) -> Option<Address> {
        self.connections().close(|entry| {
            let silent_max = if entry.has_sent { self.silent_max } else { self.unsent_max };
            entry.silent >= silent_max || entry.age >= self.silent_max.saturating_mul(AGE_FACTOR)
        })
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Marks connections as closing, oldest first, until closing them leaves room for `bytes` more.
    fn close_for(&mut self, bytes: usize, bytes_max: usize) -> Vec<Address> {
        let mut closed = Vec::new();
        while self.held_bytes - self.closing_bytes + bytes > bytes_max {
            let Some(address) = self.close(|_| true) else { break };
            closed.push(address);
        }
        closed
    }

    fn close(&mut self, may_close: impl Fn(&Entry) -> bool) -> Option<Address> {
        let (&connection, entry) = self
            .entries
            .iter()
            .find(|(_, entry)| !entry.flags.closing.load(Ordering::Relaxed) && may_close(entry))?;
        entry.flags.closing.store(true, Ordering::Release);
        self.closing_bytes += entry.held_bytes;
        self.closed += 1;
        Some(Address { shard: entry.shard, connection })
    }

    /// Sets the memory of a connection and returns the previous value. Returns `None` for a closing connection, whose memory does not change.
    fn set(&mut self, connection: u64, bytes: usize) -> Option<usize> {
        let entry = self.entries.get_mut(&connection)?;
        if entry.flags.closing.load(Ordering::Relaxed) {
            return None;
        }
        let before = std::mem::replace(&mut entry.held_bytes, bytes);
        self.held_bytes = self.held_bytes - before + bytes;
        Some(before)
    }

    /// Wakes the oldest connection that waits for room. Each connection that finds room wakes the next one.
    fn wake_next(&mut self) {
        if let Some((_, waker)) = self.waiting.pop_first() {
            waker.wake();
        }
    }
}

impl Ticket {
    /// Returns the address of the connection.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Returns true if the connection must close to make room.
    pub(super) fn is_closing(&self) -> bool {
        self.flags.closing.load(Ordering::Acquire)
    }

    /// Reserves `bytes` and returns ready when there is room. Call [`Ticket::hold`] after the read. If the connection must wait, calls
    /// `close` with each connection that must close to make room. `close` must notify that connection's shard.
    pub(super) fn poll_room(&self, cx: &Context<'_>, bytes: usize, close: impl FnMut(Address)) -> Poll<()> {
        let mut connections = self.all.connections();
        let connection = self.address.connection;
        let Some(entry) = connections.entries.get(&connection).filter(|_| !self.is_closing()) else {
            // A closing connection is woken by its shard.
            return Poll::Pending;
        };
        if connections.held_bytes + bytes <= self.all.bytes_max {
            let bytes = entry.held_bytes + bytes;
            connections.waiting.remove(&connection);
            connections.set(connection, bytes);
            connections.wake_next();
            return Poll::Ready(());
        }
        connections.waiting.insert(connection, cx.waker().clone());
        let closed = connections.close_for(bytes, self.all.bytes_max);
        drop(connections);
        closed.into_iter().for_each(close);
        Poll::Pending
    }

    /// Records the size of the buffers and whether the connection has received anything. If the total size is over the limit, calls `close`
    /// with each connection that must close. `close` must notify that connection's shard.
    pub(super) fn hold(&self, received: bool, buffers_bytes: usize, close: impl FnMut(Address)) {
        if received {
            self.flags.received.store(true, Ordering::Relaxed);
        }
        let mut connections = self.all.connections();
        if let Some(entry) = connections.entries.get_mut(&self.address.connection) {
            entry.has_sent |= received;
        }
        let bytes = BASE_BYTES + buffers_bytes;
        let Some(before) = connections.set(self.address.connection, bytes) else { return };
        let closed = connections.close_for(0, self.all.bytes_max);
        if bytes < before {
            connections.wake_next();
        }
        drop(connections);
        closed.into_iter().for_each(close);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut connections = self.all.connections();
        connections.waiting.remove(&self.address.connection);
        if let Some(entry) = connections.entries.remove(&self.address.connection) {
            connections.held_bytes -= entry.held_bytes;
            if entry.flags.closing.load(Ordering::Relaxed) {
                connections.closing_bytes -= entry.held_bytes;
            }
        }
        connections.wake_next();
        drop(connections);
        self.all.freed.notify_one();
    }
}

/// Free space for the next read after an incomplete CONNECT.
const FIT_SLACK_BYTES: usize = 4 * 1024;

/// Shrinks a buffer that holds an incomplete CONNECT, because a buffer doubles when it grows, and clients that are not admitted must not
/// use much memory.
pub(super) fn shrink_to_connect(input: &mut BytesMut) {
    if input.len() > FIT_SLACK_BYTES && input.capacity() > limits::CONNECT_BYTES_MAX + FIT_SLACK_BYTES {
        let mut shrunk = BytesMut::with_capacity(limits::CONNECT_BYTES_MAX + FIT_SLACK_BYTES);
        shrunk.extend_from_slice(input);
        *input = shrunk;
    }
}

#[cfg(test)]
mod tests;
