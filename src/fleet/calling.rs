//! The service side on the collector's thread: keeps the [`Caller`]'s time, and passes calls and answers to and from whoever
//! carries them. Called by `fleet::run`.

use super::caller::{Answered, Call, Caller};
use crate::measure::Measurement;
use crate::plan::Plan;
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
pub(super) struct Calling {
    caller: Option<Caller>,
    service: Option<Service>,
}

impl Calling {
    /// The run's zero is given on both clocks.
    pub(super) fn new(
        plan: &Arc<Plan>,
        (zero, unix): (Instant, Duration),
        service: Option<Service>,
    ) -> Calling {
        Calling { caller: Caller::new(plan, zero, unix), service }
    }

    /// Hands out what is due, or takes one answer in; never ends where nothing is called.
    pub(super) async fn step(&mut self) {
        let Some(caller) = &mut self.caller else { return std::future::pending().await };
        let next = caller.poll_timeout();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let Some(service) = &mut self.service else {
            due.await;
            caller.poll(crate::clock::now());
            return;
        };
        tokio::select! {
            Some(answered) = service.answers.recv() => caller.answered(&answered, crate::clock::now()),
            () = due => for call in caller.poll(crate::clock::now()) {
                // A hub that is gone is told by its keeper, and its calls end as unanswered.
                drop(service.calls.send(call));
            },
        }
    }

    /// The devices are gone. The last answers may still be on their way through the hub and its pipe: waits for them a moment,
    /// and not beyond the drain's end.
    pub(super) async fn take_last(&mut self, drain_end: Instant) {
        let until = drain_end.min(crate::clock::now() + LAST_ANSWERS);
        while self.caller.as_ref().is_some_and(Caller::waits_for_answers) {
            tokio::select! {
                () = self.step() => {}
                () = tokio::time::sleep_until(until.into()) => return,
            }
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(caller) = &mut self.caller {
            caller.stop(crate::clock::now());
        }
    }

    /// Adds what was counted, as one worker more.
    pub(super) fn tell(&mut self, measurement: &mut Measurement, worker: usize) {
        if let Some(caller) = &mut self.caller {
            let snapshot = caller.swap();
            measurement.add(&snapshot, worker);
            caller.recycle(snapshot);
        }
    }

    pub(super) fn end(&mut self, measurement: &mut Measurement, worker: usize) {
        if let Some(caller) = &mut self.caller {
            let answers = self
                .service
                .iter_mut()
                .flat_map(|service| std::iter::from_fn(|| service.answers.try_recv().ok()));
            for answered in answers {
                caller.answered(&answered, crate::clock::now());
            }
            caller.settle(crate::clock::now());
        }
        self.tell(measurement, worker);
    }
}
