//! A fleet: devices that behave alike, with everything that they do. Data only.

use super::{MethodPlan, SendPlan, SubscribeQos, Subscription, TwinPlan, WillPlan};
use crate::plan::credentials::Auth;
use crate::plan::payload::{Template, TemplateContext};
use crate::policy::backoff::Reconnect;
use crate::policy::ping::PingPolicy;
use crate::scenario::Sdk;
use std::time::Duration;

/// A group of devices that behave alike.
#[derive(Debug)]
pub struct FleetPlan {
    /// Its name in the scenario.
    pub name: String,
    /// How many devices it has.
    pub devices: u32,
    /// Global index (over all fleets) of its first device.
    pub first: u64,
    /// Whose habits it has; hubstorm's own otherwise.
    pub sdk: Option<Sdk>,
    /// The device id (client id) of each, unless `auth` lists them.
    pub id: Template,
    /// How each proves who it is.
    pub auth: Auth,
    /// CONNECT's keep-alive; 0 turns it off.
    pub keep_alive_s: u16,
    /// When it sends PINGREQ, and how long it waits for PINGRESP.
    pub pings: PingPolicy,
    /// CONNECT's clean-session flag.
    pub clean_session: bool,
    /// What it does after a loss.
    pub reconnect: Reconnect,
    /// A whole attempt: DNS, TCP, TLS and CONNACK.
    pub connect_timeout: Duration,
    /// PUBLISH to its last ack.
    pub ack_timeout: Duration,
    /// A message not sent this long after it was due has expired.
    pub send_by: Duration,
    /// What becomes of messages due while offline against the plan.
    pub offline: Offline,
    /// The window: unacknowledged messages at once.
    pub in_flight: u16,
    /// What each device subscribes to.
    pub subscribe: Vec<Subscription>,
    /// Whether it ends its subscriptions before it leaves as planned.
    pub unsubscribe: bool,
    /// At which QoS, with an IoT hub.
    pub subscribe_qos: SubscribeQos,
    /// What the server publishes when a device goes without DISCONNECT.
    pub will: Option<WillPlan>,
    /// What each device sends: its messages first, then its twin requests.
    pub sends: Vec<SendPlan>,
    /// How it asks for its twin and changes it.
    pub twin: TwinPlan,
    /// Which direct methods it knows.
    pub methods: Vec<MethodPlan>,
}

impl FleetPlan {
    /// The id of the device of that index within the fleet.
    #[must_use]
    pub fn device_id(&self, index: u32) -> String {
        match self.auth.device_list() {
            Some(devices) => devices.id(index).to_owned(),
            None => self.id.render(&TemplateContext { device: "", index }),
        }
    }

    /// True when its devices make twin requests.
    #[must_use]
    pub fn makes_twin_requests(&self) -> bool {
        self.twin.get_on_connect || self.sends.iter().any(|send| send.operation.is_request())
    }
}

/// What becomes of messages due while a device is offline against the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// They stay due until `send_by`.
    Queue,
    /// They end as `offline`.
    Skip,
}
