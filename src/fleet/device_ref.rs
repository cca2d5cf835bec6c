//! Identifies one device of a run. Used throughout `fleet` and by `app`.

use crate::plan::{FleetPlan, Plan};

/// A device: its fleet and its index within the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRef {
    /// Index of the fleet in the plan.
    pub fleet: u16,
    /// Index within the fleet.
    pub index: u32,
}

impl DeviceRef {
    /// Returns the plan of the device's fleet.
    pub(crate) fn fleet(self, plan: &Plan) -> &FleetPlan {
        &plan.fleets[usize::from(self.fleet)]
    }

    /// Returns the device's index over all fleets.
    pub(crate) fn global(self, plan: &Plan) -> u64 {
        self.fleet(plan).first + u64::from(self.index)
    }
}
