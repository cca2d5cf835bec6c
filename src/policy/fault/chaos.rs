//! Faults at random times, of random kinds, from a seed. Pure.

use super::{Fault, FaultKind, Length};
use crate::rng::{self, Purpose};
use rand::RngExt;
use std::time::Duration;

/// The delay of a random [`FaultKind::Delay`] (our choice).
pub const DELAY: Duration = Duration::from_millis(500);
/// The delay of a random [`FaultKind::SlowConnack`] (our choice).
pub const SLOW_CONNACK: Duration = Duration::from_secs(5);

/// Random faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    /// Faults per second, on average.
    pub rate_hz: f64,
    /// Kinds to choose from.
    pub kinds: Vec<FaultKind>,
    /// Length of each fault that has one.
    pub length: Duration,
    /// Share of the devices that each fault affects, as a fraction of 1.
    pub share: f64,
}

impl Chaos {
    /// Returns the faults until `end`, in the order of their starts: a Poisson process. A fault that would last longer is cut off. A fault
    /// that would contradict an earlier one is left out.
    #[must_use]
    pub fn faults(&self, seed: u64, end: Duration) -> Vec<Fault> {
        let mut rng = rng::generator(seed, 0, Purpose::Chaos);
        let mut faults: Vec<Fault> = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            let uniform: f64 = rng.random();
            let gap = -(1.0 - uniform).ln() / self.rate_hz;
            let Ok(gap) = Duration::try_from_secs_f64(gap) else { return faults };
            at = at.saturating_add(gap);
            let Some(room) = end.checked_sub(at).filter(|room| !room.is_zero()) else { return faults };
            let Some(kind) = self.kinds.get(rng.random_range(0..self.kinds.len().max(1))) else {
                return faults;
            };
            let length =
                if kind.takes_length() == Length::Required { self.length.min(room) } else { Duration::ZERO };
            let by = match kind {
                FaultKind::Delay => DELAY,
                FaultKind::SlowConnack => SLOW_CONNACK,
                _ => Duration::ZERO,
            };
            let fault = Fault { by, at, length, share: self.share, ..Fault::new(*kind) };
            let contradicts = |other: &Fault| fault.overlaps(other) && fault.contradicts(other).is_some();
            if !faults.iter().any(contradicts) {
                faults.push(fault);
            }
        }
    }
}
