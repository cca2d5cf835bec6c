//! Totals over all fleets: devices, messages, the longest duration, and limits on them. Used by `resolve`, and by the
//! rooms that read the plan. Pure.

use crate::plan::model::{FleetPlan, Plan};
use crate::plan::schedule::{RunLoads, Schedule};
use crate::scenario::{Errors, FleetSpec};
use crate::units::human_count;
use crate::wire::STRING_BYTES_MAX;
use std::time::Duration;

/// The maximum number of messages per second for all fleets together. Our choice: far more than a machine can send, and few enough to
/// count the backlog one by one.
const RATE_MAX: f64 = 10_000_000.0;

/// Checks the total message rate. A higher rate is probably a wrong unit or an extra zero. Does nothing after an error.
pub(in crate::plan) fn check_rate(
    specs: &[FleetSpec],
    fleets: &[FleetPlan],
    schedule: &Schedule,
    errors: &mut Errors,
) {
    if !errors.is_empty() {
        return;
    }
    let rates = fleets.iter().map(|fleet| {
        let phases = fleet.own_schedule.as_ref().unwrap_or(schedule).phases();
        let factor = phases.iter().flat_map(|phase| phase.load).fold(0.0, f64::max);
        let open = fleet.sends.iter().filter(|send| !send.arrival.is_closed());
        open.map(|send| send.arrival.rate_hz).sum::<f64>() * f64::from(fleet.devices) * factor
    });
    let rates: Vec<f64> = rates.collect();
    let Some((most, spec)) = rates.iter().zip(specs).max_by(|a, b| a.0.total_cmp(b.0)) else { return };
    if rates.iter().sum::<f64>() > RATE_MAX {
        let problem = errors.add(&spec.place, "more messages than any machine can send");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let found = human_count(*most as u64);
        problem
            .found(format!("up to {found} messages per second"))
            .allowed(format!("{}/s for all fleets together", human_count(RATE_MAX as u64)))
            .fix("check the fleet's devices, every, rate and burst, and the load of the phases");
    }
}

/// Returns the largest packet that a device accepts, in MiB. It covers all messages that other devices in the run send, and is
/// at least 1, well above the maximum size of a cloud-to-device message (64 KB).
pub(in crate::plan) fn packet_mib_max(fleets: &[FleetPlan]) -> u16 {
    // Ids and topics are at most as long as an MQTT string. The rest of a packet takes less than 16 bytes.
    let payloads =
        fleets.iter().flat_map(|fleet| &fleet.sends).map(|send| send.payload.bytes_max(STRING_BYTES_MAX));
    let bytes = payloads.max().unwrap_or(0).saturating_add(STRING_BYTES_MAX + 16);
    u16::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u16::MAX)
}

impl Plan {
    /// Returns the number of devices in all fleets.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.fleets.iter().map(|fleet| u64::from(fleet.devices)).sum()
    }

    /// Returns the planned number of online devices at `t_ns`, in nanoseconds since the start of the run.
    #[must_use]
    pub fn planned_online(&self, t_ns: u64) -> u64 {
        let online = |fleet: &FleetPlan| self.schedule_of(fleet).planned_online(t_ns, fleet.devices.into());
        self.fleets.iter().map(online).sum()
    }

    /// Returns the planned number of online devices at `t_ns` in a running plan, whose commands may have changed it.
    #[must_use]
    pub fn planned_online_in(&self, loads: &RunLoads, t_ns: u64) -> u64 {
        let fleets = self.fleets.iter().zip(0_u16..);
        fleets.map(|fleet| self.planned_online_of(fleet, loads, t_ns)).sum()
    }

    /// Returns the planned number of a fleet's online devices at `t_ns` in a running plan. The fleet is given with its index.
    #[must_use]
    pub fn planned_online_of(&self, (fleet, number): (&FleetPlan, u16), loads: &RunLoads, t_ns: u64) -> u64 {
        let devices = loads.online().count(number, fleet.devices, t_ns);
        self.schedule_of(fleet).planned_online(t_ns, devices.into())
    }

    /// Returns the longest duration to record, in microseconds: a message may wait for `send_by` and then for its
    /// acknowledgment, and a device may be offline for the whole run.
    #[must_use]
    pub fn highest_us(&self) -> u64 {
        let message = self.fleets.iter().map(|fleet| {
            let twin = if fleet.makes_twin_requests() { fleet.twin.timeout } else { Duration::ZERO };
            fleet.send_by + fleet.ack_timeout.max(fleet.connect_timeout).max(twin)
        });
        let calls = self.drives.iter().map(|drive| drive.timeout);
        let run = self.schedule.end() + self.drain;
        let highest = message.chain(calls).max().unwrap_or_default().max(run);
        // Rounded up to whole seconds, plus one second for the resolution of clocks.
        (highest.as_secs() + 2).saturating_mul(1_000_000)
    }

    /// Returns the number of messages that will be due in the whole run. For regular arrivals, it is off by at most one per device
    /// and stream; for Poisson arrivals, it is the mean.
    #[must_use]
    pub fn planned_messages(&self) -> f64 {
        let fleet = |fleet: &FleetPlan| {
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            let gets = if fleet.twin.get_on_connect { self.planned_connects(fleet) } else { 0.0 };
            rate_hz * self.load_seconds(fleet) + gets
        };
        self.fleets.iter().map(fleet).sum()
    }

    /// Returns the planned online time of a fleet's devices, weighted by the load: a second at a load of 50% counts as half a second.
    /// In seconds, summed over all devices.
    #[must_use]
    pub fn load_seconds(&self, fleet: &FleetPlan) -> f64 {
        self.load_seconds_between(fleet, 0, u64::MAX)
    }

    /// Like [`load_seconds`](Plan::load_seconds), but only from `start` to `end`, in nanoseconds since the start of the run.
    pub(super) fn load_seconds_between(&self, fleet: &FleetPlan, start: u64, end: u64) -> f64 {
        self.schedule_of(fleet).load_seconds(fleet.devices.into(), start, end)
    }
}
