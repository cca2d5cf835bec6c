//! Token renewal: a reconnect with a new token, measured from its due time until the device is online again. Part of `device`.

use super::Device;
use crate::measure::Operation;
use crate::plan::TokenLife;
use rand::RngExt;
use std::time::Instant;

impl Device {
    /// Schedules the renewal of the token that CONNECT carries, with jitter.
    pub(super) fn plan_renewal(&mut self, life: &TokenLife, now: Instant) {
        let earlier = 1.0 - life.jitter * self.rng.random::<f64>();
        let renew_at = life.renewed_after().map(|after| now + after.mul_f64(earlier));
        self.renew_at_ns = renew_at.map_or(u64::MAX, |at| self.context.ns(at));
    }

    pub(super) fn renewal_is_due(&self, now: Instant) -> bool {
        self.context.ns(now) >= self.renew_at_ns
    }

    /// Starts the due renewal. The device then disconnects and reconnects with a new token.
    pub(super) fn begin_renewal(&mut self, now: Instant) {
        let due_ns = std::mem::replace(&mut self.renew_at_ns, u64::MAX);
        let open = self.recorder().due(Operation::Renewal, due_ns);
        self.renewal = Some(Box::new(open.picked(self.context.ns(now))));
    }

    /// Ends the renewal at CONNACK. The token is new even if attempts failed in between. `begun_ns` is the start of this attempt.
    pub(super) fn end_renewal(&mut self, begun_ns: u64, now: Instant) {
        let Some(open) = self.renewal.take() else { return };
        let sent_ns = begun_ns.max(open.picked_ns());
        self.recorder().ok(*open, self.context.at(sent_ns), now);
    }
}
