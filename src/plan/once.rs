//! Derives the plan of `run --once` and `doctor --scenario` from the plan of a run: one device of each fleet does every operation once.
//! Made by `app`; `fleet` runs it like any other plan, with an observer.
//!
//! A *step* is a message or a call. Each step is due once, in a phase of its own, so that the end of an operation shows which step it was:
//! step n is due in phase n + 1. All phases together last milliseconds, but the observer releases a step only after the earlier stages
//! have ended.

use super::deliveries::Deliveries;
use super::model::{CallPlan, DrivePlan, FleetPlan, Offline, Plan, SendPlan};
use super::schedule::{Arrival, RoundRobin, Schedule, Spread};
use crate::measure::Operation;
use crate::policy::backoff::BackOff;
use std::time::Duration;

/// Length of a step's phase.
const STEP: Duration = Duration::from_millis(1);

/// Added to the sum of all timeouts. Every operation ends by its own timeout; the end of the plan is only a safeguard.
const MARGIN: Duration = Duration::from_secs(60);

/// The operations to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceScope {
    /// Every operation of the scenario.
    Everything,
    /// Connect, subscribe, and send one message that the target acknowledges.
    OneMessage,
}

/// A message or a call that is due once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message of a fleet, or a twin request.
    Message {
        /// Index of the fleet.
        fleet: u16,
        /// Index in [`FleetPlan::sends`].
        send: u16,
    },
    /// A call by the service client.
    Call {
        /// Index in [`Plan::drives`].
        drive: u16,
    },
}

/// A plan in which one device of each fleet does every operation once.
#[derive(Debug)]
pub struct OncePlan {
    /// The plan. Its fleets have one device each.
    pub plan: Plan,
    /// The steps, in the order in which they are due.
    pub steps: Vec<Step>,
    /// The number of steps that may start in each stage, including those of earlier stages. A call that makes its device reconnect has a
    /// stage of its own.
    pub stages: Vec<usize>,
    /// Methods that are not called, because the device never answers them: the fleet, and the name.
    pub unanswered: Vec<(u16, String)>,
    /// Tracked messages that no device of this plan receives, although a device of the whole fleet would: the fleet and the send.
    pub received_elsewhere: Vec<(u16, u16)>,
}

impl Plan {
    /// Derives the plan in which one device of each fleet does every operation in `scope` once. Phases, thresholds and faults are ignored.
    #[must_use]
    pub fn once(mut self, scope: OnceScope) -> OncePlan {
        self.faults.clear();
        let limit = self.limit_once();
        for (fleet, first) in self.fleets.iter_mut().zip(0_u64..) {
            fleet.do_once(scope, first, limit);
        }
        let unanswered = match scope {
            OnceScope::Everything => self.remove_unanswered(),
            OnceScope::OneMessage => {
                self.drives.clear();
                self.deliveries = Deliveries::default();
                Vec::new()
            }
        };
        self.drives.sort_by_key(|drive| self.fleets.get(usize::from(drive.fleet)).map(|to| order(to, drive)));
        let messages = (0_u16..).zip(&self.fleets).flat_map(|(fleet, plan)| {
            (0_u16..).zip(&plan.sends).map(move |(send, _)| Step::Message { fleet, send })
        });
        let calls = (0_u16..).zip(&self.drives).map(|(drive, _)| Step::Call { drive });
        let steps: Vec<Step> = messages.chain(calls).collect();
        self.set_due_times(&steps, limit);
        let received_elsewhere = self.match_deliveries();
        self.thresholds.clear();
        self.abort_when_unreachable = None;
        let stages = self.stages(steps.len());
        OncePlan { plan: self, steps, stages, unanswered, received_elsewhere }
    }

    /// Returns the time after which every operation has ended.
    fn limit_once(&self) -> Duration {
        let fleets = self.fleets.iter();
        let fleet = fleets.map(|fleet| fleet.connect_timeout + fleet.ack_timeout * 2 + fleet.twin.timeout);
        // Reconnecting methods are called one after the other.
        let calls: Duration = self.drives.iter().map(|drive| drive.timeout).sum();
        fleet.max().unwrap_or_default() * 2 + calls + self.drain + MARGIN
    }

    /// Removes the calls to methods that the device never answers. Returns the fleets and the methods.
    fn remove_unanswered(&mut self) -> Vec<(u16, String)> {
        let fleets = &self.fleets;
        let mut removed = Vec::new();
        self.drives.retain(|drive| {
            let CallPlan::Method { name, .. } = &drive.call else { return true };
            let fleet = fleets.get(usize::from(drive.fleet));
            let never = fleet.is_some_and(|fleet| {
                fleet.methods.iter().any(|method| method.name == *name && method.answer.is_none())
            });
            if never {
                removed.push((drive.fleet, name.clone()));
            }
            !never
        });
        removed
    }

    /// Makes each step due once, in the middle of its phase.
    ///
    /// The first phase lasts as long as those of all steps together. So a regular arrival that is due at `t` would be due again at `3 t`,
    /// when the load has ended.
    fn set_due_times(&mut self, steps: &[Step], limit: Duration) {
        let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        let lead = STEP * (count + 1);
        let phase = |name: String, duration, load| (name, false, duration, [1.0; 2], [load; 2]);
        let phases = (0..count).map(|step| phase(format!("step {step}"), STEP, 1.0));
        let phases = std::iter::once(phase("lead".to_owned(), lead, 1.0)).chain(phases);
        self.schedule = Schedule::new(phases.chain([phase("rest".to_owned(), limit, 0.0)]));
        for (step, number) in steps.iter().zip(0_u32..) {
            let due = lead + STEP * number + STEP / 2;
            let only = RoundRobin::new(1);
            // A stratified arrival of a single device is first due in the middle of its interval, so the interval is twice `due`.
            let rate_hz = 0.5 / due.as_secs_f64();
            let arrival = Arrival { spread: Spread::Stratified(only), rate_hz, burst: 1 };
            match *step {
                Step::Message { fleet, send } => {
                    let sends = self.fleets.get_mut(usize::from(fleet)).map(|fleet| &mut fleet.sends);
                    if let Some(send) = sends.and_then(|sends| sends.get_mut(usize::from(send))) {
                        send.arrival = arrival;
                    }
                }
                Step::Call { drive } => {
                    if let Some(drive) = self.drives.get_mut(usize::from(drive)) {
                        (drive.arrival, drive.order) = (arrival, only);
                    }
                }
            }
        }
    }

    /// Matches messages with the subscriptions of the remaining devices. Returns the messages that only other devices would receive.
    fn match_deliveries(&mut self) -> Vec<(u16, u16)> {
        if !self.deliveries.tracks_any() {
            return Vec::new();
        }
        let once = Deliveries::resolve(&mut self.fleets, &self.schedule, self.deliveries.run());
        let all = std::mem::replace(&mut self.deliveries, once);
        let sends = (0_u16..)
            .zip(&self.fleets)
            .flat_map(|(number, fleet)| (0_u16..).zip(&fleet.sends).map(move |(send, _)| (number, send)));
        let lost = |(fleet, send): &(u16, u16)| {
            all.is_tracked(*fleet, *send) && !self.deliveries.is_tracked(*fleet, *send)
        };
        sends.filter(lost).collect()
    }

    fn stages(&self, steps: usize) -> Vec<usize> {
        let reconnects = |drive: &&DrivePlan| {
            let fleet = self.fleets.get(usize::from(drive.fleet));
            fleet.is_some_and(|fleet| makes_reconnect(fleet, drive))
        };
        let later = self.drives.iter().filter(reconnects).count();
        (steps - later..=steps).collect()
    }
}

impl FleetPlan {
    /// Reduces the fleet to one device that does every operation once.
    fn do_once(&mut self, scope: OnceScope, first: u64, limit: Duration) {
        (self.devices, self.first, self.own_schedule) = (1, first, None);
        self.faults.clear();
        // One attempt shows whether the device can connect.
        self.reconnect = BackOff::Never.into();
        // A message waits for the stages before it. Meanwhile it must not expire, and the device must not skip it.
        (self.send_by, self.offline) = (limit, Offline::Queue);
        match scope {
            OnceScope::Everything if self.twin.get_on_connect => {
                // A scheduled request would repeat the request on connect.
                self.sends.retain(|send| send.operation != Operation::TwinGet);
            }
            OnceScope::Everything => {}
            OnceScope::OneMessage => self.keep_one_message(),
        }
        // A message without an acknowledgment must not hold back the others.
        let all = u16::try_from(self.sends.len()).unwrap_or(u16::MAX);
        self.in_flight = self.in_flight.max(all.saturating_add(1));
    }

    /// Keeps the first message that the target acknowledges or, if it acknowledges none, the first twin request.
    fn keep_one_message(&mut self) {
        let acked = |send: &SendPlan| send.operation.has_ack() && !send.operation.is_request();
        let request = |send: &SendPlan| send.operation.is_request();
        let kept = self.sends.iter().position(acked);
        let kept = match kept {
            None if self.twin.get_on_connect => None,
            None => self.sends.iter().position(request),
            some => some,
        };
        self.twin.get_on_connect &= kept.is_none();
        self.sends = kept.map(|kept| self.sends.swap_remove(kept)).into_iter().collect();
        self.unsubscribe = false;
    }
}

/// Returns the order of a call: calls that make the device reconnect come last.
fn order(fleet: &FleetPlan, drive: &DrivePlan) -> u8 {
    u8::from(makes_reconnect(fleet, drive))
}

fn makes_reconnect(fleet: &FleetPlan, drive: &DrivePlan) -> bool {
    let CallPlan::Method { name, .. } = &drive.call else { return false };
    fleet.methods.iter().any(|method| method.name == *name && method.then_reconnect)
}

impl OncePlan {
    /// Returns the index of the step that is due in a phase. No step is due in the first phase. In the last phase, the returned step does
    /// not exist.
    #[must_use]
    pub fn step_in(phase: u16) -> Option<usize> {
        usize::from(phase).checked_sub(1)
    }

    /// Returns the time before which the first `steps` steps are due, since the start of the run.
    #[must_use]
    pub fn due_before(&self, steps: usize) -> Duration {
        self.plan.schedule.phases().get(steps).map_or(Duration::ZERO, |phase| phase.end)
    }
}

#[cfg(test)]
mod tests;
