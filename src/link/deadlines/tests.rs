//! The deadline queue: which tasks each tick wakes, in which order, and what counts as a stall.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

/// Counts its wakes.
#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl WakeCounter {
    fn take_count(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Returns a task's alarm, and the counter of the task's wakes.
fn task(deadlines: &Rc<Deadlines>) -> (Alarm, Arc<WakeCounter>) {
    (deadlines.alarm(), Arc::default())
}

fn set(deadlines: &Deadlines, (alarm, wakes): &(Alarm, Arc<WakeCounter>), now: u64, at_ticks: f64) {
    let waker = Waker::from(wakes.clone());
    let at = deadlines.epoch + TICK.mul_f64(at_ticks);
    alarm.set(&Context::from_waker(&waker), deadlines.instant(now), at);
}

fn serve(deadlines: &Deadlines, tick: u64) {
    let mut due = Vec::new();
    deadlines.take_due(deadlines.instant(tick), &mut due);
    due.into_iter().for_each(Waker::wake);
}

#[test]
fn a_deadline_fires_once_in_the_first_tick_not_before_it() {
    let deadlines = Deadlines::new();
    let task = task(&deadlines);
    for (at, served) in [(3.0, 3), (6.01, 7), (7.5, 8)] {
        set(&deadlines, &task, 0, at);
        serve(&deadlines, served - 1);
        assert_eq!(task.1.take_count(), 0, "{at}");
        serve(&deadlines, served);
        assert_eq!(task.1.take_count(), 1, "{at}");
        serve(&deadlines, served + 100);
        assert_eq!(task.1.take_count(), 0, "{at}");
    }
}

#[test]
fn a_passed_deadline_fires_in_the_next_tick() {
    let deadlines = Deadlines::new();
    let task = task(&deadlines);
    set(&deadlines, &task, 10, 2.0);
    serve(&deadlines, 10);
    assert_eq!(task.1.take_count(), 0);
    serve(&deadlines, 11);
    assert_eq!(task.1.take_count(), 1);
}

#[test]
fn a_deadline_served_late_is_a_stall() {
    let deadlines = Deadlines::new();
    let task = task(&deadlines);
    let at = |tick: u64, late: Duration| deadlines.instant(tick) + late;
    let stalled = || Duration::from_nanos(deadlines.stalls.until_ns(u64::MAX));
    set(&deadlines, &task, 0, 10.0);
    deadlines.observe(at(10, STALL_AFTER));
    assert_eq!(stalled(), Duration::ZERO, "2 ms is not a stall");
    let late = STALL_AFTER + Duration::from_micros(1);
    deadlines.observe(at(10, late));
    assert_eq!(stalled(), late, "from the deadline on");
    deadlines.observe(at(10, 2 * late));
    deadlines.take_due(at(10, 3 * late), &mut Vec::new());
    deadlines.observe(at(10, 9 * late));
    assert_eq!(stalled(), 2 * late, "until it is served");
}

#[test]
fn an_alarm_moves_forward_but_not_back() {
    let deadlines = Deadlines::new();
    let task = task(&deadlines);
    set(&deadlines, &task, 0, 100.0);
    set(&deadlines, &task, 0, 5.0);
    set(&deadlines, &task, 0, 50.0);
    serve(&deadlines, 5);
    assert_eq!(task.1.take_count(), 1);
    serve(&deadlines, 200);
    assert_eq!(task.1.take_count(), 0, "a task is in one tick only");
    assert!(deadlines.queue.borrow().ticks.is_empty());
}

#[test]
fn a_tick_wakes_all_its_tasks_except_dropped_ones() {
    let deadlines = Deadlines::new();
    let mut tasks: Vec<_> = (0..10).map(|_| task(&deadlines)).collect();
    for task in &tasks {
        set(&deadlines, task, 0, 4.0);
    }
    let counters: Vec<_> = tasks.iter().map(|task| task.1.clone()).collect();
    tasks.remove(3);
    tasks.remove(0);
    serve(&deadlines, 4);
    let take_count: Vec<usize> = counters.iter().map(|wakes| wakes.take_count()).collect();
    assert_eq!(take_count, [0, 1, 1, 0, 1, 1, 1, 1, 1, 1]);
    // Slots are reused.
    let again = [task(&deadlines), task(&deadlines)];
    assert_eq!(deadlines.queue.borrow().slots.len(), 10);
    drop(again);
}

#[test]
fn random_tasks_are_woken_in_their_own_ticks() {
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
            assert_eq!(task.1.take_count(), usize::from(*expected == now + 1));
            *expected = if *expected == now + 1 { NEVER } else { *expected };
        }
    }
}

async fn waits(deadlines: &Rc<Deadlines>, at: Instant) -> Instant {
    deadlines.until(at).await;
    clock::now()
}

#[tokio::test(start_paused = true)]
async fn deadlines_follow_the_paused_clock() {
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
async fn the_kernel_timer_fires_in_order_and_never_early() {
    let deadlines = Deadlines::precise();
    let start = clock::now();
    let at = |ms| start + Duration::from_millis(ms);
    let wait = async {
        // The later deadline is set first, so the timer must be rearmed.
        let (late, early) = tokio::join!(waits(&deadlines, at(30)), waits(&deadlines, at(5)));
        assert!(early >= at(5) && late >= at(30) && early <= late);
        assert!(waits(&deadlines, at(31)).await >= at(31), "a second time");
    };
    tokio::select! {
        () = wait => {}
        error = deadlines.run() => panic!("{error}"),
    }
}

#[test]
fn wake_all_wakes_every_task_that_has_set_an_alarm() {
    let deadlines = Deadlines::new();
    let (a, b, c) = (task(&deadlines), task(&deadlines), task(&deadlines));
    set(&deadlines, &a, 0, 5.0);
    set(&deadlines, &b, 0, 5.0);
    serve(&deadlines, 5);
    assert_eq!((a.1.take_count(), b.1.take_count()), (1, 1));
    drop(b.0);
    deadlines.wake_all();
    assert_eq!((a.1.take_count(), b.1.take_count(), c.1.take_count()), (1, 0, 0));
}
