//! What the hub knows of one device, and keeps when its connection ends. Pure; owned by [`super::directory`], whose lock makes it one
//! device's business at a time. A device that has none of it owns no memory for it.

use super::twin::Twin;
use crate::iothub::topics::Subscription;
use crate::wire::QoS;

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

/// One device.
#[derive(Debug, Default)]
pub struct Device {
    /// Those of the connection there is, or those that a session left behind.
    pub(super) subscriptions: Subscriptions,
    /// `None` is a new one.
    twin: Option<Box<Twin>>,
}

impl Device {
    /// True when there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        self.subscriptions.is_empty() && self.twin.is_none()
    }

    /// A session is over, and is not to be gone on with.
    pub(super) fn end_session(&mut self) {
        self.subscriptions = Subscriptions::default();
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
