//! The one place that reads clocks. Drivers ask here and hand the answer down; nothing below `link` does.
//!
//! `now` goes through tokio's clock, so that a test with paused time moves every part of the program.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock (tokio's, so that paused tests work).
#[expect(clippy::disallowed_methods, reason = "the one clock")]
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time since the Unix epoch: token expiry, the result's `started`, `${now}` in payloads.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
#[must_use]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
