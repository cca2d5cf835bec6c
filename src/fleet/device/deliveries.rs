//! Messages that other devices of the run receive: reports published messages to the delivery tracker, recognizes received ones,
//! and keeps the device online until all have arrived. Part of `device`.

use super::super::sequence_tracker::Arrival;
use super::{Device, DeviceRecorder};
use crate::measure::{FleetCounts, Operation};
use crate::plan::Stamp;
use crate::wire::Publish;
use std::time::Instant;

impl Device {
    /// Tracks an acknowledged message of this send.
    pub(super) fn track_acked(&self, send: u16, due_ns: u64) {
        let plan = &self.context.plan;
        if plan.deliveries.is_tracked(self.device.fleet, send) {
            self.context.delivery_tracker.borrow_mut().published(plan, self.device, send, due_ns);
        }
    }

    /// Tracks an unacknowledged message of this send, identified by its sequence number and due time.
    pub(super) fn track_unacked(&self, send: u16, message: (u64, u64)) {
        let plan = &self.context.plan;
        if plan.deliveries.is_tracked(self.device.fleet, send) {
            self.context.delivery_tracker.borrow_mut().unacked(plan, self.device, send, message);
        }
    }

    /// Handles a message from a broker. A retained message (MQTT 3.1.1 §3.3.1.3) is sent in response to the subscription and does
    /// not count as a delivery.
    pub(super) fn on_delivery(&mut self, now: Instant, publish: &Publish) {
        if !self.context.plan.deliveries.receives(self.device.fleet) {
            return;
        }
        let context = self.context.clone();
        let plan = &context.plan;
        let recorder = DeviceRecorder { context: &context, device: self.device, excuse: self.excuse };
        let now_ns = context.ns(now);
        let stamp = Stamp::find(&publish.payload, plan.deliveries.run());
        let stamp = stamp.filter(|stamp| !publish.retain && stamp.due_us.saturating_mul(1_000) <= now_ns);
        let arrival = stamp.and_then(|stamp| {
            let inbox = self.inbox.get_or_insert_default();
            Some((stamp, context.delivery_tracker.borrow_mut().arrived(plan, inbox, self.device, &stamp)?))
        });
        let Some((stamp, arrival)) = arrival else {
            return recorder.count(|counts| counts.foreign += 1);
        };
        let count: fn(&mut FleetCounts) = match arrival {
            Arrival::New => |_| {},
            Arrival::Reordered => |counts| counts.reordered += 1,
            Arrival::Duplicate => |counts| counts.duplicates += 1,
        };
        recorder.count(count);
        if arrival != Arrival::Duplicate {
            // Lag and wait are recorded for the PUBLISH, not for its deliveries.
            recorder.done(recorder.due(Operation::Deliver, stamp.due_us * 1_000), now);
        }
    }

    /// Returns true if deliveries to this device may still arrive after the load. Called once the device's own messages have
    /// ended. The device stays online while this returns true.
    pub(super) fn awaits_deliveries(&mut self) -> bool {
        let over = self.offline_at_ns() >= self.context.load_end_ns() && !self.is_reconnecting();
        if over && self.session.open().next().is_none() {
            self.stop_sending();
        }
        over && self.context.plan.deliveries.receives(self.device.fleet) && !self.context.has_all_deliveries()
    }

    /// Notes, once, that the device has published its last message.
    pub(super) fn stop_sending(&mut self) {
        if std::mem::take(&mut self.is_sender) {
            self.context.delivery_tracker.borrow_mut().remove_sender();
        }
    }
}
