//! Checks on the JSON of a result file before it is deserialized: a damaged file must neither overflow a sum nor
//! exhaust memory. Also the changes to that JSON. Used by `file` only.

use crate::measure::Operation;
use crate::measure::hdr::{self, DecodeError};
use serde_json::Value;

/// Checks every `hdr` field, so that no reader of a result allocates the memory that a damaged file claims to need.
/// Returns the path of the first bad field.
pub(super) fn check_histograms(value: &Value, path: &str) -> Result<(), (String, DecodeError)> {
    match value {
        Value::Object(fields) => {
            if let Some(hdr) = fields.get("hdr").and_then(Value::as_str) {
                hdr::check(hdr).map_err(|error| (path.to_owned(), error))?;
            }
            // Batches contain several histograms in one text.
            if let Some(text) = fields.get("histograms").and_then(Value::as_str) {
                hdr::check_all(text).map_err(|error| (path.to_owned(), error))?;
            }
            let named = ["operation", "fleet", "phase"].map(|key| fields.get(key).and_then(Value::as_str));
            let path = match named {
                [Some(operation), Some(fleet), Some(phase)] => {
                    format!("{operation} of fleet {fleet} in phase {phase}")
                }
                _ => path.to_owned(),
            };
            fields.iter().try_for_each(|(key, field)| match field {
                Value::Object(_) | Value::Array(_) => check_histograms(field, &within(&path, key)),
                _ => Ok(()),
            })
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| check_histograms(item, &format!("{path}[{index}]")))
        }
        _ => Ok(()),
    }
}

/// The maximum count. The sum of 2^15 such counts does not overflow.
const COUNT_MAX: u64 = 1 << 48;

/// Refuses counts that are larger than any run can produce. Returns the path of the first such field, and the count.
pub(super) fn check_counts(value: &Value, path: &str) -> Result<(), (String, u64)> {
    match value {
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, field)| check_counts(field, &within(path, key)))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_counts(item, path)),
        Value::Number(number) => match number.as_u64() {
            Some(found) if found > COUNT_MAX => Err((path.to_owned(), found)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn within(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}, {key}") }
}

/// Removes histograms without samples. A reader gets an empty histogram for each.
pub(super) fn remove_empty_histograms(value: &mut Value) {
    let is_empty = |value: &Value| {
        value.get("hdr").is_some_and(Value::is_null) && value.get("count").and_then(Value::as_u64) == Some(0)
    };
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !is_empty(field));
            fields.values_mut().for_each(remove_empty_histograms);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_empty_histograms),
        _ => {}
    }
}

/// Removes operations that only later versions of hubstorm measure, which may add them to version 1 of the file.
/// Returns true if it removed any.
pub(super) fn drop_unknown_operations(value: &mut Value) -> bool {
    let is_unknown = |name: &str| Operation::from_name(name).is_none();
    let mut dropped = false;
    for list in ["operations", "totals"] {
        if let Some(parts) = value.get_mut(list).and_then(Value::as_array_mut) {
            let before = parts.len();
            parts.retain(|part| !part.get("operation").and_then(Value::as_str).is_some_and(is_unknown));
            dropped |= parts.len() < before;
        }
    }
    let rows = value.pointer_mut("/series/rows").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten() {
        if let Some(response) = row.get_mut("response").and_then(Value::as_object_mut) {
            let before = response.len();
            response.retain(|name, _| !is_unknown(name));
            dropped |= response.len() < before;
        }
    }
    dropped
}
