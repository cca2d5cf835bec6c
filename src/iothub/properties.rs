//! Encodes and decodes the property bag at the end of a topic: `name=value&name=value`. Names and values are escaped as in RFC 3986: a
//! space is `%20`, and `+` is a plus sign. System properties have names such as `$.ct` (Azure: "Communicate with an IoT hub using the MQTT
//! protocol"). `plan` encodes bags; `fleet` and the emulator decode them. This file must not depend on topics.

use super::escape::ESCAPED;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// Property with the send time of a message: decimal microseconds since the Unix epoch. Defined by hubstorm.
pub const SENT: &str = "hubstorm-sent";

/// Property with the sequence number of a message among the messages for one device: decimal, from 0. Defined by hubstorm.
pub const SEQ: &str = "hubstorm-seq";

/// Property with the creation time of a message: ISO 8601 in UTC (Azure: "Create and read IoT Hub messages").
pub const CREATION_TIME: &str = "iothub-creation-time-utc";

/// The property bag is not UTF-8 after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the property bag is not UTF-8")]
pub struct PropertiesError;

/// Encodes a bag. Without properties, the bag is empty. `$.ct` becomes `%24.ct`, as in Azure's SDKs.
#[must_use]
pub fn encode<N: AsRef<str>, V: AsRef<str>>(properties: &[(N, V)]) -> String {
    let mut bag = String::new();
    for (name, value) in properties {
        if !bag.is_empty() {
            bag.push('&');
        }
        bag.extend(utf8_percent_encode(name.as_ref(), ESCAPED));
        bag.push('=');
        bag.extend(utf8_percent_encode(value.as_ref(), ESCAPED));
    }
    bag
}

/// Returns the first unescaped `#`, `+` or `/` in a bag. In a topic, these are wildcards and the level separator. A hub closes the
/// connection of a device that sends one (Azure/azure-iot-sdk-c, "Cannot send certain ASCII characters to IoTHub when using MQTT"). Azure's
/// page says that names and values are URL-encoded.
#[must_use]
pub fn unescaped(bag: &str) -> Option<char> {
    bag.chars().find(|c| matches!(c, '#' | '+' | '/'))
}

/// Decodes a bag into names and values, in order. `name` has no value, and `name=` has an empty one. Ignores a leading `?` and a trailing
/// `/`, which some SDKs send, and empty fields.
///
/// # Errors
/// The decoded text is not UTF-8.
pub fn decode(bag: &str) -> Result<Vec<(String, Option<String>)>, PropertiesError> {
    let text = |escaped: &str| {
        percent_decode_str(escaped)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| PropertiesError)
    };
    fields(bag).map(|(name, value)| Ok((text(name)?, value.map(text).transpose()?))).collect()
}

/// Returns the encoded names and values of a bag; see [`decode`].
pub(super) fn fields(bag: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    bag.split('&').filter(|field| !field.is_empty()).map(|field| match field.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (field, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags_are_encoded_as_by_azure_sdks() {
        assert_eq!(
            encode(&[("$.mid", "42"), ("$.ct", "application/json"), ("$.ce", "utf-8"), ("temp", "high")]),
            "%24.mid=42&%24.ct=application%2Fjson&%24.ce=utf-8&temp=high"
        );
        assert_eq!(encode::<&str, &str>(&[]), "");
    }

    #[test]
    fn unescaped_wildcards_and_separators_are_found() {
        for (bag, found) in [
            ("a=1#2", Some('#')),
            ("a+b=1", Some('+')),
            ("a=b/c", Some('/')),
            ("a=%23%2B%2F&$.ct=x%2fy", None),
            ("2019-02-15T13:14:15Z=$!'()*,;@ ?", None),
            ("", None),
        ] {
            assert_eq!(unescaped(bag), found, "{bag}");
        }
        assert_eq!(unescaped(&encode(&[("#+/", "/+#"), ("$.ct", "a/b+c")])), None);
    }

    #[test]
    fn bags_of_every_sdk_are_decoded() {
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(
            decode("?%24.mid=4+2&none&empty=&a%20b=x%3Dy=z&/").unwrap(),
            [
                pair("$.mid", Some("4+2")),
                pair("none", None),
                pair("empty", Some("")),
                pair("a b", Some("x=y=z")),
            ]
        );
        assert_eq!(decode("").unwrap(), []);
        assert_eq!(decode("a=%ff"), Err(PropertiesError));
    }

    proptest::proptest! {
        #[test]
        fn encoded_bags_decode_to_the_same_properties(properties in proptest::collection::vec((".{1,20}", ".{0,20}"), 0..5)) {
            let expected: Vec<_> = properties.iter().map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
            proptest::prop_assert_eq!(decode(&encode(&properties)).unwrap(), expected);
        }
    }
}
