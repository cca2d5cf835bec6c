//! The health of each shard: when its thread had work but did not run, and how busy it is. The [`Pulse`] is a heartbeat on the shard's
//! thread; [`Health`] makes its findings available to other threads. A run reads them when it ends, so that it does not report a hub as
//! slow when this machine merely failed to schedule the hub's threads. The only thing that this module knows about the connections is their
//! number.
//!
//! [`Deadlines`] can only record a stall while there is a deadline, so the pulse always has one. A stall that begins between two beats is
//! recorded from the next beat on, so its length can be understated by up to one interval.

use crate::clock::{self, Reading};
use crate::link::{Deadlines, Idle, STALL_AFTER};
use crate::stalls::{self, StallEntry, StallList};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Interval between two beats of a busy shard.
const BUSY_BEAT: Duration = stalls::BUSY_HEARTBEAT;
/// Interval between two beats of a shard whose connections are idle.
const QUIET_BEAT: Duration = stalls::IDLE_HEARTBEAT;
/// Interval between two beats of a shard without connections.
const EMPTY_BEAT: Duration = Duration::from_millis(100);
/// How long a shard counts as busy after activity on one of its connections.
const BUSY_FOR: Duration = Duration::from_millis(100);
/// [`Deadlines`] works in ticks, so a beat can be this late without a stall.
const TICK_MAX: Duration = Duration::from_millis(1);

/// The health of a shard's thread.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ShardHealth {
    /// Share of the time since the first connection in which the thread was busy.
    pub busy_share: f64,
    /// Periods in which the thread had work but did not run, in microseconds since the Unix epoch. They are measured with the monotonic
    /// clock and converted to wall clock time when they are read, so earlier clock steps do not shift them.
    pub stalls: Vec<StallEntry>,
}

/// The findings of a shard, readable by other threads.
#[derive(Debug)]
pub(super) struct Health {
    zero: Instant,
    findings: Mutex<Findings>,
}

#[derive(Debug, Default)]
struct Findings {
    stalls: StallList,
    /// When the next beat is due; `None` if the shard is not running.
    next_beat: Option<Instant>,
    busy_share: f64,
}

impl Health {
    /// Creates the health of a shard whose hub started at `zero`.
    pub(super) fn new(zero: Instant) -> Health {
        Health { zero, findings: Mutex::default() }
    }

    /// Returns the microseconds from the start of the hub to `at`.
    fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.zero).as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the health up to this reading. If a beat is overdue, the shard counts as stalled from the time at which the beat was due,
    /// even if the shard never runs again.
    pub(super) fn read(&self, Reading { at: now, unix }: Reading) -> ShardHealth {
        let findings = self.findings();
        let mut stalls = findings.stalls.clone();
        if let Some(from) = findings.next_beat.and_then(|next| overdue_since(next, now)) {
            stalls.add(self.us(from), self.us(now));
        }
        let origin = unix.saturating_sub(now.saturating_duration_since(self.zero));
        let origin_us = u64::try_from(origin.as_micros()).unwrap_or(u64::MAX);
        let stalls = stalls.entries().iter().map(|entry| entry.after(origin_us)).collect();
        ShardHealth { busy_share: findings.busy_share, stalls }
    }

    /// Notes that the shard has ended, so no further beat is due.
    pub(super) fn end(&self) {
        self.findings().next_beat = None;
    }

    /// Locks the findings. If the shard has panicked, returns the last ones.
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The heartbeat of a shard, on its own thread.
#[derive(Debug)]
pub(super) struct Pulse {
    idle: Arc<Idle>,
    connections: Cell<usize>,
    /// True if there was activity on a connection since the last beat.
    touched: Cell<bool>,
    /// Time of the last beat that found `touched` set.
    last_busy: Cell<Option<Instant>>,
    /// True if the next beat was scheduled while there was no work.
    slow: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Time of the first connection, and the idle time of the thread until then.
    first_connection: Cell<Option<(Instant, Duration)>>,
}

/// Counts one open connection of the shard.
pub(super) struct OpenConnection<'a>(&'a Pulse);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

impl Pulse {
    pub(super) fn new(idle: Arc<Idle>) -> Pulse {
        Pulse {
            idle,
            connections: Cell::new(0),
            touched: Cell::new(false),
            last_busy: Cell::new(None),
            slow: Cell::new(true),
            waker: RefCell::default(),
            first_connection: Cell::new(None),
        }
    }

    /// Counts a new connection until the returned value is dropped.
    pub(super) fn open(&self, now: Instant) -> OpenConnection<'_> {
        self.connections.set(self.connections.get() + 1);
        if self.first_connection.get().is_none() {
            self.first_connection.set(Some((now, self.idle.total())));
        }
        self.touch();
        OpenConnection(self)
    }

    /// Notes activity on a connection. Does not read the clock, because every wake of every connection calls this.
    #[inline]
    pub(super) fn touch(&self) {
        if !self.touched.replace(true) && self.slow.get() {
            self.beat_now();
        }
    }

    /// Beats now, because the next beat was scheduled while there was no work.
    #[cold]
    fn beat_now(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Beats for as long as the shard runs. [`Deadlines::run`] must run concurrently on the same thread.
    pub(super) async fn run(&self, deadlines: &Rc<Deadlines>, health: &Health) {
        deadlines.stalls().restart(health.zero);
        // One alarm for all beats: dropping a deadline and setting a new one could hide a stall.
        let alarm = deadlines.alarm();
        let mut next = clock::now();
        poll_fn(|cx| {
            let now = clock::now();
            deadlines.observe(now);
            if let Some(from) = overdue_since(next, now) {
                // No deadline can record a stall between the wake of this task and its poll.
                deadlines.stalls().note(from, now);
            }
            if now >= next || (self.touched.get() && self.slow.get()) {
                next = now + self.interval(now);
                self.publish(now, next, deadlines, health);
            }
            alarm.set(cx, now, next);
            self.waker.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    }

    /// Returns the time to the next beat.
    fn interval(&self, now: Instant) -> Duration {
        if self.touched.take() {
            self.last_busy.set(Some(now));
        }
        let busy = self.last_busy.get().is_some_and(|busy| now.saturating_duration_since(busy) < BUSY_FOR);
        let interval = match (self.connections.get(), busy) {
            (0, _) => EMPTY_BEAT,
            (_, false) => QUIET_BEAT,
            (_, true) => BUSY_BEAT,
        };
        self.slow.set(interval > BUSY_BEAT);
        interval
    }

    /// Publishes the findings up to `now`.
    fn publish(&self, now: Instant, next: Instant, deadlines: &Deadlines, health: &Health) {
        let mut findings = health.findings();
        for [from_ns, to_ns] in deadlines.stalls().take() {
            findings.stalls.add(from_ns / 1000, to_ns / 1000);
        }
        findings.next_beat = Some(next);
        if let Some((first, idle)) = self.first_connection.get() {
            let passed = now.saturating_duration_since(first);
            let idle = self.idle.total().saturating_sub(idle);
            if !passed.is_zero() {
                findings.busy_share = (1.0 - idle.as_secs_f64() / passed.as_secs_f64()).clamp(0.0, 1.0);
            }
        }
    }
}

/// If the beat due at `next` is overdue, returns the latest instant at which it should have happened; otherwise, returns `None`.
fn overdue_since(next: Instant, now: Instant) -> Option<Instant> {
    let due = next + TICK_MAX;
    (now > due + STALL_AFTER).then_some(due)
}

#[cfg(test)]
mod tests;
