//! What a worker counted since its last snapshot. Made by the recorder, added up by the collector.

use super::errors::ErrorTotals;
use super::fleet_counts::FleetCounts;
use super::health::Busy;
use super::latency::Latency;
use super::operation::Key;
use super::seconds::Seconds;
use super::totals::Totals;

/// What a worker counted between two swaps. Made by [`Recorder::swap`], added by `Collector::add`, and best handed
/// back to [`Recorder::recycle`].
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) cells: Vec<(Key, Totals)>,
    pub(super) seconds: Seconds,
    pub(super) fleets: Vec<(FleetCounts, Online)>,
    pub(super) errors: Vec<ErrorTotals>,
    pub(super) heartbeat: Latency,
    /// By phase.
    pub(super) busy: Vec<Busy>,
    /// `[from_ns, to_ns]`
    pub(super) stalls: Vec<[u64; 2]>,
    /// `[from_ns, to_ns]`
    pub(super) saturated: Vec<[u64; 2]>,
    /// Each is a step, or larger than all before it.
    pub(super) divergences: Vec<Divergence>,
}

/// By how much the wall clock moved against the monotonic clock between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    /// When it was noticed.
    pub(super) at_ns: u64,
    /// Negative when the wall clock fell behind.
    pub(super) by_us: i64,
    /// The clock was set, or the machine was suspended.
    pub(super) is_step: bool,
}

/// Devices online: how many now, and the most since the last snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Snapshots travel from a worker to the collector.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Snapshot>();
};
