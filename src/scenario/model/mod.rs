//! The typed content of a scenario file, one struct per table. Units are parsed and defaults are not applied yet. Values that `plan` may
//! still refuse carry their [`Place`]. `keys` fills these structs in, and `plan` resolves them. The structs must not depend on TOML or
//! JSON.

mod auth;
mod day;
mod emulator;
mod phase;
mod reconnect;

pub use auth::{AuthSpec, RenewSpec, TokenSpec};
pub use day::{DayPartSpec, DaySpec};
pub(super) use emulator::ThrottleSpec;
pub use emulator::{ChaosSpec, EmulatorSpec, FaultSpec};
pub use phase::{ChurnSpec, CourseSpec, DisconnectSpec, LoadSpec, PhaseFleetSpec, PhaseSpec};
pub use reconnect::{BackOffSpec, GiveUpSpec, ReconnectSpec};

use super::error::Place;
use super::value::Written;
use crate::units::{Percent, Rate};
use core::net::IpAddr; // `core::net` has addresses but no sockets.
use std::path::PathBuf;
use std::time::Duration;

/// A whole scenario.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// File name.
    pub file: String,
    /// Text of the file.
    pub text: String,
    /// `--set` overrides.
    pub overrides: Vec<String>,
    /// True after a syntax error. The fields below are then empty.
    pub unreadable: bool,
    /// `name`.
    pub name: Option<String>,
    /// `seed`.
    pub seed: Option<u64>,
    /// `[target]`; `None` for the built-in hub.
    pub target: Option<TargetSpec>,
    /// `[emulator]`.
    pub emulator: EmulatorSpec,
    /// `[fleet.*]`, in file order.
    pub fleets: Vec<FleetSpec>,
    /// `[[drive]]`.
    pub drives: Vec<DriveSpec>,
    /// `[[phase]]`.
    pub phases: Vec<PhaseSpec>,
    /// `day`.
    pub day: Option<DaySpec>,
    /// `drain`.
    pub drain: Option<Duration>,
    /// `abort_when_unreachable`; `None` for `"never"`.
    pub abort_when_unreachable: Option<Duration>,
    /// `[thresholds]`, with one entry per expression.
    pub thresholds: Vec<ThresholdSpec>,
    /// `[validity]`.
    pub validity: ValiditySpec,
    /// The parts of the file that do not run, because the command line selects some fleets.
    pub left_out: LeftOut,
}

/// The parts of a scenario that do not run, because the command line selects some fleets.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// Names of the other fleets. A threshold may name them.
    pub fleets: Vec<String>,
    /// The drives to the other fleets, in words.
    pub drives: Vec<String>,
}

/// Kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// Azure IoT Hub, or the built-in hub.
    IotHub,
    /// Any MQTT 3.1.1 broker.
    Mqtt,
}

/// `[target]`.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// Place of the table.
    pub place: Place,
    /// `kind`; `None` if invalid.
    pub kind: Option<TargetKind>,
    /// `host`: one host, or the elements of a list. Empty if invalid.
    pub hosts: Vec<HostSpec>,
    /// `failover`; true for `"next"`.
    pub failover: Option<Written<bool>>,
    /// `port`.
    pub port: Option<u16>,
    /// `tls`.
    pub tls: Option<TlsSpec>,
    /// `ca`.
    pub ca: Option<Written<PathBuf>>,
    /// `source_ips`.
    pub source_ips: Vec<Written<IpAddr>>,
    /// `tier` and `units`.
    pub size: SizeSpec,
}

/// A host of `[target]`.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// Host name or address.
    pub host: Written<String>,
    /// The port after the host in a list such as `["a", "b:8884"]`.
    pub port: Option<u16>,
}

/// `tier` and `units` of a hub.
#[derive(Clone, Debug, Default)]
pub struct SizeSpec {
    /// `tier`.
    pub tier: Option<Written<&'static str>>,
    /// `units`.
    pub units: Option<Written<u32>>,
}

/// `tls = true`, `tls = false` or `tls = { verify = .., resumption = .. }`.
#[derive(Clone, Debug)]
pub struct TlsSpec {
    /// Place of the value.
    pub place: Place,
    /// False only for `tls = false`.
    pub on: bool,
    /// `verify`.
    pub verify: bool,
    /// `resumption`: true for `"on"`.
    pub resumption: bool,
}

/// `[fleet.NAME]`.
#[derive(Clone, Debug)]
pub struct FleetSpec {
    /// Name of the fleet.
    pub name: String,
    /// Place of the table.
    pub place: Place,
    /// `devices`; `None` if invalid.
    pub devices: Option<u32>,
    /// `id`.
    pub id: Option<Written<String>>,
    /// `sdk`.
    pub sdk: Option<Written<Sdk>>,
    /// `auth`.
    pub auth: Option<Written<AuthSpec>>,
    /// `keep_alive`, in whole seconds.
    pub keep_alive_s: Option<u16>,
    /// `clean_session`.
    pub clean_session: Option<bool>,
    /// `unsubscribe`.
    pub unsubscribe: bool,
    /// `reconnect`.
    pub reconnect: Option<ReconnectSpec>,
    /// `connect_timeout`.
    pub connect_timeout: Option<Duration>,
    /// `ack_timeout`.
    pub ack_timeout: Option<Duration>,
    /// `send_by`.
    pub send_by: Option<Duration>,
    /// `offline`: true for `"skip"`.
    pub offline_skip: Option<bool>,
    /// `in_flight`.
    pub in_flight: Option<u16>,
    /// `subscribe`.
    pub subscribe: Vec<SubscribeSpec>,
    /// `will`.
    pub will: Option<WillSpec>,
    /// `[[fleet.NAME.send]]`.
    pub sends: Vec<SendSpec>,
    /// `twin`.
    pub twin: Option<TwinSpec>,
    /// `[[fleet.NAME.report]]`.
    pub reports: Vec<ReportSpec>,
    /// `[fleet.NAME.methods.*]`, in file order.
    pub methods: Vec<MethodSpec>,
    /// `[[fleet.NAME.fault]]`.
    pub faults: Vec<FaultSpec>,
}

/// `sdk`: the Azure SDK whose defaults the devices use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// `azure-iot-sdk-python`.
    Python,
    /// `azure-iot-sdk-node`.
    Node,
    /// `azure-iot-sdk-csharp`.
    DotNet,
    /// `azure-iot-sdk-java`.
    Java,
    /// `azure-iot-sdk-c`.
    C,
    /// The folder `c` of `azure-iot-sdk`, the unified SDK.
    CUnified,
}

impl Sdk {
    /// All SDKs.
    pub const ALL: [Sdk; 6] = [Sdk::Python, Sdk::Node, Sdk::DotNet, Sdk::Java, Sdk::C, Sdk::CUnified];

    /// Returns the SDK's name in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sdk::Python => "python",
            Sdk::Node => "node",
            Sdk::DotNet => "dotnet",
            Sdk::Java => "java",
            Sdk::C => "c",
            Sdk::CUnified => "c-unified",
        }
    }
}

/// One element of `subscribe`: a string, or a table with a QoS.
#[derive(Clone, Debug)]
pub struct SubscribeSpec {
    /// The string, or `filter` of the table.
    pub filter: Written<String>,
    /// `qos`.
    pub qos: Option<Written<u8>>,
}

/// `will`.
#[derive(Clone, Debug)]
pub struct WillSpec {
    /// Place of the value.
    pub place: Place,
    /// `topic`.
    pub topic: Option<Written<String>>,
    /// `payload`; `None` if invalid.
    pub payload: Option<Written<PayloadSpec>>,
    /// `qos`.
    pub qos: Option<Written<u8>>,
    /// `retain`.
    pub retain: bool,
}

/// `[[fleet.NAME.send]]`.
#[derive(Clone, Debug)]
pub struct SendSpec {
    /// Place of the table.
    pub place: Place,
    /// `every`, `rate` or `think_time`; `None` if invalid.
    pub spacing: Option<Spacing>,
    /// `arrival`.
    pub arrival: Option<ArrivalKind>,
    /// `burst`.
    pub burst: Option<u32>,
    /// `qos`.
    pub qos: Option<Written<u8>>,
    /// `retain`.
    pub retain: bool,
    /// `topic`.
    pub topic: Option<Written<String>>,
    /// `properties`, in file order.
    pub properties: Vec<(String, Written<String>)>,
    /// `payload`; `None` if invalid, or for a replay.
    pub payload: Option<Written<MessageSpec>>,
    /// `file`, `speed` and `repeat`, with `arrival = "replay"`.
    pub replay: Option<ReplaySpec>,
}

/// The keys of a replay.
#[derive(Clone, Debug)]
pub struct ReplaySpec {
    /// `file`; `None` if invalid.
    pub file: Option<Written<PathBuf>>,
    /// `speed`.
    pub speed: f64,
    /// `repeat`.
    pub repeat: bool,
}

/// The keys that determine when the messages of a stream are due.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// `every`, `rate` or `think_time`; `None` if invalid.
    pub spacing: Option<Spacing>,
    /// `arrival`.
    pub arrival: Option<ArrivalKind>,
    /// `burst`.
    pub burst: Option<u32>,
}

/// `twin`.
#[derive(Clone, Debug)]
pub struct TwinSpec {
    /// Place of the table.
    pub place: Place,
    /// `get = "on-connect"`.
    pub get_on_connect: bool,
    /// Timing of further requests for the whole twin.
    pub timing: Option<Timing>,
    /// `qos` of the requests.
    pub qos: Option<u8>,
    /// `timeout` of the requests.
    pub timeout: Option<Duration>,
}

/// `[[fleet.NAME.report]]`.
#[derive(Clone, Debug)]
pub struct ReportSpec {
    /// Place of the table.
    pub place: Place,
    /// `every`, `rate`, `arrival`, `think_time` and `burst`.
    pub timing: Timing,
    /// `payload`; `None` if invalid.
    pub payload: Option<Written<PayloadSpec>>,
}

/// `[fleet.NAME.methods.*]`.
#[derive(Clone, Debug)]
pub struct MethodSpec {
    /// Name of the method.
    pub name: String,
    /// Place of the table.
    pub place: Place,
    /// `status`.
    pub status: Option<u32>,
    /// `payload`.
    pub payload: Option<Written<PayloadSpec>>,
    /// `after`.
    pub after: Option<Duration>,
    /// `qos`.
    pub qos: Option<u8>,
    /// `answer`.
    pub answer: bool,
    /// `then = "reconnect"`.
    pub then_reconnect: bool,
}

/// Time between messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spacing {
    /// `every`, for each device.
    Every(Duration),
    /// `rate`, for the whole fleet.
    Rate(Rate),
    /// `think_time`, from the end of one message to the start of the next. Only with [`ArrivalKind::Closed`].
    Think(Duration),
}

/// `arrival`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalKind {
    /// Evenly spaced.
    Regular,
    /// A Poisson process: messages are independent of each other.
    Poisson,
    /// Each message waits for the end of the previous one.
    Closed,
    /// Messages from a file, at their recorded times.
    Replay,
}

/// `payload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadSpec {
    /// A template.
    Template(String),
    /// `{ size = N }`, in bytes.
    Size(u32),
}

/// `payload` of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageSpec {
    /// Generated for each message.
    Payload(PayloadSpec),
    /// `{ file = ".." }`: one line of the file for each message.
    FileLines {
        /// Path, as written.
        path: Written<PathBuf>,
        /// `order = "random"`.
        shuffled: bool,
    },
}

/// Kind of service call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A direct method.
    Method,
    /// A change to desired properties.
    Desired,
    /// A cloud-to-device message.
    C2d,
}

/// `[[drive]]`.
#[derive(Clone, Debug)]
pub struct DriveSpec {
    /// Place of the table.
    pub place: Place,
    /// `call`; `None` if invalid.
    pub call: Option<CallKind>,
    /// `fleet`; `None` if invalid.
    pub fleet: Option<Written<String>>,
    /// `every` (for each device) or `rate` (for the whole fleet); `None` if invalid.
    pub spacing: Option<Spacing>,
    /// `arrival`.
    pub arrival: Option<ArrivalKind>,
    /// `payload`.
    pub payload: Option<Written<PayloadSpec>>,
    /// `name` of a method.
    pub name: Option<Written<String>>,
    /// `response_timeout` of a method.
    pub response_timeout: Option<Duration>,
    /// `connect_timeout` of a method.
    pub connect_timeout: Option<Duration>,
    /// `properties` of a cloud-to-device message, in file order.
    pub properties: Vec<(String, Written<String>)>,
    /// `ttl` of a cloud-to-device message.
    pub ttl: Option<Duration>,
}

impl DriveSpec {
    /// Describes the drive: its operation, its method, and its fleet.
    #[must_use]
    pub fn description(&self) -> String {
        let operation = match self.call {
            Some(CallKind::Method) => "service.method",
            Some(CallKind::Desired) => "service.desired",
            Some(CallKind::C2d) => "service.c2d",
            // Only in a scenario with errors.
            None => "call",
        };
        let method = self.name.as_ref().map_or_else(String::new, |name| format!(" {}", name.value));
        let fleet =
            self.fleet.as_ref().map_or_else(String::new, |fleet| format!(" to fleet {}", fleet.value));
        format!("{operation}{method}{fleet}")
    }
}

/// The part of a scenario by which a result is judged again.
#[derive(Clone, Debug, Default)]
pub struct ThresholdsOnly {
    /// `[thresholds]`, in the order of the file.
    pub thresholds: Vec<ThresholdSpec>,
    /// Names of the fleets; empty if the file has only thresholds.
    pub fleets: Vec<String>,
}

/// One expression in `[thresholds]`.
#[derive(Clone, Debug)]
pub struct ThresholdSpec {
    /// The key: a metric, optionally with a phase and a fleet.
    pub metric: Written<String>,
    /// The expression.
    pub expression: Written<String>,
    /// False if the value of the key is not a list, which `plan` reports because it can parse the expression.
    pub listed: bool,
    /// `abort`.
    pub abort: bool,
    /// `after`.
    pub after: Option<Duration>,
}

/// `[validity]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValiditySpec {
    /// `late_after`.
    pub late_after: Option<Duration>,
    /// `late_share`.
    pub late_share: Option<Percent>,
    /// `sent_share`.
    pub sent_share: Option<Percent>,
    /// `busy_share`.
    pub busy_share: Option<Percent>,
    /// `closed_loop_share`.
    pub closed_loop_share: Option<Percent>,
}
