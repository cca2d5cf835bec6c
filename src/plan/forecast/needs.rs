//! The resources of this machine that a plan needs, so that a shortage is an error before the run instead of a wrong result.
//! Printed by `check`; compared with the limits of this machine by `app`.

use super::frames::frames;
use crate::plan::model::{FleetPlan, Plan, Subscription};

/// The resources of this machine that a plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process. The built-in hub, a separate process, needs the same number.
    pub descriptors: u64,
    /// Ephemeral ports to the target that are in use at the same time.
    pub ports: u64,
    /// Upper estimate of the additional ephemeral ports in TIME_WAIT after devices renew tokens, or disconnect and reconnect. 0 on
    /// loopback, where Linux reuses such ports after a second.
    pub ports_closing: u64,
    /// Approximate memory of this process while the target responds, in bytes.
    pub memory_bytes: u64,
    /// Approximate memory of this process in the worst case: the target neither reads nor acknowledges, and devices keep their messages.
    pub memory_max_bytes: u64,
}

/// Memory for an unacknowledged message, in tables that grow by doubling.
const SLOT_BYTES: u64 = 160;
/// Number of packet ids that a device's messages can use.
const PACKET_IDS: u64 = 65_279;
/// Memory of a device over TLS under load: in this process and in the kernel's buffers (our choice).
const DEVICE_ROOM_BYTES: u64 = 16 * 1024;
/// Memory of the program with its threads, and of measurements of a few operations.
const PROGRAM_BYTES: u64 = 48 * 1024 * 1024;
/// A device does not encode another message while more bytes than this are waiting to be written.
const OUTPUT_BYTES: u64 = 64 * 1024;

impl Needs {
    /// Descriptors besides the devices' sockets: runtimes, the result, pipes to the built-in hub, and sockets that are still
    /// closing while their successors open.
    pub const DESCRIPTORS_BESIDE: u64 = 256;

    /// Returns the number of devices over TLS that fit into this much memory, together with the program.
    #[must_use]
    pub fn devices_in(memory_bytes: u64) -> u64 {
        memory_bytes.saturating_sub(PROGRAM_BYTES) / DEVICE_ROOM_BYTES
    }
}

impl Plan {
    /// Returns the resources that the plan needs with `workers` workers.
    #[must_use]
    pub fn needs(&self, workers: usize) -> Needs {
        let (devices, half_open) = (self.devices(), self.half_open());
        let largest = self.fleets.iter().flat_map(frames).map(|frame| frame.bytes).max().unwrap_or(0);
        let memory_bytes = self.memory_bytes(workers, largest);
        let worst_case =
            self.fleets.iter().map(|fleet| u64::from(fleet.devices) * self.worst_case_bytes(fleet, largest));
        Needs {
            descriptors: devices + half_open + Needs::DESCRIPTORS_BESIDE,
            ports: devices + half_open,
            ports_closing: self.ports_closing(),
            memory_bytes,
            memory_max_bytes: worst_case
                .fold(memory_bytes - self.kept_packet_bytes(), u64::saturating_add)
                .max(memory_bytes),
        }
    }

    /// Returns the memory of a device in the worst case: the target neither reads nor acknowledges.
    fn worst_case_bytes(&self, fleet: &FleetPlan, largest: u64) -> u64 {
        let mut frames = frames(fleet);
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.bytes));
        // Timed-out messages still use slots: up to `in_flight` more, minus the last one, which makes the device close the connection.
        let mut slots = (2 * u64::from(fleet.in_flight)).saturating_sub(1).clamp(1, PACKET_IDS);
        let (mut kept, mut unwritten) = (0_u64, 0_u64);
        for frame in frames {
            let due = self.most_due(fleet, frame.rate_hz, frame.burst);
            unwritten = unwritten.saturating_add(due.saturating_mul(frame.bytes)).min(OUTPUT_BYTES + largest);
            if frame.acked {
                let count = due.min(slots);
                slots -= count;
                // Unacknowledged messages are sent again only in a persistent session.
                kept += count * (SLOT_BYTES + if fleet.clean_session { 0 } else { frame.bytes });
            }
        }
        // A subscriber may have received part of the largest message.
        let has_filters = fleet.subscribe.iter().any(|to| matches!(to, Subscription::Filter(..)));
        kept + unwritten + if has_filters { largest } else { 0 }
    }

    /// Returns the number of a device's messages that are due in a stream in the whole run. A Poisson stream may have a few more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; the cast saturates"
    )]
    fn most_due(&self, fleet: &FleetPlan, rate_hz: f64, burst: u32) -> u64 {
        let seconds = self.schedule_of(fleet).load().total().max(self.schedule.end().as_secs_f64());
        ((rate_hz * seconds).ceil() as u64).saturating_add(burst.into())
    }
}

#[cfg(test)]
mod tests;
