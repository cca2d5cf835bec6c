//! Faults on the built-in hub. Data only.

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
