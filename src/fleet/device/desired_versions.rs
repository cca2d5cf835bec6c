//! The versions of desired properties that a device has received: new, stale or missed. Used by `twin`.

use crate::measure::FromHub;

/// Maximum number of changes that wait for the whole twin. Further ones are counted immediately.
const EARLY_MAX: usize = 64;

/// Maximum number of changes that one jump in the versions can count as missed, so that a bogus version cannot saturate the
/// counter.
const MISSED_MAX: u64 = u32::MAX as u64;

/// The version of the desired properties at the device. The correct order is to subscribe, to request the whole twin, and to drop
/// changes that are not newer (Azure: "Understand and use device twins in IoT Hub").
#[derive(Debug, Default)]
pub(super) struct DesiredVersions {
    known: Option<u64>,
    /// Versions that arrived before the whole twin.
    early: Vec<u64>,
}

impl DesiredVersions {
    /// Handles a change. Returns the counts to add for it. Nothing counts as missed while the whole twin is in transit.
    pub(super) fn on_change(&mut self, version: u64, getting: bool) -> FromHub {
        if getting && self.early.len() < EARLY_MAX {
            self.early.push(version);
            return FromHub { desired: 1, ..FromHub::default() };
        }
        let mut counts = self.settle(None);
        counts.desired += 1;
        self.count_version(version, &mut counts);
        counts
    }

    /// Counts the early changes once the whole twin has arrived with version `whole`, or will not arrive.
    pub(super) fn settle(&mut self, whole: Option<u64>) -> FromHub {
        self.known = self.known.max(whole);
        let mut counts = FromHub::default();
        for version in std::mem::take(&mut self.early) {
            self.count_version(version, &mut counts);
        }
        counts
    }

    fn count_version(&mut self, version: u64, counts: &mut FromHub) {
        match self.known {
            Some(known) if version <= known => {
                counts.desired_stale += 1;
                return;
            }
            Some(known) => counts.desired_missed += (version - known - 1).min(MISSED_MAX),
            None => {}
        }
        self.known = Some(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: FromHub) -> (u64, u64, u64) {
        (counts.desired, counts.desired_stale, counts.desired_missed)
    }

    #[test]
    fn stale_and_missed_versions_are_counted() {
        let mut desired = DesiredVersions::default();
        for (version, expected) in
            [(5, (1, 0, 0)), (6, (1, 0, 0)), (6, (1, 1, 0)), (2, (1, 1, 0)), (9, (1, 0, 2)), (10, (1, 0, 0))]
        {
            assert_eq!(counts(desired.on_change(version, false)), expected, "{version}");
        }
        assert_eq!(counts(desired.on_change(u64::MAX, false)), (1, 0, MISSED_MAX));
    }

    #[test]
    fn early_changes_are_compared_with_the_whole_twin() {
        let mut desired = DesiredVersions::default();
        for version in [3, 4, 5, 7] {
            assert_eq!(counts(desired.on_change(version, true)), (1, 0, 0));
        }
        assert_eq!(counts(desired.settle(Some(4))), (0, 2, 1), "3 and 4 are in the twin, 6 never arrived");
        assert_eq!(counts(desired.on_change(8, false)), (1, 0, 0));
        assert_eq!(counts(desired.settle(Some(6))), (0, 0, 0), "an older version changes nothing");
        assert_eq!(counts(desired.on_change(9, false)), (1, 0, 0));
    }

    #[test]
    fn early_changes_are_bounded() {
        let mut desired = DesiredVersions::default();
        for version in 0..10_000 {
            desired.on_change(version, true);
            assert!(desired.early.len() <= EARLY_MAX);
        }
    }
}
