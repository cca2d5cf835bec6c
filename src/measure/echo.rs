//! Echoes of stalls. After a stall a worker sends in one burst what fell due meanwhile, and a target needs time to work that off:
//! operations that are due meanwhile are slow because of the stall, although the worker is on time again. Used by the recorder.
//!
//! An echo runs from a stall's start until as few operations are open as just before it.

use crate::stalls::Stalls;
use std::collections::VecDeque;

/// A deadline served within this time was on time: what had piled up in a stall has been picked up.
const ON_TIME_NS: u64 = 2_000_000;

/// An echo ends at the latest when so many times the stalls in it have passed: a target that has 5% of its capacity left has worked
/// off a burst by then. Without a bound, a load that grows would never be as low again as before its first stall.
const LENGTH_MAX: u64 = 20;

/// The most echoes that can be looked up.
const RECENT_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Echo {
    from_ns: u64,
    /// `u64::MAX` while it lasts.
    to_ns: u64,
    /// Stalls before it.
    stalled_before_ns: u64,
    open_before: u64,
}

/// The echoes of one worker's stalls.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    recent: VecDeque<Echo>,
    /// The end of the latest stall that was seen.
    last_stall_to_ns: u64,
    /// What is due from here on is in no echo, and no stall came after it.
    clear_from_ns: u64,
}

impl Echoes {
    /// Sees whether there was a stall since the last call. Comes before anything else is counted, so that `open` is as it was before
    /// the stall.
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
            // The echo of an earlier stall has not ended: it goes on.
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

    /// The worker's heartbeat came at `at_ns`, so late.
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

    /// Whether the stalls and echoes that were observed may have delayed an operation that was due then. An echo ends after its stalls.
    #[inline]
    pub(super) fn may_delay(&self, due_ns: u64) -> bool {
        due_ns < self.clear_from_ns
    }

    /// Of an operation that was due in an echo: the stalls from that echo's start to the due time.
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
        // Due while it lasts: behind all of the stall; due in it: behind the part before.
        assert_eq!(echoes.delay_ns(&stalls, 165 * MS), 60 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 120 * MS), 20 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 99 * MS), 0);
        echoes.heartbeat(&stalls, 200 * MS, 0, 5);
        assert_eq!(echoes.delay_ns(&stalls, 199 * MS), 60 * MS);
        assert_eq!(echoes.delay_ns(&stalls, 200 * MS), 0, "worked off");
    }

    #[test]
    fn a_second_stall_in_an_echo_adds_to_it() {
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
        assert_eq!(echoes.delay_ns(&stalls, 508 * MS), 7 * MS, "an echo of its own");
        assert_eq!(echoes.delay_ns(&stalls, 400 * MS), 0);
    }

    #[test]
    fn an_echo_ends_although_the_load_grows() {
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
