//! Carries out the requests of a service client. Called by [`Hub::call`](super::Hub::call), on behalf of `--control` and of tests. A
//! request changes the state of the device in the [`Directory`] and returns a [`PendingRequest`]: the connection that must be woken to send
//! something, and a channel for the result. Pure: the device's session decides what to send and when, and the caller wakes its connection.

use super::address::Address;
use super::c2d::Message;
use super::directory::{Directory, Entry};
use super::method_call::{CallReply, QueuedCall};
use super::throttle::{Held, Refused};
use super::twin;
use crate::iothub::message_size::message_bytes;
use crate::iothub::service::{Feedback, ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::throttles::{Class, method_kib};
use crate::iothub::topics::Subscription;
use crate::iothub::twin_patch::{self, Properties};
use crate::iothub::{limits, names, properties, topics};
use crate::wire::{STRING_BYTES_MAX, topic};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A request whose result may not be known yet.
#[derive(Debug)]
pub struct PendingRequest {
    /// The connection that has something to send. Wake it and its session (`HubSession::wake`).
    pub wake: Option<Address>,
    /// When to call [`Directory::expire_call`] if there is no result yet.
    pub deadline: Option<CallDeadline>,
    /// The time before which the caller must not get the result, because a throttle delays it.
    pub held: Held,
    /// The result. A closed channel means [`ServiceError::NotOnline`].
    pub result: oneshot::Receiver<Result<ServiceResponse, ServiceError>>,
}

/// The deadline of a method call that has not been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallDeadline {
    /// Instant of the deadline.
    pub at: Instant,
    /// Call number.
    pub call: u64,
}

/// The result of a request that completes immediately, and the connection to wake.
type Completed = Result<(ServiceResponse, Option<Address>), ServiceError>;

impl Directory {
    /// Carries out a request for `device` at `now`, which is `unix` after the Unix epoch.
    pub fn request(
        &self,
        now: Instant,
        unix: Duration,
        device: &str,
        request: ServiceRequest,
    ) -> PendingRequest {
        let (sender, result) = oneshot::channel();
        let mut pending = PendingRequest { wake: None, deadline: None, held: None, result };
        match self.throttle_request(now, device, &request) {
            Ok(held) => pending.held = held,
            Err(error) => {
                // `send` cannot fail, because `pending` holds the receiver.
                let _ = sender.send(Err(error));
                return pending;
            }
        }
        let completed = match request {
            ServiceRequest::InvokeMethod { name, payload, response_timeout, connect_timeout } => {
                match checked_call(name, payload.as_ref()) {
                    Err(error) => Err(error),
                    Ok((name, payload)) => {
                        let (number, reply) = (self.next_call(), CallReply::new(sender));
                        let has_connection = false;
                        let call =
                            QueuedCall { number, name, payload, response_timeout, has_connection, reply };
                        self.call(now, device, call, connect_timeout, &mut pending);
                        return pending;
                    }
                }
            }
            ServiceRequest::UpdateDesired { patch } => self.update_desired(now, unix, device, patch),
            ServiceRequest::UpdateTags { patch } => self.update_tags(now, device, patch),
            ServiceRequest::SendMessage { message_id, properties, payload, ttl, ack } => {
                let ttl = ttl.unwrap_or(limits::C2D_TTL);
                message(device, message_id, properties, payload, ack)
                    .and_then(|(message, bytes)| self.send_message(now, device, message, bytes, ttl))
            }
            ServiceRequest::CloseConnection => self.visit(device, |entry| {
                let online = entry.online.ok_or(ServiceError::NotOnline)?;
                entry.device.close();
                Ok((ServiceResponse::default(), Some(online)))
            }),
            ServiceRequest::Disable(disabled) => self.visit(device, |entry| {
                entry.device.disabled = disabled;
                let online = entry.online.filter(|_| disabled);
                if online.is_some() {
                    entry.device.close();
                }
                Ok((ServiceResponse::default(), online))
            }),
            ServiceRequest::PurgeMessages => {
                let purged = self.visit(device, |entry| entry.device.purge(now));
                let payload = Some(json!({ "totalMessagesPurged": purged }));
                Ok((ServiceResponse { payload, ..ServiceResponse::default() }, None))
            }
            ServiceRequest::ReadTwin => Ok((self.read_twin(now, device), None)),
        };
        let result = completed.map(|(response, wake)| {
            pending.wake = wake;
            response
        });
        // `send` cannot fail, because `pending` holds the receiver.
        let _ = sender.send(result);
        pending
    }

    /// Fails a method call at its deadline. Does nothing if it has been sent to the device.
    pub fn expire_call(&self, device: &str, call: u64) {
        self.visit(device, |entry| entry.device.expire_call(call));
    }

    /// Returns true if the hub knows a device id. With a group key or a policy any device can connect, so every id is known. Otherwise
    /// only the devices with a key of their own are.
    fn knows(&self, device: &str) -> bool {
        let config = self.config();
        let any = !config.group_keys.is_empty() || !config.policies.is_empty();
        names::is_device_id(device) && (any || config.device_keys.contains_key(device))
    }

    /// Asks the throttles and the quota of the hub's tier for a request to a known device.
    fn throttle_request(
        &self,
        now: Instant,
        device: &str,
        request: &ServiceRequest,
    ) -> Result<Held, ServiceError> {
        if !self.knows(device) {
            return Err(ServiceError::NotFound);
        }
        let Some(throttle) = self.throttle() else { return Ok(None) };
        let (class, tokens) = match request {
            ServiceRequest::InvokeMethod { payload, .. } => {
                let bytes = payload.as_ref().map_or(0, |payload| payload.to_string().len());
                (Class::Methods, method_kib(bytes as u64))
            }
            ServiceRequest::UpdateDesired { .. } | ServiceRequest::UpdateTags { .. } => {
                (Class::TwinUpdates, 1)
            }
            ServiceRequest::ReadTwin => (Class::TwinReads, 1),
            ServiceRequest::SendMessage { .. } => (Class::C2d, 1),
            // Azure has no such requests, or counts them as operations on the registry, which the emulator does not have.
            ServiceRequest::CloseConnection | ServiceRequest::Disable(_) | ServiceRequest::PurgeMessages => {
                return Ok(None);
            }
        };
        throttle.check_quota(now)?;
        Ok(throttle.request(class, now, tokens)?)
    }

    /// Charges a request that the hub has accepted to the daily quota.
    fn charge(&self, now: Instant, bytes: usize) {
        if let Some(throttle) = self.throttle() {
            throttle.charge(now, bytes);
        }
    }

    fn call(
        &self,
        now: Instant,
        device: &str,
        mut call: QueuedCall,
        connect_timeout: Duration,
        pending: &mut PendingRequest,
    ) {
        let (number, bytes) = (call.number, call.payload.len());
        let (wake, wait) = self.visit(device, |entry| {
            if entry.device.disabled {
                call.reply.send(Err(ServiceError::NotFound));
                return (None, None);
            }
            let subscribed = entry.device.subscriptions.get(Subscription::Methods).is_some();
            let online = entry.online.filter(|_| subscribed);
            call.has_connection = online.is_some();
            let wait = if call.has_connection { call.response_timeout } else { connect_timeout };
            if !call.has_connection && wait.is_zero() {
                call.reply.send(Err(ServiceError::NotOnline));
                return (None, None);
            }
            if !entry.device.call(call) {
                return (None, None);
            }
            (online, Some(wait))
        });
        if wait.is_some() {
            self.charge(now, bytes);
        }
        pending.wake = wake;
        // A timeout that an `Instant` cannot represent never expires.
        pending.deadline =
            wait.and_then(|wait| Some(CallDeadline { at: now.checked_add(wait)?, call: number }));
    }

    fn update_desired(&self, now: Instant, unix: Duration, device: &str, patch: Properties) -> Completed {
        twin_patch::check(&patch)?;
        let bytes = self.billed_size(&patch);
        let updated = self.visit(device, |entry| {
            // "Understand and use device twins in IoT Hub": a device that is not connected is not notified later.
            let subscribed = entry.device.subscriptions.get(Subscription::TwinDesired).is_some();
            let online = entry.online.filter(|_| subscribed);
            if online.is_some() && entry.device.pending_changes() >= limits::DESIRED_QUEUE_MAX {
                return Err(ServiceError::TooManyChanges);
            }
            let version = entry.device.twin_mut().update_desired(patch.clone(), unix)?;
            if online.is_some() {
                entry.device.notify(version, twin::with_version(patch, version).to_string());
            }
            Ok((ServiceResponse { version: Some(version), ..ServiceResponse::default() }, online))
        })?;
        self.charge(now, bytes);
        if updated.1.is_some() {
            // The notification of the device is billed too (Azure: "Azure IoT Hub pricing information").
            self.charge(now, bytes);
        }
        Ok(updated)
    }

    /// Returns the size of a patch for the quota, which is 0 without a tier.
    fn billed_size(&self, patch: &Properties) -> usize {
        self.throttle().map_or(0, |_| serde_json::to_string(patch).map_or(0, |text| text.len()))
    }

    fn send_message(
        &self,
        now: Instant,
        device: &str,
        message: Message,
        bytes: usize,
        ttl: Duration,
    ) -> Completed {
        let sent = self.visit(device, |entry| send(entry, now, message, ttl))?;
        self.charge(now, bytes);
        Ok(sent)
    }

    fn update_tags(&self, now: Instant, device: &str, patch: Properties) -> Completed {
        twin_patch::check(&patch)?;
        let bytes = self.billed_size(&patch);
        let version = self.visit(device, |entry| entry.device.twin_mut().update_tags(patch))?;
        self.charge(now, bytes);
        Ok((ServiceResponse { version: Some(version), ..ServiceResponse::default() }, None))
    }

    fn read_twin(&self, now: Instant, device: &str) -> ServiceResponse {
        let mut view = self.visit(device, |entry| {
            let mut view = entry.device.twin_service_view();
            view["connectionState"] =
                if entry.online.is_some() { "Connected" } else { "Disconnected" }.into();
            view["status"] = if entry.device.disabled { "disabled" } else { "enabled" }.into();
            view["cloudToDeviceMessageCount"] = entry.device.queued(now).into();
            view
        });
        view["deviceId"] = device.into();
        if let Some(throttle) = self.throttle() {
            throttle.charge(now, view.to_string().len());
        }
        ServiceResponse { payload: Some(view), ..ServiceResponse::default() }
    }
}

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> ServiceError {
        match refused {
            Refused::Throttled => ServiceError::Throttled,
            Refused::QuotaUsedUp => ServiceError::QuotaUsedUp,
            Refused::NotInTier => ServiceError::NotInTier,
        }
    }
}

fn send(entry: &mut Entry, now: Instant, message: Message, ttl: Duration) -> Completed {
    if !entry.device.send(now, message, ttl) {
        return Err(ServiceError::QueueFull);
    }
    Ok((ServiceResponse::default(), entry.online))
}

/// Checks a method call. Returns the method's name and the payload as text, which is empty if there is no payload.
fn checked_call(name: String, payload: Option<&Value>) -> Result<(String, String), ServiceError> {
    let longest = topics::method(&name, &format!("{:x}", u64::MAX));
    if name.contains('/') || name.is_empty() || !topic::is_name(&longest) {
        return Err(ServiceError::Argument(
            "the method name must be a non-empty topic level without wildcards",
        ));
    }
    let payload = payload.map(Value::to_string).unwrap_or_default();
    check_size(payload.len(), limits::METHOD_BYTES_MAX)?;
    Ok((name, payload))
}

/// Builds a cloud-to-device message, and returns its size. System properties come first, with the names that Azure's SDKs expect.
fn message(
    device: &str,
    message_id: Option<String>,
    application: BTreeMap<String, String>,
    payload: String,
    ack: Feedback,
) -> Result<(Message, usize), ServiceError> {
    // "Create and read IoT Hub messages": a message id may contain the same characters as a device id.
    if message_id.as_deref().is_some_and(|id| !names::is_device_id(id)) {
        return Err(ServiceError::Argument(
            "the message id must be 1 to 128 characters long and contain only characters that are allowed in a device id",
        ));
    }
    let mut bag: Vec<(String, String)> = Vec::new();
    let to_at = usize::from(message_id.is_some());
    bag.extend(message_id.map(|id| ("$.mid".to_owned(), id)));
    bag.extend(ack.name().map(|ack| ("iothub-ack".to_owned(), ack.to_owned())));
    bag.extend(application);
    let bytes = message_bytes(payload.len(), &properties::encode(&bag));
    check_size(bytes, limits::C2D_BYTES_MAX)?;
    // The hub adds the destination, so it does not count toward the sender's limit.
    bag.insert(to_at, ("$.to".to_owned(), topics::c2d_to(device)));
    let bag = properties::encode(&bag);
    let topic = topics::c2d_message(device, &bag);
    // Percent-encoding can make the topic too long even if the message is within its limit.
    check_size(topic.len(), STRING_BYTES_MAX)?;
    Ok((Message { topic, payload: payload.into_bytes() }, bytes))
}

fn check_size(bytes: usize, bytes_max: usize) -> Result<(), ServiceError> {
    if bytes > bytes_max { Err(ServiceError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}
