//! The closed sets: which operations exist, how each can end, and who is the culprit of an error. In files they are their names.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// What a device (or the service side) does that is worth timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// One connection attempt, from the instant it was due to CONNACK.
    Connect,
    /// Its name resolution.
    ConnectDns,
    /// Its TCP handshake.
    ConnectTcp,
    /// Its TLS handshake.
    ConnectTls,
    /// CONNECT to CONNACK.
    ConnectMqtt,
    /// From the planned instant, or from the loss, until really online, retries and back-off included.
    Online,
    /// SUBSCRIBE to SUBACK.
    Subscribe,
    /// UNSUBSCRIBE to UNSUBACK.
    Unsubscribe,
    /// A device-to-cloud message of an IoT hub, until its ack.
    Telemetry,
    /// One with QoS 0, until it is on its way. Apart, because the two times have nothing in common.
    TelemetryQos0,
    /// A message to a plain broker, until its ack.
    Publish,
    /// One with QoS 0, until it is on its way.
    PublishQos0,
    /// A message of one device of a plain broker until another has it, from the instant it was due to be published.
    Deliver,
    /// A token's renewal, from the instant it was due until online again.
    Renewal,
    /// A request for the whole twin, until its answer.
    TwinGet,
    /// A change of reported properties, until its answer.
    TwinReport,
    /// A direct method on the device: from its arrival until the answer is on its way.
    Method,
    /// A cloud-to-device message, from the instant that its sender stamped until it arrived.
    C2d,
    /// A direct method, seen by the service that calls it.
    ServiceMethod,
    /// A change of desired properties, seen by the service.
    ServiceDesired,
    /// A cloud-to-device message, until the hub has it.
    ServiceC2d,
    /// PINGREQ to PINGRESP.
    Ping,
}

impl Operation {
    /// Every operation, in the order in which reports list them.
    pub const ALL: [Operation; 22] = [
        Operation::Online,
        Operation::Connect,
        Operation::ConnectDns,
        Operation::ConnectTcp,
        Operation::ConnectTls,
        Operation::ConnectMqtt,
        Operation::Subscribe,
        Operation::Unsubscribe,
        Operation::Telemetry,
        Operation::TelemetryQos0,
        Operation::Publish,
        Operation::PublishQos0,
        Operation::Deliver,
        Operation::Renewal,
        Operation::TwinGet,
        Operation::TwinReport,
        Operation::Method,
        Operation::C2d,
        Operation::ServiceMethod,
        Operation::ServiceDesired,
        Operation::ServiceC2d,
        Operation::Ping,
    ];

    /// The name in thresholds, results and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::ConnectDns => "connect.dns",
            Operation::ConnectTcp => "connect.tcp",
            Operation::ConnectTls => "connect.tls",
            Operation::ConnectMqtt => "connect.mqtt",
            Operation::Online => "online",
            Operation::Subscribe => "subscribe",
            Operation::Unsubscribe => "unsubscribe",
            Operation::Telemetry => "telemetry",
            Operation::TelemetryQos0 => "telemetry.qos0",
            Operation::Publish => "publish",
            Operation::PublishQos0 => "publish.qos0",
            Operation::Deliver => "deliver",
            Operation::Renewal => "renewal",
            Operation::TwinGet => "twin.get",
            Operation::TwinReport => "twin.report",
            Operation::Method => "method",
            Operation::C2d => "c2d",
            Operation::ServiceMethod => "service.method",
            Operation::ServiceDesired => "service.desired",
            Operation::ServiceC2d => "service.c2d",
            Operation::Ping => "ping",
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Its place in arrays with one entry per operation; not the order of [`Operation::ALL`].
    #[inline]
    #[must_use]
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// A part of another operation, which counts for both.
    #[must_use]
    pub fn is_step(self) -> bool {
        use Operation::{ConnectDns, ConnectMqtt, ConnectTcp, ConnectTls};
        matches!(self, ConnectDns | ConnectTcp | ConnectTls | ConnectMqtt)
    }

    /// How devices come in: a connection attempt, a part of it, or what lasts until one has worked.
    #[must_use]
    pub fn is_connecting(self) -> bool {
        self.is_step() || matches!(self, Operation::Connect | Operation::Online | Operation::Renewal)
    }

    /// Messages: what devices send because the plan says that it is due. They are the offered load.
    #[must_use]
    pub fn is_message(self) -> bool {
        use Operation::{Publish, PublishQos0, Telemetry, TelemetryQos0};
        matches!(self, Telemetry | TelemetryQos0 | Publish | PublishQos0) || self.is_request()
    }

    /// Messages that end with an answer of their own, not with their ack.
    #[inline]
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Operation::TwinGet | Operation::TwinReport)
    }

    /// False for what ends without an answer, as sent with QoS 0 or because it came: it has no service time.
    #[inline]
    #[must_use]
    pub fn has_ack(self) -> bool {
        use Operation::{C2d, Deliver, PublishQos0, TelemetryQos0};
        !matches!(self, TelemetryQos0 | PublishQos0 | Deliver | C2d)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a due operation ended: exactly one of these. Their sum equals `due`, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Acknowledged; QoS 0: flushed.
    Ok,
    /// Not acknowledged within its timeout.
    TimedOut,
    /// Refused by the peer, with a code (counted by code among the errors).
    Refused,
    /// Refused because of a throttle, where the wire says so.
    Throttled,
    /// The connection went away and it will not be sent again.
    Lost,
    /// Not sent by `send_by`.
    Expired,
    /// Due while the device was offline against the plan, with `offline = "skip"`.
    Offline,
    /// Still open when the run ended.
    Unfinished,
}

impl Outcome {
    /// Every outcome, in the order of the counter array.
    pub const ALL: [Outcome; 8] = [
        Outcome::Ok,
        Outcome::TimedOut,
        Outcome::Refused,
        Outcome::Throttled,
        Outcome::Lost,
        Outcome::Expired,
        Outcome::Offline,
        Outcome::Unfinished,
    ];

    /// The name in thresholds, results and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::TimedOut => "timed_out",
            Outcome::Refused => "refused",
            Outcome::Throttled => "throttled",
            Outcome::Lost => "lost",
            Outcome::Expired => "expired",
            Outcome::Offline => "offline",
            Outcome::Unfinished => "unfinished",
        }
    }

    /// Its place in arrays with one entry per outcome, such as `Totals::outcomes`.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The outcome of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// A name in a file that this version does not know.
fn unknown<'de, D: Deserializer<'de>>(what: &str, name: &str) -> D::Error {
    serde::de::Error::custom(format!("unknown {what} {name:?}"))
}

macro_rules! serde_by_name {
    ($type:ident, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let name = Cow::<'_, str>::deserialize(deserializer)?;
                $type::from_name(&name).ok_or_else(|| unknown::<D>($what, &name))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                // A later minor version may know more names.
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

serde_by_name!(Operation, "operation");
serde_by_name!(Outcome, "outcome");
serde_by_name!(Culprit, "culprit");

/// Whose fault an error is, as far as the wire can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Culprit {
    /// The hub or broker.
    Peer,
    /// What lies between.
    Network,
    /// This load generator or its machine.
    Us,
}

impl Culprit {
    /// The name in the result file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Culprit::Peer => "peer",
            Culprit::Network => "network",
            Culprit::Us => "us",
        }
    }

    /// The culprit of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Culprit> {
        [Culprit::Peer, Culprit::Network, Culprit::Us].into_iter().find(|culprit| culprit.name() == name)
    }
}

/// What a number belongs to: the operation, and the fleet and phase in which it was due (indices of the plan).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What was done.
    pub operation: Operation,
    /// By which fleet.
    pub fleet: u16,
    /// Due in which phase.
    pub phase: u16,
}

/// The four instants of an operation, in nanoseconds since the run's zero; `due <= picked <= sent <= acked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Planned.
    pub due: u64,
    /// The worker handled it.
    pub picked: u64,
    /// Encoded for the socket.
    pub sent: u64,
    /// Acknowledged (QoS 0: flushed).
    pub acked: u64,
}
