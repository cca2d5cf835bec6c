//! What only all fleets together show: more than any machine sends, and the largest packet that a device may be sent by
//! another. Called by `resolve`. Pure.

use super::schedule::Schedule;
use super::types::FleetPlan;
use crate::scenario::{Errors, FleetSpec};
use crate::units::human_count;
use crate::wire::STRING_BYTES_MAX;

/// Messages a second, all fleets together. Our choice: far beyond what a machine sends, and so few that what falls due while
/// nothing can be sent is still counted one by one.
const RATE_MAX: f64 = 10_000_000.0;

/// A unit was wrong, or a nought too many.
pub(super) fn check_rate(
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
        let problem = errors.add(&spec.place, "more messages than any machine sends");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let found = human_count(*most as u64);
        problem
            .found(format!("{found} messages a second at the most"))
            .allowed(format!("{}/s of all fleets together", human_count(RATE_MAX as u64)))
            .fix("look at its devices, every, rate and burst, and at load of the phases");
    }
}

/// The largest packet that a device takes, in mebibytes: what other devices of the run send is not refused, and one at least,
/// which is well above the 64 KB of a cloud-to-device message.
pub(super) fn packet_mib_max(fleets: &[FleetPlan]) -> u16 {
    // An id is as long as a topic at most, and so is the topic; what else a packet has is less than 16 bytes.
    let payloads =
        fleets.iter().flat_map(|fleet| &fleet.sends).map(|send| send.payload.bytes_max(STRING_BYTES_MAX));
    let bytes = payloads.max().unwrap_or(0).saturating_add(STRING_BYTES_MAX + 16);
    u16::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u16::MAX)
}
