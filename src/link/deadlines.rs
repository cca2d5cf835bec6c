//! The deadline queue of a worker: every task that waits for time has one slot in it, and what is due in one tick
//! is woken in one pass. `driver` keeps each connection's timer here, `fleet` what a device waits for between
//! connections; the worker runs it beside its tasks.
//!
//! tokio's own timers round up to the next millisecond and cost a wake of the thread for nearly every message. Here a
//! tick is shorter, exact where the system has timers for that, and shared. It knows neither connections nor machines.

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

/// A deadline that is served this much late was held up by a stall of this thread.
pub const STALL_AFTER: Duration = Duration::from_millis(2);

/// How far apart deadlines are served: a message is picked half of it late on the average, and just under a millisecond at
/// worst. Shorter ticks wake the thread more often for fewer messages each: 500 us cost a tenth more CPU at 10,000 messages/s.
pub(super) const TICK: Duration = Duration::from_micros(900);

/// No deadline.
const NEVER: u64 = u64::MAX;

/// Emptied lists that are kept for the ticks to come.
const SPARE_MAX: usize = 64;

/// The deadlines of one worker's tasks.
#[derive(Debug)]
pub struct Deadlines {
    epoch: Instant,
    precise: bool,
    queue: RefCell<Queue>,
    /// When the first deadline counts as late; `None` without one.
    late_from: Cell<Option<Instant>>,
    stalls: Rc<Stalls>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The slots to wake, by tick.
    ticks: BTreeMap<u64, Vec<u32>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    spare: Vec<Vec<u32>>,
    /// The task of [`Deadlines::run`].
    runner: Option<Waker>,
    /// What it waits for.
    awaited_tick: u64,
}

/// One task's slot.
#[derive(Debug)]
struct Slot {
    waker: Option<Waker>,
    /// [`NEVER`] while nothing is set.
    tick: u64,
    /// Where in its tick's list it stands.
    position: usize,
}

impl Deadlines {
    /// As exact as tokio's clock, with which it can be paused.
    #[must_use]
    pub fn new() -> Rc<Deadlines> {
        Rc::new(Deadlines::with_precision(false))
    }

    /// As exact as the system's timers: Linux's have no granularity worth mentioning.
    #[must_use]
    pub fn precise() -> Rc<Deadlines> {
        Rc::new(Deadlines::with_precision(true))
    }

    fn with_precision(precise: bool) -> Deadlines {
        let epoch = clock::now();
        let (queue, late_from, stalls) = (RefCell::default(), Cell::new(None), Rc::new(Stalls::new(epoch)));
        Deadlines { epoch, precise, queue, late_from, stalls }
    }

    /// When this thread had a deadline to serve and did not run.
    #[must_use]
    pub fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    /// Brings the stalls up to date. Called with each reading of the clock, before anything else is done with it: what is handled now
    /// was held up until now.
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

    /// The first deadline may have changed.
    fn set_late_from(&self, queue: &Queue) {
        let first = queue.ticks.first_key_value().map(|(tick, _)| self.instant(*tick) + STALL_AFTER);
        self.late_from.set(first);
    }

    /// A slot for one task. It can be set to an instant again and again, and leaves when it is dropped.
    #[must_use]
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm { slot: self.queue.borrow_mut().enter(), deadlines: self.clone() }
    }

    /// Wakes every task that has an alarm: something else than time has changed.
    pub fn wake_all(&self) {
        // A waker may run anything: the queue is free meanwhile.
        let wakers: Vec<Waker> =
            self.queue.borrow().slots.iter().filter_map(|slot| slot.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until an instant has come.
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

    /// Serves the deadlines, for as long as the system lets it. Run once beside the tasks, on their thread.
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
                // Whoever was woken sets its next deadline first.
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

    /// Hands out the wakers of all deadlines that have last_passed_tick.
    fn take_due(&self, now: Instant, due: &mut Vec<Waker>) {
        let mut queue = self.queue.borrow_mut();
        queue.take_due(self.last_passed_tick(now), due);
        self.set_late_from(&queue);
    }

    /// The last tick that has last_passed_tick.
    fn last_passed_tick(&self, now: Instant) -> u64 {
        ns(now.saturating_duration_since(self.epoch)) / ns(TICK)
    }

    /// The first tick that is not before `at`.
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

    /// Hands out the wakers of all ticks up to `last_passed_tick`.
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

    /// The first tick, remembered as what the task of `cx` waits for.
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

/// A task's slot in the queue of its worker.
#[derive(Debug)]
pub struct Alarm {
    deadlines: Rc<Deadlines>,
    slot: u32,
}

impl Alarm {
    /// Has the task woken in the first tick from `at` on, and after `now` in any case; or earlier, if that was asked for
    /// before: a deadline that moves back is left to fire, because keep-alive moves back with every message.
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

    /// Has the task woken at `at`, if that is earlier than what was asked for before and the task has ever set this alarm.
    pub fn bring_forward(&self, at: Instant) {
        let tick = self.deadlines.tick(at);
        let mut queue = self.deadlines.queue.borrow_mut();
        let slot = &queue.slots[self.slot as usize];
        if slot.waker.is_some() && tick < slot.tick {
            queue.set(self.slot, tick);
            self.deadlines.set_late_from(&queue);
        }
    }

    /// [`Deadlines::observe`], for the task of this alarm.
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

/// What wakes the thread for the first tick.
enum Timer {
    /// tokio's, and when it is armed for.
    Tokio(Option<Pin<Box<Sleep>>>),
    /// One of the kernel's, and when it is armed for.
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
    #[expect(unsafe_code, reason = "tokio has no other way to wait for a descriptor of our own")]
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

    /// Ready once `at` has come.
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
                // Not read: arming it again resets it, and each expiry is an event of its own.
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
