//! Device messages: streams, and the will. Data only.

use crate::measure::Operation;
use crate::plan::payload::{Payload, Template};
use crate::plan::recording::PlannedRows;
use crate::plan::schedule::{Arrival, Spread};
use crate::wire::QoS;

/// A will: the server publishes it when the connection ends without DISCONNECT (MQTT 3.1.1 §3.1.2.5).
#[derive(Debug)]
pub struct WillPlan {
    /// Topic. `${device}` is replaced per device.
    pub topic: Template,
    /// Payload, rendered for each CONNECT. Its `${seq}` is 0.
    pub payload: Payload,
    /// QoS.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
}

/// A message stream of each device.
#[derive(Debug)]
pub struct SendPlan {
    /// Due times.
    pub arrival: Arrival,
    /// `telemetry` for an IoT hub or `publish` for a plain broker (with `.qos0` appended at QoS 0), or a twin request.
    pub operation: Operation,
    /// Topic, including the property bag; in a replay, without the part that the recording has for each message. `${device}` is replaced per device. For twin requests, the request id is appended.
    pub topic: Template,
    /// QoS: 0 or 1; for a plain broker also 2.
    pub qos: u8,
    /// Retain flag. A broker stores retained messages; an IoT hub only adds a property to them.
    pub retain: bool,
    /// Payload.
    pub payload: Payload,
    /// Number of bytes that the properties add to the size that an IoT hub limits and bills. Those of a recording are not included.
    pub properties_bytes: usize,
}

impl SendPlan {
    /// Returns the rows that are due, if the stream replays a recording once.
    #[must_use]
    pub fn planned_rows(&self) -> Option<&PlannedRows> {
        let recording = self.payload.recording().filter(|_| self.arrival.spread == Spread::Replay)?;
        Some(recording.planned()).filter(|rows| !rows.by_phase.is_empty())
    }
}
