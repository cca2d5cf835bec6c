//! The checklist of a staged run: a state machine that receives observations and returns the command that starts the next stage.
//! Used by `drive`; `text` prints it. It uses neither clocks nor channels.

use super::cause::{ended, explain};
use super::items::{FleetError, Item, LAST_STAGE, State, What, items};
use crate::fleet::{Command, Observed};
use crate::measure::{Operation, Outcome};
use crate::plan::{OncePlan, Plan};
use crate::units::human_duration;
use crate::wire::SUBACK_FAILURE;
use std::time::Duration;

/// The status with which a device answers a method that its fleet does not define.
const NOT_IMPLEMENTED: u32 = 501;

/// The operations of one device of each fleet, with their outcomes.
#[derive(Debug)]
pub(in crate::app) struct Checklist {
    pub(super) items: Vec<Item>,
    /// The errors of each fleet, in the order in which they occurred.
    errors: Vec<FleetError>,
    /// The completed steps of each fleet's connection, with their durations.
    pub(super) connect_steps: Vec<(u16, Operation, Duration)>,
    /// The stage in progress.
    stage: usize,
    /// When each stage from the second on is released.
    releases: Vec<Duration>,
    drain: Duration,
}

impl Checklist {
    /// Returns the checklist of a plan. All of its items are open.
    pub(in crate::app) fn new(once: &OncePlan) -> Checklist {
        Checklist {
            items: items(once),
            errors: Vec::new(),
            connect_steps: Vec::new(),
            stage: 0,
            releases: once.stages.iter().map(|steps| once.due_before(*steps)).collect(),
            drain: once.plan.drain,
        }
    }

    /// Handles an observation.
    pub(super) fn handle(&mut self, observed: Observed) {
        match observed {
            Observed::Failed { fleet, class, text } => {
                let error = FleetError { fleet, class, text };
                explain(&mut self.items, &error);
                self.errors.push(error);
            }
            Observed::Subscribed { fleet, granted } => self.on_suback(fleet, &granted),
            Observed::DesiredReceived { fleet } => {
                let desired = What::Received(Operation::ServiceDesired);
                self.end_first(fleet, |what| what == desired, Outcome::Ok, None);
            }
            Observed::GaveUp { fleet } => self.on_gave_up(fleet),
            // The run ends before the operation, so `close` gives the reason.
            Observed::Ended { outcome: Outcome::Unfinished, .. } => {}
            Observed::Ended { key, outcome, took, status } => {
                let operation = (key.operation, key.fleet, OncePlan::step_in(key.phase));
                self.on_ended(operation, outcome, took, status);
            }
        }
    }

    /// Handles the end of an operation.
    fn on_ended(
        &mut self,
        (operation, fleet, step): (Operation, u16, Option<usize>),
        outcome: Outcome,
        took: Duration,
        status: Option<i32>,
    ) {
        let duration = took;
        let took = Some(took);
        match operation {
            Operation::Connect => {
                self.end_first(fleet, |what| what == What::Connect, outcome, took);
                if outcome != Outcome::Ok {
                    self.end_first(fleet, |what| matches!(what, What::Reconnect { .. }), outcome, None);
                }
            }
            Operation::ConnectDns
            | Operation::ConnectTcp
            | Operation::ConnectTls
            | Operation::ConnectMqtt => {
                if outcome == Outcome::Ok {
                    self.connect_steps.push((fleet, operation, duration));
                }
            }
            // Part of `ConnectTls`.
            Operation::ConnectTlsResumed => {}
            Operation::Subscribe => self.on_subscribe_ended(fleet, outcome, took),
            Operation::Unsubscribe => {
                self.end_first(fleet, |what| what == What::Unsubscribe, outcome, took);
            }
            Operation::C2d => {
                self.end_first(fleet, |what| what == What::Received(Operation::C2d), outcome, None);
            }
            Operation::Deliver => {
                let received = |what| matches!(what, What::Deliver { step: of } if Some(of) == step);
                self.end_first(fleet, received, outcome, None);
            }
            // A request after SUBACK is due at the time of SUBACK. So its phase does not identify a step.
            Operation::TwinGet => self.end_first(fleet, |what| what == What::TwinGet, outcome, took),
            Operation::TwinReport => {
                let report = |what| matches!(what, What::TwinReport { step: of } if Some(of) == step);
                self.end_first(fleet, report, outcome, took);
            }
            Operation::ServiceMethod | Operation::ServiceDesired | Operation::ServiceC2d => {
                if let Some(step) = step {
                    self.on_call_ended(fleet, step, outcome, status);
                }
            }
            Operation::Telemetry | Operation::TelemetryQos0 | Operation::Publish | Operation::PublishQos0 => {
                let sent = |what| matches!(what, What::Message { step: of, .. } if Some(of) == step);
                self.end_first(fleet, sent, outcome, took);
                if outcome != Outcome::Ok {
                    self.skip_deliveries(step);
                }
            }
            Operation::Online | Operation::Renewal | Operation::Method | Operation::Ping => {}
        }
    }

    /// Ends the first open item of a fleet for which `fits` returns true.
    fn end_first(
        &mut self,
        fleet: u16,
        fits: impl Fn(What) -> bool,
        outcome: Outcome,
        took: Option<Duration>,
    ) {
        let stage = self.stage;
        let started = |item: &Item| item.stage <= stage || item.stage == LAST_STAGE;
        let open =
            |item: &&mut Item| item.fleet == fleet && item.is_open() && started(item) && fits(item.what);
        if let Some(item) = self.items.iter_mut().find(open) {
            item.state = match outcome {
                Outcome::Ok => State::Ok(remark(item.what).to_owned()),
                outcome => ended(item, outcome, &self.errors),
            };
            item.took = took;
        }
    }

    /// Skips the open items for which `fits` returns true.
    fn skip(&mut self, fits: impl Fn(&Item) -> bool, why: &str) {
        for item in self.items.iter_mut().filter(|item| item.is_open() && fits(item)) {
            item.state = State::Skipped(why.to_owned());
        }
    }

    fn skip_deliveries(&mut self, step: Option<usize>) {
        let of_step = |item: &Item| matches!(item.what, What::Deliver { step: of } if Some(of) == step);
        self.skip(of_step, "the message was not acknowledged");
    }

    fn on_suback(&mut self, fleet: u16, granted: &[u8]) {
        for item in self.items.iter_mut().filter(|item| item.fleet == fleet && item.is_open()) {
            let What::Subscribe(index, qos) = item.what else { continue };
            item.state = match granted.get(index).copied() {
                Some(SUBACK_FAILURE) => ended(item, Outcome::Refused, &self.errors),
                Some(code) if code < qos as u8 => {
                    State::Ok(format!("granted QoS {code} instead of {}", qos as u8))
                }
                Some(_) => State::Ok(String::new()),
                None => State::Failed(
                    "SUBACK has no return code for this filter".to_owned(),
                    "check that the server implements MQTT 3.1.1".to_owned(),
                ),
            };
        }
    }

    /// Handles the end of the wait for SUBACK. If SUBACK arrived, `on_suback` has already ended the items.
    fn on_subscribe_ended(&mut self, fleet: u16, outcome: Outcome, took: Option<Duration>) {
        let filter = |item: &&mut Item| item.fleet == fleet && matches!(item.what, What::Subscribe(..));
        for item in self.items.iter_mut().filter(filter) {
            item.took = item.took.or(took);
            if item.is_open() {
                item.state = ended(item, outcome, &self.errors);
            }
        }
        self.end_first(fleet, |what| matches!(what, What::Reconnect { .. }), outcome, None);
        let failed: Vec<usize> = self
            .items
            .iter()
            .filter_map(|item| match item.what {
                What::Subscribe(index, _) if item.fleet == fleet && item.is_failed() => Some(index),
                _ => None,
            })
            .collect();
        let cannot = |item: &Item| {
            item.fleet == fleet
                && !item.needs.is_empty()
                && item.needs.iter().all(|need| failed.contains(need))
        };
        self.skip(cannot, "its subscription failed");
    }

    fn on_call_ended(&mut self, fleet: u16, step: usize, outcome: Outcome, status: Option<i32>) {
        let call = |what| matches!(what, What::Call { step: of, .. } if of == step);
        let found = self.items.iter().find(|item| item.is_open() && call(item.what));
        let wrong = found.and_then(|item| wrong_status(item.what, status));
        self.end_first(fleet, call, outcome, None);
        let ended = self.items.iter_mut().find(|item| call(item.what));
        if let (Some(item), Outcome::Ok) = (ended, outcome) {
            item.state = match (wrong, status) {
                (Some((what, fix)), _) => State::Failed(what, fix),
                (None, Some(status)) => State::Ok(format!("the device answered with status {status}")),
                (None, None) => State::Ok("the hub accepted it".to_owned()),
            };
        } else if outcome != Outcome::Ok {
            self.skip_effects(fleet, step);
        }
    }

    /// Skips the effects of a call that failed: the items after it, up to the next one that is not an effect.
    fn skip_effects(&mut self, fleet: u16, step: usize) {
        let call = |item: &Item| matches!(item.what, What::Call { step: of, .. } if of == step);
        let Some(at) = self.items.iter().position(|item| item.fleet == fleet && call(item)) else { return };
        let effects = self.items.iter_mut().skip(at + 1);
        let effects =
            effects.take_while(|item| matches!(item.what, What::Received(_) | What::Reconnect { .. }));
        for item in effects.filter(|item| item.is_open()) {
            item.state = State::Skipped("the call failed".to_owned());
        }
    }

    /// Handles a device that stays offline.
    fn on_gave_up(&mut self, fleet: u16) {
        let connect = self.items.iter().position(|item| item.fleet == fleet && item.what == What::Connect);
        let Some(connect) = connect else { return };
        let never_online = self.items[connect].is_failed();
        for item in self.items.iter_mut().filter(|item| item.fleet == fleet && item.is_open()) {
            item.state = match item.what {
                _ if never_online => State::Skipped("the device could not connect".to_owned()),
                What::Message { .. } | What::TwinGet | What::TwinReport { .. } | What::Subscribe(..) => {
                    ended(item, Outcome::Lost, &self.errors)
                }
                _ => State::Skipped("the connection was lost".to_owned()),
            };
        }
        if !self.items.iter().any(|item| item.fleet == fleet && item.is_failed()) {
            self.items[connect].state = ended(&self.items[connect], Outcome::Lost, &self.errors);
        }
        self.skip_deliveries_without_message();
    }

    /// Skips deliveries of messages that were not sent.
    fn skip_deliveries_without_message(&mut self) {
        let unsent: Vec<usize> = self
            .items
            .iter()
            .filter_map(|item| match (item.what, &item.state) {
                (What::Message { step, .. }, State::Skipped(_) | State::Ended(..)) => Some(step),
                _ => None,
            })
            .collect();
        let delivery = |item: &Item| matches!(item.what, What::Deliver { step } if unsent.contains(&step));
        self.skip(delivery, "the message was not sent");
    }

    /// Returns the command that starts the next stage, once the current one has ended.
    pub(super) fn next_command(&mut self) -> Option<Command> {
        while self.stage <= self.releases.len() {
            if self.items.iter().any(|item| item.is_open() && item.stage <= self.stage) {
                return None;
            }
            self.stage += 1;
            let Some(until) = self.releases.get(self.stage - 1) else { return Some(Command::Stop) };
            if self.items.iter().any(|item| item.is_open() && item.stage == self.stage) {
                return Some(Command::Release(*until));
            }
        }
        None
    }

    /// Returns true if only receptions are open in the current stage. They have no timeout of their own.
    pub(super) fn waits_for_receptions(&self) -> bool {
        let mut open = self.items.iter().filter(|item| item.is_open() && item.stage <= self.stage).peekable();
        open.peek().is_some() && open.all(Item::is_reception)
    }

    /// Fails the open receptions of the current stage.
    pub(super) fn end_receptions(&mut self) {
        let (stage, within) = (self.stage, human_duration(self.drain));
        let open = self.items.iter_mut().filter(|item| item.is_open() && item.stage <= stage);
        for item in open.filter(|item| item.is_reception()) {
            let fix = match item.what {
                What::Deliver { .. } => {
                    "check the access rules and the log of the broker; if it is slow, increase `drain`"
                }
                _ => "if the hub is slow, increase `drain`",
            };
            item.state = State::Failed(format!("did not arrive within {within} (`drain`)"), fix.to_owned());
        }
    }

    /// Ends the items that are still open after the run. `why` is the reason if the run was cut short.
    pub(in crate::app) fn close(&mut self, why: Option<&str>) {
        if let Some(why) = why {
            return self.skip(|_| true, why);
        }
        for item in self.items.iter_mut().filter(|item| item.is_open()) {
            let (what, fix) = ("it did not end in time", "if the target is slow, increase `drain`");
            item.state = State::Failed(what.to_owned(), fix.to_owned());
        }
    }

    /// Returns the names of the fleets with a failed item.
    pub(in crate::app) fn failed_fleets(&self, plan: &Plan) -> Vec<String> {
        let fleets = plan.fleets.iter().zip(0_u16..);
        let failed = fleets
            .filter(|(_, fleet)| self.items.iter().any(|item| item.fleet == *fleet && item.is_failed()));
        failed.map(|(fleet, _)| fleet.name.clone()).collect()
    }

    /// Returns true if an item failed.
    pub(in crate::app) fn has_failed(&self) -> bool {
        self.items.iter().any(Item::is_failed)
    }
}

/// Returns the remark on an item that ended ok.
fn remark(what: What) -> &'static str {
    match what {
        What::Message { qos: 0, .. } => "sent, no acknowledgment (QoS 0)",
        What::Message { qos: 2, .. } => "acknowledged (PUBCOMP)",
        What::Message { .. } => "acknowledged (PUBACK)",
        What::TwinGet | What::TwinReport { .. } => "answered",
        What::Received(_) | What::Deliver { .. } => "received",
        _ => "",
    }
}

/// Returns the problem with the status of a method call, and a fix.
fn wrong_status(what: What, status: Option<i32>) -> Option<(String, String)> {
    let (What::Call { status: planned, .. }, Some(status)) = (what, status) else { return None };
    let answered = u32::try_from(status).unwrap_or(u32::MAX);
    match planned {
        Some(planned) if planned == answered => None,
        Some(planned) => Some((
            format!("the device answered with status {status} instead of {planned}"),
            "check the payload of the method in the scenario".to_owned(),
        )),
        None if answered == NOT_IMPLEMENTED => Some((
            format!("the device answered with status {status}: its fleet does not define this method"),
            "add the method to the fleet's `methods`".to_owned(),
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests;
