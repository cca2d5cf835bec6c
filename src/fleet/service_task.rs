//! Runs the [`ServiceDriver`] on the coordinator's thread: wakes it when calls are due, sends its calls through a
//! [`ServiceChannel`] and hands it the results. Used by the coordinator. It does not know what is on the other end of the
//! channel.

use super::heartbeat_timer::LATE_AFTER;
use super::observer::Observer;
use super::service_driver::ServiceDriver;
use super::tally::Tally;
use crate::clock::{RunClock, WallClock};
use crate::iothub::service::{ServiceCall, ServiceResult};
use crate::measure::Source;
use crate::plan::{OnlineChange, Plan, Segment};
use crate::stalls::{BUSY_HEARTBEAT, IDLE_HEARTBEAT, Stalls};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long to wait for the last results after the last device has disconnected.
const LAST_RESULTS: Duration = Duration::from_millis(500);

/// The channel between the service driver and the hub.
pub struct ServiceChannel {
    /// Calls to the hub.
    pub calls: mpsc::UnboundedSender<ServiceCall>,
    /// Results from the hub.
    pub results: mpsc::UnboundedReceiver<ServiceResult>,
}

/// The service driver on the coordinator's thread.
pub(super) struct ServiceTask {
    driver: Option<ServiceDriver>,
    channel: Option<ServiceChannel>,
    /// Stalls of this thread.
    stalls: Rc<Stalls>,
    /// When the next heartbeat is due.
    beat: Instant,
}

impl ServiceTask {
    pub(super) fn new(
        plan: &Arc<Plan>,
        (clock, wall): (RunClock, WallClock),
        channel: Option<ServiceChannel>,
        observer: Option<Observer>,
    ) -> ServiceTask {
        let stalls = Rc::new(Stalls::new(clock.zero));
        let mut driver = ServiceDriver::new(plan, (clock, wall), stalls.clone());
        if let (Some(driver), Some(observer)) = (&mut driver, observer) {
            driver.observe(observer);
        }
        ServiceTask { driver, channel, stalls, beat: clock.zero }
    }

    /// Sends the due calls, or handles one result. Never returns if the plan makes no calls.
    pub(super) async fn step(&mut self) {
        let Some(driver) = &mut self.driver else { return std::future::pending().await };
        let next = driver.poll_timeout().map_or(self.beat, |at| at.min(self.beat));
        let result = async {
            match &mut self.channel {
                Some(channel) => channel.results.recv().await,
                None => None,
            }
        };
        let result = tokio::select! {
            Some(result) = result => Some(result),
            () = tokio::time::sleep_until(next.into()) => None,
        };
        let now = crate::clock::now();
        if now > next + LATE_AFTER {
            self.stalls.note(next, now);
        }
        if now >= self.beat {
            self.beat = now + if driver.has_open_calls() { BUSY_HEARTBEAT } else { IDLE_HEARTBEAT };
        }
        if let Some(result) = result {
            driver.handle_result(&result, now);
        }
        for call in driver.poll(now) {
            // Ignore the error: if the hub has ended, `app` reports it, and the calls time out.
            let Some(channel) = &self.channel else { continue };
            drop(channel.calls.send(call));
        }
    }

    /// Waits for the last results after the devices have disconnected: at most [`LAST_RESULTS`], and not beyond the end of the drain.
    pub(super) async fn take_last_results(&mut self, drain_end: Instant) {
        let until = drain_end.min(crate::clock::now() + LAST_RESULTS);
        while self.driver.as_ref().is_some_and(ServiceDriver::has_open_calls) {
            tokio::select! {
                () = self.step() => {}
                () = tokio::time::sleep_until(until.into()) => return,
            }
        }
    }

    /// Appends a segment to the load.
    pub(super) fn append(&mut self, segment: Segment) {
        if let Some(driver) = &mut self.driver {
            driver.append(segment);
        }
    }

    /// Changes the number of online devices.
    pub(super) fn change_online(&mut self, change: OnlineChange) {
        if let Some(driver) = &mut self.driver {
            driver.change_online(change);
        }
    }

    /// Releases the calls that are due before `until`, in a run with an observer.
    pub(super) fn release(&mut self, until: Duration) {
        if let Some(driver) = &mut self.driver {
            driver.release(until);
        }
    }

    /// Ends the load.
    pub(super) fn stop(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.stop(crate::clock::now());
        }
    }

    /// Adds the numbers recorded since the previous call to `tally`.
    pub(super) fn report(&mut self, tally: &mut Tally) {
        if let Some(driver) = &mut self.driver {
            let snapshot = driver.swap();
            tally.add(&snapshot, Source::Service);
            driver.recycle(snapshot);
        }
    }

    /// Handles the results that have arrived, and ends all other calls as unfinished.
    pub(super) fn settle(&mut self, tally: &mut Tally) {
        if let Some(driver) = &mut self.driver {
            let results = self
                .channel
                .iter_mut()
                .flat_map(|channel| std::iter::from_fn(|| channel.results.try_recv().ok()));
            for result in results {
                driver.handle_result(&result, crate::clock::now());
            }
            driver.settle(crate::clock::now());
        }
        self.report(tally);
    }
}
