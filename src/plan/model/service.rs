//! What the service client calls. Data only.

use crate::iothub::message_size::message_bytes;
use crate::iothub::properties;
use crate::measure::Operation;
use crate::plan::payload::Payload;
use crate::plan::schedule::{Arrival, RoundRobin};
use std::time::Duration;

/// One stream of calls of the service side to the devices of a fleet. Nothing is due for a device while the plan has
/// it offline.
#[derive(Debug)]
pub struct DrivePlan {
    /// Index of the fleet.
    pub fleet: u16,
    /// What is called.
    pub call: CallPlan,
    /// When calls are due: of the whole fleet, all of it online.
    pub arrival: Arrival,
    /// Who is called next when calls are evenly spaced.
    pub order: RoundRobin,
    /// What it carries.
    pub payload: Payload,
    /// A call without its answer for so long has timed out.
    pub timeout: Duration,
}

/// What the service side calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallPlan {
    /// A direct method.
    Method {
        /// Its name.
        name: String,
        /// How long the hub waits for the device's answer.
        response_timeout: Duration,
        /// How long the hub waits for the device to connect.
        connect_timeout: Duration,
    },
    /// A change of desired properties.
    Desired,
    /// A cloud-to-device message.
    C2d {
        /// Its properties; when it was sent, and its number, are added.
        properties: Vec<(String, String)>,
        /// How long the hub keeps it; the hub's default otherwise.
        ttl: Option<Duration>,
    },
}

impl CallPlan {
    /// What is measured of it.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            CallPlan::Method { .. } => Operation::ServiceMethod,
            CallPlan::Desired => Operation::ServiceDesired,
            CallPlan::C2d { .. } => Operation::ServiceC2d,
        }
    }

    /// The most bytes that the properties of a call add to its size as an IoT hub counts it. The destination is the hub's own, and does
    /// not count.
    #[must_use]
    pub fn properties_bytes_max(&self) -> usize {
        let CallPlan::C2d { properties, .. } = self else { return 0 };
        let stamps = [properties::SENT, properties::SEQ].map(|name| (name.to_owned(), u64::MAX.to_string()));
        let all: Vec<_> = properties.iter().cloned().chain(stamps).collect();
        message_bytes(0, &properties::encode(&all))
    }
}
