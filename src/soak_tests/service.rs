//! The service client of the soak test: makes the due calls, and closes connections.

use super::{CLOSE_EVERY, CLOSED_AT_A_TIME, World};
use crate::emulator::Address;
use crate::emulator::service::{CallDeadline, PendingRequest};
use crate::fleet::ServiceDriver;
use crate::iothub::service::{ServiceCall, ServiceError, ServiceRequest, ServiceResult};
use std::collections::HashMap;
use std::time::Instant;

/// The service client and its open calls.
pub(super) struct Service {
    pub(super) driver: ServiceDriver,
    pub(super) open: HashMap<u64, (String, PendingRequest)>,
    pub(super) close_at: Instant,
    pub(super) closed: u32,
}

impl Service {
    pub(super) fn next(&self) -> Option<Instant> {
        let deadlines =
            self.open.values().filter_map(|(_, pending)| pending.deadline.map(|CallDeadline { at, .. }| at));
        deadlines.chain(self.driver.poll_timeout()).chain([self.close_at]).min()
    }

    /// Makes the due calls and takes the answers. Returns the connections to wake.
    pub(super) fn step(&mut self, world: &mut World, now: Instant, load_end: Instant) -> Vec<Address> {
        let mut wake = Vec::new();
        let unix = world.unix(now);
        for ServiceCall { id, device, request } in self.driver.poll(now) {
            let changes = matches!(request, ServiceRequest::UpdateDesired { .. });
            let pending = world.directory.request(now, unix, &device, request);
            world.not_notified += u64::from(changes && pending.wake.is_none());
            wake.extend(pending.wake);
            self.open.insert(id, (device, pending));
        }
        if now >= self.close_at {
            self.close_at = if now < load_end { now + CLOSE_EVERY } else { now + 1_000 * CLOSE_EVERY };
            let next = (0..CLOSED_AT_A_TIME).map(|n| (self.closed * 31 + n) as usize % 200);
            world.to_close.extend(next);
            self.closed += CLOSED_AT_A_TIME;
        }
        for number in std::mem::take(&mut world.to_close) {
            let device = world.context.plan.fleets[0].device_id(u32::try_from(number).expect("it fits"));
            wake.extend(world.directory.request(now, unix, &device, ServiceRequest::CloseConnection).wake);
        }
        let mut results = Vec::new();
        self.open.retain(|id, (device, pending)| {
            let passed = pending.deadline.take_if(|deadline| deadline.at <= now);
            if let Some(CallDeadline { call, .. }) = passed {
                world.directory.expire_call(device, call);
            }
            let result = match pending.result.try_recv() {
                Ok(result) => result,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return true,
                // The connection has ended, so no answer can arrive.
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => Err(ServiceError::NotOnline),
            };
            results.push(ServiceResult { id: *id, result: result.map_err(Into::into) });
            false
        });
        for result in &results {
            self.driver.handle_result(result, now);
        }
        wake
    }
}
