//! Direct methods: when and how each call is answered, and what the device does afterwards. Part of `device`.
//!
//! A call is due when it arrives. The delay set in the scenario counts as its wait and the delay of the device's timer as its
//! lag. The call ends when the answer has been sent.

use super::pending_calls::PendingCall;
use super::{ConnectionEnd, ConnectionState, Device, DeviceRecorder, Excuse};
use crate::fleet::nanos;
use crate::fleet::open::{Open, Outgoing};
use crate::iothub::topics;
use crate::measure::{Culprit, Operation, Outcome};
use crate::plan::{MethodPlan, PayloadContext, PayloadState};
use crate::rng::Purpose;
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::session::{Message, NotPublished};
use crate::wire::QoS;
use bytes::BytesMut;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Maximum number of unanswered calls. Further calls are dropped (our choice).
const WAITING_MAX: usize = 1024;

/// Status for a method that the scenario does not define. Azure's .NET SDK returns it if there is no handler
/// (`MethodNotImplemented`). Other SDKs leave the answer to the program or do not answer.
const NOT_IMPLEMENTED: u32 = 501;

/// Status if the scenario's payload is not valid JSON for this device, so that the service client does not wait in vain.
const INTERNAL_ERROR: u32 = 500;

impl Device {
    pub(super) fn on_method(&mut self, now: Instant, name: &str, rid: &str) {
        let methods = &self.plan().methods;
        let method = methods.iter().position(|method| method.name == name);
        let plan = method.and_then(|method| methods.get(method));
        let after = plan.map_or(Duration::ZERO, |plan| plan.after);
        let answers = plan.is_none_or(|plan| plan.answer.is_some());
        if method.is_none() {
            self.count_hub(|counts| counts.methods_unknown += 1);
        }
        if self.iot_hub().calls.waiting.len() < WAITING_MAX {
            let open = answers.then(|| self.recorder().due(Operation::Method, self.context.ns(now)));
            let call = PendingCall { open, at: now + after, picked: None, method, rid: rid.into() };
            let calls = &mut self.iot_hub().calls;
            calls.add(call);
            calls.on_timeout(now);
        } else {
            self.recorder().error("method_overflow", Culprit::Target, now, || {
                format!("{}: more than {WAITING_MAX} method calls were unanswered", self.id())
            });
            let open = self.recorder().due(Operation::Method, self.context.ns(now));
            self.recorder().ended(open, Outcome::Lost, now);
        }
    }

    fn method(&self, call: &PendingCall) -> Option<&MethodPlan> {
        self.plan().methods.get(call.method?)
    }

    /// Writes due answers while the output has room.
    pub(super) fn answer_methods(&mut self, now: Instant, out: &mut BytesMut) {
        while out.len() < OUTPUT_BYTES_MAX
            && let Some(call) = self.iot_hub.as_ref().and_then(|hub| hub.calls.due())
        {
            let plan = self.method(call);
            let reconnect = plan.is_some_and(|plan| plan.then_reconnect);
            let answer = call.open.is_some();
            let qos = plan.and_then(|plan| plan.answer.as_ref()).map_or(QoS::AtMostOnce, |answer| answer.qos);
            if answer && qos > QoS::AtMostOnce && !self.session.has_room() {
                return;
            }
            let mut call = self.iot_hub().calls.waiting.remove(0);
            match call.open.take() {
                Some(open) => self.answer(&call, open, now, out),
                None => self.count_hub(|counts| counts.methods_unanswered += 1),
            }
            if reconnect && matches!(self.connection, ConnectionState::Online { .. }) {
                self.start_reconnect(ConnectionEnd::Method, now);
            }
        }
    }

    fn answer(&mut self, call: &PendingCall, open: Open, now: Instant, out: &mut BytesMut) {
        let context = self.context.clone();
        let fleet = self.device.fleet(&context.plan);
        let answer = call.method.and_then(|method| fleet.methods.get(method)?.answer.as_ref());
        let mut payload = context.payload.borrow_mut();
        payload.clear();
        if let (Some(method), Some(answer)) = (call.method, answer) {
            let (device, index) = (self.id(), self.device.index);
            let (state, calls) = self.answer_state(method);
            let facts = PayloadContext {
                device: &device,
                index,
                seq: *calls,
                now_unix: if answer.payload.has_now() { context.unix(now) } else { Duration::ZERO },
                uptime: context.clock.since(now),
            };
            answer.payload.render(state, &facts, &mut payload);
            *calls += 1;
        }
        let problem = answer.and_then(|answer| answer.payload.json_problem(&payload));
        let status = match (answer, problem) {
            (None, _) => NOT_IMPLEMENTED,
            (Some(_), Some(_)) => {
                payload.clear();
                INTERNAL_ERROR
            }
            (Some(answer), None) => answer.status,
        };
        let mut topic = context.topic.borrow_mut();
        topic.clear();
        // Writing to a String cannot fail.
        let _ = write!(topic, "{}{status}/?$rid={}", topics::METHOD_ANSWER, call.rid);
        let qos = answer.map_or(QoS::AtMostOnce, |answer| answer.qos);
        let late = call.picked.unwrap_or(now).saturating_duration_since(call.at);
        let picked_ns = open.due_ns() + nanos(late);
        let mut outgoing = Outgoing::MethodAnswer(open.picked(picked_ns));
        if let Some(what) = problem {
            let what = format!("the payload for this device is {what}");
            self.fail_answer(std::mem::replace(&mut outgoing, Outgoing::Request), "payload", &what, now);
        }
        let message = Message { topic: &topic, payload: &payload, qos, retain: false };
        if let Err(NotPublished { error, tag }) = self.session.publish(now, &message, outgoing, out) {
            // This would be a bug: `received` rejects request ids that cannot be sent back.
            self.fail_answer(tag, "encode", &error.to_string(), now);
        }
    }

    /// Ends a call whose answer could not be sent. The load generator is the culprit.
    fn fail_answer(&self, outgoing: Outgoing, class: &'static str, text: &str, now: Instant) {
        self.recorder().error(class, Culprit::Generator, now, || format!("{}: {text}", self.id()));
        if let Outgoing::MethodAnswer(open) = outgoing {
            DeviceRecorder { excuse: Excuse::Machine, ..self.recorder() }.ended(open, Outcome::Lost, now);
        }
    }

    /// Returns the payload state of a method, and the number of answers so far.
    fn answer_state(&mut self, method: usize) -> &mut (PayloadState, u64) {
        let context = self.context.clone();
        let global = self.global_index();
        let fleet = self.device.fleet(&context.plan);
        let states = &mut self.iot_hub().calls.states;
        if states.is_empty() {
            let empty = crate::plan::Payload::empty();
            let methods = fleet.methods.iter().zip(0_u16..);
            *states = methods
                .map(|(method, number)| {
                    let payload = method.answer.as_ref().map_or(&empty, |answer| &answer.payload);
                    (payload.state(context.plan.seed, global, Purpose::MethodAnswer(number)), 0)
                })
                .collect();
        }
        &mut states[method]
    }

    /// Ends the calls that can no longer be answered.
    pub(super) fn end_calls(&mut self, outcome: Outcome, now: Instant) {
        let Some(hub) = &mut self.iot_hub else { return };
        for call in std::mem::take(&mut hub.calls.waiting) {
            match call.open {
                Some(open) => self.recorder().ended(open, outcome, now),
                None => self.count_hub(|counts| counts.methods_unanswered += 1),
            }
        }
    }
}
