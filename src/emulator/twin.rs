//! One device twin: its tags, desired and reported properties, their versions, and how a patch merges. Owned by
//! [`Device`](super::device::Device). Sessions read the device's view, and service requests read the service client's view. Independent of
//! connections and clocks.
//!
//! [`twin_patch`] defines which patches are valid. Azure does not document how a patch merges; the rules here are those of `JsonEx.Merge`
//! in Azure IoT Edge's hub.

use crate::iothub::limits;
use crate::iothub::twin_patch::{self, Properties, TwinError};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A device twin. A new twin is empty, and the versions of its desired and reported properties are 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twin {
    /// Tags, which only service clients see.
    tags: Properties,
    tag_updates: u64,
    desired: Section,
    reported: Section,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    values: Properties,
    /// The same tree as `values`, with `$lastUpdated` at each level instead of the values.
    metadata: Properties,
    version: u64,
}

impl Default for Section {
    fn default() -> Section {
        Section { values: Map::new(), metadata: Map::new(), version: 1 }
    }
}

impl Twin {
    /// Merges a patch from the device into the reported properties. If `base` is given, it must be their current version. Returns the new
    /// version.
    ///
    /// # Errors
    /// The result is too large, or the current version is not `base`. The twin is unchanged.
    pub fn update_reported(
        &mut self,
        patch: Properties,
        base: Option<u64>,
        unix: Duration,
    ) -> Result<u64, TwinError> {
        let actual = self.reported.version;
        match base {
            Some(expected) if expected != actual => Err(TwinError::Version { expected, actual }),
            _ => self.reported.merge(patch, &json!({ "$lastUpdated": rfc3339(unix) })),
        }
    }

    /// Merges a patch from a service client into the desired properties. Returns the new version.
    ///
    /// # Errors
    /// The result is too large; the twin is unchanged.
    pub fn update_desired(&mut self, patch: Properties, unix: Duration) -> Result<u64, TwinError> {
        let version = self.desired.version + 1;
        self.desired.merge(patch, &json!({ "$lastUpdated": rfc3339(unix), "$lastUpdatedVersion": version }))
    }

    /// Merges a patch from a service client into the tags. Returns the version of the whole twin: tags have no version of their own.
    ///
    /// # Errors
    /// The tags are too large; the twin is unchanged.
    pub fn update_tags(&mut self, patch: Properties) -> Result<u64, TwinError> {
        let mut tags = self.tags.clone();
        // Azure does not store update times for tags.
        merge(&mut tags, &mut Map::new(), patch, &Value::Null);
        twin_patch::check_size(&tags, limits::TWIN_TAGS_BYTES_MAX)?;
        self.tags = tags;
        self.tag_updates += 1;
        Ok(self.version())
    }

    /// Returns the version of the whole twin, which counts every change.
    fn version(&self) -> u64 {
        self.desired.version + self.reported.version + self.tag_updates - 1
    }

    /// Returns the twin as the device sees it: desired and reported properties with their versions, without tags.
    #[must_use]
    pub fn device_view(&self) -> String {
        json!({ "desired": self.desired.versioned(), "reported": self.reported.versioned() }).to_string()
    }

    /// Returns the twin as a service client sees it: `version` counts every change, and `$metadata` has the update time of each property.
    #[must_use]
    pub fn service_view(&self) -> Value {
        json!({
            "version": self.version(),
            "tags": self.tags,
            "properties": { "desired": self.desired.with_metadata(), "reported": self.reported.with_metadata() },
        })
    }
}

impl Section {
    fn merge(&mut self, patch: Properties, stamp: &Value) -> Result<u64, TwinError> {
        let mut values = self.values.clone();
        let mut metadata = self.metadata.clone();
        merge(&mut values, &mut metadata, patch, stamp);
        twin_patch::check_size(&values, limits::TWIN_SECTION_BYTES_MAX)?;
        *self = Section { values, metadata, version: self.version + 1 };
        Ok(self.version)
    }

    fn versioned(&self) -> Value {
        with_version(self.values.clone(), self.version)
    }

    fn with_metadata(&self) -> Value {
        let mut values = self.values.clone();
        values.insert("$metadata".to_owned(), Value::Object(self.metadata.clone()));
        with_version(values, self.version)
    }
}

/// Adds `$version`, which responses and notifications include.
pub(super) fn with_version(mut properties: Properties, version: u64) -> Value {
    properties.insert("$version".to_owned(), version.into());
    Value::Object(properties)
}

/// Returns the response body for a device's request that failed at `unix`.
pub(super) fn error_body(error: TwinError, unix: Duration) -> String {
    error_body_of(error.code(), &error, unix)
}

/// Returns the response body for an error with this code.
pub(super) fn error_body_of(code: u32, error: &dyn std::error::Error, unix: Duration) -> String {
    json!({
        "errorCode": code,
        // The emulator does not track requests; this is just a unique number.
        "trackingId": format!("{:032x}", unix.as_nanos()),
        "message": error.to_string(),
        "timestampUtc": rfc3339(unix),
    })
    .to_string()
}

/// Merges `patch` into `values`: objects are merged, null deletes the property, and any other value replaces it. Each changed level of
/// `metadata` gets `stamp`.
fn merge(values: &mut Properties, metadata: &mut Properties, patch: Properties, stamp: &Value) {
    if let Value::Object(stamp) = stamp {
        metadata.extend(stamp.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                values.remove(&key);
                metadata.remove(&key);
            }
            Value::Object(patch) => {
                let mut object = remove_object(values, &key);
                let mut stamps = remove_object(metadata, &key);
                merge(&mut object, &mut stamps, patch, stamp);
                values.insert(key.clone(), Value::Object(object));
                metadata.insert(key, Value::Object(stamps));
            }
            other => {
                values.insert(key.clone(), other);
                metadata.insert(key, stamp.clone());
            }
        }
    }
}

/// Removes and returns the object under `key`. Returns an empty object if the value is missing or not an object.
fn remove_object(map: &mut Properties, key: &str) -> Properties {
    match map.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn rfc3339(unix: Duration) -> String {
    let millis = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests;
