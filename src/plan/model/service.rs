//! Calls that the service client makes. Data only.

use crate::iothub::message_size::message_bytes;
use crate::iothub::properties;
use crate::measure::Operation;
use crate::plan::payload::Payload;
use crate::plan::schedule::{Arrival, RoundRobin};
use std::time::Duration;

/// A stream of calls to the devices of a fleet. No call is due for a device while it is planned to be offline.
#[derive(Debug)]
pub struct DrivePlan {
    /// Index of the fleet.
    pub fleet: u16,
    /// Kind of call.
    pub call: CallPlan,
    /// Due times of the calls to the whole fleet, while all devices are online.
    pub arrival: Arrival,
    /// Order in which evenly spaced calls go to the devices.
    pub order: RoundRobin,
    /// Payload.
    pub payload: Payload,
    /// Timeout for a call.
    pub timeout: Duration,
}

/// A kind of call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallPlan {
    /// A direct method.
    Method {
        /// Method name.
        name: String,
        /// How long the hub waits for the device's answer.
        response_timeout: Duration,
        /// How long the hub waits for the device to connect.
        connect_timeout: Duration,
    },
    /// A change to desired properties.
    Desired,
    /// A cloud-to-device message.
    C2d {
        /// Properties from the scenario. The send time and the sequence number are added to them.
        properties: Vec<(String, String)>,
        /// How long the hub keeps the message. `None`: the hub's default.
        ttl: Option<Duration>,
    },
}

impl CallPlan {
    /// Returns the operation under which these calls are measured.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            CallPlan::Method { .. } => Operation::ServiceMethod,
            CallPlan::Desired => Operation::ServiceDesired,
            CallPlan::C2d { .. } => Operation::ServiceC2d,
        }
    }

    /// Returns the maximum number of bytes that the properties add to the size of a call, as an IoT hub counts it. The destination
    /// does not count, because the hub adds it.
    #[must_use]
    pub fn properties_bytes_max(&self) -> usize {
        let CallPlan::C2d { properties, .. } = self else { return 0 };
        let stamps = [properties::SENT, properties::SEQ].map(|name| (name.to_owned(), u64::MAX.to_string()));
        let all: Vec<_> = properties.iter().cloned().chain(stamps).collect();
        message_bytes(0, &properties::encode(&all))
    }
}
