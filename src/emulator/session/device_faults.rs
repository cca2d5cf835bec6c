//! The faults that affect the device of one connection, and which of them are in progress. Kept by [`HubSession`](super::HubSession).
//! Independent of packets.

use crate::emulator::faults::HubFault;
use crate::policy::fault::FaultKind;
use std::sync::Arc;
use std::time::Instant;

/// The faults that affect the device of a connection.
#[derive(Debug)]
pub(super) struct DeviceFaults {
    pub(super) faults: Vec<Arc<HubFault>>,
    /// When a fault starts or ends next.
    pub(super) next_at: Option<Instant>,
    /// When the hub reads from the connection again.
    pub(super) stalled_until: Option<Instant>,
}

impl DeviceFaults {
    /// Returns the fault of this kind that is in progress.
    pub(super) fn active(&self, now: Instant, kind: FaultKind) -> Option<&HubFault> {
        self.faults.iter().map(|one| &**one).find(|one| one.fault.kind == kind && one.is_active(now))
    }

    /// Returns the fault that ends, at `now`, a connection that was admitted at `since`. A fault that happens once affects only connections
    /// that were admitted before.
    pub(super) fn ending(&self, since: Instant, now: Instant) -> Option<&HubFault> {
        let ends = |one: &&Arc<HubFault>| {
            let kind = one.fault.kind;
            let closes = matches!(
                kind,
                FaultKind::Close | FaultKind::Reset | FaultKind::DisableDevice | FaultKind::CertificateChange
            );
            closes && (one.is_active(now) || (since < one.from && one.from <= now))
        };
        self.faults.iter().find(ends).map(|one| &**one)
    }
}
