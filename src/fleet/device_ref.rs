//! Names one device of a run. Used by whatever in `fleet` is about one device.

use crate::plan::{FleetPlan, Plan};

/// One device: its fleet, and its index within that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRef {
    /// The index of its fleet in the plan.
    pub fleet: u16,
    /// Its index within the fleet.
    pub index: u32,
}

impl DeviceRef {
    /// Its fleet's plan.
    pub(crate) fn fleet(self, plan: &Plan) -> &FleetPlan {
        &plan.fleets[usize::from(self.fleet)]
    }

    /// Its index over all fleets.
    pub(crate) fn global(self, plan: &Plan) -> u64 {
        self.fleet(plan).first + u64::from(self.index)
    }
}
