//! The size of a measurement: its number of cells, and the precision of its histograms. The recorders and the collector
//! of a run share a layout; `footprint` computes memory sizes from it.

use super::operation::{Key, Operation};
use std::time::Duration;

/// The number of significant digits of histograms in totals.
pub(super) const DIGITS_TOTAL: u8 = 3;
/// The number of significant digits of histograms in the rows of the series.
pub(super) const DIGITS_ROW: u8 = 2;
/// The number of significant digits of a fleet's histograms in the rows of the series. There are up to ten in each row, and they are
/// drawn on a logarithmic scale: a second digit would more than double them for a difference of a pixel or two.
pub(super) const DIGITS_FLEET_ROW: u8 = 1;

/// The dimensions of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of fleets in the plan.
    pub fleets: usize,
    /// Number of phases in the plan.
    pub phases: usize,
    /// Highest value of every histogram. Larger values are recorded as this value, and counted as clipped.
    pub highest_us: u64,
}

impl Layout {
    /// Creates a layout for durations up to `longest` (`send_by` plus the longest timeout in the plan). The range in
    /// microseconds is rounded up to just below a power of two, which costs no additional memory.
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

    /// Returns the number of possible keys.
    pub(super) fn cells(&self) -> usize {
        Operation::ALL.len() * self.fleets * self.phases
    }

    /// Returns all keys.
    pub(super) fn keys(self) -> impl Iterator<Item = Key> {
        // A plan has fewer fleets and phases than a key can hold; a damaged journal may not.
        let up_to = |count: usize| 0..u16::try_from(count).unwrap_or(u16::MAX);
        up_to(self.phases).flat_map(move |phase| {
            up_to(self.fleets).flat_map(move |fleet| {
                Operation::ALL.into_iter().map(move |operation| Key { operation, fleet, phase })
            })
        })
    }

    /// Returns the index of a key's cell.
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
    fn every_key_has_its_own_index() {
        let layout = Layout::new(3, 4, Duration::from_secs(60));
        let indices: BTreeSet<usize> = layout.keys().map(|key| layout.index(key)).collect();
        assert_eq!(indices, (0..layout.cells()).collect());
    }

    #[test]
    fn the_range_is_rounded_up_to_a_power_of_two() {
        let layout = Layout::new(1, 1, Duration::from_secs(60));
        assert_eq!(layout.highest_us, (1 << 26) - 1, "60 s is below 67.1 s");
    }
}
