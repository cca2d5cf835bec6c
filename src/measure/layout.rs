//! The size of a measurement: how many cells it has, and how precise its histograms are. Used by recorder, collector and
//! footprint.

use super::operation::{Key, Operation};
use std::time::Duration;

/// Significant digits of totals.
pub(super) const DIGITS_TOTAL: u8 = 3;
/// Significant digits of a row of the series.
pub(super) const DIGITS_ROW: u8 = 2;

/// The size of a measurement: recorder and collector of one run share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Fleets of the plan.
    pub fleets: usize,
    /// Phases of the plan.
    pub phases: usize,
    /// Top of every histogram; what lies above is recorded there, and counted as clipped.
    pub highest_us: u64,
}

impl Layout {
    /// A layout for durations up to `longest` (`send_by` plus the longest timeout of the plan), rounded up to
    /// where a histogram's memory ends anyway: just below a power of two of microseconds.
    #[must_use]
    pub fn new(fleets: usize, phases: usize, longest: Duration) -> Layout {
        let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Layout {
            fleets,
            phases,
            highest_us: longest_us.max(2).saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX)
                - 1,
        }
    }

    /// How many keys there are.
    pub(super) fn cells(&self) -> usize {
        Operation::ALL.len() * self.fleets * self.phases
    }

    /// Where the numbers of a key lie.
    #[inline]
    pub(super) fn index(&self, key: Key) -> usize {
        debug_assert!(usize::from(key.fleet) < self.fleets, "the plan has no such fleet");
        debug_assert!(usize::from(key.phase) < self.phases, "the plan has no such phase");
        (usize::from(key.phase) * self.fleets + usize::from(key.fleet)) * Operation::ALL.len()
            + key.operation.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_has_its_own_place() {
        let layout = Layout::new(3, 4, Duration::from_secs(60));
        let keys =
            (0..4).flat_map(|phase| (0..3).map(move |fleet| (fleet, phase))).flat_map(|(fleet, phase)| {
                Operation::ALL.into_iter().map(move |operation| Key { operation, fleet, phase })
            });
        let places: BTreeSet<usize> = keys.map(|key| layout.index(key)).collect();
        assert_eq!(places, (0..layout.cells()).collect());
    }

    #[test]
    fn the_range_is_rounded_up() {
        let layout = Layout::new(1, 1, Duration::from_secs(60));
        assert_eq!(layout.highest_us, (1 << 26) - 1, "60 s lies below 67.1 s");
    }
}
