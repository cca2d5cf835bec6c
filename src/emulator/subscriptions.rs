//! The subscriptions of one device. Owned by [`Device`](super::device::Device); independent of sessions and connections.

use crate::iothub::topics::Subscription;
use crate::wire::QoS;

/// The subscriptions of a device, each with its granted QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions([Option<QoS>; 7]);

impl Subscriptions {
    /// Returns the number of subscriptions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Returns true if the device has no subscriptions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the granted QoS of a subscription. Where a filter has two spellings, the higher QoS wins (MQTT 3.1.1 §3.3.5).
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

    /// Sets the granted QoS of a subscription; `None` removes the subscription.
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
