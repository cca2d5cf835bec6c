//! A device's requests other than telemetry, and everything that the hub sends on its own initiative. This is the part of [`HubSession`]
//! that uses the device's state in the directory. Independent of sockets, like the rest of the session.

use super::method::SentCall;
use super::{HubError, HubSession, OutgoingPacket, State};
use crate::emulator::c2d::FIRST_PID;
use crate::emulator::device::Outbound;
use crate::emulator::directory::Entry;
use crate::emulator::throttle::{Held, Refused};
use crate::emulator::twin;
use crate::iothub::service::{ServiceError, ServiceResponse};
use crate::iothub::throttles::Class;
use crate::iothub::topics::{self, Subscription};
use crate::iothub::twin_patch::{self, TwinError};
use crate::iothub::{error_code, limits};
use crate::wire::encode::{self, PublishRef};
use crate::wire::{self, QoS};
use bytes::BytesMut;
use serde_json::Value;
use std::time::Instant;

impl HubSession {
    /// Handles a SUBSCRIBE. A session has at most five subscriptions, across all SUBSCRIBE packets (Azure: "Communicate with an IoT hub
    /// using the MQTT protocol"). Subscribing again to the same filter replaces the subscription (MQTT 3.1.1 §3.8.4).
    pub(super) fn handle_subscribe(
        &mut self,
        now: Instant,
        subscribe: &wire::Subscribe,
    ) -> Result<(), HubError> {
        let requested: Vec<_> = subscribe
            .filters
            .iter()
            .map(|(filter, qos)| {
                Some((topics::subscription(&self.device, filter)?, (*qos).min(QoS::AtLeastOnce)))
            })
            .collect::<Option<_>>()
            .ok_or(HubError::ForeignFilter)?;
        self.directory.visit(&self.device, |entry| {
            let mut subscriptions = entry.device.subscriptions;
            for (subscription, granted) in &requested {
                subscriptions.set(*subscription, Some(*granted));
            }
            if subscriptions.len() > limits::SUBSCRIPTIONS_MAX {
                return Err(HubError::TooManySubscriptions(subscriptions.len()));
            }
            entry.device.subscriptions = subscriptions;
            Ok(())
        })?;
        // Messages and calls may be waiting for this subscription.
        self.woken = true;
        let granted = requested.into_iter().map(|(_, granted)| granted as u8).collect();
        self.answer(now, OutgoingPacket::SubAck { pid: subscribe.pid, granted });
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, filters: &[String]) {
        self.directory.visit(&self.device, |entry| {
            for filter in filters {
                if let Some(subscription) = topics::subscription(&self.device, filter) {
                    entry.device.subscriptions.set(subscription, None);
                }
            }
        });
    }

    pub(super) fn handle_twin_get(&mut self, now: Instant, query: &str) -> Result<(), HubError> {
        let rid = request_id(query)?;
        let held = match self.throttle_twin(now, Class::TwinReads)? {
            Ok(held) => held,
            Err(_) => return self.answer_throttled(now, rid),
        };
        let response = self.directory.visit(&self.device, |entry| {
            let granted = entry.device.subscriptions.get(Subscription::TwinResponses)?;
            Some((granted, entry.device.twin_view()))
        });
        let Some((granted, view)) = response else { return Ok(()) };
        self.charge(now, view.len());
        self.send(now, &topics::twin_response(200, rid, None), view.as_bytes(), granted, held)
    }

    /// Answers a twin request that exceeds a throttle.
    fn answer_throttled(&mut self, now: Instant, rid: &str) -> Result<(), HubError> {
        let responses = |entry: &mut Entry| entry.device.subscriptions.get(Subscription::TwinResponses);
        let Some(granted) = self.directory.visit(&self.device, responses) else { return Ok(()) };
        let body = twin::error_body_of(error_code::THROTTLING, &Refused::Throttled, self.unix(now));
        self.send(now, &topics::twin_response(429, rid, None), body.as_bytes(), granted, None)
    }

    pub(super) fn handle_twin_reported(
        &mut self,
        now: Instant,
        query: &str,
        body: &[u8],
    ) -> Result<(), HubError> {
        let rid = request_id(query)?;
        let held = match self.throttle_twin(now, Class::TwinUpdates)? {
            Ok(held) => held,
            Err(_) => return self.answer_throttled(now, rid),
        };
        let unix = self.unix(now);
        // No twin has version 0, so a version that is not a number never matches.
        let base = topics::query_value(query, "$version").map(|version| version.parse().unwrap_or(0));
        // The user name `{host}/{device}` allows telemetry, but not twin updates. This is observed in practice, but not documented.
        let patch = match self.has_api_version {
            true => twin_patch::parse(body),
            false => Err(TwinError::NoApiVersion),
        };
        let (granted, reported) = self.directory.visit(&self.device, |entry| {
            let reported = patch.and_then(|patch| entry.device.twin_mut().update_reported(patch, base, unix));
            (entry.device.subscriptions.get(Subscription::TwinResponses), reported)
        });
        if reported.is_ok() {
            self.charge(now, body.len());
        }
        let Some(granted) = granted else { return Ok(()) };
        match reported {
            Ok(version) => {
                self.send(now, &topics::twin_response(204, rid, Some(version)), b"", granted, held)
            }
            Err(error) => {
                let topic = topics::twin_response(error.status(), rid, None);
                self.send(now, &topic, twin::error_body(error, unix).as_bytes(), granted, held)
            }
        }
    }

    /// Ends the method call that a response belongs to. A response to an unknown call, or after the call's timeout, has no effect.
    pub(super) fn handle_method_response(
        &mut self,
        now: Instant,
        response: &str,
        body: &[u8],
    ) -> Result<(), HubError> {
        let (status, rid) = topics::method_answer(response).ok_or(HubError::ForeignTopic)?;
        let Ok(number) = u64::from_str_radix(rid, 16) else { return Ok(()) };
        if let Some(at) = self.sent_calls.iter().position(|call| call.number == number) {
            self.charge(now, body.len());
            self.sent_calls.swap_remove(at).reply.send(method_result(status, body));
        }
        Ok(())
    }

    pub(super) fn handle_puback(&mut self, pid: u16) {
        // Smaller packet ids belong to responses and notifications, which the hub sends only once, acknowledged or not.
        if pid >= FIRST_PID {
            self.directory.visit(&self.device, |entry| entry.device.acknowledge(pid));
            self.woken = true;
        }
    }

    /// Writes the next packet that the hub sends on its own initiative. Returns false if there is nothing to send.
    pub(super) fn write_outbound(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        if self.state != State::Online {
            return false;
        }
        let (outbound, retry_at) = self
            .directory
            .visit(&self.device, |entry| (entry.device.next_outbound(now), entry.device.retry_at()));
        self.woken = outbound.is_some();
        let publish = |out: &mut BytesMut, topic: &str, payload: &[u8], qos: QoS, dup: bool, pid: u16| {
            let publish = PublishRef { topic, payload, qos, dup, retain: false, pid };
            encode::publish(out, &publish)
                .expect("the topic and size of a service request have been checked");
        };
        match outbound {
            None => {
                self.retry_at = retry_at;
                return false;
            }
            Some(Outbound::Close) => self.state = State::Closing,
            Some(Outbound::Desired { version, patch, qos }) => {
                let pid = self.next_pid(qos);
                publish(out, &topics::twin_desired(version), patch.as_bytes(), qos, false, pid);
            }
            Some(Outbound::Call(call)) => {
                let topic = topics::method(&call.name, &format!("{:x}", call.number));
                publish(out, &topic, call.payload.as_bytes(), QoS::AtMostOnce, false, 0);
                let answer_by = now.checked_add(call.response_timeout);
                self.sent_calls.push(SentCall { number: call.number, answer_by, reply: call.reply });
            }
            Some(Outbound::C2d(delivery)) => {
                let message = &delivery.message;
                publish(out, &message.topic, &message.payload, delivery.qos, delivery.dup, delivery.pid);
            }
        }
        true
    }

    /// Returns the next time at which a method call times out or a message is redelivered.
    pub(super) fn exchange_timeout(&self) -> Option<Instant> {
        self.sent_calls.iter().filter_map(|call| call.answer_by).chain(self.retry_at).min()
    }

    pub(super) fn handle_exchange_timeout(&mut self, now: Instant) {
        let has_passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if has_passed(self.retry_at) {
            self.retry_at = None;
            self.woken = true;
        }
        for call in self.sent_calls.extract_if(.., |call| has_passed(call.answer_by)) {
            call.reply.send(Err(ServiceError::NoAnswer));
        }
    }

    /// Fails all unanswered method calls because the connection has ended.
    pub(super) fn fail_calls(&mut self) {
        for call in self.sent_calls.drain(..) {
            call.reply.send(Err(ServiceError::NotOnline));
        }
    }

    /// Returns the next packet id, which is 0 at QoS 0.
    fn next_pid(&mut self, qos: QoS) -> u16 {
        if qos == QoS::AtMostOnce {
            return 0;
        }
        self.last_pid = if self.last_pid + 1 < FIRST_PID { self.last_pid + 1 } else { 1 };
        self.last_pid
    }

    /// Queues a response, which a throttle or a fault may delay. It is sent only once, whether or not it is acknowledged.
    fn send(
        &mut self,
        now: Instant,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        held: Held,
    ) -> Result<(), HubError> {
        let pid = self.next_pid(qos);
        let publish = PublishRef { topic, payload, qos, dup: false, retain: false, pid };
        let mut frame = BytesMut::new();
        // Fails if the request id is too long for the topic of its response.
        encode::publish(&mut frame, &publish).map_err(|_| HubError::RequestId)?;
        self.frame_bytes += frame.len();
        let held = held.max(self.delayed(now));
        self.queue(OutgoingPacket::Frame(frame[..].into()), held);
        Ok(())
    }
}

/// Returns the request id as the device sent it. Azure does not document what happens if there is no request id. The emulator then treats
/// the topic as foreign, because it cannot build the topic of a response.
fn request_id(query: &str) -> Result<&str, HubError> {
    topics::query_value(query, "$rid").ok_or(HubError::ForeignTopic)
}

/// Converts a device's response to a method call. An empty body becomes `null` (our choice).
fn method_result(status: i32, body: &[u8]) -> Result<ServiceResponse, ServiceError> {
    let (bytes, bytes_max) = (body.len(), limits::METHOD_BYTES_MAX);
    if bytes > bytes_max {
        return Err(ServiceError::TooLarge { bytes, bytes_max });
    }
    let payload = match body {
        [] => Value::Null,
        _ => serde_json::from_slice(body).map_err(|_| ServiceError::InvalidAnswer)?,
    };
    Ok(ServiceResponse { status: Some(status), payload: Some(payload), version: None })
}
