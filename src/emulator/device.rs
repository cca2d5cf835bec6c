//! The state of one device that outlives its connections: subscriptions, twin, queued messages and method calls. Owned by
//! [`Directory`](super::directory::Directory), whose lock protects it. Pure: independent of connections and clocks. A device without such
//! state uses no memory for it.

use super::c2d::{Delivery, Message, Queue};
use super::method_call::{CallPermits, QueuedCall};
use super::subscriptions::Subscriptions;
use super::twin::Twin;
use crate::iothub::limits;
use crate::iothub::service::ServiceError;
use crate::iothub::topics::Subscription;
use crate::wire::QoS;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The next thing that a connection sends to its device.
#[derive(Debug)]
pub enum Outbound {
    /// Nothing: the connection closes.
    Close,
    /// A notification of changed desired properties.
    Desired {
        /// New version of the desired properties.
        version: u64,
        /// The patch.
        patch: String,
        /// Granted QoS.
        qos: QoS,
    },
    /// A method call.
    Call(QueuedCall),
    /// A cloud-to-device message.
    C2d(Delivery),
}

/// Everything that a connection still has to send, except cloud-to-device messages. When the connection ends, only calls that wait for a
/// connection remain.
#[derive(Debug, Default)]
struct Pending {
    close: bool,
    desired: VecDeque<(u64, String)>,
    calls: VecDeque<QueuedCall>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.close && self.desired.is_empty() && self.calls.is_empty()
    }
}

/// The state of one device.
#[derive(Debug, Default)]
pub struct Device {
    /// Subscriptions of the current connection, or of the stored persistent session.
    pub(super) subscriptions: Subscriptions,
    /// True if the device may not connect.
    pub(super) disabled: bool,
    /// The twin; `None` means a new one.
    twin: Option<Box<Twin>>,
    /// The message queue; `None` means an empty one.
    queue: Option<Box<Queue>>,
    /// Packet id of the last cloud-to-device message. Outlives the queue, so that a repeated PUBACK does not complete another message.
    last_pid: u16,
    /// `None` if nothing is pending.
    pending: Option<Box<Pending>>,
    permits: CallPermits,
}

/// The part that sessions and the directory use.
impl Device {
    /// Returns true if there is no state to keep.
    pub(super) fn is_blank(&self) -> bool {
        // A device without a connection or a session has nothing to acknowledge, so its packet ids can start over. Permits need no check:
        // each belongs to a pending call or to a connection.
        let Device { subscriptions, disabled, twin, queue, last_pid: _, pending, permits: _ } = self;
        let idle = queue.is_none() && pending.is_none();
        subscriptions.is_empty() && !disabled && twin.is_none() && idle
    }

    /// Begins a session. Returns true if it continues an earlier one. A clean session forgets the earlier one and drops queued messages
    /// (`mqtt_state_machine.md` of Azure's embedded C SDK).
    pub(super) fn begin(&mut self, clean_session: bool) -> bool {
        if clean_session {
            self.subscriptions = Subscriptions::default();
            self.queue = None;
        }
        let continues = !self.subscriptions.is_empty();
        if let Some(queue) = self.queue.as_mut().filter(|_| !continues) {
            queue.forget_deliveries();
        }
        continues
    }

    /// Ends the connection and, if the session is clean, the session too.
    pub(super) fn end(&mut self, clean_session: bool) {
        if clean_session {
            self.subscriptions = Subscriptions::default();
        }
        if let Some(queue) = &mut self.queue {
            queue.unlock();
        }
        let Some(pending) = self.pending.take() else { return };
        let (ended, waiting): (VecDeque<_>, VecDeque<_>) =
            pending.calls.into_iter().partition(|call| call.has_connection);
        ended.into_iter().for_each(|call| call.reply.send(Err(ServiceError::NotOnline)));
        if !waiting.is_empty() {
            self.pending = Some(Box::new(Pending { calls: waiting, ..Pending::default() }));
        }
    }

    /// Returns the next thing to send. Changes to desired properties are dropped if the device is no longer subscribed to them. Calls and
    /// messages wait for a subscription.
    pub(super) fn next_outbound(&mut self, now: Instant) -> Option<Outbound> {
        let pending = self.next_pending();
        if pending.is_some() {
            return pending;
        }
        let qos = self.subscriptions.get(Subscription::C2d)?;
        let delivery = self.queue.as_mut()?.next(now, qos, &mut self.last_pid);
        self.queue.take_if(|queue| queue.is_empty());
        delivery.map(Outbound::C2d)
    }

    fn next_pending(&mut self) -> Option<Outbound> {
        let pending = self.pending.as_mut()?;
        let next = if pending.close {
            Some(Outbound::Close)
        } else if let Some(qos) = self.subscriptions.get(Subscription::TwinDesired) {
            pending.desired.pop_front().map(|(version, patch)| Outbound::Desired { version, patch, qos })
        } else {
            pending.desired.clear();
            None
        };
        let has_methods = self.subscriptions.get(Subscription::Methods).is_some();
        let next = next.or_else(|| pending.calls.pop_front_if(|_| has_methods).map(Outbound::Call));
        self.pending.take_if(|pending| pending.is_empty());
        next
    }

    /// Returns the time at which an unacknowledged message must be delivered again, or `None` if there is no subscription.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.subscriptions.get(Subscription::C2d)?;
        self.queue.as_ref()?.retry_at()
    }

    /// Handles the PUBACK of a cloud-to-device message.
    pub(super) fn acknowledge(&mut self, pid: u16) {
        if let Some(queue) = &mut self.queue {
            queue.acknowledge(pid);
        }
        self.queue.take_if(|queue| queue.is_empty());
    }

    /// Returns the twin for modification.
    pub(super) fn twin_mut(&mut self) -> &mut Twin {
        self.twin.get_or_insert_default()
    }

    /// Returns the twin as the device sees it.
    pub(super) fn twin_view(&self) -> String {
        self.twin.as_deref().map_or_else(|| Twin::default().device_view(), Twin::device_view)
    }
}

/// The part that service requests use.
impl Device {
    /// Returns the twin as a service client sees it.
    pub(super) fn twin_service_view(&self) -> Value {
        self.twin.as_deref().map_or_else(|| Twin::default().service_view(), Twin::service_view)
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.pending.get_or_insert_default().close = true;
    }

    /// Queues a notification of changed desired properties for the connection.
    pub(super) fn notify(&mut self, version: u64, patch: String) {
        self.pending.get_or_insert_default().desired.push_back((version, patch));
    }

    /// Returns the number of queued notifications of changed desired properties.
    pub(super) fn pending_changes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.desired.len())
    }

    /// Queues a method call for the current connection or the next one. Returns false, and fails the call, if too many calls are
    /// unanswered.
    pub(super) fn call(&mut self, mut call: QueuedCall) -> bool {
        let Some(permit) = self.permits.acquire(limits::METHODS_IN_FLIGHT_MAX) else {
            call.reply.send(Err(ServiceError::TooManyCalls));
            return false;
        };
        call.reply.set_permit(permit);
        self.pending.get_or_insert_default().calls.push_back(call);
        true
    }

    /// Fails a queued call at its deadline. Does nothing if it has been sent.
    pub(super) fn expire_call(&mut self, number: u64) {
        let Some(pending) = &mut self.pending else { return };
        let Some(at) = pending.calls.iter().position(|call| call.number == number) else { return };
        if let Some(call) = pending.calls.remove(at) {
            let error = if call.has_connection { ServiceError::NoAnswer } else { ServiceError::NotOnline };
            call.reply.send(Err(error));
        }
        self.pending.take_if(|pending| pending.is_empty());
    }

    /// Queues a message. Returns false if the queue is full.
    pub(super) fn send(&mut self, now: Instant, message: Message, ttl: Duration) -> bool {
        self.queue.get_or_insert_default().send(now, message, ttl)
    }

    /// Returns the number of queued messages.
    pub(super) fn queued(&mut self, now: Instant) -> usize {
        let queued = self.queue.as_mut().map_or(0, |queue| queue.count(now));
        self.queue.take_if(|queue| queue.is_empty());
        queued
    }

    /// Removes all queued messages. Returns their number.
    pub(super) fn purge(&mut self, now: Instant) -> usize {
        self.queue.take().map_or(0, |mut queue| queue.count(now))
    }
}
