//! The billed messages of each operation: a hub bills in blocks of 4 KB (0.5 KB in the tier F1), rounded up per message (Azure: "Azure IoT
//! Hub billing information"). Payloads that may need more than one block are rendered, and the result is their mean. Used by `demand`, and by `app` for
//! the cost of a run. Pure.

use crate::iothub::limits::Tier;
use crate::iothub::throttles::method_kib;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Payload, PayloadContext, SendPlan};
use crate::rng::Purpose;
use std::time::Duration;

/// Rendering stops after this number of devices, messages of a device, and bytes.
const DEVICES_MAX: u32 = 8;
const MESSAGES_MAX: u64 = 128;
const BYTES_MAX: usize = 16 << 20;
/// `${now}` has the same size at all times, so the value has no effect.
const NOW_UNIX: Duration = Duration::from_secs(1_800_000_000);
const DAY_S: f64 = 86_400.0;

/// Returns the mean number of billed messages for a message of a stream. Reading a twin counts as one, because the size of the twin is not known.
#[must_use]
pub fn message_blocks(fleet: &FleetPlan, send: &SendPlan, tier: Tier) -> f64 {
    if let Some(recording) = send.payload.recording() {
        return recording.blocks_mean(tier.block_bytes());
    }
    let per_day = send.arrival.rate_hz * DAY_S;
    mean(fleet, &send.payload, per_day, tier, send.properties_bytes)
}

/// Returns the mean number of billed messages for one call, including the answer to a method call, or the update message to the device for
/// desired properties.
#[must_use]
pub fn call_blocks(fleet: &FleetPlan, drive: &DrivePlan, tier: Tier) -> f64 {
    let per_day = drive.arrival.rate_hz * DAY_S;
    let blocks = |payload: &Payload, more_bytes| mean(fleet, payload, per_day, tier, more_bytes);
    match &drive.call {
        CallPlan::Method { name, .. } => {
            let method = fleet.methods.iter().find(|method| method.name == *name);
            let answer = match method.map(|method| &method.answer) {
                Some(Some(answer)) => blocks(&answer.payload, 0),
                Some(None) => 0.0,
                None => 1.0,
            };
            blocks(&drive.payload, 0) + answer
        }
        CallPlan::Desired => 2.0 * blocks(&drive.payload, 0),
        CallPlan::C2d { .. } => blocks(&drive.payload, drive.call.properties_bytes_max()),
    }
}

/// Returns the mean number of KiB that a method call uses of its throttle.
#[must_use]
pub fn call_kib(fleet: &FleetPlan, drive: &DrivePlan) -> f64 {
    mean_of_sizes(fleet, &drive.payload, drive.arrival.rate_hz * DAY_S, 0, &method_kib)
}

/// Returns the mean number of blocks of a payload over a day. `more_bytes` is the size of the properties.
fn mean(fleet: &FleetPlan, payload: &Payload, per_day: f64, tier: Tier, more_bytes: usize) -> f64 {
    mean_of_sizes(fleet, payload, per_day, more_bytes, &|bytes| tier.billed(bytes))
}

/// Returns the mean of `count` of the sizes of a payload's messages over a day.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sequence numbers and blocks are far below 2^52"
)]
fn mean_of_sizes(
    fleet: &FleetPlan,
    payload: &Payload,
    per_day: f64,
    more_bytes: usize,
    count: &dyn Fn(u64) -> u64,
) -> f64 {
    let last = fleet.devices.saturating_sub(1);
    let most = payload.bytes_max(fleet.device_id(last).len()) + more_bytes;
    // No message is smaller than an empty one, so all messages count the same.
    if count(most as u64) == count(0) {
        return count(0) as f64;
    }
    let devices = fleet.devices.clamp(1, DEVICES_MAX);
    let (mut sum, mut rendered, mut bytes) = (0, 0_u64, 0);
    let mut message = Vec::new();
    for n in 0..devices {
        let index = (u64::from(last) * u64::from(n) / u64::from(devices.saturating_sub(1).max(1))) as u32;
        let device = fleet.device_id(index);
        let mut state = payload.state(1, fleet.first + u64::from(index), Purpose::Payload(0));
        for message_number in 0..MESSAGES_MAX {
            if bytes > BYTES_MAX {
                break;
            }
            let passed = message_number as f64 / MESSAGES_MAX as f64;
            let context = PayloadContext {
                device: &device,
                index,
                seq: (passed * per_day) as u64,
                now_unix: NOW_UNIX,
                uptime: Duration::from_secs_f64(passed * DAY_S),
            };
            message.clear();
            payload.render(&mut state, &context, &mut message);
            bytes += message.len().max(1);
            sum += count((message.len() + more_bytes) as u64);
            rendered += 1;
        }
    }
    sum as f64 / rendered.max(1) as f64
}
