//! The service side on the collector's thread: keeps the [`ServiceDriver`]'s time, and passes calls and answers to and from whoever
//! carries them. Called by `fleet::run`.

use super::heartbeat_timer::LATE_AFTER;
use super::service_driver::{Answered, Call, ServiceDriver};
use crate::clock::{RunClock, WallClock};
use crate::measure::{Collector, Source};
use crate::plan::{Plan, Segment};
use crate::stalls::{BUSY_HEARTBEAT, IDLE_HEARTBEAT, Stalls};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the last answers may be on their way after the last device has gone.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Who carries the calls of the service side to the hub, and brings the answers.
pub struct Service {
    /// To the hub.
    pub calls: mpsc::UnboundedSender<Call>,
    /// From the hub.
    pub answers: mpsc::UnboundedReceiver<Answered>,
}

/// The service side, on the collector's thread.
pub(super) struct ServiceTask {
    driver: Option<ServiceDriver>,
    service: Option<Service>,
    /// When this thread was late.
    stalls: Rc<Stalls>,
    /// When it looks whether it is.
    beat: Instant,
}

impl ServiceTask {
    pub(super) fn new(
        plan: &Arc<Plan>,
        (clock, wall): (RunClock, WallClock),
        service: Option<Service>,
    ) -> ServiceTask {
        let stalls = Rc::new(Stalls::new(clock.zero));
        ServiceTask {
            driver: ServiceDriver::new(plan, (clock, wall), stalls.clone()),
            service,
            stalls,
            beat: clock.zero,
        }
    }

    /// Hands out what is due, or takes one answer in; never ends where nothing is called.
    pub(super) async fn step(&mut self) {
        let Some(driver) = &mut self.driver else { return std::future::pending().await };
        let next = driver.poll_timeout().map_or(self.beat, |at| at.min(self.beat));
        let answered = async {
            match &mut self.service {
                Some(service) => service.answers.recv().await,
                None => None,
            }
        };
        let answered = tokio::select! {
            Some(answered) = answered => Some(answered),
            () = tokio::time::sleep_until(next.into()) => None,
        };
        let now = crate::clock::now();
        if now > next + LATE_AFTER {
            self.stalls.note(next, now);
        }
        if now >= self.beat {
            self.beat = now + if driver.waits_for_answers() { BUSY_HEARTBEAT } else { IDLE_HEARTBEAT };
        }
        if let Some(answered) = answered {
            driver.answered(&answered, now);
        }
        for call in driver.poll(now) {
            // A hub that is gone is told by its keeper, and its calls end as unanswered.
            drop(self.service.as_ref().map(|service| service.calls.send(call)));
        }
    }

    /// The devices are gone. The last answers may still be on their way through the hub and its pipe: waits for them a moment,
    /// and not beyond the drain's end.
    pub(super) async fn take_last(&mut self, drain_end: Instant) {
        let until = drain_end.min(crate::clock::now() + LAST_ANSWERS);
        while self.driver.as_ref().is_some_and(ServiceDriver::waits_for_answers) {
            tokio::select! {
                () = self.step() => {}
                () = tokio::time::sleep_until(until.into()) => return,
            }
        }
    }

    /// Extends the load.
    pub(super) fn append(&mut self, segment: Segment) {
        if let Some(driver) = &mut self.driver {
            driver.append(segment);
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.stop(crate::clock::now());
        }
    }

    /// Adds what was counted since the last time.
    pub(super) fn tell(&mut self, collector: &mut Collector) {
        if let Some(driver) = &mut self.driver {
            let snapshot = driver.swap();
            collector.add(&snapshot, Source::Service);
            driver.recycle(snapshot);
        }
    }

    /// Takes in the answers that are there, and counts the calls without one as unfinished.
    pub(super) fn settle(&mut self, collector: &mut Collector) {
        if let Some(driver) = &mut self.driver {
            let answers = self
                .service
                .iter_mut()
                .flat_map(|service| std::iter::from_fn(|| service.answers.try_recv().ok()));
            for answered in answers {
                driver.answered(&answered, crate::clock::now());
            }
            driver.settle(crate::clock::now());
        }
        self.tell(collector);
    }
}
