//! Resolves `every`, `rate`, `arrival`, `think_time` and `burst` to arrivals. Used by `sends` and `twin_methods`.

use crate::plan::schedule::{Arrival, RoundRobin, Spread};
use crate::scenario::{ArrivalKind, Errors, Place, Spacing, Timing};
use std::time::Duration;

/// The minimum assumed time until an acknowledgment, for an upper bound on the rate of a closed loop.
const CLOSED_ACK_MIN: Duration = Duration::from_millis(1);

pub(super) fn arrival(timing: &Timing, place: &Place, devices: u32, errors: &mut Errors) -> Option<Arrival> {
    let poisson = timing.arrival == Some(ArrivalKind::Poisson);
    let (rate_hz, regular) = match timing.spacing? {
        Spacing::Every(every) => (1.0 / every.as_secs_f64(), Spread::Regular),
        Spacing::Rate(rate) => {
            (rate.as_per_second() / f64::from(devices), Spread::Stratified(RoundRobin::new(devices)))
        }
        Spacing::Think(think) => {
            let think_ns = u64::try_from(think.as_nanos()).unwrap_or(u64::MAX);
            let rate_hz = 1.0 / (think + CLOSED_ACK_MIN).as_secs_f64();
            return Some(Arrival { spread: Spread::Closed { think_ns }, rate_hz, burst: 1 });
        }
    };
    if rate_hz <= 0.0 {
        errors
            .add(&place.below("rate"), "a rate of 0 sends no messages")
            .allowed("more than 0/s")
            .fix("increase the rate, or remove the stream");
        return None;
    }
    let burst = timing.burst.unwrap_or(1);
    // `every` is the time between bursts; `rate` counts messages.
    let rate_hz =
        if matches!(timing.spacing, Some(Spacing::Every(_))) { rate_hz * f64::from(burst) } else { rate_hz };
    Some(Arrival { spread: if poisson { Spread::Poisson } else { regular }, rate_hz, burst })
}
