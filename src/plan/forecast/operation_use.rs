//! How often each operation in a plan is due in each phase, and how many recorders need histograms for it. Used by `memory`.

use crate::measure::Operation;
use crate::plan::credentials::TokenLife;
use crate::plan::model::{CallPlan, FleetPlan, Plan, Subscription};
use crate::plan::schedule::PhasePlan;

/// Approximate rate at which connections complete if all of them are due at once.
const CONNECTS_PER_S: f64 = 300.0;

/// The share of a second's histograms that the collector has not yet returned when the next second needs them. It is nearly 0 on an
/// idle machine, and 1 on a machine that stalls (`tests/memory.rs` covers both).
pub(super) const NOT_RETURNED: f64 = 0.85;

/// At this rate, a message is unacknowledged at the end of most phases. It is recorded during the next phase.
const OPEN_PER_S: f64 = 10.0;

/// An operation of a fleet.
pub(super) struct OperationUse {
    pub(super) operation: Operation,
    /// The maximum number of recorders that share the operation: one for the service client, otherwise one per device.
    recorders_max: f64,
    /// For each phase: number of operations, and the seconds over which they are spread.
    pub(super) phases: Vec<(f64, f64)>,
}

impl OperationUse {
    /// Returns the number of operations in the whole run.
    pub(super) fn count(&self) -> f64 {
        self.phases.iter().map(|(count, _)| count).sum()
    }

    /// Returns the expected number of recorders with a sample in the first second of a phase.
    pub(super) fn in_first_second(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        self.phases
            .get(phase)
            .map_or(0.0, |(count, seconds)| recorders * (count / recorders / seconds).min(1.0))
    }

    /// Returns the expected number of recorders with a sample in two consecutive seconds of a phase, at its busiest time.
    pub(super) fn in_next_seconds(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        let (count, seconds) = self.phases[phase];
        // The service client's recorder gets its histograms back immediately.
        let is_reused = if self.is_service_call() { 0.0 } else { (seconds - 1.0).clamp(0.0, 1.0) };
        recorders * (3.0 * count / recorders / seconds).min(1.0) * is_reused * NOT_RETURNED
    }

    /// Returns the expected number of recorders that record a message from the previous phase in the first second of a phase.
    pub(super) fn late_in_first_second(&self, phase: usize, workers: f64) -> f64 {
        let recorders = workers.min(self.recorders_max);
        let before = phase.checked_sub(1).filter(|_| self.operation.is_message());
        let before = before.and_then(|before| self.phases.get(before));
        before.map_or(0.0, |(count, seconds)| recorders * (count / recorders / seconds / OPEN_PER_S).min(1.0))
    }

    fn is_service_call(&self) -> bool {
        use Operation::{ServiceC2d, ServiceDesired, ServiceMethod};
        matches!(self.operation, ServiceC2d | ServiceDesired | ServiceMethod)
    }
}

impl Plan {
    /// Returns all operations in the plan.
    pub(super) fn operation_uses(&self) -> Vec<OperationUse> {
        let mut uses = Vec::new();
        for (fleet, number) in self.fleets.iter().zip(0_u16..) {
            self.add_connects(fleet, &mut uses);
            self.add_messages(fleet, number, &mut uses);
            self.add_calls(fleet, number, &mut uses);
        }
        uses
    }

    fn add_connects(&self, fleet: &FleetPlan, uses: &mut Vec<OperationUse>) {
        use Operation::{
            Connect, ConnectDns, ConnectMqtt, ConnectTcp, ConnectTls, ConnectTlsResumed, Online, Renewal,
            Subscribe, Unsubscribe,
        };
        let phases = self.schedule_of(fleet).phases();
        let connects: Vec<(f64, f64)> = phases
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
            .zip(&connects)
            .map(|(phase, (_, seconds))| (self.renewals_in(fleet, phase), *seconds))
            .collect();
        let uses_dns = self.emulator.is_some()
            || self.target.hosts().any(|(host, _)| host.parse::<core::net::IpAddr>().is_err());
        let measured = [
            (Online, true),
            (Connect, true),
            (ConnectDns, uses_dns),
            (ConnectTcp, true),
            (ConnectTls, self.target.tls.is_some()),
            (ConnectTlsResumed, self.target.tls.as_ref().is_some_and(|tls| tls.resumption)),
            (ConnectMqtt, true),
            (Subscribe, !fleet.subscribe.is_empty()),
            (Unsubscribe, fleet.unsubscribe),
        ];
        for (operation, _) in measured.into_iter().filter(|(_, measured)| *measured) {
            uses.push(OperationUse {
                operation,
                recorders_max: fleet.devices.into(),
                phases: connects.clone(),
            });
        }
        if fleet.auth.tokens().and_then(TokenLife::renewed_after).is_some() {
            uses.push(OperationUse {
                operation: Renewal,
                recorders_max: fleet.devices.into(),
                phases: renewed,
            });
        }
    }

    fn add_messages(&self, fleet: &FleetPlan, number: u16, uses: &mut Vec<OperationUse>) {
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
        // A device that does not send any other packet within its keep-alive sends PINGREQ.
        let keep_alive_s = f64::from(fleet.keep_alive_s);
        let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
        if keep_alive_s > 0.0 && rate_hz * keep_alive_s < 1.0 {
            let count = |phase: &_| self.load_seconds_in(fleet, phase) / keep_alive_s;
            self.add(Operation::Ping, fleet.devices.into(), count, uses);
        }
    }

    fn add_calls(&self, fleet: &FleetPlan, number: u16, uses: &mut Vec<OperationUse>) {
        for drive in self.drives.iter().filter(|drive| drive.fleet == number) {
            let count = |phase: &_| self.calls_of(drive, &[phase]);
            self.add(drive.call.operation(), 1.0, count, uses);
            let (operation, needed) = match drive.call {
                CallPlan::Method { .. } => (Operation::Method, Subscription::Methods),
                CallPlan::C2d { .. } => (Operation::C2d, Subscription::C2d),
                CallPlan::Desired => continue,
            };
            if fleet.subscribe.contains(&needed) {
                self.add(operation, fleet.devices.into(), count, uses);
            }
        }
    }

    fn add(
        &self,
        operation: Operation,
        recorders_max: f64,
        count: impl Fn(&PhasePlan) -> f64,
        uses: &mut Vec<OperationUse>,
    ) {
        let phases: Vec<(f64, f64)> = self
            .schedule
            .phases()
            .iter()
            .map(|phase| (count(phase), (phase.end - phase.start).as_secs_f64().max(1.0)))
            .collect();
        if phases.iter().any(|(count, _)| *count > 0.0) {
            uses.push(OperationUse { operation, recorders_max, phases });
        }
    }

    /// Returns the number of copies of all fleets' messages that this fleet should receive in a phase.
    fn copies_to(&self, to: u16, phase: &PhasePlan) -> f64 {
        self.fleets.iter().zip(0_u16..).map(|from| self.copies_in(from, Some(to), phase)).sum()
    }
}
