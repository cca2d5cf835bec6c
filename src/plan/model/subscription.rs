//! What devices subscribe to, and at which QoS. Data only.

use crate::plan::payload::Template;
use crate::wire::QoS;

/// What a device subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Cloud-to-device messages (IoT hub).
    C2d,
    /// Twin responses and desired properties (IoT hub).
    Twin,
    /// Direct methods (IoT hub).
    Methods,
    /// A topic filter, `${device}` allowed, and the QoS asked for (plain brokers).
    Filter(Template, QoS),
}

impl Subscription {
    /// Asked for twice, at whatever QoS.
    pub(in crate::plan) fn same_filter(&self, other: &Subscription) -> bool {
        match (self, other) {
            (Subscription::Filter(one, _), Subscription::Filter(two, _)) => one == two,
            _ => self == other,
        }
    }
}

/// The QoS that a device of an IoT hub subscribes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeQos {
    /// Cloud-to-device messages.
    pub c2d: QoS,
    /// Twin responses and desired properties.
    pub twin: QoS,
    /// Direct methods.
    pub methods: QoS,
}
