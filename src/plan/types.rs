//! What a plan is made of. Filled in by `resolve`; read by everyone above. Data only.

use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::message_size::message_bytes;
use crate::iothub::properties;
use crate::measure::{Limits, Operation, Test};
use crate::policy::backoff::Reconnect;
use crate::policy::ping::PingPolicy;
use crate::wire::QoS;
use core::net::IpAddr; // Addresses only: sockets live in std::net.
use std::path::PathBuf;
use std::time::Duration;

use super::arrival::{Arrival, RoundRobin};
use super::credentials::Auth;
use super::deliveries::Deliveries;
use super::payload::Payload;
use super::schedule::Schedule;
use super::sdk::SubscribeQos;
use super::template::{Template, TemplateContext};
pub use crate::scenario::{Sdk, TargetKind};

/// A resolved run.
#[derive(Debug)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Where the scenario came from.
    pub source: Source,
    /// Same seed, same arrivals, same payloads.
    pub seed: u64,
    /// What is loaded.
    pub target: Target,
    /// The built-in hub, when it is the target.
    pub emulator: Option<EmulatorOptions>,
    /// Who makes the load.
    pub fleets: Vec<FleetPlan>,
    /// The largest packet that a device takes, in mebibytes.
    pub packet_mib_max: u16,
    /// What the service side does to their devices.
    pub drives: Vec<DrivePlan>,
    /// Phases, planned online share and load over time.
    pub schedule: Schedule,
    /// Which messages come back to the run's own subscribers.
    pub deliveries: Deliveries,
    /// How long acks may come in after the last phase.
    pub drain: Duration,
    /// How long all devices may be offline against the plan before that ends the run; `None`: for ever.
    pub abort_when_unreachable: Option<Duration>,
    /// What counts as good.
    pub thresholds: Vec<Threshold>,
    /// When the load counts as really offered.
    pub validity: Limits,
}

/// Where a scenario came from, for the result file. No secret is in it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The path as given.
    pub file: String,
    /// The text as read; `${env.NAME}` unexpanded.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
    /// `--set` overrides as `key=value`.
    pub overrides: Vec<String>,
    /// The files that were read: the scenario, and those that it names. Nothing may be written over them.
    pub files: Vec<PathBuf>,
}

/// What is loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which kind.
    pub kind: TargetKind,
    /// The host name; with the built-in hub, filled in from its ready line.
    pub host: String,
    /// The port; with the built-in hub, filled in from its ready line.
    pub port: u16,
    /// TLS; `None` over plain TCP (plain brokers only).
    pub tls: Option<TlsPlan>,
    /// This machine's addresses that devices connect from, in turn; empty lets the system choose.
    pub source_ips: Vec<IpAddr>,
}

impl Target {
    /// True when what is sent never leaves this machine, as far as the host's name tells.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// `host:port`, with IPv6 in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// How devices speak TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsPlan {
    /// A PEM file of roots; the system's otherwise.
    pub ca: Option<PathBuf>,
    /// Turned off only by a long flag or key; marks the report.
    pub verify: bool,
}

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
}

/// What becomes of messages due while a device is offline against the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// They stay due until `send_by`.
    Queue,
    /// They end as `offline`.
    Skip,
}

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
    pub(super) fn same_filter(&self, other: &Subscription) -> bool {
        match (self, other) {
            (Subscription::Filter(one, _), Subscription::Filter(two, _)) => one == two,
            _ => self == other,
        }
    }
}

/// What the server publishes when a device goes without DISCONNECT (MQTT 3.1.1 §3.1.2.5).
#[derive(Debug)]
pub struct WillPlan {
    /// Where to; `${device}` is resolved per device.
    pub topic: Template,
    /// What; rendered at each CONNECT; its `${seq}` is 0.
    pub payload: Payload,
    /// At which QoS.
    pub qos: QoS,
    /// Retained or not.
    pub retain: bool,
}

/// One stream of messages of each device.
#[derive(Debug)]
pub struct SendPlan {
    /// When they are due.
    pub arrival: Arrival,
    /// `telemetry` for an IoT hub, `publish` for a plain broker, and with `.qos0` at QoS 0; or a twin request.
    pub operation: Operation,
    /// Where they go, with the property bag; `${device}` is resolved per device. The id of a twin request follows.
    pub topic: Template,
    /// 0, 1, or for a plain broker 2.
    pub qos: u8,
    /// MQTT's flag: a broker keeps it, an IoT hub notes it.
    pub retain: bool,
    /// What they contain.
    pub payload: Payload,
    /// Bytes that their properties add to the size that an IoT hub limits and bills.
    pub properties_bytes: usize,
}

/// How a device of an IoT hub asks for its twin and changes it. What of that is scheduled is among its `sends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinPlan {
    /// Asks for the whole twin whenever it has connected and subscribed.
    pub get_on_connect: bool,
    /// Of requests, 0 or 1.
    pub qos: u8,
    /// From a request to its answer.
    pub timeout: Duration,
}

/// What a device does when a direct method is called.
#[derive(Debug)]
pub struct MethodPlan {
    /// Which.
    pub name: String,
    /// What it answers; `None`: nothing.
    pub answer: Option<AnswerPlan>,
    /// How long that takes.
    pub after: Duration,
    /// Goes and comes back afterwards.
    pub then_reconnect: bool,
}

/// What is answered to a direct method.
#[derive(Debug)]
pub struct AnswerPlan {
    /// In HTTP's numbers, as a rule.
    pub status: u32,
    /// JSON, or empty; its `${seq}` counts the calls.
    pub payload: Payload,
    /// 0 or 1.
    pub qos: QoS,
}

/// One stream of calls of the service side to the devices of a fleet. Nothing is due for a device while the plan has
/// it offline.
#[derive(Debug)]
pub struct DrivePlan {
    /// Index of the fleet.
    pub fleet: u16,
    /// What is called.
    pub call: CallPlan,
    /// When calls are due: of the whole fleet, all of it online.
    pub arrival: Arrival,
    /// Who is called next when calls are evenly spaced.
    pub order: RoundRobin,
    /// What it carries.
    pub payload: Payload,
    /// A call without its answer for so long has timed out.
    pub timeout: Duration,
}

/// What the service side calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallPlan {
    /// A direct method.
    Method {
        /// Its name.
        name: String,
        /// How long the hub waits for the device's answer.
        response_timeout: Duration,
        /// How long the hub waits for the device to connect.
        connect_timeout: Duration,
    },
    /// A change of desired properties.
    Desired,
    /// A cloud-to-device message.
    C2d {
        /// Its properties; when it was sent, and its number, are added.
        properties: Vec<(String, String)>,
        /// How long the hub keeps it; the hub's default otherwise.
        ttl: Option<Duration>,
    },
}

impl CallPlan {
    /// What is measured of it.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            CallPlan::Method { .. } => Operation::ServiceMethod,
            CallPlan::Desired => Operation::ServiceDesired,
            CallPlan::C2d { .. } => Operation::ServiceC2d,
        }
    }

    /// The most bytes that the properties of a call add to its size as an IoT hub counts it. The destination is the hub's own, and does
    /// not count.
    #[must_use]
    pub fn properties_bytes_max(&self) -> usize {
        let CallPlan::C2d { properties, .. } = self else { return 0 };
        let stamps = [properties::SENT, properties::SEQ].map(|name| (name.to_owned(), u64::MAX.to_string()));
        let all: Vec<_> = properties.iter().cloned().chain(stamps).collect();
        message_bytes(0, &properties::encode(&all))
    }
}

/// A threshold with its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Which operation it reads.
    pub metric: Operation,
    /// Index of the phase it names.
    pub phase: Option<u16>,
    /// Index of the fleet it names.
    pub fleet: Option<u16>,
    /// As written.
    pub expression: String,
    /// What is compared.
    pub test: Test,
    /// A decisive fail ends the run from this long after the start of the phase that it names, or of the first phase that is no
    /// warm-up; `None`: it never ends the run. See [`Plan::abort_from`].
    pub abort_after: Option<Duration>,
}
