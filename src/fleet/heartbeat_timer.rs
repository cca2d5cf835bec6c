//! Schedules the heartbeats of one worker. Owned by `context`. A heartbeat guarantees that the worker always has a deadline whose lag
//! shows a stall. The interval is short while operations are open, and the first operation that opens brings the next heartbeat forward.

use crate::clock;
use crate::link::{Alarm, Deadlines};
use crate::stalls::{BUSY_HEARTBEAT, IDLE_HEARTBEAT};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A heartbeat that lags by more than this was delayed by a stall. This allows for the tick of [`Deadlines`], or tokio's rounding
/// to milliseconds, plus the lag that [`Deadlines`] does not count as a stall.
pub(super) const LATE_AFTER: Duration = Duration::from_millis(3);

/// The due time of the next heartbeat, and the alarm for it.
#[derive(Debug)]
pub(super) struct HeartbeatTimer {
    at: Cell<Instant>,
    deadlines: Rc<Deadlines>,
    alarm: Alarm,
}

impl HeartbeatTimer {
    pub(super) fn new(deadlines: &Rc<Deadlines>, now: Instant) -> HeartbeatTimer {
        let at = Cell::new(now + IDLE_HEARTBEAT);
        HeartbeatTimer { at, deadlines: deadlines.clone(), alarm: deadlines.alarm() }
    }

    /// Waits for the heartbeat. Returns its due time and the current instant.
    pub(super) async fn wait(&self) -> (Instant, Instant) {
        poll_fn(|cx| {
            let (now, at) = (clock::now(), self.at.get());
            self.deadlines.observe(now);
            if now >= at {
                // Between this task's wake and its poll, `deadlines` may have had no deadline that could show the stall.
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

    /// Schedules the next heartbeat, counted from `now`.
    pub(super) fn schedule_next(&self, now: Instant, has_open: bool) {
        self.at.set(now + if has_open { BUSY_HEARTBEAT } else { IDLE_HEARTBEAT });
    }

    /// Brings the next heartbeat forward because the first operation has opened. Otherwise a stall could stay unnoticed until the
    /// end of an idle interval.
    #[cold]
    pub(super) fn bring_forward(&self) {
        let at = clock::now() + BUSY_HEARTBEAT;
        if at < self.at.get() {
            self.at.set(at);
            self.alarm.bring_forward(at);
        }
    }
}
