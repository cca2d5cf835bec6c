//! The renewal of a device's token: a new connection, measured from the instant at which it was due until the device is online
//! again. A part of `device`.

use super::Device;
use crate::measure::Operation;
use crate::plan::TokenLife;
use rand::RngExt;
use std::time::Instant;

impl Device {
    /// CONNECT carries a token that was made now: when it is to be renewed, by the device's own dice.
    pub(super) fn plan_renewal(&mut self, life: &TokenLife, now: Instant) {
        let earlier = 1.0 - life.jitter * self.rng.random::<f64>();
        self.renew_at = life.renewed_after().map(|after| now + after.mul_f64(earlier));
    }

    pub(super) fn renewal_is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }

    /// The renewal that is due begins; the device goes, and comes back with a new token.
    pub(super) fn begin_renewal(&mut self, now: Instant) {
        let Some(at) = self.renew_at.take() else { return };
        let open = self.recorder().due(Operation::Renewal, self.context.ns(at));
        self.renewal = Some(Box::new(open.picked(self.context.ns(now))));
    }

    /// CONNACK: whatever happened on the way, the token is new. `begun_ns` is when this attempt began.
    pub(super) fn end_renewal(&mut self, begun_ns: u64, now: Instant) {
        let Some(open) = self.renewal.take() else { return };
        let sent_ns = begun_ns.max(open.picked_ns());
        self.recorder().ok(*open, self.context.at(sent_ns), now);
    }
}
