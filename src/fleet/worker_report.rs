//! The messages from workers to the coordinator. Sent by `worker` and `context`, handled by `coordinator`.

use super::delivery_tracker::{DeliveryTracker, Progress};
use crate::link::TlsFacts;
use crate::measure::Snapshot;

/// A message from a worker to the coordinator.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are snapshots, and each box would be an allocation"
)]
pub(crate) enum Report {
    /// The numbers since the last snapshot.
    Snapshot { worker: u16, snapshot: Snapshot },
    /// The worker's delivery counts. Sent during the drain whenever they change.
    Progress { worker: u16, progress: Progress },
    /// The worker's delivery tracker, after its last device has finished.
    Deliveries(Box<DeliveryTracker>),
    /// By fleet, how many connections or packets each fault on the generator's side affected. Sent after the last device has finished.
    FaultsApplied(Vec<Vec<u64>>),
    /// TLS parameters of the worker's first connection.
    Tls(TlsFacts),
    /// The worker received an appended segment only after its load had ended.
    LateAppend,
    /// The worker failed. The coordinator learns the reason when it joins the thread.
    WorkerFailed,
}
