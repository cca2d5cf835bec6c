//! Which operations a plan has, how often in each phase, and how many histograms a recorder needs for them. Used by `memory`.

use super::token::TokenLife;
use super::types::{CallPlan, FleetPlan, Plan, Subscription};
use crate::measure::Operation;

/// Connections that are made in a second when they are all due at once, about.
const CONNECTS_PER_S: f64 = 300.0;

/// Of so many messages a second, most phases have one that is open at their end: it is recorded beside those of the next phase.
const OPEN_PER_S: f64 = 10.0;

/// An operation of a fleet.
pub(super) struct Use {
    pub(super) operation: Operation,
    /// How many recorders share it at most: one of the service side, and no more workers than the fleet has devices.
    recorders_max: f64,
    /// In each phase: how many, and in how many of its seconds.
    pub(super) phases: Vec<(f64, f64)>,
}

impl Use {
    /// How many there are in the whole run.
    pub(super) fn count(&self) -> f64 {
        self.phases.iter().map(|(count, _)| count).sum()
    }

    /// How many recorders, of so many workers, have one in the first second of a phase.
    pub(super) fn first(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        self.phases
            .get(phase)
            .map_or(0.0, |(count, seconds)| recorders * (count / recorders / seconds).min(1.0))
    }

    /// How many have one in two seconds of a phase that follow each other: in the longest run of luck, and so more than on average.
    pub(super) fn again(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        let (count, seconds) = self.phases[phase];
        // The service side's recorder has its histograms back at once.
        let comes_back = if self.is_of_service() { 0.0 } else { (seconds - 1.0).clamp(0.0, 1.0) };
        recorders * (3.0 * count / recorders / seconds).min(1.0) * comes_back
    }

    /// How many have a message of the phase before in the first second of a phase.
    pub(super) fn late(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        let before = phase.checked_sub(1).filter(|_| self.operation.is_message());
        let before = before.and_then(|before| self.phases.get(before));
        before.map_or(0.0, |(count, seconds)| recorders * (count / recorders / seconds / OPEN_PER_S).min(1.0))
    }

    fn is_of_service(&self) -> bool {
        use Operation::{ServiceC2d, ServiceDesired, ServiceMethod};
        matches!(self.operation, ServiceC2d | ServiceDesired | ServiceMethod)
    }
}

impl Plan {
    /// Every operation that the plan makes or expects.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (fleet, number) in self.fleets.iter().zip(0_u16..) {
            self.add_connects(fleet, &mut uses);
            self.add_messages(fleet, number, &mut uses);
            self.add_calls(fleet, number, &mut uses);
        }
        uses
    }

    fn add_connects(&self, fleet: &FleetPlan, uses: &mut Vec<Use>) {
        use Operation::{
            Connect, ConnectDns, ConnectMqtt, ConnectTcp, ConnectTls, Online, Renewal, Subscribe, Unsubscribe,
        };
        let phases = self.schedule.phases();
        let comes: Vec<(f64, f64)> = phases
            .iter()
            .map(|phase| {
                let (arrivals, renewals) = (self.arrivals_in(fleet, phase), self.renewals_in(fleet, phase));
                let spread = phase.online[1] > phase.online[0] || renewals > 0.0;
                let at_once: f64 = self.fleets.iter().map(|fleet| self.arrivals_in(fleet, phase)).sum();
                let at_once_s = (at_once / CONNECTS_PER_S).max(1.0);
                let lasts_s = (phase.end - phase.start).as_secs_f64();
                (arrivals + renewals, if spread { lasts_s.max(at_once_s) } else { at_once_s })
            })
            .collect();
        let renewed = phases
            .iter()
            .zip(&comes)
            .map(|(phase, (_, seconds))| (self.renewals_in(fleet, phase), *seconds))
            .collect();
        let named = self.emulator.is_some() || self.target.host.parse::<core::net::IpAddr>().is_err();
        let wanted = [
            (Online, true),
            (Connect, true),
            (ConnectDns, named),
            (ConnectTcp, true),
            (ConnectTls, self.target.tls.is_some()),
            (ConnectMqtt, true),
            (Subscribe, !fleet.subscribe.is_empty()),
            (Unsubscribe, fleet.unsubscribe),
        ];
        for (operation, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            uses.push(Use { operation, recorders_max: fleet.devices.into(), phases: comes.clone() });
        }
        if fleet.auth.tokens().and_then(TokenLife::renewed_after).is_some() {
            uses.push(Use { operation: Renewal, recorders_max: fleet.devices.into(), phases: renewed });
        }
    }

    fn add_messages(&self, fleet: &FleetPlan, number: u16, uses: &mut Vec<Use>) {
        for operation in Operation::ALL {
            let gets = operation == Operation::TwinGet && fleet.twin.get_on_connect;
            let count = |phase: &_| {
                let gets = if gets { self.connects_in(fleet, phase) } else { 0.0 };
                let arriving =
                    if operation == Operation::Deliver { self.copies_to(number, phase) } else { 0.0 };
                self.messages_in(fleet, operation, phase) + gets + arriving
            };
            self.add(operation, fleet.devices.into(), count, uses);
        }
        // Who sends nothing for so long pings.
        let keep_alive_s = f64::from(fleet.keep_alive_s);
        let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
        if keep_alive_s > 0.0 && rate_hz * keep_alive_s < 1.0 {
            let count = |phase: &_| self.load_seconds_in(fleet, phase) / keep_alive_s;
            self.add(Operation::Ping, fleet.devices.into(), count, uses);
        }
    }

    fn add_calls(&self, fleet: &FleetPlan, number: u16, uses: &mut Vec<Use>) {
        for drive in self.drives.iter().filter(|drive| drive.fleet == number) {
            let count = |phase: &_| self.calls_of(drive, &[phase]);
            self.add(drive.call.operation(), 1.0, count, uses);
            let (operation, hears) = match drive.call {
                CallPlan::Method { .. } => (Operation::Method, Subscription::Methods),
                CallPlan::C2d { .. } => (Operation::C2d, Subscription::C2d),
                CallPlan::Desired => continue,
            };
            if fleet.subscribe.contains(&hears) {
                self.add(operation, fleet.devices.into(), count, uses);
            }
        }
    }

    fn add(
        &self,
        operation: Operation,
        recorders_max: f64,
        count: impl Fn(&super::PhasePlan) -> f64,
        uses: &mut Vec<Use>,
    ) {
        let phases: Vec<(f64, f64)> = self
            .schedule
            .phases()
            .iter()
            .map(|phase| (count(phase), (phase.end - phase.start).as_secs_f64().max(1.0)))
            .collect();
        if phases.iter().any(|(count, _)| *count > 0.0) {
            uses.push(Use { operation, recorders_max, phases });
        }
    }

    /// Copies of what all fleets send that are to arrive at this one.
    fn copies_to(&self, to: u16, phase: &super::PhasePlan) -> f64 {
        self.fleets.iter().zip(0_u16..).map(|from| self.copies_in(from, Some(to), phase)).sum()
    }
}
