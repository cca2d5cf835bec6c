//! What a back end can ask of the hub about a device: the face that tests, `--control` and one day a REST API stand on. Pure: asking
//! changes what is known of the device, and says which connection has to be woken to tell it.
//!
//! What the device is told, and when, is its session's business.

use super::c2d::Message;
use super::device::Call;
use super::directory::{Address, Directory, Entry};
use super::twin::{self, Properties, TwinError};
use crate::iothub::message_size::message_bytes;
use crate::iothub::topics::Subscription;
use crate::iothub::{limits, names, properties, topics};
use crate::wire::{STRING_BYTES_MAX, topic};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Calls a method.
    Method {
        /// Its name: a topic level that is not empty.
        name: String,
        /// Its JSON payload. `None` is an empty body, which differs from the JSON `null` ("Communicate with an IoT hub using the MQTT
        /// protocol": "either a valid JSON or an empty body").
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        payload: Option<Value>,
        /// How long its answer is waited for. Azure's bounds, 5 to 300 seconds, are the REST API's.
        #[serde(default = "response_timeout_ms")]
        response_timeout_ms: u64,
        /// How long a device that is not connected, or not subscribed, is waited for.
        #[serde(default)]
        connect_timeout_ms: u64,
    },
    /// Changes desired properties.
    Desired {
        /// Merged into them.
        #[serde(deserialize_with = "twin::deserialize_patch")]
        patch: Properties,
    },
    /// Changes tags.
    Tags {
        /// Merged into them.
        #[serde(deserialize_with = "twin::deserialize_patch")]
        patch: Properties,
    },
    /// Sends a message.
    C2d {
        /// Its id: 1 to 128 characters, those of a device id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        /// Application properties.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: BTreeMap<String, String>,
        /// The body.
        payload: String,
        /// How long it may wait; an hour unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
        /// What feedback the sender asks for. The device sees it; none is given yet.
        #[serde(default, skip_serializing_if = "Feedback::is_none")]
        ack: Feedback,
    },
    /// Closes the device's connection, without a word.
    Close,
    /// Disables the device, which closes its connection, or enables it again.
    Disable(bool),
    /// Empties its queue of cloud-to-device messages.
    Purge,
    /// Reads its twin.
    Twin,
}

/// Reads `null` as `Some(Value::Null)`. By default serde reads it as `None`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn response_timeout_ms() -> u64 {
    u64::try_from(limits::METHOD_RESPONSE_TIMEOUT.as_millis()).unwrap_or(u64::MAX)
}

/// Feedback on a message (`iothub-ack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// None.
    #[default]
    None,
    /// When it was completed.
    Positive,
    /// When it expired or was rejected.
    Negative,
    /// Both.
    Full,
}

impl Feedback {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls takes a reference")]
    fn is_none(&self) -> bool {
        *self == Feedback::None
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Feedback::None => None,
            Feedback::Positive => Some("positive"),
            Feedback::Negative => Some("negative"),
            Feedback::Full => Some("full"),
        }
    }
}

/// What came of it; what does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Of a method: what the device says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// Of desired properties: their new version. Of tags: the twin's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What a method answered; the twin; how many messages were purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// Why it did not come about. Codes are those of "Troubleshooting Azure IoT Hub error codes".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// No such device or, which is our choice, for a method one that is disabled.
    #[error("no device of that id is known, or it is disabled")]
    NotFound,
    /// The device is not connected, not subscribed, or its connection ended before it answered.
    #[error("the device is not online")]
    NotOnline,
    /// The device did not answer in time.
    #[error("the device did not answer in time")]
    NoAnswer,
    /// What the device answered is not JSON. What a hub makes of that is not documented.
    #[error("the device's answer is not JSON")]
    Answer,
    /// Fifty messages wait for the device.
    #[error("{max} messages already wait for the device", max = limits::C2D_QUEUE_MAX)]
    QueueFull,
    /// Too many changes of desired properties wait for the device. Their code, that of messages, is our choice.
    #[error("{max} changes of desired properties already wait for the device", max = limits::DESIRED_QUEUE_MAX)]
    TooManyChanges,
    /// Too many method calls of the device are unanswered.
    #[error("{max} method calls of the device are unanswered", max = limits::METHODS_IN_FLIGHT_MAX)]
    TooManyCalls,
    /// More than a message, a call or an answer may have. That calls and answers share the code of messages is our choice.
    #[error("{bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
    /// Something that cannot be asked for.
    #[error("{0}")]
    Argument(&'static str),
    /// Properties that a twin does not hold.
    #[error("{0}")]
    Twin(#[from] TwinError),
}

/// `ArgumentInvalid`: the code of something that cannot be asked for.
pub const ARGUMENT_INVALID: u32 = 400_004;

impl ServiceError {
    /// The service's code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            ServiceError::NotFound => 404_001,
            ServiceError::NotOnline => 404_103,
            ServiceError::NoAnswer => 504_101,
            ServiceError::Answer => 400_012,
            ServiceError::QueueFull | ServiceError::TooManyChanges => 403_004,
            ServiceError::TooManyCalls => 403_800,
            ServiceError::TooLarge { .. } => 413_001,
            ServiceError::Argument(_) => ARGUMENT_INVALID,
            ServiceError::Twin(error) => error.code(),
        }
    }
}

/// How the answer to a question comes about.
#[derive(Debug)]
pub struct Asked {
    /// The connection that has something to tell its device: wake it, and its session (`HubSession::wake`).
    pub wake: Option<Address>,
    /// When to call [`Directory::give_up`] if there is no answer yet.
    pub give_up: Option<GiveUp>,
    /// The answer. One that cannot come any more means [`ServiceError::NotOnline`].
    pub answer: oneshot::Receiver<Result<Called, ServiceError>>,
}

/// A call that nobody took yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// When it is too late.
    pub at: Instant,
    /// Which one.
    pub call: u64,
}

/// The result of what is done at once, and whom to wake.
type Done = Result<(Called, Option<Address>), ServiceError>;

impl Directory {
    /// Asks something about `device` at `now`, which is `unix` since the Unix epoch.
    pub fn ask(&self, now: Instant, unix: Duration, device: &str, ask: Ask) -> Asked {
        let (sender, answer) = oneshot::channel();
        let mut asked = Asked { wake: None, give_up: None, answer };
        let done = match ask {
            _ if !self.knows(device) => Err(ServiceError::NotFound),
            Ask::Method { name, payload, response_timeout_ms, connect_timeout_ms } => {
                match checked_call(name, payload.as_ref()) {
                    Err(error) => Err(error),
                    Ok((name, payload)) => {
                        let response_timeout = Duration::from_millis(response_timeout_ms);
                        let call = Call {
                            number: self.next_call(),
                            name,
                            payload,
                            response_timeout,
                            handed: false,
                            place: None,
                            answer: sender,
                        };
                        self.call(now, device, call, Duration::from_millis(connect_timeout_ms), &mut asked);
                        return asked;
                    }
                }
            }
            Ask::Desired { patch } => self.desire(unix, device, patch),
            Ask::Tags { patch } => self.tag(device, patch),
            Ask::C2d { message_id, properties, payload, ttl_ms, ack } => {
                let ttl = ttl_ms.map_or(limits::C2D_TTL, Duration::from_millis);
                message(device, message_id, properties, payload, ack)
                    .and_then(|message| self.visit(device, |entry| send(entry, now, message, ttl)))
            }
            Ask::Close => self.visit(device, |entry| {
                let online = entry.online.ok_or(ServiceError::NotOnline)?;
                entry.device.close();
                Ok((Called::default(), Some(online)))
            }),
            Ask::Disable(disabled) => self.visit(device, |entry| {
                entry.device.disabled = disabled;
                let online = entry.online.filter(|_| disabled);
                if online.is_some() {
                    entry.device.close();
                }
                Ok((Called::default(), online))
            }),
            Ask::Purge => {
                let purged = self.visit(device, |entry| entry.device.purge(now));
                Ok((
                    Called { payload: Some(json!({ "totalMessagesPurged": purged })), ..Called::default() },
                    None,
                ))
            }
            Ask::Twin => Ok((self.twin(now, device), None)),
        };
        let result = done.map(|(called, wake)| {
            asked.wake = wake;
            called
        });
        // Whoever asked has the receiver: it is in `asked`.
        let _ = sender.send(result);
        asked
    }

    /// It is too late for the device to take that call: unless it has, it is answered now.
    pub fn give_up(&self, device: &str, call: u64) {
        self.visit(device, |entry| entry.device.give_up(call));
    }

    /// With a group key or a policy every id can connect, so every id is known; otherwise those with a key of their own.
    fn knows(&self, device: &str) -> bool {
        let config = self.config();
        let anybody = !config.group_keys.is_empty() || !config.policies.is_empty();
        names::is_device_id(device) && (anybody || config.device_keys.contains_key(device))
    }

    fn call(&self, now: Instant, device: &str, mut call: Call, connect_timeout: Duration, asked: &mut Asked) {
        let number = call.number;
        let (wake, wait) = self.visit(device, |entry| {
            if entry.device.disabled {
                call.fail(ServiceError::NotFound);
                return (None, None);
            }
            let subscribed = entry.device.subscriptions.get(Subscription::Methods).is_some();
            let online = entry.online.filter(|_| subscribed);
            call.handed = online.is_some();
            let wait = if call.handed { call.response_timeout } else { connect_timeout };
            if !call.handed && wait.is_zero() {
                call.fail(ServiceError::NotOnline);
                return (None, None);
            }
            if !entry.device.call(call) {
                return (None, None);
            }
            (online, Some(wait))
        });
        asked.wake = wake;
        // A wait beyond what the clock can say never ends.
        asked.give_up = wait.and_then(|wait| Some(GiveUp { at: now.checked_add(wait)?, call: number }));
    }

    fn desire(&self, unix: Duration, device: &str, patch: Properties) -> Done {
        twin::check_patch(&patch)?;
        self.visit(device, |entry| {
            // "Understand and use device twins in IoT Hub": a device that is not connected gets none later.
            let listens = entry.device.subscriptions.get(Subscription::TwinDesired).is_some();
            let online = entry.online.filter(|_| listens);
            if online.is_some() && entry.device.changes_waiting() >= limits::DESIRED_QUEUE_MAX {
                return Err(ServiceError::TooManyChanges);
            }
            let version = entry.device.twin_mut().desire(patch.clone(), unix)?;
            if online.is_some() {
                entry.device.notify(version, twin::with_version(patch, version).to_string());
            }
            Ok((Called { version: Some(version), ..Called::default() }, online))
        })
    }

    fn tag(&self, device: &str, patch: Properties) -> Done {
        twin::check_patch(&patch)?;
        let version = self.visit(device, |entry| entry.device.twin_mut().tag(patch))?;
        Ok((Called { version: Some(version), ..Called::default() }, None))
    }

    fn twin(&self, now: Instant, device: &str) -> Called {
        let mut view = self.visit(device, |entry| {
            let mut view = entry.device.twin_service_view();
            view["connectionState"] =
                if entry.online.is_some() { "Connected" } else { "Disconnected" }.into();
            view["status"] = if entry.device.disabled { "disabled" } else { "enabled" }.into();
            view["cloudToDeviceMessageCount"] = entry.device.queued(now).into();
            view
        });
        view["deviceId"] = device.into();
        Called { payload: Some(view), ..Called::default() }
    }
}

fn send(entry: &mut Entry, now: Instant, message: Message, ttl: Duration) -> Done {
    if !entry.device.send(now, message, ttl) {
        return Err(ServiceError::QueueFull);
    }
    Ok((Called::default(), entry.online))
}

/// A method's name, and its payload as text, which is empty without a payload.
fn checked_call(name: String, payload: Option<&Value>) -> Result<(String, String), ServiceError> {
    let longest = topics::method(&name, &format!("{:x}", u64::MAX));
    if name.contains('/') || name.is_empty() || !topic::is_name(&longest) {
        return Err(ServiceError::Argument(
            "a method's name is a topic level that is not empty, without wildcards",
        ));
    }
    let payload = payload.map(Value::to_string).unwrap_or_default();
    within(payload.len(), limits::METHOD_BYTES_MAX)?;
    Ok((name, payload))
}

/// Builds a message as it is delivered: system properties first, under the names that Azure's SDKs know.
fn message(
    device: &str,
    message_id: Option<String>,
    application: BTreeMap<String, String>,
    payload: String,
    ack: Feedback,
) -> Result<Message, ServiceError> {
    // "Create and read IoT Hub messages": the characters of a message id are those of a device id.
    if message_id.as_deref().is_some_and(|id| !names::is_device_id(id)) {
        return Err(ServiceError::Argument("a message id has 1 to 128 characters, those of a device id"));
    }
    let mut bag: Vec<(String, String)> = Vec::new();
    let to_at = usize::from(message_id.is_some());
    bag.extend(message_id.map(|id| ("$.mid".to_owned(), id)));
    bag.extend(ack.name().map(|ack| ("iothub-ack".to_owned(), ack.to_owned())));
    bag.extend(application);
    within(message_bytes(payload.len(), &properties::encode(&bag)), limits::C2D_BYTES_MAX)?;
    // The hub's own: it takes nothing from what the sender may write.
    bag.insert(to_at, ("$.to".to_owned(), topics::c2d_to(device)));
    let bag = properties::encode(&bag);
    let topic = topics::c2d_message(device, &bag);
    // Escaped, they may still be more than a topic can carry.
    within(topic.len(), STRING_BYTES_MAX)?;
    Ok(Message { topic, payload: payload.into_bytes() })
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), ServiceError> {
    if bytes > bytes_max { Err(ServiceError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}
