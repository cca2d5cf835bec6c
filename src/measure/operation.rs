//! The enums of this room: operations, their outcomes, and the culprits of errors. Result files contain the names of the
//! variants. Used by all rooms that measure or report.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A timed action of a device or of the service client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A connection attempt, from its due time to CONNACK.
    Connect,
    /// The name resolution of an attempt.
    ConnectDns,
    /// The TCP handshake of an attempt.
    ConnectTcp,
    /// The TLS handshake of an attempt.
    ConnectTls,
    /// The TLS handshake of an attempt that resumed an earlier session. It is also recorded as `ConnectTls`.
    ConnectTlsResumed,
    /// From CONNECT to CONNACK.
    ConnectMqtt,
    /// Getting online: from the planned time, or from the loss of the connection, until the device is online, including
    /// retries and back-off.
    Online,
    /// From SUBSCRIBE to SUBACK.
    Subscribe,
    /// From UNSUBSCRIBE to UNSUBACK.
    Unsubscribe,
    /// A device-to-cloud message to an IoT hub, until its PUBACK.
    Telemetry,
    /// A device-to-cloud message with QoS 0, until it is flushed. Kept separate from `Telemetry`, because a time to
    /// flush is not comparable with a time to PUBACK.
    TelemetryQos0,
    /// A message to an MQTT broker, until its acknowledgment.
    Publish,
    /// A message with QoS 0 to an MQTT broker, until it is flushed.
    PublishQos0,
    /// A message between two devices through an MQTT broker, from its due time to its arrival.
    Deliver,
    /// A token renewal, from its due time until the device is online again.
    Renewal,
    /// A request for the whole twin, until its answer.
    TwinGet,
    /// A change to reported properties, until its answer.
    TwinReport,
    /// A direct method call, measured on the device: from its arrival until the answer is flushed.
    Method,
    /// A cloud-to-device message, from the time in its stamp to its arrival.
    C2d,
    /// A direct method call, measured on the service client.
    ServiceMethod,
    /// A change to desired properties, measured on the service client.
    ServiceDesired,
    /// A cloud-to-device message, measured on the service client, until the hub accepts it.
    ServiceC2d,
    /// From PINGREQ to PINGRESP.
    Ping,
}

impl Operation {
    /// All operations, in the order used in reports.
    pub const ALL: [Operation; 23] = [
        Operation::Online,
        Operation::Connect,
        Operation::ConnectDns,
        Operation::ConnectTcp,
        Operation::ConnectTls,
        Operation::ConnectTlsResumed,
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

    /// Returns the name used in thresholds, results and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::ConnectDns => "connect.dns",
            Operation::ConnectTcp => "connect.tcp",
            Operation::ConnectTls => "connect.tls",
            Operation::ConnectTlsResumed => "connect.tls.resumed",
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

    /// Returns the operation with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Returns the index in arrays with one entry per operation. The order differs from [`Operation::ALL`].
    #[inline]
    #[must_use]
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// Returns true for a step of a connection attempt, which is also part of [`Operation::Connect`].
    #[must_use]
    pub fn is_step(self) -> bool {
        use Operation::{ConnectDns, ConnectMqtt, ConnectTcp, ConnectTls, ConnectTlsResumed};
        matches!(self, ConnectDns | ConnectTcp | ConnectTls | ConnectTlsResumed | ConnectMqtt)
    }

    /// Returns true for operations that bring a device online: connection attempts, their steps, and `Online` and
    /// `Renewal`, which span the attempts.
    #[must_use]
    pub fn is_connecting(self) -> bool {
        self.is_step() || matches!(self, Operation::Connect | Operation::Online | Operation::Renewal)
    }

    /// Returns true for messages, which devices send on the plan's schedule. They are the offered load.
    #[must_use]
    pub fn is_message(self) -> bool {
        use Operation::{Publish, PublishQos0, Telemetry, TelemetryQos0};
        matches!(self, Telemetry | TelemetryQos0 | Publish | PublishQos0) || self.is_request()
    }

    /// Returns true for requests: messages that end with an answer instead of an acknowledgment.
    #[inline]
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Operation::TwinGet | Operation::TwinReport)
    }

    /// Returns false for operations without an acknowledgment: QoS 0 messages, and messages that a device receives.
    /// These operations have no service time.
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

/// How a due operation ended. Each operation has exactly one outcome, so the counts of all outcomes add up to `due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Acknowledged; with QoS 0, flushed.
    Ok,
    /// Not acknowledged within the timeout.
    TimedOut,
    /// Refused by the target with a code. The error counts are by code.
    Refused,
    /// Refused because of throttling, if the protocol can express that.
    Throttled,
    /// The connection was lost, and the operation was not repeated.
    Lost,
    /// Not sent within `send_by`.
    Expired,
    /// Skipped, with `offline = "skip"`, because the device was offline although the plan wanted it online.
    Offline,
    /// Not finished when the run ended.
    Unfinished,
}

impl Outcome {
    /// All outcomes, in the order of the counter array in `Outcomes`.
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

    /// Returns the name used in thresholds, results and reports.
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

    /// Returns the index in arrays with one entry per outcome, such as `Totals::outcomes`.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the outcome with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Returns the error for a name that this version does not know.
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
                // Only a string, because a later version may add names.
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

serde_by_name!(Operation, "operation");
serde_by_name!(Outcome, "outcome");
serde_by_name!(Culprit, "culprit");

/// The party that caused an error, as far as this machine can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Culprit {
    /// The target: the hub or broker.
    Target,
    /// The network between this machine and the target.
    Network,
    /// The load generator or its machine.
    Generator,
}

impl Culprit {
    /// Returns the name used in result files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Culprit::Target => "peer",
            Culprit::Network => "network",
            Culprit::Generator => "us",
        }
    }

    /// Returns the culprit with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Culprit> {
        [Culprit::Target, Culprit::Network, Culprit::Generator]
            .into_iter()
            .find(|culprit| culprit.name() == name)
    }
}

/// Identifies a cell: the operation, the fleet, and the phase in which the operation was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Operation.
    pub operation: Operation,
    /// Index of the fleet in the plan.
    pub fleet: u16,
    /// Index in the plan of the phase in which the operation was due.
    pub phase: u16,
}

/// The four times of an operation, in nanoseconds since the start of the run: `due <= picked <= sent <= acked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Due time, as planned.
    pub due: u64,
    /// When the worker started the operation.
    pub picked: u64,
    /// When the message was encoded for the socket.
    pub sent: u64,
    /// When the operation was acknowledged; with QoS 0, when it was flushed.
    pub acked: u64,
}
