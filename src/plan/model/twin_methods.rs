//! Twin requests and direct methods of an IoT hub's devices. Data only.

use crate::plan::payload::Payload;
use crate::wire::QoS;
use std::time::Duration;

/// How a device of an IoT hub asks for its twin and changes it. What of that is scheduled is among its `sends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinPlan {
    /// Asks for the whole twin whenever it has connected and subscribed.
    pub get_on_connect: bool,
    /// Of requests, 0 or 1.
    pub qos: u8,
    /// From a request to its answer.
    pub timeout: Duration,
}

/// What a device does when a direct method is called.
#[derive(Debug)]
pub struct MethodPlan {
    /// Which.
    pub name: String,
    /// What it answers; `None`: nothing.
    pub answer: Option<AnswerPlan>,
    /// How long that takes.
    pub after: Duration,
    /// Goes and comes back afterwards.
    pub then_reconnect: bool,
}

/// What is answered to a direct method.
#[derive(Debug)]
pub struct AnswerPlan {
    /// In HTTP's numbers, as a rule.
    pub status: u32,
    /// JSON, or empty; its `${seq}` counts the calls.
    pub payload: Payload,
    /// 0 or 1.
    pub qos: QoS,
}
