//! Faults on the built-in hub, and on the generator's side. Data only.

use crate::policy::fault::Fault;

/// A fault on the built-in hub.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// The fault. It lists the ids of the chosen devices, unless it affects all devices.
    pub fault: Fault,
    /// Share of the devices of the fleet, or of all fleets, as a fraction of 1.
    pub share: f64,
    /// Index of the fleet; `None` for all fleets.
    pub fleet: Option<u16>,
    /// Number of chosen devices.
    pub devices: u64,
    /// True if it was generated at random.
    pub random: bool,
}

/// A fault of a fleet: on the generator's side.
#[derive(Clone, Debug)]
pub struct FleetFault {
    /// The fault. It lists no devices.
    pub fault: Fault,
    /// Share of the fleet's devices, as a fraction of 1.
    pub share: f64,
    /// Sorted indices of the chosen devices within the fleet; `None` for all of them.
    pub chosen: Option<Vec<u32>>,
}

impl FleetFault {
    /// Returns whether the fault affects the device with this index within the fleet.
    #[must_use]
    pub fn affects(&self, index: u32) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.binary_search(&index).is_ok())
    }
}
