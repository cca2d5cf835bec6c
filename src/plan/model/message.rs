//! What devices send: streams of messages, and their will. Data only.

use crate::measure::Operation;
use crate::plan::payload::{Payload, Template};
use crate::plan::schedule::Arrival;
use crate::wire::QoS;

/// What the server publishes when a device goes without DISCONNECT (MQTT 3.1.1 §3.1.2.5).
#[derive(Debug)]
pub struct WillPlan {
    /// Where to; `${device}` is resolved per device.
    pub topic: Template,
    /// What; rendered at each CONNECT; its `${seq}` is 0.
    pub payload: Payload,
    /// At which QoS.
    pub qos: QoS,
    /// Retained or not.
    pub retain: bool,
}

/// One stream of messages of each device.
#[derive(Debug)]
pub struct SendPlan {
    /// When they are due.
    pub arrival: Arrival,
    /// `telemetry` for an IoT hub, `publish` for a plain broker, and with `.qos0` at QoS 0; or a twin request.
    pub operation: Operation,
    /// Where they go, with the property bag; `${device}` is resolved per device. The id of a twin request follows.
    pub topic: Template,
    /// 0, 1, or for a plain broker 2.
    pub qos: u8,
    /// MQTT's flag: a broker keeps it, an IoT hub notes it.
    pub retain: bool,
    /// What they contain.
    pub payload: Payload,
    /// Bytes that their properties add to the size that an IoT hub limits and bills.
    pub properties_bytes: usize,
}
