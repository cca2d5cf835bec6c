//! A fleet: devices with the same configuration. Data only.

use super::{FleetFault, MethodPlan, SendPlan, SubscribeQos, Subscription, TwinPlan, WillPlan};
use crate::iothub::topics;
use crate::plan::credentials::Auth;
use crate::plan::payload::{Template, TemplateContext};
use crate::plan::schedule::Schedule;
use crate::policy::backoff::Reconnect;
use crate::policy::ping::PingPolicy;
use crate::scenario::Sdk;
use crate::wire::QoS;
use std::time::Duration;

/// A group of devices with the same configuration.
#[derive(Debug)]
pub struct FleetPlan {
    /// Name in the scenario.
    pub name: String,
    /// Number of devices.
    pub devices: u32,
    /// Index of the fleet's first device among the devices of all fleets.
    pub first: u64,
    /// Azure SDK whose preset the fleet uses. `None`: hubstorm's defaults.
    pub sdk: Option<Sdk>,
    /// Template for device ids, which are also client ids. Unused if `auth` has a device list.
    pub id: Template,
    /// Credentials.
    pub auth: Auth,
    /// Keep-alive in CONNECT, in seconds. 0 turns it off.
    pub keep_alive_s: u16,
    /// When devices send PINGREQ, and the timeout for PINGRESP.
    pub pings: PingPolicy,
    /// Clean-session flag in CONNECT.
    pub clean_session: bool,
    /// Reconnect policy.
    pub reconnect: Reconnect,
    /// Timeout for a connection attempt: DNS, TCP, TLS and CONNACK.
    pub connect_timeout: Duration,
    /// Timeout for the last acknowledgment of a message, counted from PUBLISH.
    pub ack_timeout: Duration,
    /// How long after its due time an unsent message expires.
    pub send_by: Duration,
    /// Handling of messages that are due while a device is unexpectedly offline.
    pub offline: Offline,
    /// In-flight window: the maximum number of unacknowledged messages per device.
    pub in_flight: u16,
    /// Subscriptions of each device.
    pub subscribe: Vec<Subscription>,
    /// Whether devices unsubscribe before a planned disconnect.
    pub unsubscribe: bool,
    /// QoS of IoT hub subscriptions.
    pub subscribe_qos: SubscribeQos,
    /// Will message.
    pub will: Option<WillPlan>,
    /// Each device's message streams, followed by its scheduled twin requests.
    pub sends: Vec<SendPlan>,
    /// Twin requests.
    pub twin: TwinPlan,
    /// Direct methods that devices answer.
    pub methods: Vec<MethodPlan>,
    /// Faults on the generator's side.
    pub faults: Vec<FleetFault>,
    /// The fleet's schedule, if it differs from the plan's. Both have the same phases. Read it through [`Plan::schedule_of`].
    ///
    /// [`Plan::schedule_of`]: super::Plan::schedule_of
    pub own_schedule: Option<Schedule>,
}

impl FleetPlan {
    /// Returns the id of a device, given its index within the fleet.
    #[must_use]
    pub fn device_id(&self, index: u32) -> String {
        match self.auth.device_list() {
            Some(devices) => devices.id(index).to_owned(),
            None => self.id.render(&TemplateContext { device: "", index }),
        }
    }

    /// Returns the topic filters of a device and the requested QoS, in the order in which SUBSCRIBE lists them.
    #[must_use]
    pub fn filters(&self, index: u32) -> Vec<(String, QoS)> {
        let id = self.device_id(index);
        let names = TemplateContext { device: &id, index };
        let qos = &self.subscribe_qos;
        let mut filters = Vec::new();
        for subscription in &self.subscribe {
            match subscription {
                Subscription::C2d => filters.push((topics::c2d(&id), qos.c2d)),
                Subscription::Twin => {
                    let twin = [topics::TWIN_RESPONSES, topics::TWIN_DESIRED];
                    filters.extend(twin.map(|filter| (filter.to_owned(), qos.twin)));
                }
                Subscription::Methods => filters.push((topics::METHODS.to_owned(), qos.methods)),
                Subscription::Filter(filter, qos) => filters.push((filter.render(&names), *qos)),
            }
        }
        filters
    }

    /// Returns the number of devices that a fault of the fleet affects.
    #[must_use]
    pub fn affected(&self, fault: &FleetFault) -> u64 {
        fault.chosen.as_ref().map_or(u64::from(self.devices), |chosen| chosen.len() as u64)
    }

    /// Returns whether the fleet's devices make twin requests.
    #[must_use]
    pub fn makes_twin_requests(&self) -> bool {
        self.twin.get_on_connect || self.sends.iter().any(|send| send.operation.is_request())
    }
}

/// Handling of messages that are due while a device is unexpectedly offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// Keep them until `send_by`.
    Queue,
    /// Record them as `offline`.
    Skip,
}
