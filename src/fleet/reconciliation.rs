//! Compares the messages that all workers published with the messages they received, after the load. Owned by the coordinator.

use super::delivery_tracker::{self, DeliveryTracker, Progress, StreamTotals};
use super::nanos;
use crate::measure::{Collector, Key, Operation, Outcome, Recorder, Source};
use crate::plan::Plan;
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

/// The delivery counts and trackers of all workers.
pub(super) struct Reconciliation {
    progress: Vec<Option<Progress>>,
    trackers: Vec<DeliveryTracker>,
}

impl Reconciliation {
    /// Returns an empty reconciliation for this number of workers.
    pub(super) fn new(workers: usize) -> Reconciliation {
        Reconciliation { progress: vec![None; workers], trackers: Vec::new() }
    }

    /// Adds the tracker of a worker whose last device has finished.
    pub(super) fn add(&mut self, tracker: DeliveryTracker) {
        self.trackers.push(tracker);
    }

    /// Updates the counts of a worker. Returns true once all workers have received everything that they expect.
    pub(super) fn all_arrived(&mut self, worker: u16, progress: Progress) -> bool {
        if let Some(known) = self.progress.get_mut(usize::from(worker)) {
            *known = Some(progress);
        }
        delivery_tracker::all_arrived(&self.progress)
    }

    /// Counts missing deliveries as lost, or as unfinished if the run was aborted. Returns the totals of each stream. Returns
    /// none after an abort, or if a worker failed and its tracker is missing, because the comparison would be wrong.
    pub(super) fn reconcile(
        self,
        plan: &Plan,
        collector: &mut Collector,
        ended: Duration,
        aborted: bool,
    ) -> Vec<StreamTotals> {
        let workers = self.progress.len();
        if self.trackers.len() < workers {
            return Vec::new();
        }
        let mut recorder = Recorder::new(super::layout(plan), Rc::new(Stalls::new(crate::clock::now())));
        let (lost, streams) = delivery_tracker::reconcile(plan, self.trackers);
        for lost in lost {
            let key = Key { operation: Operation::Deliver, fleet: lost.fleet, phase: lost.phase };
            // The due times of these deliveries are unknown, so they count from the start of their phase.
            let phase = plan.schedule.phases().get(usize::from(lost.phase));
            let due_ns = phase.map_or(0, |phase| nanos(phase.start));
            if aborted {
                for _ in 0..lost.count {
                    recorder.due(key, due_ns);
                    recorder.ended(key, Outcome::Unfinished, due_ns, nanos(ended));
                }
            } else {
                recorder.lost(key, lost.count, due_ns, nanos(ended));
            }
        }
        collector.add(&recorder.swap(), Source::Collector);
        if aborted { Vec::new() } else { streams }
    }
}
