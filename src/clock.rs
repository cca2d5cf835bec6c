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

/// A run's zero on both clocks. Every time in a run is counted from it, so that a wall clock that is set meanwhile moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunClock {
    /// The zero on the monotonic clock.
    pub zero: Instant,
    /// The wall clock at the zero, since the Unix epoch.
    pub zero_unix: Duration,
}

impl RunClock {
    /// Returns a clock whose zero is `lead` from now.
    #[must_use]
    pub fn starts_in(lead: Duration) -> RunClock {
        RunClock { zero: now() + lead, zero_unix: unix() + lead }
    }

    /// Returns the time from the zero to `at`; zero for anything before it.
    #[must_use]
    pub fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.zero)
    }

    /// Returns the nanoseconds from the zero to `at`; 0 for anything before it. Saturates after 584 years.
    #[must_use]
    pub fn ns(&self, at: Instant) -> u64 {
        u64::try_from(self.since(at).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the instant that lies so many nanoseconds after the zero.
    #[must_use]
    pub fn at(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }

    /// Returns the wall clock at an instant. It is derived, so that it neither jumps nor costs another clock reading.
    #[must_use]
    pub fn unix(&self, at: Instant) -> Duration {
        self.zero_unix + self.since(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_clock_converts_between_its_clocks() {
        let clock = RunClock { zero: now(), zero_unix: Duration::from_secs(1_800_000_000) };
        let at = clock.at(1_500_000_000);
        assert_eq!((clock.ns(at), clock.since(at)), (1_500_000_000, Duration::from_millis(1_500)));
        assert_eq!(clock.unix(at), Duration::from_millis(1_800_000_001_500));
    }

    #[test]
    fn times_before_the_zero_count_as_the_zero() {
        let clock = RunClock::starts_in(Duration::from_secs(60));
        let before = now();
        assert_eq!((clock.ns(before), clock.since(before)), (0, Duration::ZERO));
        assert_eq!(clock.unix(before), clock.zero_unix);
    }
}
