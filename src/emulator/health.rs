//! When a shard was starved, and how busy it is: the [`Pulse`] beats on the shard's thread, and [`Health`] keeps the findings for
//! other threads. A run reads them at its end, so that it does not report its own starved hub as a slow one.
//!
//! [`Deadlines`] can only note a stall while there is a deadline, so the pulse always has one. A stall that begins between two
//! beats is noted from the next beat on: it can be understated by one interval.

use crate::clock::{self, Reading};
use crate::link::{Deadlines, Idle, STALL_AFTER};
use crate::stalls::{self, StallEntry, StallList};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Between two beats of a shard that has work.
const BUSY_BEAT: Duration = stalls::BUSY_HEARTBEAT;
/// Between two beats of a shard whose connections are quiet.
const QUIET_BEAT: Duration = stalls::IDLE_HEARTBEAT;
/// Between two beats of a shard without connections.
const EMPTY_BEAT: Duration = Duration::from_millis(100);
/// How long a shard counts as having work after one of its connections did something.
const BUSY_FOR: Duration = Duration::from_millis(100);
/// [`Deadlines`] serves in ticks, so a beat may be this much late without a stall.
const TICK_MAX: Duration = Duration::from_millis(1);

/// How well one shard's thread could run.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ShardHealth {
    /// The share of time in which it had something to do, since its first connection.
    pub busy_share: f64,
    /// When it had something to do and did not run, in microseconds since the Unix epoch. The times are monotonic ones, converted with
    /// the wall clock at the time of reading, so earlier clock steps do not shift them.
    pub stalls: Vec<StallEntry>,
}

/// What other threads may know of a shard.
#[derive(Debug)]
pub(super) struct Health {
    zero: Instant,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    stalls: StallList,
    /// When the shard is to beat again; `None` while it does not run.
    next: Option<Instant>,
    busy_share: f64,
}

impl Health {
    /// The health of a hub that started at `zero`.
    pub(super) fn new(zero: Instant) -> Health {
        Health { zero, told: Mutex::default() }
    }

    /// Microseconds from zero to `at`.
    fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.zero).as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the health up to this reading. A shard whose heartbeat is overdue counts as stalled since then, even if it never runs
    /// again.
    pub(super) fn read(&self, Reading { at: now, unix }: Reading) -> ShardHealth {
        let told = self.told();
        let mut stalls = told.stalls.clone();
        if let Some(from) = told.next.and_then(|next| overdue_since(next, now)) {
            stalls.add(self.us(from), self.us(now));
        }
        let origin = unix.saturating_sub(now.saturating_duration_since(self.zero));
        let origin_us = u64::try_from(origin.as_micros()).unwrap_or(u64::MAX);
        let stalls = stalls.entries().iter().map(|entry| entry.after(origin_us)).collect();
        ShardHealth { busy_share: told.busy_share, stalls }
    }

    /// The shard has ended: no beat is due any more.
    pub(super) fn end(&self) {
        self.told().next = None;
    }

    /// A shard that panicked leaves its last findings.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The heartbeat of a shard, on its own thread.
#[derive(Debug)]
pub(super) struct Pulse {
    idle: Arc<Idle>,
    connections: Cell<usize>,
    /// A connection did something since the last beat.
    touched: Cell<bool>,
    /// When a beat last found that.
    busy: Cell<Option<Instant>>,
    /// The next beat was set while there was no work.
    slow: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// When the first connection came, and how long the thread had been idle by then.
    first: Cell<Option<(Instant, Duration)>>,
}

/// One connection of the shard, for as long as it lives.
pub(super) struct Counted<'a>(&'a Pulse);

impl Drop for Counted<'_> {
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
            busy: Cell::new(None),
            slow: Cell::new(true),
            waker: RefCell::default(),
            first: Cell::new(None),
        }
    }

    /// A connection begins.
    pub(super) fn open(&self, now: Instant) -> Counted<'_> {
        self.connections.set(self.connections.get() + 1);
        if self.first.get().is_none() {
            self.first.set(Some((now, self.idle.total())));
        }
        self.touch();
        Counted(self)
    }

    /// A connection has something to do. This is called at each wake of each connection, so it reads no clock.
    #[inline]
    pub(super) fn touch(&self) {
        if !self.touched.replace(true) && self.slow.get() {
            self.hurry();
        }
    }

    /// Beats now, because the next beat was set for a shard without work.
    #[cold]
    fn hurry(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Beats for as long as the shard runs. [`Deadlines::run`] has to run beside it.
    pub(super) async fn run(&self, deadlines: &Rc<Deadlines>, health: &Health) {
        deadlines.stalls().restart(health.zero);
        // One alarm for all beats: a deadline that were dropped and set again could hide a stall.
        let alarm = deadlines.alarm();
        let mut next = clock::now();
        poll_fn(|cx| {
            let now = clock::now();
            deadlines.observe(now);
            if let Some(from) = overdue_since(next, now) {
                // From the wake of this task to its turn there was no deadline that could be late.
                deadlines.stalls().note(from, now);
            }
            if now >= next || (self.touched.get() && self.slow.get()) {
                next = now + self.interval(now);
                self.tell(now, next, deadlines, health);
            }
            alarm.set(cx, now, next);
            self.waker.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    }

    /// The time to the next beat.
    fn interval(&self, now: Instant) -> Duration {
        if self.touched.take() {
            self.busy.set(Some(now));
        }
        let busy = self.busy.get().is_some_and(|busy| now.saturating_duration_since(busy) < BUSY_FOR);
        let interval = match (self.connections.get(), busy) {
            (0, _) => EMPTY_BEAT,
            (_, false) => QUIET_BEAT,
            (_, true) => BUSY_BEAT,
        };
        self.slow.set(interval > BUSY_BEAT);
        interval
    }

    fn tell(&self, now: Instant, next: Instant, deadlines: &Deadlines, health: &Health) {
        let mut told = health.told();
        for [from_ns, to_ns] in deadlines.stalls().take() {
            told.stalls.add(from_ns / 1000, to_ns / 1000);
        }
        told.next = Some(next);
        if let Some((first, idle)) = self.first.get() {
            let passed = now.saturating_duration_since(first);
            let idle = self.idle.total().saturating_sub(idle);
            if !passed.is_zero() {
                told.busy_share = (1.0 - idle.as_secs_f64() / passed.as_secs_f64()).clamp(0.0, 1.0);
            }
        }
    }
}

/// Since when a beat is overdue, if it is: from the latest instant at which it should have been served.
fn overdue_since(next: Instant, now: Instant) -> Option<Instant> {
    let due = next + TICK_MAX;
    (now > due + STALL_AFTER).then_some(due)
}

#[cfg(test)]
mod tests;
