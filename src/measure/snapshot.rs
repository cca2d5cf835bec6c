//! The numbers that a worker counted since its last snapshot. Created by the recorder; added up by the collector.

use super::connections::Connections;
use super::errors::ErrorTotals;
use super::fleet_counts::FleetCounts;
use super::health::Busy;
use super::latency::Latency;
use super::layout::Layout;
use super::operation::Key;
use super::seconds::Seconds;
use super::strays::Stray;
use super::target_totals::TargetTotals;
use super::totals::Totals;
use serde::{Deserialize, Serialize};

/// The numbers that a worker counted between two swaps. [`Recorder::swap`](super::Recorder::swap) creates it,
/// [`Collector::add`](super::Collector::add) adds it up, and [`Recorder::recycle`](super::Recorder::recycle) reuses it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) cells: Vec<(Key, Totals)>,
    /// The part of `cells` whose devices were under a fault of the scenario.
    #[serde(default)]
    pub(super) under_fault: Vec<(Key, Totals)>,
    pub(super) seconds: Seconds,
    /// The second in which all operations in `cells` were due, except those in `strays`.
    pub(super) second: u64,
    /// The part of `cells` that was due in another second.
    pub(super) strays: Vec<Stray>,
    pub(super) fleets: Vec<(FleetCounts, Online)>,
    pub(super) errors: Vec<ErrorTotals>,
    /// The numbers by host. Left out of journals of runs with one host, and of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) targets: Vec<TargetTotals>,
    pub(super) heartbeat: Latency,
    /// Busy time by phase.
    pub(super) busy: Vec<Busy>,
    /// Start and end of each stall, in nanoseconds.
    pub(super) stalls: Vec<[u64; 2]>,
    /// Start and end of each interval in which the thread was saturated, in nanoseconds.
    pub(super) saturated: Vec<[u64; 2]>,
    /// All steps, and divergences that were larger than all previous ones.
    pub(super) divergences: Vec<Divergence>,
    /// Connects and disconnects. Journals from earlier versions have none.
    #[serde(default)]
    pub(super) connections: Connections,
}

impl Snapshot {
    /// Returns whether the collector of a run with this layout can add the snapshot. Snapshots from a file may contain anything.
    pub(super) fn fits(&self, layout: &Layout) -> bool {
        let is_known =
            |key: &Key| usize::from(key.fleet) < layout.fleets && usize::from(key.phase) < layout.phases;
        // 136 years of seconds, and more devices than any machine can run.
        let (second_max, online_max) = (1_u64 << 32, 1_i64 << 32);
        let is_online = |online: &Online| [online.now, online.peak].iter().all(|n| n.abs() < online_max);
        let is_stray = |stray: &Stray| is_known(&stray.key) && stray.second < second_max;
        self.cells.iter().chain(&self.under_fault).all(|(key, _)| is_known(key))
            && self.second < second_max
            && self.strays.iter().all(is_stray)
            && self.connections.fits(layout.fleets, second_max)
            && self.seconds.iter().all(|(second, _)| second < second_max)
            && self.fleets.iter().all(|(_, online)| is_online(online))
            && self.stalls.iter().chain(&self.saturated).all(|[from_ns, to_ns]| from_ns <= to_ns)
    }
}

/// A movement of the wall clock relative to the monotonic clock between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Divergence {
    /// Time of the later reading.
    pub(super) at_ns: u64,
    /// The movement; negative if the wall clock fell behind.
    pub(super) by_us: i64,
    /// True if the clock was set or the machine was suspended.
    pub(super) is_step: bool,
}

/// The number of devices online: now, and at the peak since the last snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Online {
    pub(super) now: i64,
    pub(super) peak: i64,
}

impl Online {
    pub(super) fn change(&mut self, delta: i64) {
        self.now += delta;
        self.peak = self.peak.max(self.now);
    }
}

/// Checks that snapshots are `Send`, because workers send them to the collector.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Snapshot>();
};
