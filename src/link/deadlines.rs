//! The timers of a worker: a queue of deadlines, in ticks of 900 us, that all tasks of a thread share. One kernel timer
//! waits for the first tick, and all tasks in a tick are woken together. `driver` keeps each connection's timer here,
//! and `fleet` keeps each device's waits between connections. The worker runs the queue alongside its tasks.
//!
//! tokio's own timers round up to the next millisecond and wake the thread for nearly every message. These ticks are
//! shorter, and exact where the system has precise timers. This file must not depend on connections or on the `Machine`
//! trait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

use crate::clock;
use crate::stalls::Stalls;

/// A deadline that is served later than this was delayed by a stall of the thread.
pub const STALL_AFTER: Duration = Duration::from_millis(2);

/// The interval between ticks. A due message starts half a tick late on average, and less than a millisecond late at
/// worst. Shorter ticks wake the thread more often for fewer messages each: ticks of 500 us cost 10% more CPU at 10,000
/// messages/s.
pub(super) const TICK: Duration = Duration::from_micros(900);

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The maximum number of empty lists kept for reuse.
const SPARE_MAX: usize = 64;

/// The deadlines of one worker's tasks.
#[derive(Debug)]
pub struct Deadlines {
    epoch: Instant,
    precise: bool,
    queue: RefCell<Queue>,
    /// The instant from which the first deadline counts as late; `None` without a deadline.
    late_from: Cell<Option<Instant>>,
    stalls: Rc<Stalls>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Indices of the slots to wake, by tick.
    ticks: BTreeMap<u64, Vec<u32>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    spare: Vec<Vec<u32>>,
    /// Waker of the task that runs [`Deadlines::run`].
    runner: Option<Waker>,
    /// The tick that this task waits for, or [`NEVER`] if it does not wait for one.
    awaited_tick: u64,
}

/// The timer of one task.
#[derive(Debug)]
struct Slot {
    waker: Option<Waker>,
    /// The tick to wake the task in; [`NEVER`] if none is set.
    tick: u64,
    /// The position of this slot in the list of its tick.
    position: usize,
}

impl Deadlines {
    /// Creates deadlines that follow tokio's clock, which tests can pause.
    #[must_use]
    pub fn new() -> Rc<Deadlines> {
        Rc::new(Deadlines::with_precision(false))
    }

    /// Creates deadlines that use the system's precise timers, where it has them (Linux).
    #[must_use]
    pub fn precise() -> Rc<Deadlines> {
        Rc::new(Deadlines::with_precision(true))
    }

    fn with_precision(precise: bool) -> Deadlines {
        let epoch = clock::now();
        let (queue, late_from, stalls) = (RefCell::default(), Cell::new(None), Rc::new(Stalls::new(epoch)));
        Deadlines { epoch, precise, queue, late_from, stalls }
    }

    /// Returns the intervals in which this thread had a deadline to serve and did not run.
    #[must_use]
    pub fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    /// Notes a stall if the first deadline is late at `now`. Call this with every reading of the clock, before anything
    /// else, because everything that the thread handles next was delayed until now.
    #[inline]
    pub fn observe(&self, now: Instant) {
        if self.late_from.get().is_some_and(|late_from| now > late_from) {
            self.note_stall(now);
        }
    }

    #[cold]
    fn note_stall(&self, now: Instant) {
        if let Some(late_from) = self.late_from.get() {
            self.stalls.note(late_from - STALL_AFTER, now);
        }
    }

    /// Recomputes `late_from` after the first deadline may have changed.
    fn set_late_from(&self, queue: &Queue) {
        let first = queue.ticks.first_key_value().map(|(tick, _)| self.instant(*tick) + STALL_AFTER);
        self.late_from.set(first);
    }

    /// Creates a timer for one task. The task can set it repeatedly; dropping the alarm removes the timer.
    #[must_use]
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm { slot: self.queue.borrow_mut().enter(), deadlines: self.clone() }
    }

    /// Wakes every task that has ever set an alarm, so that the tasks notice changes other than the passage of time.
    pub fn wake_all(&self) {
        // A waker may call back into this queue, so the queue is not borrowed here.
        let wakers: Vec<Waker> =
            self.queue.borrow().slots.iter().filter_map(|slot| slot.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `at`.
    pub async fn until(self: &Rc<Self>, at: Instant) {
        let alarm = self.alarm();
        poll_fn(|cx| {
            let now = clock::now();
            self.observe(now);
            if now >= at {
                return Poll::Ready(());
            }
            alarm.set(cx, now, at);
            Poll::Pending
        })
        .await;
    }

    /// Serves the deadlines until the system's timer fails, and returns that error. Run this once, concurrently with
    /// the tasks, on their thread.
    pub async fn run(&self) -> io::Error {
        let timer = if self.precise { Timer::precise() } else { Ok(Timer::Tokio(None)) };
        let mut timer = match timer {
            Ok(timer) => timer,
            Err(error) => return error,
        };
        let mut due = Vec::new();
        loop {
            let now = clock::now();
            self.observe(now);
            self.take_due(now, &mut due);
            if !due.is_empty() {
                due.drain(..).for_each(Waker::wake);
                // Let every woken task set its next deadline before rearming the timer.
                let mut yielded = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut yielded, true) {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
            let waited = poll_fn(|cx| {
                let Some(tick) = self.queue.borrow_mut().await_first(cx) else { return Poll::Pending };
                timer.poll(cx, self.instant(tick))
            })
            .await;
            if let Err(error) = waited {
                return error;
            }
        }
    }

    /// Moves the wakers of all expired deadlines to `due`.
    fn take_due(&self, now: Instant, due: &mut Vec<Waker>) {
        let mut queue = self.queue.borrow_mut();
        queue.take_due(self.last_passed_tick(now), due);
        self.set_late_from(&queue);
    }

    /// Returns the last tick that has passed.
    fn last_passed_tick(&self, now: Instant) -> u64 {
        ns(now.saturating_duration_since(self.epoch)) / ns(TICK)
    }

    /// Returns the first tick that is not before `at`.
    fn tick(&self, at: Instant) -> u64 {
        ns(at.saturating_duration_since(self.epoch)).div_ceil(ns(TICK))
    }

    fn instant(&self, tick: u64) -> Instant {
        self.epoch + Duration::from_nanos(tick.saturating_mul(ns(TICK)))
    }
}

impl Queue {
    fn enter(&mut self) -> u32 {
        let slot = Slot { waker: None, tick: NEVER, position: 0 };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            return index;
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).expect("there are fewer tasks than 2^32")
    }

    fn set(&mut self, index: u32, tick: u64) {
        self.clear(index);
        let list = self.ticks.entry(tick).or_insert_with(|| self.spare.pop().unwrap_or_default());
        let slot = &mut self.slots[index as usize];
        (slot.tick, slot.position) = (tick, list.len());
        list.push(index);
        if tick < self.awaited_tick
            && let Some(runner) = &self.runner
        {
            runner.wake_by_ref();
        }
    }

    fn clear(&mut self, index: u32) {
        let Slot { tick, position, .. } = self.slots[index as usize];
        let Some(list) = self.ticks.get_mut(&tick) else { return };
        list.swap_remove(position);
        if let Some(&moved) = list.get(position) {
            self.slots[moved as usize].position = position;
        }
        self.slots[index as usize].tick = NEVER;
        if list.is_empty() {
            let list = self.ticks.remove(&tick).unwrap_or_default();
            self.spare(list);
        }
    }

    /// Moves the wakers of all ticks up to `last_passed_tick` to `due`.
    fn take_due(&mut self, last_passed_tick: u64, due: &mut Vec<Waker>) {
        while let Some(first) = self.ticks.first_entry().filter(|first| *first.key() <= last_passed_tick) {
            let mut list = first.remove();
            for index in list.drain(..) {
                let slot = &mut self.slots[index as usize];
                slot.tick = NEVER;
                due.extend(slot.waker.clone());
            }
            self.spare(list);
        }
    }

    /// Returns the first tick, and stores it as the one that the task behind `cx` waits for.
    fn await_first(&mut self, cx: &Context<'_>) -> Option<u64> {
        if !self.runner.as_ref().is_some_and(|runner| runner.will_wake(cx.waker())) {
            self.runner = Some(cx.waker().clone());
        }
        let first = self.ticks.first_key_value().map(|(tick, _)| *tick);
        self.awaited_tick = first.unwrap_or(NEVER);
        first
    }

    fn spare(&mut self, list: Vec<u32>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(list);
        }
    }
}

/// The timer of one task, in its worker's queue.
#[derive(Debug)]
pub struct Alarm {
    deadlines: Rc<Deadlines>,
    slot: u32,
}

impl Alarm {
    /// Wakes the task in the first tick that is not before `at` and is after `now`. An earlier alarm stays set and
    /// fires first: keep-alive postpones its deadline with every message, and letting the old alarm fire is cheaper
    /// than moving it.
    pub fn set(&self, cx: &Context<'_>, now: Instant, at: Instant) {
        let tick = self.deadlines.tick(at).max(self.deadlines.last_passed_tick(now) + 1);
        let mut queue = self.deadlines.queue.borrow_mut();
        let slot = &mut queue.slots[self.slot as usize];
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        if tick < slot.tick {
            queue.set(self.slot, tick);
            self.deadlines.set_late_from(&queue);
        }
    }

    /// Wakes the task at `at` if that is earlier than its current alarm. Has no effect if the task has never set an
    /// alarm.
    pub fn bring_forward(&self, at: Instant) {
        let tick = self.deadlines.tick(at);
        let mut queue = self.deadlines.queue.borrow_mut();
        let slot = &queue.slots[self.slot as usize];
        if slot.waker.is_some() && tick < slot.tick {
            queue.set(self.slot, tick);
            self.deadlines.set_late_from(&queue);
        }
    }

    /// Calls [`Deadlines::observe`] on the queue of this alarm.
    #[inline]
    pub fn observe(&self, now: Instant) {
        self.deadlines.observe(now);
    }
}

#[cfg(test)]
impl Alarm {
    pub(super) fn deadlines(&self) -> Rc<Deadlines> {
        self.deadlines.clone()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut queue = self.deadlines.queue.borrow_mut();
        queue.clear(self.slot);
        queue.slots[self.slot as usize].waker = None;
        queue.free.push(self.slot);
        self.deadlines.set_late_from(&queue);
    }
}

/// The timer that wakes the thread for the first tick.
enum Timer {
    /// tokio's timer; `None` before it is first armed.
    Tokio(Option<Pin<Box<Sleep>>>),
    /// A kernel timer, and the instant for which it is armed.
    #[cfg(target_os = "linux")]
    Kernel(tokio::io::unix::AsyncFd<KernelTimer>, Option<Instant>),
}

#[cfg(target_os = "linux")]
struct KernelTimer(nix::sys::timerfd::TimerFd);

#[cfg(target_os = "linux")]
impl std::os::fd::AsRawFd for KernelTimer {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd;
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "tokio has no safe way to wait for a foreign file descriptor")]
    fn precise() -> io::Result<Timer> {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
        use tokio::io::{Interest, unix::AsyncFd};
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = KernelTimer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // SAFETY: the timer owns its descriptor, never changes it, and is dropped with the `AsyncFd`.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Timer::Kernel(timer, None))
    }

    #[cfg(not(target_os = "linux"))]
    fn precise() -> io::Result<Timer> {
        Ok(Timer::Tokio(None))
    }

    /// Returns `Ready` once `at` has passed.
    fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<io::Result<()>> {
        match self {
            Timer::Tokio(sleep) => {
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
                if sleep.deadline() != at.into() {
                    sleep.as_mut().reset(at.into());
                }
                sleep.as_mut().poll(cx).map(Ok)
            }
            #[cfg(target_os = "linux")]
            Timer::Kernel(timer, armed) => loop {
                let left = at.saturating_duration_since(clock::now());
                if left.is_zero() {
                    return Poll::Ready(Ok(()));
                }
                if *armed != Some(at) {
                    use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
                    timer.get_ref().0.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
                    *armed = Some(at);
                }
                // The expiry is not read from the descriptor: arming the timer again resets it.
                ready!(timer.poll_read_ready(cx))?.clear_ready();
            },
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
