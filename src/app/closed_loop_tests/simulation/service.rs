//! The service client of a run in virtual time. It receives a result when the throttles of the hub let the call pass, as over the
//! control channel.

use crate::emulator::Address;
use crate::emulator::directory::Directory;
use crate::emulator::service::{CallDeadline, PendingRequest};
use crate::fleet::ServiceDriver;
use crate::iothub::service::{ServiceCall, ServiceError, ServiceResult};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::error::TryRecvError;

/// The service client and its open calls.
pub(super) struct Service {
    pub(super) driver: ServiceDriver,
    open: HashMap<u64, (String, PendingRequest)>,
    /// Results that a throttle delays.
    held: Vec<(Instant, ServiceResult)>,
}

impl Service {
    pub(super) fn new(driver: ServiceDriver) -> Service {
        Service { driver, open: HashMap::new(), held: Vec::new() }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let deadlines = self.open.values().filter_map(|(_, pending)| pending.deadline.map(|one| one.at));
        deadlines.chain(self.held.iter().map(|(at, _)| *at)).chain(self.driver.poll_timeout()).min()
    }

    /// Makes the due calls and receives the answers. Returns the connections to wake.
    pub(super) fn step(&mut self, hub: &Directory, now: Instant, unix: Duration) -> Vec<Address> {
        let mut wake = Vec::new();
        for ServiceCall { id, device, request } in self.driver.poll(now) {
            let pending = hub.request(now, unix, &device, request);
            wake.extend(pending.wake);
            self.open.insert(id, (device, pending));
        }
        let held = &mut self.held;
        self.open.retain(|id, (device, pending)| {
            if let Some(CallDeadline { call, .. }) = pending.deadline.take_if(|deadline| deadline.at <= now) {
                hub.expire_call(device, call);
            }
            let result = match pending.result.try_recv() {
                Ok(result) => result,
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Closed) => Err(ServiceError::NotOnline),
            };
            let result = ServiceResult { id: *id, result: result.map_err(Into::into) };
            held.push((pending.held.unwrap_or(now), result));
            false
        });
        for (_, result) in self.held.extract_if(.., |(at, _)| *at <= now) {
            self.driver.handle_result(&result, now);
        }
        wake
    }
}
