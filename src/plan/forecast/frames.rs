//! The packets that a fleet's devices send, and their sizes. Used by `needs` and `memory`.

use crate::plan::model::FleetPlan;
use crate::plan::payload::{Payload, TemplateContext};
use crate::wire::QoS;

/// The maximum size of a packet header, plus the request id in a topic.
const FRAME_BYTES: u64 = 16;

/// A packet that devices of a fleet send repeatedly.
pub(super) struct Frame {
    pub(super) bytes: u64,
    /// Whether the packet's QoS is 1 or 2.
    pub(super) acked: bool,
    /// Packets per second from each device.
    pub(super) rate_hz: f64,
    pub(super) burst: u32,
}

/// Returns the size of the largest packet that needs an acknowledgment.
pub(super) fn largest_acked_bytes(fleet: &FleetPlan) -> u64 {
    let acked = frames(fleet).into_iter().filter(|frame| frame.acked);
    acked.map(|frame| frame.bytes).max().unwrap_or(0)
}

/// Returns the packets that a fleet's devices send: messages, twin requests, and answers to method calls. The rate of answers is
/// unknown, so it is given as infinite.
pub(super) fn frames(fleet: &FleetPlan) -> Vec<Frame> {
    let id = fleet.device_id(fleet.devices.saturating_sub(1));
    let names = TemplateContext { device: &id, index: fleet.devices.saturating_sub(1) };
    let bytes = |topic: usize, payload: &Payload| {
        FRAME_BYTES + (topic as u64).saturating_add(payload.bytes_max(id.len()) as u64)
    };
    let sends = fleet.sends.iter().map(|send| Frame {
        bytes: bytes(send.topic.render(&names).len(), &send.payload),
        acked: send.qos > 0,
        rate_hz: send.arrival.rate_hz,
        burst: send.arrival.burst,
    });
    let answers = fleet.methods.iter().filter_map(|method| method.answer.as_ref());
    let answers = answers.map(|answer| Frame {
        bytes: bytes(0, &answer.payload),
        acked: answer.qos != QoS::AtMostOnce,
        rate_hz: f64::INFINITY,
        burst: 0,
    });
    sends.chain(answers).collect()
}
