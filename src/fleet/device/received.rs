//! Dispatches a message from the server by target and topic. Part of `device`. The session has already acknowledged it.

use super::Device;
use crate::iothub::received::{Received, received};
use crate::plan::TargetKind;
use crate::wire::Publish;
use std::time::Instant;

impl Device {
    pub(super) fn on_message(&mut self, now: Instant, publish: &Publish) {
        match self.context.plan.target.kind {
            TargetKind::IotHub => self.on_hub_message(now, publish),
            TargetKind::Mqtt => self.on_delivery(now, publish),
        }
    }

    fn on_hub_message(&mut self, now: Instant, publish: &Publish) {
        match received(&self.id(), &publish.topic) {
            Some(Received::TwinAnswer { status, rid }) => {
                self.on_twin_answer(now, status, rid, &publish.payload);
            }
            Some(Received::Desired { version }) => self.on_desired(version),
            Some(Received::Method { name, rid }) => self.on_method(now, name, rid),
            Some(Received::C2d { bag }) => self.on_c2d(now, bag),
            None => self.count_hub(|counts| counts.unreadable += 1),
        }
    }
}
