//! State that only devices of an IoT hub have: open twin requests, unanswered method calls, known versions of desired properties,
//! and sequence numbers of cloud-to-device messages. Part of `device`. A device without any of them allocates nothing.

use super::Device;
use super::state::IotHubState;
use crate::iothub::topics::TWIN_RESPONSES;
use crate::measure::{FromHub, Operation, Outcome};
use crate::wire::SUBACK_FAILURE;
use std::time::Instant;

impl Device {
    pub(super) fn iot_hub(&mut self) -> &mut IotHubState {
        self.iot_hub.get_or_insert_default()
    }

    /// Changes the fleet's counts of hub messages.
    pub(super) fn count_hub(&self, change: impl FnOnce(&mut FromHub)) {
        self.recorder().count(|counts| change(&mut counts.from_hub));
    }

    /// Handles the granted subscriptions: answers arrive from now on, unless their filter was refused.
    pub(super) fn on_subscriptions_granted(&mut self, granted: &[u8], now: Instant) {
        let plan = self.plan();
        if !plan.makes_twin_requests() {
            return;
        }
        let place = self.filters().iter().position(|(filter, _)| filter == TWIN_RESPONSES);
        if place.and_then(|place| granted.get(place)).is_some_and(|code| *code != SUBACK_FAILURE) {
            let get = plan.twin.get_on_connect;
            let get = get.then(|| self.recorder().due(Operation::TwinGet, self.context.ns(now)));
            self.messages.start_listening(get);
        }
    }

    /// Handles the timeouts of requests and calls.
    pub(super) fn on_timeout_iot_hub(&mut self, now: Instant) {
        self.expire_requests(now);
        if let Some(hub) = &mut self.iot_hub {
            hub.calls.on_timeout(now);
        }
    }

    /// Returns when `on_timeout_iot_hub` next has something to do.
    pub(super) fn iot_hub_timeout(&self) -> Option<Instant> {
        let requests = self.messages.requests();
        let request = requests.and_then(|requests| requests.next_expiry(self.plan().twin.timeout));
        let call = self.iot_hub.as_ref().and_then(|hub| hub.calls.next_due());
        request.into_iter().chain(call).min()
    }

    /// Returns true if requests are open.
    pub(super) fn waits_for_answers(&self) -> bool {
        self.messages.requests().is_some_and(|requests| !requests.is_empty())
    }

    /// Returns true if method calls are unanswered.
    pub(super) fn owes_answers(&self) -> bool {
        self.iot_hub.as_ref().is_some_and(|hub| !hub.calls.is_empty())
    }

    /// Ends open requests and calls after the connection or the run has ended.
    pub(super) fn end_pending_answers(&mut self, outcome: Outcome, now: Instant) {
        self.end_requests(outcome, now);
        self.end_calls(outcome, now);
    }
}
