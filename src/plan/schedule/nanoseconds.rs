//! Conversions between durations, whole nanoseconds and floating-point seconds. Used by `phases` and `load`.

use std::time::Duration;

/// Converts a duration to nanoseconds, the unit of time in a run.
#[must_use]
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts nanoseconds to seconds. Exact to the nanosecond for up to a hundred days.
#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days, and scenarios are shorter")]
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(super) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
