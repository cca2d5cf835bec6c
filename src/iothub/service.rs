//! Calls from a service client (a back end) to an IoT hub, and their results. The load generator's service driver creates a
//! [`ServiceCall`], the control line of the emulator carries it as JSON, the emulator answers with a [`ServiceResponse`] or a
//! [`ServiceError`], and the driver receives a [`ServiceResult`]. Data only: independent of how a hub carries out a call and how the call
//! is transported.
//!
//! `docs/emulator.md` documents the JSON names.

use super::twin_patch::{self, Properties, TwinError};
use super::{error_code, limits};
use crate::units::exact_bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A call to a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a call with id, device and ask")]
pub struct ServiceCall {
    /// Call id, chosen by the caller. The result has the same id.
    pub id: u64,
    /// Device id.
    pub device: String,
    /// The requested operation.
    #[serde(rename = "ask")]
    pub request: ServiceRequest,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceResult {
    /// Call id.
    pub id: u64,
    /// The hub's response, or the error that it reported.
    pub result: Result<ServiceResponse, ServiceFailure>,
}

/// An operation that a service client requests from a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "a request as described in docs/emulator.md"
)]
pub enum ServiceRequest {
    /// Invokes a direct method.
    #[serde(rename = "method")]
    InvokeMethod {
        /// Method name: a nonempty topic level.
        name: String,
        /// JSON payload. `None` is an empty body, which differs from the JSON `null` ("Communicate with an IoT hub using the MQTT
        /// protocol": "either a valid JSON or an empty body").
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_is_some")]
        payload: Option<Value>,
        /// How long the hub waits for the device's answer. Only Azure's REST API limits it to 5 to 300 seconds.
        #[serde(rename = "response_timeout_ms", with = "millis", default = "response_timeout")]
        response_timeout: Duration,
        /// How long the hub waits for the device to connect and subscribe.
        #[serde(rename = "connect_timeout_ms", with = "millis", default)]
        connect_timeout: Duration,
    },
    /// Updates the desired properties of the twin.
    #[serde(rename = "desired")]
    UpdateDesired {
        /// Patch that is merged into the desired properties.
        #[serde(deserialize_with = "twin_patch::deserialize")]
        patch: Properties,
    },
    /// Updates the tags of the twin.
    #[serde(rename = "tags")]
    UpdateTags {
        /// Patch that is merged into the tags.
        #[serde(deserialize_with = "twin_patch::deserialize")]
        patch: Properties,
    },
    /// Sends a cloud-to-device message.
    #[serde(rename = "c2d")]
    SendMessage {
        /// Message id: 1 to 128 characters that are allowed in a device id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        /// Application properties.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: BTreeMap<String, String>,
        /// Body.
        payload: String,
        /// Time to live; [`limits::C2D_TTL`] by default.
        #[serde(
            rename = "ttl_ms",
            with = "optional_millis",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        ttl: Option<Duration>,
        /// Requested feedback. The device receives this value, but the emulator does not send feedback yet.
        #[serde(default, skip_serializing_if = "Feedback::is_none")]
        ack: Feedback,
    },
    /// Closes the connection of the device.
    #[serde(rename = "close")]
    CloseConnection,
    /// Disables the device, which closes its connection, or enables it again.
    Disable(bool),
    /// Removes the queued cloud-to-device messages of the device.
    #[serde(rename = "purge")]
    PurgeMessages,
    /// Reads the twin.
    #[serde(rename = "twin")]
    ReadTwin,
}

/// Deserializes `null` as `Some(Value::Null)`, where serde's default is `None`.
fn null_is_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn response_timeout() -> Duration {
    limits::METHOD_RESPONSE_TIMEOUT
}

/// A duration as an integer number of milliseconds.
mod millis {
    use super::{Deserialize, Deserializer, Duration};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// An optional duration as an integer number of milliseconds.
mod optional_millis {
    use super::{Deserialize, Deserializer, Duration, millis};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => millis::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// Feedback that the sender of a cloud-to-device message requests (`iothub-ack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// No feedback.
    #[default]
    None,
    /// Feedback when the message is completed.
    Positive,
    /// Feedback when the message expires or is rejected.
    Negative,
    /// Feedback in all cases.
    Full,
}

impl Feedback {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_none(&self) -> bool {
        *self == Feedback::None
    }

    /// Returns the value of `iothub-ack`; `None` means that the property is omitted.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Feedback::None => None,
            Feedback::Positive => Some("positive"),
            Feedback::Negative => Some("negative"),
            Feedback::Full => Some("full"),
        }
    }
}

/// A hub's response to a request that succeeded. Fields that do not apply to the request are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceResponse {
    /// Status that the device returned from a method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// New version of the desired properties or, after a change to tags, of the twin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Payload that the device returned from a method, the twin, or the number of purged messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// An error that a hub reported to the service client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFailure {
    /// Error code; see [`error_code`].
    pub code: u32,
    /// Error message.
    pub message: String,
}

impl From<ServiceError> for ServiceFailure {
    fn from(error: ServiceError) -> ServiceFailure {
        ServiceFailure { code: error.code(), message: error.to_string() }
    }
}

/// The reason why a hub refuses a request or cannot complete it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The device does not exist or, for a method, is disabled. The second case is our choice.
    #[error("the hub has no device with this id, or it is disabled")]
    NotFound,
    /// The device is not connected, is not subscribed to methods, or its connection ended before it responded.
    #[error("the device is not online")]
    NotOnline,
    /// The device did not respond in time.
    #[error("the device did not answer in time")]
    NoAnswer,
    /// The device's response is not JSON. Azure does not document this case.
    #[error("the response of the device is not JSON")]
    InvalidAnswer,
    /// The message queue of the device is full.
    #[error("{max} messages are already waiting for the device", max = limits::C2D_QUEUE_MAX)]
    QueueFull,
    /// Too many changes to desired properties are waiting for the device. Using the error code for messages is our choice.
    #[error("{max} changes to desired properties are already waiting for the device", max = limits::DESIRED_QUEUE_MAX)]
    TooManyChanges,
    /// Too many method calls to the device are unanswered.
    #[error("{max} method calls to the device are unanswered", max = limits::METHODS_IN_FLIGHT_MAX)]
    TooManyCalls,
    /// A message, or the payload of a method or of its response, is too large. Using the error code for messages in all cases is our
    /// choice.
    #[error("the message or payload is {} long; the limit is {}", exact_bytes(*bytes), exact_bytes(*bytes_max))]
    TooLarge {
        /// Size of the message or payload.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A throttle of the hub refuses the request.
    #[error("a throttle of the hub is exceeded, and too much is waiting already")]
    Throttled,
    /// The daily message quota is used up.
    #[error("the daily message quota of the hub is used up")]
    QuotaUsedUp,
    /// The hub's tier does not have the operation.
    #[error("the hub's tier does not have this operation")]
    NotInTier,
    /// The request has an invalid argument.
    #[error("{0}")]
    Argument(&'static str),
    /// The twin cannot be changed in this way.
    #[error("{0}")]
    Twin(#[from] TwinError),
}

impl ServiceError {
    /// Returns the error code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            ServiceError::NotFound => error_code::DEVICE_NOT_FOUND,
            ServiceError::NotOnline => error_code::DEVICE_NOT_ONLINE,
            ServiceError::NoAnswer => error_code::GATEWAY_TIMEOUT,
            ServiceError::InvalidAnswer => error_code::DESERIALIZATION_ERROR,
            ServiceError::QueueFull | ServiceError::TooManyChanges => {
                error_code::DEVICE_MAXIMUM_QUEUE_DEPTH_EXCEEDED
            }
            ServiceError::TooManyCalls => error_code::DEVICE_MAXIMUM_INFLIGHT_METHOD_EXCEEDED,
            ServiceError::TooLarge { .. } => error_code::MESSAGE_TOO_LARGE,
            ServiceError::Throttled => error_code::THROTTLING,
            ServiceError::QuotaUsedUp => error_code::IOT_HUB_QUOTA_EXCEEDED,
            ServiceError::NotInTier => error_code::OPERATION_NOT_AVAILABLE_IN_CURRENT_TIER,
            ServiceError::Argument(_) => error_code::ARGUMENT_INVALID,
            ServiceError::Twin(error) => error.code(),
        }
    }
}
