//! What a plan needs of this machine: counted before anything starts, so that running out is an error up front
//! and not a result that lies. Printed by `check`; held against the real limits by `app`.

use super::frames::frames;
use crate::plan::model::{FleetPlan, Plan, Subscription};

/// What a plan needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process. The built-in hub needs as many of its own, in its own process.
    pub descriptors: u64,
    /// Ephemeral ports towards the target that are in use at once.
    pub ports: u64,
    /// And those that may be closing meanwhile: devices that renew their tokens, or leave and come back. An estimate
    /// from above; 0 on loopback, where Linux reuses such ports after a second.
    pub ports_closing: u64,
    /// Memory of this process, roughly, while the hub answers.
    pub memory_bytes: u64,
    /// The same at worst: the hub neither reads nor acknowledges, and devices hold what they would send.
    pub memory_max_bytes: u64,
}

/// What a device remembers of a message that is not acknowledged, in tables that grow by doubling.
const SLOT_BYTES: u64 = 160;
/// Packet ids for messages; each device has its own.
const IDS: u64 = 65_279;
/// Memory of a device over TLS under load: in this process, for messages on their way, and in the kernel's buffers (our choice).
const DEVICE_ROOM_BYTES: u64 = 16 * 1024;
/// The program with its threads, and measurements of a few operations.
const PROGRAM_BYTES: u64 = 48 * 1024 * 1024;
/// While more than this waits to be written, a device encodes no further message.
const OUTPUT_BYTES: u64 = 64 * 1024;

impl Needs {
    /// Descriptors beside the sockets: the runtimes, the result, pipes to the built-in hub; and sockets of connections
    /// that are still closing while their successors open.
    pub const DESCRIPTORS_BESIDE: u64 = 256;

    /// How many devices over TLS fit into that much memory, beside the program itself.
    #[must_use]
    pub fn devices_in(memory_bytes: u64) -> u64 {
        memory_bytes.saturating_sub(PROGRAM_BYTES) / DEVICE_ROOM_BYTES
    }
}

impl Plan {
    /// The resources of this machine that the plan needs with `workers` workers.
    #[must_use]
    pub fn needs(&self, workers: usize) -> Needs {
        let devices = self.devices();
        let largest = self.fleets.iter().flat_map(frames).map(|frame| frame.bytes).max().unwrap_or(0);
        let memory_bytes = self.memory_bytes(workers, largest);
        let held = self.fleets.iter().map(|fleet| u64::from(fleet.devices) * self.held_bytes(fleet, largest));
        Needs {
            descriptors: devices + Needs::DESCRIPTORS_BESIDE,
            ports: devices,
            ports_closing: self.ports_closing(),
            memory_bytes,
            memory_max_bytes: held
                .fold(memory_bytes - self.kept_bytes(), u64::saturating_add)
                .max(memory_bytes),
        }
    }

    /// What a device of a fleet holds at worst, with a hub that neither reads nor acknowledges.
    fn held_bytes(&self, fleet: &FleetPlan, largest: u64) -> u64 {
        let mut frames = frames(fleet);
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.bytes));
        // Those that timed out are still in use: up to as many again, less the one that makes the device give up.
        let mut slots = (2 * u64::from(fleet.in_flight)).saturating_sub(1).clamp(1, IDS);
        let (mut kept, mut unwritten) = (0_u64, 0_u64);
        for frame in frames {
            let due = self.most_due(frame.rate_hz, frame.burst);
            unwritten = unwritten.saturating_add(due.saturating_mul(frame.bytes)).min(OUTPUT_BYTES + largest);
            if frame.acked {
                let count = due.min(slots);
                slots -= count;
                // Only a session that is kept sends again what was not acknowledged.
                kept += count * (SLOT_BYTES + if fleet.clean_session { 0 } else { frame.bytes });
            }
        }
        // A subscriber may wait for the rest of the largest message there is.
        let hears = fleet.subscribe.iter().any(|to| matches!(to, Subscription::Filter(..)));
        kept + unwritten + if hears { largest } else { 0 }
    }

    /// Messages of a stream that are due to a device in the whole run, about; Poisson's may be some more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; the cast saturates"
    )]
    fn most_due(&self, rate_hz: f64, burst: u32) -> u64 {
        let seconds = self.schedule.load().total().max(self.schedule.end().as_secs_f64());
        ((rate_hz * seconds).ceil() as u64).saturating_add(burst.into())
    }
}

#[cfg(test)]
mod tests;
