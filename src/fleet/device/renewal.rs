//! The renewal of a device's token: a new connection, measured from the instant at which it was due until the device is online
//! again. A part of `device`.

use super::{Account, Device};
use crate::measure::{Operation, Outcome, Times};
use crate::plan::TokenLife;
use rand::RngExt;
use std::time::Instant;

/// A renewal under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    due_ns: u64,
    picked_ns: u64,
}

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
        self.renewal = Some(Renewal { due_ns: self.context.ns(at), picked_ns: self.context.ns(now) });
    }

    /// CONNACK: whatever happened on the way, the token is new. `begun_ns` is when this attempt began.
    pub(super) fn end_renewal(&mut self, begun_ns: u64, acked: u64) {
        let Some(Renewal { due_ns: due, picked_ns: picked }) = self.renewal.take() else { return };
        let sent = begun_ns.max(picked);
        self.account().ok(Operation::Renewal, &Times { due, picked, sent, acked });
    }

    /// The span or the run is over before it ended.
    pub(super) fn leave_renewal(&mut self, account: Account<'_>, now_ns: u64) {
        if let Some(renewal) = self.renewal.take() {
            account.ended(Operation::Renewal, Outcome::Unfinished, renewal.due_ns, now_ns);
        }
    }
}
