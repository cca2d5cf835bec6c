//! Echoes: the aftermath of stalls. After a stall, a worker sends all messages that fell due during the stall in one burst,
//! and the target needs time to work off the burst. Operations due in that time are slow because of the stall, although the
//! worker is on time again. Used by the recorder only.
//!
//! An echo lasts from the start of a stall until the number of open operations is back to the number just before the stall.

use crate::stalls::Stalls;
use std::collections::VecDeque;

/// A heartbeat that is no later than this is on time, so the messages that fell due in the stall have been sent.
const ON_TIME_NS: u64 = 2_000_000;

/// The maximum length of an echo, as a multiple of the total length of its stalls. A target that has 5% of its capacity
/// free has worked off the burst by then. Without this limit, an echo would never end under a growing load.
const LENGTH_MAX: u64 = 20;

/// The maximum number of echoes to keep.
const RECENT_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Echo {
    from_ns: u64,
    /// `u64::MAX` until the echo ends.
    to_ns: u64,
    /// Total stalled time before the echo.
    stalled_before_ns: u64,
    open_before: u64,
}

/// The echoes of one worker's stalls.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    recent: VecDeque<Echo>,
    /// The end of the latest observed stall.
    last_stall_to_ns: u64,
    /// Operations due at or after this time are not in an echo. `u64::MAX` during an echo.
    clear_from_ns: u64,
}

impl Echoes {
    /// Starts an echo if there has been a stall since the last call. Call this before counting anything else, so that `open` is
    /// the count before the stall.
    #[inline]
    pub(super) fn observe(&mut self, stalls: &Stalls, open: u64) {
        if stalls.last_to_ns() != self.last_stall_to_ns {
            self.start(stalls, open);
        }
    }

    #[cold]
    fn start(&mut self, stalls: &Stalls, open: u64) {
        self.last_stall_to_ns = stalls.last_to_ns();
        if self.clear_from_ns == u64::MAX {
            // An earlier echo has not ended, so this stall extends it.
            return;
        }
        let from_ns = stalls.last_from_ns();
        let stalled_before_ns = stalls.until_ns(from_ns);
        self.recent.push_back(Echo { from_ns, to_ns: u64::MAX, stalled_before_ns, open_before: open });
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        self.clear_from_ns = u64::MAX;
    }

    /// Ends the echo if its conditions are met. Called for a heartbeat at `at_ns` that was `late_ns` late.
    pub(super) fn heartbeat(&mut self, stalls: &Stalls, at_ns: u64, late_ns: u64, open: u64) {
        if self.clear_from_ns != u64::MAX || late_ns > ON_TIME_NS {
            return;
        }
        let Some(echo) = self.recent.back_mut() else { return };
        let stalled_ns = stalls.until_ns(at_ns) - echo.stalled_before_ns;
        let longest_ns = stalled_ns.saturating_mul(LENGTH_MAX);
        if open <= echo.open_before || at_ns.saturating_sub(echo.from_ns) >= longest_ns {
            echo.to_ns = at_ns;
            self.clear_from_ns = at_ns;
        }
    }

    /// Returns true if a stall or an echo may have delayed an operation that was due at `due_ns`. Checking for echoes is
    /// enough, because an echo ends after its stalls.
    #[inline]
    pub(super) fn may_delay(&self, due_ns: u64) -> bool {
        due_ns < self.clear_from_ns
    }

    /// Returns the total stalled time from the start of the echo that contains `due_ns` until `due_ns`; 0 if no echo
    /// contains it.
    pub(super) fn delay_ns(&self, stalls: &Stalls, due_ns: u64) -> u64 {
        let found = self.recent.iter().rev().find(|echo| echo.from_ns <= due_ns);
        let echo = found.filter(|echo| due_ns < echo.to_ns);
        echo.map_or(0, |echo| stalls.until_ns(due_ns).saturating_sub(echo.stalled_before_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn note(stalls: &Stalls, zero: std::time::Instant, from_ms: u64, to_ms: u64) {
        stalls.note(zero + Duration::from_millis(from_ms), zero + Duration::from_millis(to_ms));
    }

    #[test]
    fn an_echo_lasts_until_the_burst_is_worked_off() {
        let zero = crate::clock::now();
        let (stalls, mut echoes) = (Stalls::new(zero), Echoes::default());
        echoes.observe(&stalls, 5);
        assert_eq!(echoes.delay_ns(&stalls, 50 * MS), 0);
        note(&stalls, zero, 100, 160);
        echoes.observe(&stalls, 5);
        echoes.observe(&stalls, 65);
        echoes.heartbeat(&stalls, 162 * MS, 30 * MS, 65);
        echoes.heartbeat(&stalls, 170 * MS, 0, 40);
        // Due after the stall: delayed by the whole stall. Due during the stall: delayed by the part before the due time.
        assert_eq!(echoes.delay_ns(&stalls, 165 * MS), 60 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 120 * MS), 20 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 99 * MS), 0);
        echoes.heartbeat(&stalls, 200 * MS, 0, 5);
        assert_eq!(echoes.delay_ns(&stalls, 199 * MS), 60 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 200 * MS), 0, "worked off");
    }

    #[test]
    fn a_second_stall_extends_an_echo() {
        let zero = crate::clock::now();
        let (stalls, mut echoes) = (Stalls::new(zero), Echoes::default());
        note(&stalls, zero, 100, 110);
        echoes.observe(&stalls, 1);
        note(&stalls, zero, 120, 150);
        echoes.observe(&stalls, 9);
        assert_eq!(echoes.delay_ns(&stalls, 160 * MS), 40 * MS);
        echoes.heartbeat(&stalls, 170 * MS, 0, 1);
        note(&stalls, zero, 500, 507);
        echoes.observe(&stalls, 3);
        assert_eq!(echoes.delay_ns(&stalls, 508 * MS), 7 * MS, "a new echo");
        assert_eq!(echoes.delay_ns(&stalls, 400 * MS), 0);
    }

    #[test]
    fn an_echo_ends_under_a_growing_load() {
        let zero = crate::clock::now();
        let (stalls, mut echoes) = (Stalls::new(zero), Echoes::default());
        note(&stalls, zero, 100, 110);
        echoes.observe(&stalls, 1);
        echoes.heartbeat(&stalls, 299 * MS, 0, 50);
        assert_eq!(echoes.delay_ns(&stalls, 299 * MS), 10 * MS);
        echoes.heartbeat(&stalls, 300 * MS, 0, 50);
        assert_eq!(echoes.delay_ns(&stalls, 300 * MS), 0);
    }
}
