//! A device's twin: tags, desired and reported properties, how a patch merges, and what is refused. Pure; owned by
//! [`super::directory`], asked by sessions (the device's view) and by [`super::service`] (a back end's).
//!
//! Rules are those of "Understand and use device twins in IoT Hub" and "Communicate with an IoT hub using the MQTT protocol". How a
//! patch merges is not written down there: it is `JsonEx.Merge` of Azure IoT Edge's hub.

use crate::iothub::limits;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Properties as JSON.
pub type Properties = Map<String, Value>;

/// Why a patch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    /// Not JSON.
    #[error("the patch is not JSON: line {line}, column {column}")]
    NotJson {
        /// Where it stops being JSON.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// JSON, and not an object.
    #[error("the patch is not a JSON object")]
    NotObject,
    /// A key with a character that keys must not have.
    #[error("a key has a control character, a dot, a dollar sign or a space")]
    KeyCharacter,
    /// A key that is too long.
    #[error("a key of {0} bytes, more than {max}", max = limits::TWIN_KEY_BYTES_MAX)]
    KeyLength(usize),
    /// A string that is too long.
    #[error("a string of {0} bytes, more than {max}", max = limits::TWIN_STRING_BYTES_MAX)]
    StringLength(usize),
    /// An integer out of range.
    #[error("an integer outside of -4503599627370496 to 4503599627370495")]
    Integer,
    /// Too many objects within objects.
    #[error("more than {max} levels of objects", max = limits::TWIN_DEPTH_MAX)]
    Depth,
    /// A null inside an array, or in an object inside one. Azure's pages do not mention it. The service refuses it with 400004, by design
    /// (Azure/azure-iot-sdk-csharp, "Exception while handling a null value in the array").
    #[error("a null inside an array")]
    NullInArray,
    /// Properties or tags that are too large.
    #[error("properties of {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// Their size, as Azure counts it.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The change was for another version. That a hub answers so is inferred, not documented.
    #[error("the version is {actual}, not {expected}")]
    Version {
        /// What the change was for.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// The device's user name has no api-version (seen in practice; not documented).
    #[error("the user name of the connection has no api-version")]
    NoApiVersion,
}

impl TwinError {
    /// The status that answers a device's request.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            TwinError::Version { .. } => 412,
            _ => 400,
        }
    }

    /// The service's code: `ArgumentInvalid`, `PreconditionFailed` or `InvalidProtocolVersion` of
    /// "Troubleshooting Azure IoT Hub error codes". Which one goes with which mistake is our choice.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            TwinError::Version { .. } => 412_001,
            TwinError::NoApiVersion => 400_001,
            _ => 400_004,
        }
    }

    /// The body that answers a device's request at `unix`.
    #[must_use]
    pub fn body(self, unix: Duration) -> String {
        // Nothing here is tracked, so the id says nothing but that it is one.
        json!({
            "errorCode": self.code(),
            "trackingId": format!("{:032x}", unix.as_nanos()),
            "message": self.to_string(),
            "timestampUtc": rfc3339(unix),
        })
        .to_string()
    }
}

/// A twin. A new one is empty, and both its versions are 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twin {
    /// Visible to back ends only.
    tags: Properties,
    tags_changed: u64,
    desired: Section,
    reported: Section,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    values: Properties,
    /// The same tree, with `$lastUpdated` at each level.
    metadata: Properties,
    version: u64,
}

impl Default for Section {
    fn default() -> Section {
        Section { values: Map::new(), metadata: Map::new(), version: 1 }
    }
}

impl Twin {
    /// Merges a device's patch, of version `base` if it says so. Returns the new version.
    ///
    /// # Errors
    /// What is too large, or another version; the twin is as it was.
    pub fn report(&mut self, patch: Properties, base: Option<u64>, unix: Duration) -> Result<u64, TwinError> {
        let actual = self.reported.version;
        match base {
            Some(expected) if expected != actual => Err(TwinError::Version { expected, actual }),
            _ => self.reported.merge(patch, &json!({ "$lastUpdated": rfc3339(unix) })),
        }
    }

    /// Merges a back end's patch. Returns the new version.
    ///
    /// # Errors
    /// What is too large; the twin is as it was.
    pub fn desire(&mut self, patch: Properties, unix: Duration) -> Result<u64, TwinError> {
        let version = self.desired.version + 1;
        self.desired.merge(patch, &json!({ "$lastUpdated": rfc3339(unix), "$lastUpdatedVersion": version }))
    }

    /// Merges a back end's patch into the tags. Returns the version of the whole twin: tags have none of their own.
    ///
    /// # Errors
    /// Tags that are too large; the twin is unchanged.
    pub fn tag(&mut self, patch: Properties) -> Result<u64, TwinError> {
        let mut tags = self.tags.clone();
        // Azure keeps no time of the last update for tags.
        merge(&mut tags, &mut Map::new(), patch, &Value::Null);
        within(&tags, limits::TWIN_TAGS_BYTES_MAX)?;
        self.tags = tags;
        self.tags_changed += 1;
        Ok(self.version())
    }

    /// The version of the whole twin: it counts every change.
    fn version(&self) -> u64 {
        self.desired.version + self.reported.version + self.tags_changed - 1
    }

    /// What the device gets: both sections with their versions, and nothing around them. Tags are not for devices.
    #[must_use]
    pub fn device_view(&self) -> String {
        json!({ "desired": self.desired.versioned(), "reported": self.reported.versioned() }).to_string()
    }

    /// What a back end gets of it: `version` counts every change, and `$metadata` says when each property was updated.
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
        within(&values, limits::TWIN_SECTION_BYTES_MAX)?;
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

/// Adds `$version`, as answers and notifications carry it.
pub(super) fn with_version(mut properties: Properties, version: u64) -> Value {
    properties.insert("$version".to_owned(), version.into());
    Value::Object(properties)
}

/// Reads a patch, and checks what can be checked without the twin.
///
/// # Errors
/// Not a JSON object, or something in it that a twin does not hold.
pub fn parse_patch(body: &[u8]) -> Result<Properties, TwinError> {
    let parsed: Value = serde_json::from_slice(body)
        .map_err(|error| TwinError::NotJson { line: error.line(), column: error.column() })?;
    let Value::Object(patch) = parsed else { return Err(TwinError::NotObject) };
    if has_wide_integer(body) {
        return Err(TwinError::Integer);
    }
    check_patch(&patch)?;
    Ok(patch)
}

/// Reads a patch of a control line. One with an integer of more than 64 bits becomes one that [`check_patch`] refuses for its integer.
///
/// # Errors
/// Not a JSON object.
pub(super) fn deserialize_patch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    if has_wide_integer(text.get().as_bytes()) {
        return Ok(Map::from_iter([("integer".to_owned(), u64::MAX.into())]));
    }
    serde_json::from_str(text.get()).map_err(|error| {
        let error = error.to_string();
        // The line and column are those in the patch.
        D::Error::custom(error.rsplit_once(" at line ").map_or(error.as_str(), |(what, _)| what))
    })
}

/// True if a JSON text has an integer that 64 bits do not hold: serde_json makes a floating-point number of it.
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

/// Checks keys, strings, integers, depth and nulls.
///
/// # Errors
/// A key or value that a twin does not accept.
pub fn check_patch(patch: &Properties) -> Result<(), TwinError> {
    check_object(patch, 0, false)
}

/// `level` counts the objects around this one. Not counting arrays is our choice: Azure's page counts objects, IoT Edge's hub
/// (`ReportedPropertiesValidator`) counts arrays too.
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

fn within(object: &Properties, bytes_max: usize) -> Result<(), TwinError> {
    let bytes = sum(object, counted_text);
    if bytes > bytes_max {
        return Err(TwinError::TooLarge { bytes, bytes_max });
    }
    // Characters that do not count are stored and sent too, so they need a limit of their own.
    let (bytes, bytes_max) = (sum(object, str::len), bytes_max * limits::TWIN_STORED_FACTOR);
    if bytes > bytes_max { Err(TwinError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// The size of properties as Azure counts it, with `text` for the size of keys and strings. An array counts as the sum of its elements.
/// That an element of size 0 counts as a boolean is our choice: otherwise an array could have any length.
fn sum(object: &Properties, text: fn(&str) -> usize) -> usize {
    const BOOLEAN: usize = 4;
    fn element(value: &Value, text: fn(&str) -> usize) -> usize {
        match sum_of(value, text) {
            0 => BOOLEAN,
            bytes => bytes,
        }
    }
    fn sum_of(value: &Value, text: fn(&str) -> usize) -> usize {
        match value {
            // A twin stores no nulls.
            Value::Null => 0,
            Value::Bool(_) => BOOLEAN,
            Value::Number(_) => 8,
            Value::String(value) => text(value),
            Value::Array(values) => values.iter().map(|value| element(value, text)).sum(),
            Value::Object(object) => sum(object, text),
        }
    }
    object.iter().map(|(key, value)| text(key) + sum_of(value, text)).sum()
}

/// The UTF-8 bytes of a text without its control characters (C0, C1, and DEL, which Azure's page does not name).
fn counted_text(text: &str) -> usize {
    text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum()
}

/// Objects merge, null deletes, everything else replaces. Every level that was touched gets the `stamp`.
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
                let mut object = taken(values, &key);
                let mut stamps = taken(metadata, &key);
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

/// The object under `key`; an empty one if there is none, or something else.
fn taken(map: &mut Properties, key: &str) -> Properties {
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
mod tests {
    use super::*;

    const UNIX: Duration = Duration::from_secs(1_800_000_000);
    const TIME: &str = "2027-01-15T08:00:00Z";

    fn object(value: Value) -> Properties {
        let Value::Object(object) = value else { panic!("{value} is no object") };
        object
    }

    fn report(twin: &mut Twin, patch: Value) -> Result<u64, TwinError> {
        twin.report(parse_patch(patch.to_string().as_bytes())?, None, UNIX)
    }

    fn view(twin: &Twin) -> Value {
        serde_json::from_str(&twin.device_view()).unwrap()
    }

    #[test]
    fn integers_beyond_64_bits_are_refused_too() {
        let refused = |number: &str| {
            let patch = format!(r#"{{"a":{{"b":["\\\"1",{number}]}},"c":-1}}"#);
            let line = format!(r#"{{"desired":{{"patch":{patch}}}}}"#);
            let Ok(crate::emulator::service::Ask::Desired { patch: asked }) = serde_json::from_str(&line)
            else {
                panic!("{line}")
            };
            assert_eq!(parse_patch(patch.as_bytes()).err(), check_patch(&asked).err(), "{number}");
            parse_patch(patch.as_bytes()).err()
        };
        for number in
            ["18446744073709551616", "-9223372036854775809", "9223372036854775808", &"9".repeat(400)[..300]]
        {
            assert_eq!(refused(number), Some(TwinError::Integer), "{number}");
        }
        for number in
            ["0.5", "1e30", "-1E+30", "18446744073709551616.0", "0", "-0", "\"18446744073709551616\""]
        {
            assert_eq!(refused(number), None, "{number}");
        }
    }

    #[test]
    fn a_new_twin_is_empty_and_has_no_wrapper() {
        assert_eq!(Twin::default().device_view(), r#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
    }

    #[test]
    fn objects_merge_null_deletes_and_everything_else_replaces() {
        let mut twin = Twin::default();
        for (patch, expected) in [
            (json!({"a": 1, "o": {"x": 1, "y": {"z": 2}}}), json!({"a": 1, "o": {"x": 1, "y": {"z": 2}}})),
            (json!({"o": {"x": null, "y": {"w": 3}}}), json!({"a": 1, "o": {"y": {"z": 2, "w": 3}}})),
            (json!({"a": {"n": 1, "gone": null}}), json!({"a": {"n": 1}, "o": {"y": {"z": 2, "w": 3}}})),
            (json!({"o": [1, [], {"k": 2}], "b": null}), json!({"a": {"n": 1}, "o": [1, [], {"k": 2}]})),
            (json!({"o": "text", "a": null}), json!({"o": "text"})),
            (json!({}), json!({"o": "text"})),
        ] {
            report(&mut twin, patch).unwrap();
            let Value::Object(mut reported) = view(&twin)["reported"].take() else { panic!() };
            reported.remove("$version");
            assert_eq!(Value::Object(reported), expected);
        }
        assert_eq!(view(&twin)["reported"]["$version"], 7, "one more for each accepted patch");
        assert_eq!(view(&twin)["desired"]["$version"], 1);
    }

    #[test]
    fn what_a_twin_does_not_hold_is_refused_and_changes_nothing() {
        let mut twin = Twin::default();
        report(&mut twin, json!({"kept": true})).unwrap();
        let before = twin.clone();
        for (patch, error) in [
            (json!([]), TwinError::NotObject),
            (json!({"$version": 1}), TwinError::KeyCharacter),
            (json!({"a": {"b c": 1}}), TwinError::KeyCharacter),
            (json!({"a.b": 1}), TwinError::KeyCharacter),
            (json!({"a": [{"\u{7}": 1}]}), TwinError::KeyCharacter),
            (json!({"a": {"\u{85}": 1}}), TwinError::KeyCharacter),
            (json!({"k".repeat(1025): 1}), TwinError::KeyLength(1025)),
            (json!({"ä".repeat(513): 1}), TwinError::KeyLength(1026)),
            (json!({"a": "v".repeat(4097)}), TwinError::StringLength(4097)),
            (json!({"a": ["ä".repeat(2049)]}), TwinError::StringLength(4098)),
            (json!({"a": 4_503_599_627_370_496_i64}), TwinError::Integer),
            (json!({"a": -4_503_599_627_370_497_i64}), TwinError::Integer),
            (json!({"a": u64::MAX}), TwinError::Integer),
            (json!({"a": [[4_503_599_627_370_496_i64]]}), TwinError::Integer),
            (json!({"a": [null]}), TwinError::NullInArray),
            (json!({"a": {"b": [1, [null]]}}), TwinError::NullInArray),
            (json!({"a": [{"b": null}]}), TwinError::NullInArray),
            (json!({"a": [{"b": {"c": null}}]}), TwinError::NullInArray),
        ] {
            assert_eq!(report(&mut twin, patch.clone()), Err(error), "{patch}");
            assert_eq!((error.status(), error.code()), (400, 400_004));
        }
        for body in [&b"{"[..], b"", b"\xff", b"{}x"] {
            assert!(matches!(parse_patch(body), Err(TwinError::NotJson { .. })));
        }
        assert_eq!(twin, before);
        for patch in [
            json!({"": 1}),
            json!({"k".repeat(1024): "v".repeat(4096)}),
            json!({"ä".repeat(512): ["ä".repeat(2048), true, {}]}),
            json!({"a": [4_503_599_627_370_495_i64, -4_503_599_627_370_496_i64, 1e300, -0.5]}),
        ] {
            report(&mut twin, patch).unwrap();
        }
    }

    /// The example of "Understand and use device twins in IoT Hub", which is valid there.
    const TEN_LEVELS: &str = r#"{"one":{"two":{"three":{"four":{"five":{"six":{"seven":{"eight":{"nine":{"ten":
        {"property":"value"}}}}}}}}}}}"#;

    #[test]
    fn ten_levels_of_objects_are_allowed_and_eleven_are_not() {
        let ten = parse_patch(TEN_LEVELS.as_bytes()).unwrap();
        let mut twin = Twin::default();
        assert_eq!(twin.report(ten.clone(), None, UNIX), Ok(2));
        assert_eq!(twin.desire(ten.clone(), UNIX), Ok(2));
        assert_eq!(twin.tag(ten.clone()), Ok(4));
        for eleven in [json!({ "zero": ten }), json!({ "zero": [ten] }), json!({ "a": [[{ "zero": ten }]] })]
        {
            assert_eq!(check_patch(&object(eleven.clone())), Err(TwinError::Depth), "{eleven}");
        }
        let below = TEN_LEVELS.replace("\"value\"", "[1, [2]]");
        assert!(parse_patch(below.as_bytes()).is_ok(), "an array is not a level");
    }

    #[test]
    fn control_characters_do_not_count_towards_the_size() {
        let control: String = ('\0'..='\u{1f}').chain('\u{80}'..='\u{9f}').collect();
        let patch = object(json!({"a": format!("{control}xyz\u{a0}"), "b": [control]}));
        assert_eq!(sum(&patch, counted_text), 1 + 5 + 1 + 4);
        // Half of each string's characters are control characters.
        let values = |n: usize| (0..n).map(|i| (format!("{i:04}"), "v\n".repeat(2044).into()));
        let patch = |n: usize, more: usize| {
            Properties::from_iter(values(n).chain([("more".to_owned(), "m".repeat(more).into())]))
        };
        let mut twin = Twin::default();
        let (full, tags_full) = (patch(15, 2044), patch(3, 2044));
        check_patch(&full).unwrap();
        assert_eq!(twin.report(full.clone(), None, UNIX), Ok(2));
        assert_eq!(twin.desire(full, UNIX), Ok(2));
        assert_eq!(twin.tag(tags_full), Ok(4));
        let too_large = |bytes_max| Err(TwinError::TooLarge { bytes: bytes_max + 1, bytes_max });
        assert_eq!(twin.report(patch(0, 2045), None, UNIX), too_large(32 * 1024));
        assert_eq!(twin.desire(patch(0, 2045), UNIX), too_large(32 * 1024));
        assert_eq!(twin.tag(patch(0, 2045)), too_large(8 * 1024));
    }

    #[test]
    fn the_size_is_counted_as_azure_counts_it_over_the_whole_section() {
        assert_eq!(
            sum(&object(json!({"ä": "xyz", "n": 1.5, "b": true, "o": {"k": [1, false]}})), counted_text),
            33
        );
        let mut twin = Twin::default();
        for index in 0..8 {
            let key = format!("{index}").repeat(4);
            assert!(report(&mut twin, json!({ key: "v".repeat(4092) })).is_ok());
        }
        let (bytes, bytes_max) = (32 * 1024 + 9, 32 * 1024);
        assert_eq!(report(&mut twin, json!({"n": 1})), Err(TwinError::TooLarge { bytes, bytes_max }));
        report(&mut twin, json!({"0000": null, "n": 1})).unwrap();
        assert_eq!(view(&twin)["reported"]["$version"], 10);
    }

    #[test]
    fn array_elements_of_size_0_count_as_booleans() {
        for element in [json!([]), json!({}), json!(""), json!("\u{1}")] {
            let array = |n: usize| json!({ "a": vec![element.clone(); n] });
            let n = limits::TWIN_SECTION_BYTES_MAX / 4;
            let mut twin = Twin::default();
            let bytes_max = limits::TWIN_SECTION_BYTES_MAX;
            let too_large = Err(TwinError::TooLarge { bytes: 1 + 4 * n, bytes_max });
            assert_eq!(report(&mut twin, array(n)), too_large, "{element}");
            assert_eq!(report(&mut twin, array(n - 1)), Ok(2), "{element}");
        }
    }

    #[test]
    fn control_characters_have_a_limit_of_their_own() {
        let stored_max = limits::TWIN_SECTION_BYTES_MAX * limits::TWIN_STORED_FACTOR;
        let control = |n: usize| json!({ "a": vec!["\u{1}".repeat(4096); n] });
        let mut twin = Twin::default();
        let n = stored_max / 4096;
        assert_eq!(report(&mut twin, control(n - 1)), Ok(2));
        let too_large = TwinError::TooLarge { bytes: stored_max + 1, bytes_max: stored_max };
        assert_eq!(report(&mut twin, control(n)), Err(too_large));
    }

    #[test]
    fn a_change_of_another_version_is_refused_with_412() {
        let mut twin = Twin::default();
        assert_eq!(twin.report(object(json!({"a": 1})), Some(1), UNIX), Ok(2));
        let error = twin.report(object(json!({"a": 2})), Some(1), UNIX).unwrap_err();
        assert_eq!((error, error.status()), (TwinError::Version { expected: 1, actual: 2 }, 412));
        let body: Value = serde_json::from_str(&error.body(UNIX)).unwrap();
        assert_eq!((&body["errorCode"], &body["timestampUtc"]), (&json!(412_001), &json!(TIME)));
        assert_eq!(body["message"], "the version is 2, not 1");
    }

    #[test]
    fn a_back_end_sees_when_what_was_updated() {
        let mut twin = Twin::default();
        assert_eq!(twin.desire(object(json!({"a": {"b": 1}})), UNIX), Ok(2));
        report(&mut twin, json!({"r": 1})).unwrap();
        let stamp = json!({"$lastUpdated": TIME});
        let mut desired = json!({"$lastUpdated": TIME, "$lastUpdatedVersion": 2});
        let leaf = desired.clone();
        desired["a"] = leaf.clone();
        desired["a"]["b"] = leaf;
        assert_eq!(twin.tag(object(json!({"site": {"floor": 1}, "gone": null}))), Ok(4));
        assert_eq!(
            twin.service_view(),
            json!({"version": 4, "tags": {"site": {"floor": 1}}, "properties": {
                "desired": {"a": {"b": 1}, "$metadata": desired, "$version": 2},
                "reported": {"r": 1, "$metadata": {"$lastUpdated": TIME, "r": stamp}, "$version": 2},
            }})
        );
    }
}
