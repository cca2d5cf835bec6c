//! Parses device identities in JSON, as Azure's tools write them. Used by `plan` for credential files. The formats, from the source of
//! the Azure CLI's extension and "Import and export IoT Hub device identities in bulk":
//!
//! - the blob of the job `ExportDevices` (`az iot hub device-identity export`): an object per line, with `id`;
//! - `az iot hub device-identity show`: an object with `deviceId`;
//! - `az iot hub device-identity connection-string show`: an object with `connectionString`;
//! - `az iot hub state export`: an object with `devices`, a map from each id to its `identity`;
//! - `az iot hub device-identity list`: a list of twins, without keys.
//!
//! Errors never repeat a value, because any value may be a secret. This file must not access the file system.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// The text is not JSON, or a known member has the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", if self.is_syntax { "invalid JSON" } else { "JSON, but not device identities" })]
pub struct ExportError {
    /// True if the text is not JSON, false if it is JSON of another shape.
    pub is_syntax: bool,
    /// Line at which the parser stopped, from 1.
    pub line: usize,
    /// Column at which the parser stopped, from 1.
    pub column: usize,
}

/// An identity.
#[derive(PartialEq, Eq)]
pub enum Identity {
    /// A device that can connect with its key.
    Device {
        /// Device id.
        id: String,
        /// Primary key in base64, not checked yet.
        key: Zeroizing<String>,
    },
    /// A connection string, not checked yet.
    ConnectionString(Zeroizing<String>),
    /// An identity that cannot connect with a key.
    Unusable(Unusable),
    /// An object without a device id.
    Unknown,
}

/// Why an identity cannot connect with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The device is disabled.
    Disabled,
    /// The device authenticates with a certificate.
    Certificate,
    /// The identity is a module.
    Module,
    /// The identity was exported without its keys.
    NoKey,
    /// The identity is a twin, which never contains keys.
    Twin,
}

/// Parses the identities in `text`: one or several JSON values, each an object, a string or a list. Ignores unknown members.
///
/// # Errors
/// The text is not JSON, or not of this shape; see [`ExportError`].
pub fn parse(text: &str) -> Result<Vec<Identity>, ExportError> {
    let mut identities = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        match values.next() {
            None => return Ok(identities),
            Some(Ok(value)) => value.flatten(&mut identities),
            Some(Err(error)) => {
                let is_syntax = !error.is_data();
                return Err(ExportError { is_syntax, line: error.line(), column: error.column() });
            }
        }
    }
}

/// A JSON value that contains identities.
enum Value {
    List(Vec<Value>),
    Text(Zeroizing<String>),
    Object(Box<Object>),
}

impl Value {
    fn flatten(self, identities: &mut Vec<Identity>) {
        match self {
            Value::List(values) => values.into_iter().for_each(|value| value.flatten(identities)),
            Value::Text(text) => identities.push(Identity::ConnectionString(text)),
            Value::Object(object) => match object.devices {
                Some(Devices(devices)) => identities.extend(devices),
                None => identities.push(object.identity(None)),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a device identity or a list")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(Zeroizing::new(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Value::List(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                Object::deserialize(MapAccessDeserializer::new(map))
                    .map(|object| Value::Object(Box::new(object)))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// The members of all formats. `id`, `key` and their variants also come from `--query`, which renames members.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    id: Option<String>,
    #[serde(alias = "device_id", alias = "DeviceId")]
    device_id: Option<String>,
    module_id: Option<String>,
    status: Option<String>,
    authentication: Option<Authentication>,
    /// Only in twins.
    authentication_type: Option<String>,
    #[serde(alias = "primaryKey", alias = "primary_key")]
    key: Option<Zeroizing<String>>,
    connection_string: Option<Zeroizing<String>>,
    /// Only in the output of `state export`.
    devices: Option<Devices>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Authentication {
    r#type: Option<String>,
    symmetric_key: Option<SymmetricKey>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SymmetricKey {
    primary_key: Option<Zeroizing<String>>,
}

impl Object {
    /// Returns the identity. `outer_id` is the id of a device whose object does not contain it.
    fn identity(self, outer_id: Option<String>) -> Identity {
        if let Some(text) = self.connection_string {
            return Identity::ConnectionString(text);
        }
        let Some(id) = self.device_id.or(self.id).or(outer_id) else { return Identity::Unknown };
        let is_twin = self.authentication.is_none() && self.authentication_type.is_some();
        let authentication = self.authentication.unwrap_or_default();
        let kind = authentication.r#type.or(self.authentication_type).unwrap_or_default();
        let key = authentication.symmetric_key.and_then(|keys| keys.primary_key).or(self.key);
        Identity::Unusable(match key.filter(|key| !key.is_empty()) {
            _ if self.module_id.is_some_and(|id| !id.is_empty()) => Unusable::Module,
            _ if self.status.is_some_and(|status| !status.eq_ignore_ascii_case("enabled")) => {
                Unusable::Disabled
            }
            Some(key) => return Identity::Device { id, key },
            None if ["selfSigned", "certificateAuthority"].iter().any(|it| kind.eq_ignore_ascii_case(it)) => {
                Unusable::Certificate
            }
            None if is_twin => Unusable::Twin,
            None => Unusable::NoKey,
        })
    }
}

/// The devices of `state export`, in the file's order.
struct Devices(Vec<Identity>);

impl<'de> Deserialize<'de> for Devices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Devices, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct State {
            identity: Object,
        }
        struct DevicesVisitor;
        impl<'de> Visitor<'de> for DevicesVisitor {
            type Value = Devices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from device ids to devices")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Devices, A::Error> {
                let mut devices = Vec::new();
                while let Some((id, state)) = map.next_entry::<String, State>()? {
                    devices.push(state.identity.identity(Some(id)));
                }
                Ok(Devices(devices))
            }
        }
        deserializer.deserialize_map(DevicesVisitor)
    }
}

#[cfg(test)]
mod tests;
