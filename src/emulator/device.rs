//! What the hub knows of one device, and keeps when its connection ends. Pure; owned by [`super::directory`], whose lock makes it one
//! device's business at a time. A device that has none of it owns no memory for it.

use super::c2d::{Delivery, Message, Queue};
use super::service::{Called, ServiceError};
use super::twin::Twin;
use crate::iothub::limits;
use crate::iothub::topics::Subscription;
use crate::wire::QoS;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a device is subscribed to, with the granted QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions([Option<QoS>; 7]);

impl Subscriptions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The granted QoS of one. For cloud-to-device messages the better one of both spellings (MQTT 3.1.1 §3.3.5).
    #[must_use]
    pub fn get(&self, subscription: Subscription) -> Option<QoS> {
        let Subscriptions([c2d, c2d_plus, responses, desired, methods, credential, credentials]) = *self;
        match subscription {
            Subscription::C2d | Subscription::C2dPlus => c2d.max(c2d_plus),
            Subscription::TwinResponses => responses,
            Subscription::TwinDesired => desired,
            Subscription::Methods => methods,
            Subscription::Credential | Subscription::Credentials => credential.max(credentials),
        }
    }

    /// Makes one, or with `None` ends it.
    pub fn set(&mut self, subscription: Subscription, granted: Option<QoS>) {
        let Subscriptions([c2d, c2d_plus, responses, desired, methods, credential, credentials]) = self;
        *match subscription {
            Subscription::C2d => c2d,
            Subscription::C2dPlus => c2d_plus,
            Subscription::TwinResponses => responses,
            Subscription::TwinDesired => desired,
            Subscription::Methods => methods,
            Subscription::Credential => credential,
            Subscription::Credentials => credentials,
        } = granted;
    }
}

/// A method call that the device has not been told of.
#[derive(Debug)]
pub struct Call {
    /// Its number; in hexadecimal it is the request id.
    pub(super) number: u64,
    /// The method's name.
    pub(super) name: String,
    /// JSON, or empty.
    pub(super) payload: String,
    /// How long the answer is waited for.
    pub(super) response_timeout: Duration,
    /// A connection is there to take it; otherwise it waits for one.
    pub(super) handed: bool,
    /// Its place in the limit of unanswered calls.
    pub(super) place: Option<Place>,
    /// Who asked; may be gone.
    pub(super) answer: oneshot::Sender<Result<Called, ServiceError>>,
}

/// A place in the limit of a device's unanswered calls, both those that wait here and those sent to the device. Dropping it makes
/// room for another call.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "only its reference count is used")] Arc<()>);

impl Call {
    /// Answers it with an error.
    pub(super) fn fail(self, error: ServiceError) {
        // Free the place first: the caller may call again as soon as it has the answer.
        drop(self.place);
        // Who has gone needs no answer.
        let _ = self.answer.send(Err(error));
    }
}

/// What a connection has to tell its device.
#[derive(Debug)]
pub enum Order {
    /// Nothing more: it ends.
    Close,
    /// Desired properties have changed.
    Desired {
        /// Their new version.
        version: u64,
        /// The patch.
        patch: String,
        /// As the device subscribed.
        qos: QoS,
    },
    /// A method is called.
    Call(Call),
    /// A cloud-to-device message.
    C2d(Delivery),
}

/// What waits for a connection. Nothing but calls with time left outlives one.
#[derive(Debug, Default)]
struct Orders {
    close: bool,
    desired: VecDeque<(u64, String)>,
    calls: VecDeque<Call>,
}

impl Orders {
    fn is_empty(&self) -> bool {
        !self.close && self.desired.is_empty() && self.calls.is_empty()
    }
}

/// One device.
#[derive(Debug, Default)]
pub struct Device {
    /// Those of the connection there is, or those that a session left behind.
    pub(super) subscriptions: Subscriptions,
    /// It may not connect.
    pub(super) disabled: bool,
    /// `None` is a new one.
    twin: Option<Box<Twin>>,
    /// `None` is an empty one.
    queue: Option<Box<Queue>>,
    /// The packet id of its last cloud-to-device message. Outlives the queue, so that a PUBACK that comes twice completes no other message.
    last_pid: u16,
    /// `None` is nothing.
    orders: Option<Box<Orders>>,
    /// Has one reference for itself and one for each [`Place`]. `None` if there was no call yet.
    places: Option<Arc<()>>,
}

/// What sessions and the directory ask.
impl Device {
    /// True when there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        // A device that has no connection and no session will acknowledge nothing: its packet ids can start anew.
        // Places need no check: each belongs to an order or to a connection.
        let Device { subscriptions, disabled, twin, queue, last_pid: _, orders, places: _ } = self;
        let idle = queue.is_none() && orders.is_none();
        subscriptions.is_empty() && !disabled && twin.is_none() && idle
    }

    /// A session begins; true if it goes on with what an earlier one left behind. A clean one forgets that, and drops what
    /// is queued (`mqtt_state_machine.md` of Azure's embedded C SDK).
    pub(super) fn begin(&mut self, clean_session: bool) -> bool {
        if clean_session {
            self.subscriptions = Subscriptions::default();
            self.queue = None;
        }
        let goes_on = !self.subscriptions.is_empty();
        if let Some(queue) = self.queue.as_mut().filter(|_| !goes_on) {
            queue.forget_deliveries();
        }
        goes_on
    }

    /// The connection is over, and with a clean session the session too.
    pub(super) fn end(&mut self, clean_session: bool) {
        if clean_session {
            self.subscriptions = Subscriptions::default();
        }
        if let Some(queue) = &mut self.queue {
            queue.unlock();
        }
        let Some(orders) = self.orders.take() else { return };
        let (handed, waiting): (VecDeque<_>, VecDeque<_>) =
            orders.calls.into_iter().partition(|it| it.handed);
        handed.into_iter().for_each(|call| call.fail(ServiceError::NotOnline));
        if !waiting.is_empty() {
            self.orders = Some(Box::new(Orders { calls: waiting, ..Orders::default() }));
        }
    }

    /// What the connection has to tell next. What the device is not subscribed to any more is lost or, a message or a call,
    /// waits.
    pub(super) fn next_order(&mut self, now: Instant) -> Option<Order> {
        let order = self.next_from_orders();
        if order.is_some() {
            return order;
        }
        let qos = self.subscriptions.get(Subscription::C2d)?;
        let delivery = self.queue.as_mut()?.next(now, qos, &mut self.last_pid);
        self.queue.take_if(|queue| queue.is_empty());
        delivery.map(Order::C2d)
    }

    fn next_from_orders(&mut self) -> Option<Order> {
        let orders = self.orders.as_mut()?;
        let order = if orders.close {
            Some(Order::Close)
        } else if let Some(qos) = self.subscriptions.get(Subscription::TwinDesired) {
            orders.desired.pop_front().map(|(version, patch)| Order::Desired { version, patch, qos })
        } else {
            orders.desired.clear();
            None
        };
        let listens = self.subscriptions.get(Subscription::Methods).is_some();
        let order = order.or_else(|| orders.calls.pop_front_if(|_| listens).map(Order::Call));
        self.orders.take_if(|orders| orders.is_empty());
        order
    }

    /// When a message that was not acknowledged is to be delivered again; not while nobody wants it.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.subscriptions.get(Subscription::C2d)?;
        self.queue.as_ref()?.retry_at()
    }

    /// A PUBACK for a cloud-to-device message.
    pub(super) fn acknowledge(&mut self, pid: u16) {
        if let Some(queue) = &mut self.queue {
            queue.acknowledge(pid);
        }
        self.queue.take_if(|queue| queue.is_empty());
    }

    /// Its twin, to be changed.
    pub(super) fn twin_mut(&mut self) -> &mut Twin {
        self.twin.get_or_insert_default()
    }

    /// Its twin as it sees it.
    pub(super) fn twin_view(&self) -> String {
        self.twin.as_deref().map_or_else(|| Twin::default().device_view(), Twin::device_view)
    }
}

/// What a back end asks.
impl Device {
    /// Its twin as a back end sees it.
    pub(super) fn twin_service_view(&self) -> Value {
        self.twin.as_deref().map_or_else(|| Twin::default().service_view(), Twin::service_view)
    }

    /// Has its connection closed.
    pub(super) fn close(&mut self) {
        self.orders.get_or_insert_default().close = true;
    }

    /// Has its connection tell of changed desired properties.
    pub(super) fn notify(&mut self, version: u64, patch: String) {
        self.orders.get_or_insert_default().desired.push_back((version, patch));
    }

    /// Changes of desired properties that were not sent to the device yet.
    pub(super) fn changes_waiting(&self) -> usize {
        self.orders.as_ref().map_or(0, |orders| orders.desired.len())
    }

    /// Queues a method call for this connection or the next one. Returns false, and fails the call, if too many calls are unanswered.
    pub(super) fn call(&mut self, mut call: Call) -> bool {
        let places = self.places.get_or_insert_default();
        if Arc::strong_count(places) > limits::METHODS_IN_FLIGHT_MAX {
            call.fail(ServiceError::TooManyCalls);
            return false;
        }
        call.place = Some(Place(Arc::clone(places)));
        self.orders.get_or_insert_default().calls.push_back(call);
        true
    }

    /// Answers a call that no connection has taken: what it waited for did not come.
    pub(super) fn give_up(&mut self, number: u64) {
        let Some(orders) = &mut self.orders else { return };
        let Some(at) = orders.calls.iter().position(|call| call.number == number) else { return };
        if let Some(call) = orders.calls.remove(at) {
            let error = if call.handed { ServiceError::NoAnswer } else { ServiceError::NotOnline };
            call.fail(error);
        }
        self.orders.take_if(|orders| orders.is_empty());
    }

    /// Queues a message; false when there is no room.
    pub(super) fn send(&mut self, now: Instant, message: Message, ttl: Duration) -> bool {
        self.queue.get_or_insert_default().send(now, message, ttl)
    }

    /// How many messages are queued.
    pub(super) fn queued(&mut self, now: Instant) -> usize {
        let queued = self.queue.as_mut().map_or(0, |queue| queue.count(now));
        self.queue.take_if(|queue| queue.is_empty());
        queued
    }

    /// Drops what is queued, and says how much that was.
    pub(super) fn purge(&mut self, now: Instant) -> usize {
        self.queue.take().map_or(0, |mut queue| queue.count(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_are_two_subscriptions_to_the_same_messages() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.set(Subscription::C2dPlus, Some(QoS::AtMostOnce));
        assert_eq!(subscriptions.get(Subscription::C2d), Some(QoS::AtMostOnce));
        subscriptions.set(Subscription::C2d, Some(QoS::AtLeastOnce));
        assert_eq!((subscriptions.len(), subscriptions.get(Subscription::C2d)), (2, Some(QoS::AtLeastOnce)));
        subscriptions.set(Subscription::C2d, None);
        subscriptions.set(Subscription::C2dPlus, None);
        assert!(subscriptions.is_empty());
    }
}
