//! What the faults of a hub do to one connection. A fault acts like the hub itself: its delays are deadlines in the future, and never count
//! as stalls. Independent of sockets, like the rest of the session.

use super::device_faults::DeviceFaults;
use super::{HubError, HubSession, OutgoingPacket, State};
use crate::emulator::admission::Refusal;
use crate::emulator::throttle::Held;
use crate::policy::fault::FaultKind;
use std::time::Instant;

impl HubSession {
    /// Looks up the faults of the device, after CONNECT and after each change of the hub's faults.
    pub(in crate::emulator) fn update_faults(&mut self, now: Instant) {
        if self.device.is_empty() {
            return; // CONNECT looks them up.
        }
        let faults = self.directory.faults().of(&self.device, self.online_since.unwrap_or(now));
        if faults.is_empty() && self.faults.is_none() {
            return;
        }
        let stalled_until = self.faults.take().and_then(|before| before.stalled_until);
        self.faults = Some(Box::new(DeviceFaults { faults, next_at: Some(now), stalled_until }));
    }

    /// Returns the reason to refuse the CONNECT that is being handled.
    pub(super) fn refused_by_fault(&self, now: Instant) -> Option<Refusal> {
        let faults = self.faults.as_ref()?;
        if let Some(one) = faults.active(now, FaultKind::DisableDevice) {
            one.count();
            return Some(Refusal::Disabled);
        }
        let one = faults.active(now, FaultKind::Refuse)?;
        one.count();
        Some(Refusal::Fault(one.fault.code))
    }

    /// Returns when a fault lets CONNACK pass.
    pub(super) fn slow_connack(&self, now: Instant) -> Held {
        let one = self.faults.as_ref()?.active(now, FaultKind::SlowConnack)?;
        one.count();
        Some(now + one.fault.by)
    }

    /// Returns an error if a fault makes the quota used up.
    #[inline]
    pub(super) fn check_quota_fault(&self, now: Instant) -> Result<(), HubError> {
        let one = self.faults.as_ref().and_then(|faults| faults.active(now, FaultKind::QuotaExhausted));
        let Some(one) = one else { return Ok(()) };
        one.count();
        Err(HubError::QuotaFault)
    }

    /// Returns when a PUBACK may be sent that a throttle holds until `held`; `None` if it is never sent.
    #[inline]
    pub(super) fn puback_under_faults(&self, now: Instant, held: Held) -> Option<Held> {
        let Some(faults) = &self.faults else { return Some(held) };
        if let Some(one) = faults.active(now, FaultKind::DropAcks) {
            one.count();
            return None;
        }
        let until = faults.active(now, FaultKind::HoldAcks).map(|one| {
            one.count();
            one.to
        });
        Some(held.max(until).max(self.delayed(now)))
    }

    /// Returns when a fault lets an answer pass; `None` means now.
    pub(super) fn delayed(&self, now: Instant) -> Held {
        let one = self.faults.as_ref()?.active(now, FaultKind::Delay)?;
        one.count();
        Some(now + one.fault.by)
    }

    /// Queues an answer, which a fault may delay.
    pub(super) fn answer(&mut self, now: Instant, packet: OutgoingPacket) {
        let held = self.delayed(now);
        self.queue(packet, held);
    }

    /// Returns true while the hub does not read from the connection.
    pub(super) fn is_stalled(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.stalled_until.is_some())
    }

    /// Returns when a fault starts or ends next.
    pub(super) fn fault_timeout(&self) -> Option<Instant> {
        self.faults.as_ref()?.next_at
    }

    /// Starts the faults of a connection that is admitted now.
    pub(super) fn admit_faults(&mut self, now: Instant) {
        self.online_since = Some(now);
        if let Some(faults) = &mut self.faults {
            faults.next_at = Some(now);
        }
    }

    /// Applies the faults that start or end now to a connection that is online.
    pub(super) fn handle_faults(&mut self, now: Instant) {
        let Some(faults) = self.faults.as_mut().filter(|faults| faults.next_at.is_some_and(|at| at <= now))
        else {
            return;
        };
        if let Some(one) = faults.ending(self.online_since.unwrap_or(now), now) {
            one.count();
            self.state = State::Closing;
            self.is_reset = one.fault.kind == FaultKind::Reset;
            return;
        }
        let stalled = faults.active(now, FaultKind::StallReads).map(|one| (one, one.to));
        if let (Some((one, _)), None) = (stalled, faults.stalled_until) {
            one.count();
        }
        let was_stalled = faults.stalled_until.is_some();
        let stalled_until = stalled.map(|(_, to)| to);
        let changes = faults.faults.iter().flat_map(|one| [one.from, one.to]);
        let next_at = changes.filter(|at| *at > now).min();
        (faults.stalled_until, faults.next_at) = (stalled_until, next_at);
        if was_stalled && stalled_until.is_none() {
            // The hub did not read what the device sent in the meantime.
            self.last_packet = now;
        }
    }
}
