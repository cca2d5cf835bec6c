//! Device subscriptions, and their QoS. Data only.

use crate::plan::payload::Template;
use crate::wire::QoS;

/// A subscription of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Cloud-to-device messages (IoT hub).
    C2d,
    /// Twin responses and desired properties (IoT hub).
    Twin,
    /// Direct methods (IoT hub).
    Methods,
    /// A topic filter, which may contain `${device}`, and the requested QoS (plain brokers).
    Filter(Template, QoS),
}

impl Subscription {
    /// Returns whether both subscriptions have the same filter. Ignores QoS.
    pub(in crate::plan) fn same_filter(&self, other: &Subscription) -> bool {
        match (self, other) {
            (Subscription::Filter(one, _), Subscription::Filter(two, _)) => one == two,
            _ => self == other,
        }
    }
}

/// QoS of subscriptions to an IoT hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeQos {
    /// Cloud-to-device messages.
    pub c2d: QoS,
    /// Twin responses and desired properties.
    pub twin: QoS,
    /// Direct methods.
    pub methods: QoS,
}
