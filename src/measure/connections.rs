//! The connects, disconnects and outages that a worker counted since its last snapshot, in bins of 100 ms. Filled by the recorder, read by
//! `disturbance_tracker`. Devices connect rarely, so this costs nothing for a message, and it is empty while no device connects or
//! disconnects. Independent of plans: it does not know which disconnects were planned.

use serde::{Deserialize, Serialize};

/// Length of a bin, in nanoseconds.
pub(super) const BIN_NS: u64 = 100_000_000;

/// How a device went offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// As planned.
    Planned,
    /// The connection was lost.
    Lost,
}

/// The time from a disconnect until the device is online again, or until it no longer needs to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Index of the fleet.
    pub fleet: u16,
    /// Time of the disconnect.
    pub from_ns: u64,
    /// End of the outage.
    pub to_ns: u64,
    /// Number of connection attempts in the outage.
    pub attempts: u32,
    /// True if the device is online again.
    pub is_back: bool,
}

/// The changes of one fleet in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changes {
    /// Number of the bin: its start is this many times [`BIN_NS`] after the start of the run.
    pub(super) bin: u64,
    pub(super) fleet: u16,
    /// Devices that went online.
    pub(super) connected: u64,
    /// Devices that went offline, for any reason.
    pub(super) disconnected: u64,
    /// Devices of these that lost their connection.
    pub(super) lost: u64,
    /// Time of the first loss; 0 without one.
    pub(super) first_lost_ns: u64,
    /// Connection attempts that started.
    pub(super) attempts: u64,
}

impl Changes {
    /// Adds the changes of other devices in the same bin, or at other times.
    pub(super) fn add(&mut self, other: &Changes) {
        self.connected = self.connected.saturating_add(other.connected);
        self.disconnected = self.disconnected.saturating_add(other.disconnected);
        self.attempts = self.attempts.saturating_add(other.attempts);
        if other.lost > 0 {
            let is_first = self.lost == 0 || other.first_lost_ns < self.first_lost_ns;
            self.first_lost_ns = if is_first { other.first_lost_ns } else { self.first_lost_ns };
            self.lost = self.lost.saturating_add(other.lost);
        }
    }
}

/// The changes and the outages since the last snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connections {
    changes: Vec<Changes>,
    outages: Vec<Outage>,
}

impl Connections {
    /// Counts a device that went online.
    pub(super) fn connected(&mut self, fleet: u16, at_ns: u64) {
        self.at(fleet, at_ns).connected += 1;
    }

    /// Counts a device that went offline.
    pub(super) fn disconnected(&mut self, fleet: u16, at_ns: u64, how: Offline) {
        let changes = self.at(fleet, at_ns);
        changes.disconnected += 1;
        if how == Offline::Lost {
            let lost = Changes { lost: 1, first_lost_ns: at_ns, ..Changes::default() };
            changes.add(&lost);
        }
    }

    /// Counts a connection attempt.
    pub(super) fn attempt(&mut self, fleet: u16, at_ns: u64) {
        self.at(fleet, at_ns).attempts += 1;
    }

    /// Adds an outage that has ended.
    pub(super) fn outage(&mut self, outage: Outage) {
        self.outages.push(outage);
    }

    /// Returns the changes of a bin. Nearly always, it is one of the last.
    fn at(&mut self, fleet: u16, at_ns: u64) -> &mut Changes {
        let bin = at_ns / BIN_NS;
        let known = self.changes.iter().rposition(|known| known.bin == bin && known.fleet == fleet);
        let index = known.unwrap_or_else(|| {
            self.changes.push(Changes { bin, fleet, ..Changes::default() });
            self.changes.len() - 1
        });
        &mut self.changes[index]
    }

    pub(super) fn changes(&self) -> &[Changes] {
        &self.changes
    }

    /// Adds the changes of a bin.
    #[cfg(test)]
    pub(super) fn push(&mut self, changes: Changes) {
        self.changes.push(changes);
    }

    pub(super) fn outages(&self) -> &[Outage] {
        &self.outages
    }

    /// Empties the lists, and keeps their memory for reuse.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.outages.clear();
    }

    /// Returns true if there is no fleet from `fleets` on and no time from second `second_max` on, so that the numbers can be added up.
    pub(super) fn fits(&self, fleets: usize, second_max: u64) -> bool {
        let bins_max = second_max.saturating_mul(1_000_000_000 / BIN_NS);
        self.changes.iter().all(|one| usize::from(one.fleet) < fleets && one.bin < bins_max)
            && self.outages.iter().all(|one| usize::from(one.fleet) < fleets && one.from_ns <= one.to_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn changes_are_counted_by_fleet_and_bin() {
        let mut connections = Connections::default();
        connections.disconnected(0, 250 * MS, Offline::Lost);
        connections.disconnected(0, 210 * MS, Offline::Lost);
        connections.disconnected(0, 299 * MS, Offline::Planned);
        connections.attempt(0, 300 * MS);
        connections.connected(1, 300 * MS);
        let expected = [
            Changes { bin: 2, disconnected: 3, lost: 2, first_lost_ns: 210 * MS, ..Changes::default() },
            Changes { bin: 3, attempts: 1, ..Changes::default() },
            Changes { bin: 3, fleet: 1, connected: 1, ..Changes::default() },
        ];
        assert_eq!(connections.changes(), expected);
        assert!(connections.fits(2, 1) && !connections.fits(1, 1) && !connections.fits(2, 0));
        connections.clear();
        assert_eq!(connections, Connections::default());
    }
}
