//! What only all fleets together show: more than any machine sends, and the largest packet that a device may be sent by
//! another. Called by `resolve`. Pure.

use crate::plan::model::{FleetPlan, Plan};
use crate::plan::schedule::Schedule;
use crate::scenario::{Errors, FleetSpec};
use crate::units::human_count;
use crate::wire::STRING_BYTES_MAX;
use std::time::Duration;

/// Messages a second, all fleets together. Our choice: far beyond what a machine sends, and so few that what falls due while
/// nothing can be sent is still counted one by one.
const RATE_MAX: f64 = 10_000_000.0;

/// A unit was wrong, or a nought too many.
pub(in crate::plan) fn check_rate(
    specs: &[FleetSpec],
    fleets: &[FleetPlan],
    schedule: &Schedule,
    errors: &mut Errors,
) {
    let factor = schedule.phases().iter().flat_map(|phase| phase.load).fold(0.0, f64::max);
    let rates = fleets.iter().map(|fleet| {
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

/// The largest packet that a device takes, in mebibytes: what other devices of the run send is not refused, and one at least,
/// which is well above the 64 KB of a cloud-to-device message.
pub(in crate::plan) fn packet_mib_max(fleets: &[FleetPlan]) -> u16 {
    // An id is as long as a topic at most, and so is the topic; what else a packet has is less than 16 bytes.
    let payloads =
        fleets.iter().flat_map(|fleet| &fleet.sends).map(|send| send.payload.bytes_max(STRING_BYTES_MAX));
    let bytes = payloads.max().unwrap_or(0).saturating_add(STRING_BYTES_MAX + 16);
    u16::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u16::MAX)
}

impl Plan {
    /// Devices of all fleets.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.fleets.iter().map(|fleet| u64::from(fleet.devices)).sum()
    }

    /// Devices that the plan wants online at an instant, in nanoseconds since the run's zero.
    #[must_use]
    pub fn planned_online(&self, t_ns: u64) -> u64 {
        self.fleets.iter().map(|fleet| self.schedule.planned_online(t_ns, u64::from(fleet.devices))).sum()
    }

    /// The longest duration worth recording, in microseconds: a message may wait for `send_by` and then for its
    /// ack, a connection for its timeout, and a device may be offline for the whole run.
    #[must_use]
    pub fn highest_us(&self) -> u64 {
        let message = self.fleets.iter().map(|fleet| {
            let twin = if fleet.makes_twin_requests() { fleet.twin.timeout } else { Duration::ZERO };
            fleet.send_by + fleet.ack_timeout.max(fleet.connect_timeout).max(twin)
        });
        let calls = self.drives.iter().map(|drive| drive.timeout);
        let run = self.schedule.end() + self.drain;
        let highest = message.chain(calls).max().unwrap_or_default().max(run);
        // Rounded up to a whole second, and one more for what the clock adds.
        (highest.as_secs() + 2).saturating_mul(1_000_000)
    }

    /// Messages that are expected to be due in the whole run: exact for regular arrivals to one per device and
    /// stream, the mean for Poisson.
    #[must_use]
    pub fn planned_messages(&self) -> f64 {
        let fleet = |fleet: &FleetPlan| {
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            let gets = if fleet.twin.get_on_connect { self.planned_connects(fleet) } else { 0.0 };
            rate_hz * self.load_seconds(fleet) + gets
        };
        self.fleets.iter().map(fleet).sum()
    }

    /// Seconds at a load of 100% that the devices of a fleet are planned to send for, all of them together.
    #[must_use]
    pub fn load_seconds(&self, fleet: &FleetPlan) -> f64 {
        self.load_seconds_between(fleet, 0, u64::MAX)
    }

    /// Seconds at a load of 100% for which a fleet's devices are planned to send from `start` to `end`, in nanoseconds since the run's
    /// zero. The sum of all devices.
    pub(super) fn load_seconds_between(&self, fleet: &FleetPlan, start: u64, end: u64) -> f64 {
        let load = self.schedule.load();
        let devices = u64::from(fleet.devices);
        let spans = (0..devices).flat_map(|rank| self.schedule.online_spans(rank, devices));
        let seconds = spans.map(|span| {
            let (from, to) = (span.from_ns.clamp(start, end), span.to_ns.clamp(start, end));
            load.integral(to) - load.integral(from)
        });
        seconds.sum()
    }
}
