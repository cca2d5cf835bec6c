//! What a message from the server means to a device. A part of `device`; the session has acknowledged it already.

use super::Device;
use crate::plan::TargetKind;
use crate::wire::Publish;
use std::time::Instant;

impl Device {
    pub(super) fn on_message(&mut self, now: Instant, publish: &Publish) {
        match self.context.plan.target.kind {
            // Bytes are counted by the link.
            TargetKind::IotHub => {}
            TargetKind::Mqtt => self.on_delivery(now, publish),
        }
    }
}
