//! What goes on over a connection besides telemetry: the requests of a device and what the hub has to tell it. The part of
//! [`HubSession`] that looks into the device's record in the directory.

use super::{HubError, HubSession, Reply, State};
use crate::emulator::c2d::FIRST_PID;
use crate::emulator::device::{Call, Order, Place};
use crate::emulator::service::{Called, ServiceError};
use crate::emulator::twin::{self, TwinError};
use crate::iothub::limits;
use crate::iothub::topics::{self, Subscription};
use crate::wire::encode::{self, PublishRef};
use crate::wire::{self, QoS};
use bytes::BytesMut;
use serde_json::Value;
use std::time::Instant;
use tokio::sync::oneshot;

/// A method that the device was told of.
#[derive(Debug)]
pub(super) struct InFlight {
    number: u64,
    /// `None`: beyond what the clock can say.
    answer_by: Option<Instant>,
    place: Option<Place>,
    answer: oneshot::Sender<Result<Called, ServiceError>>,
}

impl InFlight {
    fn end(self, result: Result<Called, ServiceError>) {
        // Free the place first: the caller may call again as soon as it has the answer.
        drop(self.place);
        // Who has gone needs no answer.
        let _ = self.answer.send(result);
    }
}

impl HubSession {
    /// Of all filters of a connection's life, not of one packet, there may be five (Azure: "Communicate with an IoT hub using the
    /// MQTT protocol"); subscribing again to the same filter replaces (MQTT 3.1.1 §3.8.4).
    pub(super) fn handle_subscribe(&mut self, subscribe: &wire::Subscribe) -> Result<(), HubError> {
        let asked: Vec<_> = subscribe
            .filters
            .iter()
            .map(|(filter, qos)| {
                Some((topics::subscription(&self.device, filter)?, (*qos).min(QoS::AtLeastOnce)))
            })
            .collect::<Option<_>>()
            .ok_or(HubError::ForeignFilter)?;
        self.directory.visit(&self.device, |entry| {
            let mut subscriptions = entry.device.subscriptions;
            for (subscription, granted) in &asked {
                subscriptions.set(*subscription, Some(*granted));
            }
            if subscriptions.len() > limits::SUBSCRIPTIONS_MAX {
                return Err(HubError::TooManySubscriptions(subscriptions.len()));
            }
            entry.device.subscriptions = subscriptions;
            Ok(())
        })?;
        // There may be messages and calls that waited for it.
        self.woken = true;
        let granted = asked.into_iter().map(|(_, granted)| granted as u8).collect();
        self.replies.push_back(Reply::SubAck { pid: subscribe.pid, granted });
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

    pub(super) fn handle_twin_get(&mut self, query: &str) -> Result<(), HubError> {
        let rid = rid(query)?;
        let answer = self.directory.visit(&self.device, |entry| {
            let granted = entry.device.subscriptions.get(Subscription::TwinResponses)?;
            Some((granted, entry.device.twin_view()))
        });
        let Some((granted, view)) = answer else { return Ok(()) };
        self.send(&topics::twin_response(200, rid, None), view.as_bytes(), granted)
    }

    pub(super) fn handle_twin_reported(
        &mut self,
        now: Instant,
        query: &str,
        body: &[u8],
    ) -> Result<(), HubError> {
        let rid = rid(query)?;
        let unix = self.unix(now);
        // What is no number is no version that a twin could have.
        let base = topics::query_value(query, "$version").map(|version| version.parse().unwrap_or(0));
        // Plain `{host}/{device}` is good for telemetry, and not for this: seen in practice, not documented.
        let patch = match self.has_api_version {
            true => twin::parse_patch(body),
            false => Err(TwinError::NoApiVersion),
        };
        let (granted, reported) = self.directory.visit(&self.device, |entry| {
            let reported = patch.and_then(|patch| entry.device.twin_mut().report(patch, base, unix));
            (entry.device.subscriptions.get(Subscription::TwinResponses), reported)
        });
        let Some(granted) = granted else { return Ok(()) };
        match reported {
            Ok(version) => self.send(&topics::twin_response(204, rid, Some(version)), b"", granted),
            Err(error) => {
                let topic = topics::twin_response(error.status(), rid, None);
                self.send(&topic, error.body(unix).as_bytes(), granted)
            }
        }
    }

    /// An answer that nobody waits for, or not any more, means nothing.
    pub(super) fn handle_method_response(&mut self, answer: &str, body: &[u8]) -> Result<(), HubError> {
        let (status, rid) = topics::method_answer(answer).ok_or(HubError::ForeignTopic)?;
        let Ok(number) = u64::from_str_radix(rid, 16) else { return Ok(()) };
        if let Some(at) = self.calls.iter().position(|call| call.number == number) {
            self.calls.swap_remove(at).end(method_result(status, body));
        }
        Ok(())
    }

    pub(super) fn handle_puback(&mut self, pid: u16) {
        // Answers and notifications are sent once, acknowledged or not.
        if pid >= FIRST_PID {
            self.directory.visit(&self.device, |entry| entry.device.acknowledge(pid));
            self.woken = true;
        }
    }

    /// Writes the next thing that the device is to be told; false when there is none.
    pub(super) fn tell(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        if self.state != State::Online {
            return false;
        }
        let (order, retry_at) = self
            .directory
            .visit(&self.device, |entry| (entry.device.next_order(now), entry.device.retry_at()));
        self.woken = order.is_some();
        let publish = |out: &mut BytesMut, topic: &str, payload: &[u8], qos: QoS, dup: bool, pid: u16| {
            let publish = PublishRef { topic, payload, qos, dup, retain: false, pid };
            encode::publish(out, &publish).expect("what a back end asks is checked for its topic and size");
        };
        match order {
            None => {
                self.retry_at = retry_at;
                return false;
            }
            Some(Order::Close) => self.state = State::Closing,
            Some(Order::Desired { version, patch, qos }) => {
                let pid = self.next_pid(qos);
                publish(out, &topics::twin_desired(version), patch.as_bytes(), qos, false, pid);
            }
            Some(Order::Call(Call { number, name, payload, response_timeout, place, answer, .. })) => {
                let topic = topics::method(&name, &format!("{number:x}"));
                publish(out, &topic, payload.as_bytes(), QoS::AtMostOnce, false, 0);
                let answer_by = now.checked_add(response_timeout);
                self.calls.push(InFlight { number, answer_by, place, answer });
            }
            Some(Order::C2d(delivery)) => {
                let message = &delivery.message;
                publish(out, &message.topic, &message.payload, delivery.qos, delivery.dup, delivery.pid);
            }
        }
        true
    }

    /// When something is due that was told and not answered.
    pub(super) fn exchange_timeout(&self) -> Option<Instant> {
        self.calls.iter().filter_map(|call| call.answer_by).chain(self.retry_at).min()
    }

    pub(super) fn handle_exchange_timeout(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.retry_at) {
            self.retry_at = None;
            self.woken = true;
        }
        for call in self.calls.extract_if(.., |call| is_due(call.answer_by)) {
            call.end(Err(ServiceError::NoAnswer));
        }
    }

    /// The connection is over: nobody will answer.
    pub(super) fn fail_calls(&mut self) {
        for call in self.calls.drain(..) {
            call.end(Err(ServiceError::NotOnline));
        }
    }

    /// 0 at QoS 0.
    fn next_pid(&mut self, qos: QoS) -> u16 {
        if qos == QoS::AtMostOnce {
            return 0;
        }
        self.last_pid = if self.last_pid + 1 < FIRST_PID { self.last_pid + 1 } else { 1 };
        self.last_pid
    }

    /// Sends a message, once: what a device does not acknowledge is not sent again.
    fn send(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<(), HubError> {
        let pid = self.next_pid(qos);
        let publish = PublishRef { topic, payload, qos, dup: false, retain: false, pid };
        let mut frame = BytesMut::new();
        // A request id can be so long that its answer has no topic.
        encode::publish(&mut frame, &publish).map_err(|_| HubError::RequestId)?;
        self.reply_bytes += frame.len();
        self.replies.push_back(Reply::Frame(frame[..].into()));
        Ok(())
    }
}

/// The request id, as it came. What a hub does without one is not documented: there is nowhere to answer to, so it is treated as
/// any other topic that is not a device's.
fn rid(query: &str) -> Result<&str, HubError> {
    topics::query_value(query, "$rid").ok_or(HubError::ForeignTopic)
}

/// What a method's answer comes to. That one without a body is `null` is our choice.
fn method_result(status: i32, body: &[u8]) -> Result<Called, ServiceError> {
    let (bytes, bytes_max) = (body.len(), limits::METHOD_BYTES_MAX);
    if bytes > bytes_max {
        return Err(ServiceError::TooLarge { bytes, bytes_max });
    }
    let payload = match body {
        [] => Value::Null,
        _ => serde_json::from_slice(body).map_err(|_| ServiceError::Answer)?,
    };
    Ok(Called { status: Some(status), payload: Some(payload), version: None })
}
