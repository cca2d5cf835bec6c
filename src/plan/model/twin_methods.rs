//! Twin requests and direct methods, for devices of an IoT hub. Data only.

use crate::plan::payload::Payload;
use crate::wire::QoS;
use std::time::Duration;

/// A device's twin requests. Scheduled requests are in [`FleetPlan::sends`](super::FleetPlan::sends).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinPlan {
    /// Whether to request the whole twin after every connect and subscribe.
    pub get_on_connect: bool,
    /// QoS of the requests, 0 or 1.
    pub qos: u8,
    /// Timeout for the answer to a request.
    pub timeout: Duration,
}

/// A direct method that a device answers.
#[derive(Debug)]
pub struct MethodPlan {
    /// Method name.
    pub name: String,
    /// Answer. `None`: the device never answers.
    pub answer: Option<AnswerPlan>,
    /// Delay before the answer.
    pub after: Duration,
    /// Whether the device reconnects after the call.
    pub then_reconnect: bool,
}

/// The answer to a direct method.
#[derive(Debug)]
pub struct AnswerPlan {
    /// Status, usually an HTTP status code.
    pub status: u32,
    /// Payload: JSON or empty. Its `${seq}` counts the calls.
    pub payload: Payload,
    /// QoS, 0 or 1.
    pub qos: QoS,
}
