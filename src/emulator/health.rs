//! When a shard was starved, and how busy it is: the [`Pulse`] beats on the shard's thread, and [`Health`] keeps the findings for
//! other threads. A run reads them at its end, so that it does not report its own starved hub as a slow one.
//!
//! [`Deadlines`] can only note a stall while there is a deadline, so the pulse always has one. A stall that begins between two
//! beats is noted from the next beat on: it can be understated by one interval.

use crate::clock;
use crate::link::{Deadlines, Idle, STALL_AFTER};
use crate::stalls::{StallEntry, StallList};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Between two beats of a shard that has work.
const BUSY_BEAT: Duration = Duration::from_millis(2);
/// Between two beats of a shard whose connections are quiet.
const QUIET_BEAT: Duration = Duration::from_millis(10);
/// Between two beats of a shard without connections.
const EMPTY_BEAT: Duration = Duration::from_millis(100);
/// How long a shard counts as having work after one of its connections did something.
const BUSY_FOR: Duration = Duration::from_millis(100);

/// How well one shard's thread could run.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ShardHealth {
    /// The share of time in which it had something to do, since its first connection.
    pub busy_share: f64,
    /// When it had something to do and did not run, on the wall clock: microseconds since the Unix epoch.
    pub stalls: Vec<StallEntry>,
}

/// The same instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zero {
    at: Instant,
    unix: Duration,
}

impl Zero {
    /// Reads both clocks. A pause between the readings would shift all times, so the closest pair of a few is taken.
    pub(super) fn now() -> Zero {
        let pair = || {
            let (before, unix, after) = (clock::now(), clock::unix(), clock::now());
            (after - before, Zero { at: before, unix })
        };
        let first = pair();
        (0..4).map(|_| pair()).fold(first, |best, next| if next.0 < best.0 { next } else { best }).1
    }

    /// Microseconds from zero to `at`.
    fn us(self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.at).as_micros()).unwrap_or(u64::MAX)
    }
}

/// What other threads may know of a shard.
#[derive(Debug)]
pub(super) struct Health {
    zero: Zero,
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
    pub(super) fn new(zero: Zero) -> Health {
        Health { zero, told: Mutex::default() }
    }

    /// Everything up to `now`. A shard whose beat is overdue has stalled since, even if it never runs again.
    pub(super) fn read(&self, now: Instant) -> ShardHealth {
        let told = self.told();
        let mut stalls = told.stalls.clone();
        if let Some(next) = told.next.filter(|next| now > *next + STALL_AFTER) {
            stalls.add(self.zero.us(next), self.zero.us(now));
        }
        let origin_us = u64::try_from(self.zero.unix.as_micros()).unwrap_or(u64::MAX);
        let stalls = stalls.entries().iter().map(|entry| entry.after(origin_us)).collect();
        ShardHealth { busy_share: told.busy_share, stalls }
    }

    /// The shard has ended: no beat is due any more.
    pub(super) fn end(&self) {
        self.told().next = None;
    }

    /// A shard that panicked leaves what it told before.
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
    /// Ends the wait for a beat that was set before there was work.
    hurry: Notify,
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
            hurry: Notify::new(),
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
        if !self.touched.replace(true) && self.busy.get().is_none() {
            self.hurry.notify_one();
        }
    }

    /// Beats for as long as the shard runs. [`Deadlines::run`] has to run beside it.
    pub(super) async fn run(&self, deadlines: &Rc<Deadlines>, health: &Health) {
        // Deadlines notes stalls from its own zero.
        deadlines.stalls().restart(health.zero.at);
        loop {
            let next = self.beat(deadlines, health);
            tokio::select! {
                () = deadlines.until(next) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Tells what there is to tell; returns when the next beat is due.
    fn beat(&self, deadlines: &Deadlines, health: &Health) -> Instant {
        let now = clock::now();
        if self.touched.take() {
            self.busy.set(Some(now));
        } else if self.busy.get().is_some_and(|busy| now.saturating_duration_since(busy) >= BUSY_FOR) {
            self.busy.set(None);
        }
        let next = now
            + match (self.connections.get(), self.busy.get()) {
                (0, _) => EMPTY_BEAT,
                (_, None) => QUIET_BEAT,
                (_, Some(_)) => BUSY_BEAT,
            };
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
        next
    }
}

