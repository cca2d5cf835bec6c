//! The number of samples that a threshold needs, and the number that the plan produces. A percentile without enough samples is
//! reported before the run. Called by `app`; `report` uses the same rule.

use crate::measure::{Operation, Test};
use crate::plan::credentials::TokenLife;
use crate::plan::model::{DrivePlan, FleetPlan, Plan, Threshold};
use crate::plan::schedule::{PhasePlan, RunLoads, Span, Spread, ns};
use crate::policy::backoff::BackOff;

/// Returns the number of samples that a percentile needs: 10/(1 - q), so that at least ten lie beyond it.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is intended"
)]
pub fn samples_needed(quantile: f64) -> u64 {
    if quantile >= 1.0 {
        return 1;
    }
    // 10/(1 - 0.99) is slightly more than 1000 in floating point.
    (10.0 / (1.0 - quantile) - 1e-6).ceil() as u64
}

impl Plan {
    /// Returns the thresholds without enough planned samples, each with the required and the planned number. Thresholds on
    /// counts do not need samples.
    #[must_use]
    pub fn undersampled_thresholds(&self) -> Vec<(&Threshold, u64, u64)> {
        let found = self.thresholds.iter().filter_map(|threshold| {
            let needed = match threshold.test {
                Test::Percentile { quantile, .. } => samples_needed(quantile),
                Test::Count { .. } | Test::Recovery { .. } => 0,
                _ => 1,
            };
            let planned = self.planned_samples(threshold)?;
            // Without planned connections, the threshold covers only devices that lose their connection, and the plan cannot
            // predict how many do.
            if planned == 0 && matches!(threshold.metric, Operation::Connect | Operation::Online) {
                return None;
            }
            (planned < needed).then_some((threshold, needed, planned))
        });
        found.collect()
    }

    /// Returns the number of due operations that a threshold covers. `None` if the plan does not determine it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is not negative, and the cast saturates"
    )]
    fn planned_samples(&self, threshold: &Threshold) -> Option<u64> {
        let phases: Vec<&PhasePlan> = self.phases_of(threshold).into_iter().map(|(phase, _)| phase).collect();
        Some(self.samples_in(threshold, &phases)?.round() as u64)
    }

    /// Returns the phases that a threshold covers, with their numbers: the one that it names, or all except warm-ups.
    pub(super) fn phases_of(&self, threshold: &Threshold) -> Vec<(&PhasePlan, u16)> {
        let phases = self.schedule.phases().iter().zip(0_u16..);
        phases
            .filter(|(phase, index)| threshold.phase.map_or(!phase.warmup, |named| named == *index))
            .collect()
    }

    /// Returns the number of due operations that a threshold covers in some of its phases. `None` if the plan does not determine it.
    pub(super) fn samples_in(&self, threshold: &Threshold, phases: &[&PhasePlan]) -> Option<f64> {
        let fleets = self.fleets.iter().zip(0_u16..).filter(|(_, i)| threshold.fleet.is_none_or(|f| f == *i));
        let samples: f64 = match threshold.metric {
            metric if metric.is_message() => fleets
                .map(|(fleet, _)| {
                    let messages = phases.iter().map(|phase| self.messages_in(fleet, metric, phase));
                    let gets = metric == Operation::TwinGet && fleet.twin.get_on_connect;
                    let gets = phases.iter().filter(|_| gets).map(|phase| self.connects_in(fleet, phase));
                    messages.chain(gets).sum::<f64>()
                })
                .sum(),
            Operation::Deliver => {
                let from = self.fleets.iter().zip(0_u16..);
                from.map(|(fleet, number)| {
                    phases
                        .iter()
                        .map(|phase| self.copies_in((fleet, number), threshold.fleet, phase))
                        .sum::<f64>()
                })
                .sum()
            }
            Operation::Connect => fleets
                .map(|(fleet, _)| phases.iter().map(|phase| self.connects_in(fleet, phase)).sum::<f64>())
                .sum(),
            Operation::Online => fleets
                .map(|(fleet, _)| phases.iter().map(|phase| self.arrivals_in(fleet, phase)).sum::<f64>())
                .sum(),
            Operation::Renewal => fleets
                .map(|(fleet, _)| phases.iter().map(|phase| self.renewals_in(fleet, phase)).sum::<f64>())
                .sum(),
            call @ (Operation::ServiceMethod
            | Operation::ServiceDesired
            | Operation::ServiceC2d
            | Operation::Method
            | Operation::C2d) => self
                .drives
                .iter()
                .filter(|drive| drive.call.operation() == service_operation(call))
                .filter(|drive| threshold.fleet.is_none_or(|fleet| fleet == drive.fleet))
                .map(|drive| self.calls_of(drive, phases))
                .sum(),
            _ => return None,
        };
        Some(samples)
    }

    /// Returns the planned number of a fleet's connections: connects and renewals.
    #[must_use]
    pub fn planned_connects(&self, fleet: &FleetPlan) -> f64 {
        self.schedule.phases().iter().map(|phase| self.connects_in(fleet, phase)).sum()
    }

    /// Returns the planned number of calls in the whole run.
    #[must_use]
    pub fn planned_calls(&self, drive: &DrivePlan) -> f64 {
        self.calls_of(drive, &self.schedule.phases().iter().collect::<Vec<_>>())
    }

    /// Returns the planned messages per second in a short time span, under loads that may have been extended. `None` if there is
    /// a closed loop, because its rate is not planned, or a replay, whose rate differs from second to second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate may be rounded")]
    pub fn offered_per_s(&self, loads: &RunLoads, from_ns: u64, to_ns: u64) -> Option<f64> {
        let seconds = to_ns.saturating_sub(from_ns).max(1) as f64 / 1e9;
        let mut offered = 0.0;
        for (fleet, number) in self.fleets.iter().zip(0_u16..) {
            if fleet
                .sends
                .iter()
                .any(|send| send.arrival.is_closed() || send.arrival.spread == Spread::Replay)
            {
                return None;
            }
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            let middle_ns = from_ns.midpoint(to_ns);
            let share = self.schedule_of(fleet).planned_online_share(middle_ns);
            let devices = loads.online().count(number, fleet.devices, middle_ns);
            let load = loads.of(number).read();
            let due = load.integral(to_ns) - load.integral(from_ns);
            offered += rate_hz * f64::from(devices) * share * due / seconds;
        }
        Some(offered)
    }

    pub(super) fn connects_in(&self, fleet: &FleetPlan, phase: &PhasePlan) -> f64 {
        self.arrivals_in(fleet, phase) + self.renewals_in(fleet, phase)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^53")]
    pub(super) fn messages_in(&self, fleet: &FleetPlan, operation: Operation, phase: &PhasePlan) -> f64 {
        let number = usize::from(self.schedule.phase_at(ns(phase.start)));
        let (mut rate_hz, mut recorded) = (0.0, 0.0);
        for send in fleet.sends.iter().filter(|send| send.operation == operation) {
            match send.planned_rows() {
                Some(rows) => recorded += rows.by_phase.get(number).map_or(0.0, |rows| *rows as f64),
                None => rate_hz += send.arrival.rate_hz,
            }
        }
        recorded + rate_hz * self.load_seconds_in(fleet, phase)
    }

    /// Returns the number of copies of a fleet's messages that the fleet `to`, or all fleets together, should receive in a phase,
    /// provided that every device is online.
    pub(super) fn copies_in(
        &self,
        (fleet, number): (&FleetPlan, u16),
        to: Option<u16>,
        phase: &PhasePlan,
    ) -> f64 {
        let sends = fleet.sends.iter().zip(0_u16..);
        let rate_hz: f64 = sends
            .map(|(send, stream)| send.arrival.rate_hz * self.deliveries.copies_mean(number, stream, to))
            .sum();
        if rate_hz == 0.0 { 0.0 } else { rate_hz * self.load_seconds_in(fleet, phase) }
    }

    /// Returns how long a fleet's devices are planned to send in a phase, in seconds at a load of 100%, summed over all devices.
    pub(super) fn load_seconds_in(&self, fleet: &FleetPlan, phase: &PhasePlan) -> f64 {
        self.load_seconds_between(fleet, ns(phase.start), ns(phase.end))
    }

    /// Returns the number of renewals that are due in a phase. Ignores jitter and the duration of a renewal.
    #[expect(clippy::cast_precision_loss, reason = "counts of renewals are far below 2^53")]
    pub(super) fn renewals_in(&self, fleet: &FleetPlan, phase: &PhasePlan) -> f64 {
        let Some(after) = fleet.auth.tokens().and_then(TokenLife::renewed_after) else { return 0.0 };
        let (start, end, after) = (ns(phase.start), ns(phase.end), ns(after).max(1));
        let (schedule, devices) = (self.schedule_of(fleet), u64::from(fleet.devices));
        // Counts the times `from + k * after` within the span and before `to`.
        let before = |span: &Span, to: u64| to.min(span.to_ns).saturating_sub(span.from_ns + 1) / after;
        let renewals = |(span, count): (Span, u64)| count * (before(&span, end) - before(&span, start));
        schedule.weighted_spans(devices).map(|group| renewals(group) as f64).sum()
    }

    /// Returns the number of calls to online devices. Assumes that the online share in the middle of a phase holds for the whole phase.
    pub(super) fn calls_of(&self, drive: &DrivePlan, phases: &[&PhasePlan]) -> f64 {
        let called = self.fleets.get(usize::from(drive.fleet));
        let schedule = called.map_or(&self.schedule, |fleet| self.schedule_of(fleet));
        let load = schedule.load();
        let calls = phases.iter().map(|phase| {
            let (start, end) = (ns(phase.start), ns(phase.end));
            let share = schedule.planned_online_share(start.midpoint(end));
            share * drive.arrival.rate_hz * (load.integral(end) - load.integral(start))
        });
        calls.sum()
    }

    /// Returns the number of times that a device of the fleet gets online in a phase, as planned or after a planned disconnect.
    /// With churn, this is the expected number.
    #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
    pub(super) fn arrivals_in(&self, fleet: &FleetPlan, phase: &PhasePlan) -> f64 {
        let (schedule, devices) = (self.schedule_of(fleet), u64::from(fleet.devices));
        let starts = |(span, _): &(Span, u64)| (ns(phase.start)..ns(phase.end)).contains(&span.from_ns);
        let planned: u64 = schedule.weighted_spans(devices).filter(starts).map(|(_, count)| count).sum();
        let number = usize::from(schedule.phase_at(ns(phase.start)));
        let back = match fleet.reconnect.back_off {
            BackOff::Never => 0,
            _ => schedule.disconnected_in(number, devices),
        };
        let churn = schedule.phases().get(number).and_then(|phase| phase.churn);
        let returning = churn.map_or(0.0, |churn| {
            let middle_ns = ns(phase.start).midpoint(ns(phase.end));
            let online = schedule.planned_online_share(middle_ns) * devices as f64;
            churn.rate_hz * online * (phase.end - phase.start).as_secs_f64()
        });
        planned as f64 + back as f64 + returning
    }
}

/// Returns the service client's operation that causes a device's operation.
pub(super) fn service_operation(operation: Operation) -> Operation {
    match operation {
        Operation::Method => Operation::ServiceMethod,
        Operation::C2d => Operation::ServiceC2d,
        other => other,
    }
}

#[cfg(test)]
mod tests;
