//! Parses patches for device twins, and checks whether a hub accepts them. Used by [`service`](super::service) for patches from a service
//! client, and by the emulator for patches from a device. Independent of how the hub stores a twin.
//!
//! The rules come from "Understand and use device twins in IoT Hub" and "Communicate with an IoT hub using the MQTT protocol".

use super::{error_code, limits};
use crate::units::exact_bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Properties or tags as JSON.
pub type Properties = Map<String, Value>;

/// The reason why a hub refuses a change to a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    /// The patch is not JSON.
    #[error("the patch is not JSON: line {line}, column {column}")]
    NotJson {
        /// Line of the first error.
        line: usize,
        /// Column of the first error.
        column: usize,
    },
    /// The patch is JSON, but not an object.
    #[error("the patch is not a JSON object")]
    NotObject,
    /// A key contains a character that is not allowed in keys.
    #[error("a key contains a control character, a dot, a dollar sign or a space")]
    KeyCharacter,
    /// A key is too long.
    #[error("a key is {} long; the limit is {}", exact_bytes(*.0), exact_bytes(limits::TWIN_KEY_BYTES_MAX))]
    KeyLength(usize),
    /// A string is too long.
    #[error("a string is {} long; the limit is {}", exact_bytes(*.0), exact_bytes(limits::TWIN_STRING_BYTES_MAX))]
    StringLength(usize),
    /// An integer is out of range.
    #[error("an integer is outside the range -4,503,599,627,370,496 to 4,503,599,627,370,495")]
    Integer,
    /// Objects are nested too deeply.
    #[error("objects are nested more than {max} levels deep", max = limits::TWIN_DEPTH_MAX)]
    Depth,
    /// An array, or an object in an array, contains a null. Azure's documentation does not mention this case. The service refuses it with
    /// 400004, by design (Azure/azure-iot-sdk-csharp, "Exception while handling a null value in the array").
    #[error("an array contains a null")]
    NullInArray,
    /// The properties or tags are too large.
    #[error("the properties are {} long; the limit is {}", exact_bytes(*bytes), exact_bytes(*bytes_max))]
    TooLarge {
        /// Size, as Azure counts it.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The request expects another version of the twin. The hub's response in this case is inferred, not documented.
    #[error("the version is {actual}, not {expected}")]
    Version {
        /// Version in the request.
        expected: u64,
        /// Version of the twin.
        actual: u64,
    },
    /// The user name of the connection has no api-version (observed in practice, not documented).
    #[error("the user name of the connection has no api-version")]
    NoApiVersion,
}

impl TwinError {
    /// Returns the status of the response to a device's request.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            TwinError::Version { .. } => 412,
            _ => 400,
        }
    }

    /// Returns the error code. The choice of code for each error is ours.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            TwinError::Version { .. } => error_code::PRECONDITION_FAILED,
            TwinError::NoApiVersion => error_code::INVALID_PROTOCOL_VERSION,
            _ => error_code::ARGUMENT_INVALID,
        }
    }
}

/// Parses a patch and checks everything that does not depend on the twin.
///
/// # Errors
/// The patch is not a JSON object, or contains something that a twin cannot store.
pub fn parse(body: &[u8]) -> Result<Properties, TwinError> {
    let parsed: Value = serde_json::from_slice(body)
        .map_err(|error| TwinError::NotJson { line: error.line(), column: error.column() })?;
    let Value::Object(patch) = parsed else { return Err(TwinError::NotObject) };
    if has_wide_integer(body) {
        return Err(TwinError::Integer);
    }
    check(&patch)?;
    Ok(patch)
}

/// Deserializes the patch in a service request without checking it. serde_json would turn an integer that does not fit in 64 bits
/// into a float, so a patch with such an integer is replaced with one that [`check`] refuses because of its integer.
///
/// # Errors
/// The patch is not a JSON object.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    if has_wide_integer(text.get().as_bytes()) {
        return Ok(Map::from_iter([("integer".to_owned(), u64::MAX.into())]));
    }
    serde_json::from_str(text.get()).map_err(|error| {
        let error = error.to_string();
        // Line and column refer to the patch, not to the whole request.
        D::Error::custom(error.rsplit_once(" at line ").map_or(error.as_str(), |(what, _)| what))
    })
}

/// Returns true if a JSON text has an integer that does not fit in 64 bits. serde_json parses it as a floating-point number.
fn has_wide_integer(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'"' => {
                let mut escaped = false;
                let end = rest.iter().position(|&byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                rest = end.map_or(&[], |end| &rest[end + 1..]);
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let length = rest.iter().take_while(|byte| is_part(byte)).count();
                let number = &json[json.len() - rest.len() - 1..json.len() - rest.len() + length];
                let is_integer = !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
                let fits = std::str::from_utf8(number).is_ok_and(|text| text.parse::<i64>().is_ok());
                if is_integer && !fits {
                    return true;
                }
                rest = &rest[length..];
            }
            _ => {}
        }
    }
    false
}

/// Checks the keys, strings, integers, nesting and nulls in a patch.
///
/// # Errors
/// The patch has a key or value that a twin cannot store.
pub fn check(patch: &Properties) -> Result<(), TwinError> {
    check_object(patch, 0, false)
}

/// Checks an object that is nested in `level` other objects. Arrays do not count as levels, which is our choice: Azure's documentation
/// counts objects, but IoT Edge's hub (`ReportedPropertiesValidator`) also counts arrays.
fn check_object(object: &Properties, level: usize, in_array: bool) -> Result<(), TwinError> {
    if level > limits::TWIN_DEPTH_MAX {
        return Err(TwinError::Depth);
    }
    object.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        check_value(value, level, in_array)
    })
}

fn check_key(key: &str) -> Result<(), TwinError> {
    if key.len() > limits::TWIN_KEY_BYTES_MAX {
        return Err(TwinError::KeyLength(key.len()));
    }
    if key.contains(|c: char| c.is_control() || matches!(c, '.' | '$' | ' ')) {
        return Err(TwinError::KeyCharacter);
    }
    Ok(())
}

fn check_value(value: &Value, level: usize, in_array: bool) -> Result<(), TwinError> {
    match value {
        Value::Null if in_array => Err(TwinError::NullInArray),
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => match (number.as_i64(), number.is_u64()) {
            (Some(integer), _) if limits::TWIN_INTEGERS.contains(&integer) => Ok(()),
            (None, false) => Ok(()),
            _ => Err(TwinError::Integer),
        },
        Value::String(text) if text.len() > limits::TWIN_STRING_BYTES_MAX => {
            Err(TwinError::StringLength(text.len()))
        }
        Value::String(_) => Ok(()),
        Value::Array(values) => values.iter().try_for_each(|value| check_value(value, level, true)),
        Value::Object(object) => check_object(object, level + 1, in_array),
    }
}

/// Checks the size of a section of a twin, or of its tags.
///
/// # Errors
/// The properties are larger than `bytes_max` as Azure counts them, or, with control characters included, larger than
/// [`limits::TWIN_STORED_FACTOR`] times `bytes_max`.
pub fn check_size(properties: &Properties, bytes_max: usize) -> Result<(), TwinError> {
    let bytes = size(properties, text_size);
    if bytes > bytes_max {
        return Err(TwinError::TooLarge { bytes, bytes_max });
    }
    // Control characters do not count, but they are stored and sent too, so they need a limit.
    let (bytes, bytes_max) = (size(properties, str::len), bytes_max * limits::TWIN_STORED_FACTOR);
    if bytes > bytes_max { Err(TwinError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// Returns the size of properties as Azure counts it, where `text_size` returns the size of a key or string. An array counts as the sum of
/// its elements. An element of size 0 counts as a boolean, which is our choice: otherwise an array of such elements could have any length.
fn size(properties: &Properties, text_size: fn(&str) -> usize) -> usize {
    const BOOLEAN: usize = 4;
    fn element_size(value: &Value, text_size: fn(&str) -> usize) -> usize {
        match value_size(value, text_size) {
            0 => BOOLEAN,
            bytes => bytes,
        }
    }
    fn value_size(value: &Value, text_size: fn(&str) -> usize) -> usize {
        match value {
            // A twin does not store nulls.
            Value::Null => 0,
            Value::Bool(_) => BOOLEAN,
            Value::Number(_) => 8,
            Value::String(value) => text_size(value),
            Value::Array(values) => values.iter().map(|value| element_size(value, text_size)).sum(),
            Value::Object(object) => size(object, text_size),
        }
    }
    properties.iter().map(|(key, value)| text_size(key) + value_size(value, text_size)).sum()
}

/// Returns the number of UTF-8 bytes in `text`, not counting control characters: C0, C1, and DEL, which Azure's documentation does not
/// mention.
fn text_size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests;
