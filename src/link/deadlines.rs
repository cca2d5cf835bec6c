//! The deadline queue of a worker: every task that waits for time has one place in it, and what is due in one tick
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
    /// The places to wake, by tick.
    ticks: BTreeMap<u64, Vec<u32>>,
    places: Vec<Place>,
    free: Vec<u32>,
    spare: Vec<Vec<u32>>,
    /// The task of [`Deadlines::run`].
    runner: Option<Waker>,
    /// What it waits for.
    awaited: u64,
}

/// One task's place.
#[derive(Debug)]
struct Place {
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

    /// A place for one task. It can be set to an instant again and again, and leaves when it is dropped.
    #[must_use]
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm { place: self.queue.borrow_mut().enter(), deadlines: self.clone() }
    }

    /// Wakes every task that has an alarm: something else than time has changed.
    pub fn wake_all(&self) {
        // A waker may run anything: the queue is free meanwhile.
        let wakers: Vec<Waker> =
            self.queue.borrow().places.iter().filter_map(|place| place.waker.clone()).collect();
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

    /// Hands out the wakers of all deadlines that have passed.
    fn take_due(&self, now: Instant, due: &mut Vec<Waker>) {
        let mut queue = self.queue.borrow_mut();
        queue.take_due(self.passed(now), due);
        self.set_late_from(&queue);
    }

    /// The last tick that has passed.
    fn passed(&self, now: Instant) -> u64 {
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
        let place = Place { waker: None, tick: NEVER, position: 0 };
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = place;
            return index;
        }
        self.places.push(place);
        u32::try_from(self.places.len() - 1).expect("there are fewer tasks than 2^32")
    }

    fn set(&mut self, index: u32, tick: u64) {
        self.clear(index);
        let list = self.ticks.entry(tick).or_insert_with(|| self.spare.pop().unwrap_or_default());
        let place = &mut self.places[index as usize];
        (place.tick, place.position) = (tick, list.len());
        list.push(index);
        if tick < self.awaited
            && let Some(runner) = &self.runner
        {
            runner.wake_by_ref();
        }
    }

    fn clear(&mut self, index: u32) {
        let Place { tick, position, .. } = self.places[index as usize];
        let Some(list) = self.ticks.get_mut(&tick) else { return };
        list.swap_remove(position);
        if let Some(&moved) = list.get(position) {
            self.places[moved as usize].position = position;
        }
        self.places[index as usize].tick = NEVER;
        if list.is_empty() {
            let list = self.ticks.remove(&tick).unwrap_or_default();
            self.spare(list);
        }
    }

    /// Hands out the wakers of all ticks up to `passed`.
    fn take_due(&mut self, passed: u64, due: &mut Vec<Waker>) {
        while let Some(first) = self.ticks.first_entry().filter(|first| *first.key() <= passed) {
            let mut list = first.remove();
            for index in list.drain(..) {
                let place = &mut self.places[index as usize];
                place.tick = NEVER;
                due.extend(place.waker.clone());
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
        self.awaited = first.unwrap_or(NEVER);
        first
    }

    fn spare(&mut self, list: Vec<u32>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(list);
        }
    }
}

/// A task's place in the queue of its worker.
#[derive(Debug)]
pub struct Alarm {
    deadlines: Rc<Deadlines>,
    place: u32,
}

impl Alarm {
    /// Has the task woken in the first tick from `at` on, and after `now` in any case; or earlier, if that was asked for
    /// before: a deadline that moves back is left to fire, because keep-alive moves back with every message.
    pub fn set(&self, cx: &Context<'_>, now: Instant, at: Instant) {
        let tick = self.deadlines.tick(at).max(self.deadlines.passed(now) + 1);
        let mut queue = self.deadlines.queue.borrow_mut();
        let place = &mut queue.places[self.place as usize];
        if !place.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            place.waker = Some(cx.waker().clone());
        }
        if tick < place.tick {
            queue.set(self.place, tick);
            self.deadlines.set_late_from(&queue);
        }
    }

    /// Has the task woken at `at`, if that is earlier than what was asked for before and the task has ever set this alarm.
    pub fn bring_forward(&self, at: Instant) {
        let tick = self.deadlines.tick(at);
        let mut queue = self.deadlines.queue.borrow_mut();
        let place = &queue.places[self.place as usize];
        if place.waker.is_some() && tick < place.tick {
            queue.set(self.place, tick);
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
        queue.clear(self.place);
        queue.places[self.place as usize].waker = None;
        queue.free.push(self.place);
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
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    /// An alarm of a task of its own, and that task's bell.
    fn task(deadlines: &Rc<Deadlines>) -> (Alarm, Arc<Bell>) {
        (deadlines.alarm(), Arc::default())
    }

    fn set(deadlines: &Deadlines, (alarm, bell): &(Alarm, Arc<Bell>), now: u64, at_ticks: f64) {
        let waker = Waker::from(bell.clone());
        let at = deadlines.epoch + TICK.mul_f64(at_ticks);
        alarm.set(&Context::from_waker(&waker), deadlines.instant(now), at);
    }

    fn serve(deadlines: &Deadlines, tick: u64) {
        let mut due = Vec::new();
        deadlines.take_due(deadlines.instant(tick), &mut due);
        due.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn a_deadline_is_served_in_the_first_tick_that_is_not_before_it_and_once() {
        let deadlines = Deadlines::new();
        let task = task(&deadlines);
        for (at, served) in [(3.0, 3), (6.01, 7), (7.5, 8)] {
            set(&deadlines, &task, 0, at);
            serve(&deadlines, served - 1);
            assert_eq!(task.1.rung(), 0, "{at}");
            serve(&deadlines, served);
            assert_eq!(task.1.rung(), 1, "{at}");
            serve(&deadlines, served + 100);
            assert_eq!(task.1.rung(), 0, "{at}");
        }
    }

    #[test]
    fn what_has_passed_is_served_in_the_next_tick_so_that_nobody_spins() {
        let deadlines = Deadlines::new();
        let task = task(&deadlines);
        set(&deadlines, &task, 10, 2.0);
        serve(&deadlines, 10);
        assert_eq!(task.1.rung(), 0);
        serve(&deadlines, 11);
        assert_eq!(task.1.rung(), 1);
    }

    #[test]
    fn a_deadline_served_late_is_a_stall() {
        let deadlines = Deadlines::new();
        let task = task(&deadlines);
        let at = |tick: u64, late: Duration| deadlines.instant(tick) + late;
        let stalled = || Duration::from_nanos(deadlines.stalls.until_ns(u64::MAX));
        set(&deadlines, &task, 0, 10.0);
        deadlines.observe(at(10, STALL_AFTER));
        assert_eq!(stalled(), Duration::ZERO, "up to 2 ms is no stall");
        let late = STALL_AFTER + Duration::from_micros(1);
        deadlines.observe(at(10, late));
        assert_eq!(stalled(), late, "from the deadline on");
        deadlines.observe(at(10, 2 * late));
        deadlines.take_due(at(10, 3 * late), &mut Vec::new());
        deadlines.observe(at(10, 9 * late));
        assert_eq!(stalled(), 2 * late, "until it is served");
    }

    #[test]
    fn a_deadline_moves_forward_and_one_that_moves_back_is_left_to_fire() {
        let deadlines = Deadlines::new();
        let task = task(&deadlines);
        set(&deadlines, &task, 0, 100.0);
        set(&deadlines, &task, 0, 5.0);
        set(&deadlines, &task, 0, 50.0);
        serve(&deadlines, 5);
        assert_eq!(task.1.rung(), 1);
        serve(&deadlines, 200);
        assert_eq!(task.1.rung(), 0, "each task stands in one tick only");
        assert!(deadlines.queue.borrow().ticks.is_empty());
    }

    #[test]
    fn tasks_of_one_tick_are_woken_in_one_pass_and_those_that_left_are_not() {
        let deadlines = Deadlines::new();
        let mut tasks: Vec<_> = (0..10).map(|_| task(&deadlines)).collect();
        for task in &tasks {
            set(&deadlines, task, 0, 4.0);
        }
        let bells: Vec<_> = tasks.iter().map(|task| task.1.clone()).collect();
        tasks.remove(3);
        tasks.remove(0);
        serve(&deadlines, 4);
        let rung: Vec<usize> = bells.iter().map(|bell| bell.rung()).collect();
        assert_eq!(rung, [0, 1, 1, 0, 1, 1, 1, 1, 1, 1]);
        // Places are used again.
        let again = [task(&deadlines), task(&deadlines)];
        assert_eq!(deadlines.queue.borrow().places.len(), 10);
        drop(again);
    }

    #[test]
    fn whatever_order_tasks_come_and_go_in_each_is_woken_in_its_own_tick() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let deadlines = Deadlines::new();
        let mut tasks: Vec<_> = (0..50).map(|_| (task(&deadlines), NEVER)).collect();
        for now in 0..2_000_u64 {
            let index = rng.random_range(0..tasks.len());
            if rng.random_bool(0.2) {
                tasks[index] = (task(&deadlines), NEVER);
            } else {
                let at = now + rng.random_range(1..40);
                let (task, expected) = &mut tasks[index];
                #[expect(clippy::cast_precision_loss, reason = "a few thousand ticks")]
                set(&deadlines, task, now, at as f64);
                *expected = at.min(*expected);
            }
            serve(&deadlines, now + 1);
            for (task, expected) in &mut tasks {
                assert_eq!(task.1.rung(), usize::from(*expected == now + 1));
                *expected = if *expected == now + 1 { NEVER } else { *expected };
            }
        }
    }

    async fn waits(deadlines: &Rc<Deadlines>, at: Instant) -> Instant {
        deadlines.until(at).await;
        clock::now()
    }

    #[tokio::test(start_paused = true)]
    async fn in_virtual_time_deadlines_follow_the_paused_clock() {
        let deadlines = Deadlines::new();
        let start = clock::now();
        let wait = async {
            let (first, second) = tokio::join!(
                waits(&deadlines, start + Duration::from_secs(7)),
                waits(&deadlines, start + Duration::from_secs(3600)),
            );
            assert_eq!((first - start).as_secs(), 7);
            assert_eq!((second - start).as_secs(), 3600);
        };
        tokio::select! {
            () = wait => {}
            error = deadlines.run() => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn the_systems_timer_serves_deadlines_in_their_order_and_never_early() {
        let deadlines = Deadlines::precise();
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let wait = async {
            // The later one is set first: the timer has to be armed again.
            let (late, early) = tokio::join!(waits(&deadlines, at(30)), waits(&deadlines, at(5)));
            assert!(early >= at(5) && late >= at(30) && early <= late);
            assert!(waits(&deadlines, at(31)).await >= at(31), "and again");
        };
        tokio::select! {
            () = wait => {}
            error = deadlines.run() => panic!("{error}"),
        }
    }

    #[test]
    fn a_change_wakes_everyone_who_ever_set_an_alarm() {
        let deadlines = Deadlines::new();
        let (a, b, c) = (task(&deadlines), task(&deadlines), task(&deadlines));
        set(&deadlines, &a, 0, 5.0);
        set(&deadlines, &b, 0, 5.0);
        serve(&deadlines, 5);
        assert_eq!((a.1.rung(), b.1.rung()), (1, 1));
        drop(b.0);
        deadlines.wake_all();
        assert_eq!((a.1.rung(), b.1.rung(), c.1.rung()), (1, 0, 0));
    }
}
