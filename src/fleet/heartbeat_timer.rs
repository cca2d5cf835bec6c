//! The instant of a worker's next heartbeat. Owned by `context`: while operations are open the heartbeat is fast, and the first one
//! that opens brings it forward. With it there always is a deadline whose lateness shows a stall.

use crate::clock;
use crate::link::{Alarm, Deadlines};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Between two heartbeats while operations are open.
const BUSY_INTERVAL: Duration = Duration::from_millis(2);

/// Between two heartbeats while none are.
const IDLE_INTERVAL: Duration = Duration::from_millis(10);

/// A heartbeat that is served later than this was held up by a stall: the timer's tick, and what [`Deadlines`] take as one.
const LATE_AFTER: Duration = Duration::from_millis(3);

/// When the next heartbeat is due.
#[derive(Debug)]
pub(super) struct HeartbeatTimer {
    at: Cell<Instant>,
    deadlines: Rc<Deadlines>,
    alarm: Alarm,
}

impl HeartbeatTimer {
    pub(super) fn new(deadlines: &Rc<Deadlines>, now: Instant) -> HeartbeatTimer {
        HeartbeatTimer {
            at: Cell::new(now + IDLE_INTERVAL),
            deadlines: deadlines.clone(),
            alarm: deadlines.alarm(),
        }
    }

    /// Waits for the heartbeat; returns when it was due, and when that was noticed.
    pub(super) async fn wait(&self) -> (Instant, Instant) {
        poll_fn(|cx| {
            let (now, at) = (clock::now(), self.at.get());
            self.deadlines.observe(now);
            if now >= at {
                // From the wake of this task to its turn there may have been no deadline that could be late.
                if now > at + LATE_AFTER {
                    self.deadlines.stalls().note(at + LATE_AFTER, now);
                }
                return Poll::Ready((at, now));
            }
            self.alarm.set(cx, now, at);
            Poll::Pending
        })
        .await
    }

    /// The heartbeat was handled: the next one.
    pub(super) fn schedule_next(&self, now: Instant, has_open: bool) {
        self.at.set(now + if has_open { BUSY_INTERVAL } else { IDLE_INTERVAL });
    }

    /// The first operation opened: a stall from now on must not go unseen until a quiet heartbeat.
    #[cold]
    pub(super) fn bring_forward(&self) {
        let by = clock::now() + BUSY_INTERVAL;
        if by < self.at.get() {
            self.at.set(by);
            self.alarm.bring_forward(by);
        }
    }
}
