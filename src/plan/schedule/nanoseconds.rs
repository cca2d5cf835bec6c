//! Time as the schedule counts it: whole nanoseconds, and seconds in floating point. Used by `phases` and `load`.

use std::time::Duration;

/// Nanoseconds of a duration, as every instant of a run is counted.
#[must_use]
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Exact to the nanosecond for a hundred days.
#[expect(clippy::cast_precision_loss, reason = "see above; scenarios are shorter")]
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(super) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
