//! The property bag that follows a topic: `name=value&name=value`, both sides escaped as in RFC 3986 (a space is
//! `%20`; `+` is a plus), system properties named `$.ct` and the like
//! (Azure: "Communicate with an IoT hub using the MQTT protocol"). Written by `plan`, read by the emulator.

use super::escape::ESCAPED;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// When a message was sent, stamped by its sender: microseconds since the Unix epoch, in decimal. Our own.
pub const SENT: &str = "hubstorm-sent";

/// A message's number among those that its sender sent to one device, from 0, in decimal. Our own.
pub const SEQ: &str = "hubstorm-seq";

/// When a message was made, stamped by its sender: ISO 8601 in UTC (Azure: "Create and read IoT Hub messages").
pub const CREATION_TIME: &str = "iothub-creation-time-utc";

/// A property bag is not UTF-8 under its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the property bag is not UTF-8")]
pub struct PropertiesError;

/// Writes a bag; empty for no properties. `$.ct` comes out as `%24.ct`, as from Azure's SDKs.
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

/// Returns the first unescaped `#`, `+` or `/` in a bag. In a topic they are wildcards and the level separator. A hub ends the connection
/// of a device that sends one (Azure/azure-iot-sdk-c, "Cannot send certain ASCII characters to IoTHub when using MQTT"); Azure's page
/// says that names and values are URL-encoded.
#[must_use]
pub fn unescaped(bag: &str) -> Option<char> {
    bag.chars().find(|c| matches!(c, '#' | '+' | '/'))
}

/// Reads a bag: names and values in order. `name` has no value, `name=` an empty one. A leading `?` and a trailing
/// `/`, which some SDKs send, are not part of it; empty fields are skipped.
///
/// # Errors
/// Escapes that are not UTF-8.
pub fn decode(bag: &str) -> Result<Vec<(String, Option<String>)>, PropertiesError> {
    let text = |escaped: &str| {
        percent_decode_str(escaped)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| PropertiesError)
    };
    fields(bag).map(|(name, value)| Ok((text(name)?, value.map(text).transpose()?))).collect()
}

/// The names and values of a bag, still encoded; see [`decode`].
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
    fn a_bag_is_written_as_the_sdks_write_it() {
        assert_eq!(
            encode(&[("$.mid", "42"), ("$.ct", "application/json"), ("$.ce", "utf-8"), ("temp", "high")]),
            "%24.mid=42&%24.ct=application%2Fjson&%24.ce=utf-8&temp=high"
        );
        assert_eq!(encode::<&str, &str>(&[]), "");
    }

    #[test]
    fn wildcards_and_separators_in_a_bag_are_found_unless_escaped() {
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
    fn a_bag_is_read_in_every_spelling() {
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
        fn what_is_written_is_read_back(properties in proptest::collection::vec((".{1,20}", ".{0,20}"), 0..5)) {
            let expected: Vec<_> = properties.iter().map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
            proptest::prop_assert_eq!(decode(&encode(&properties)).unwrap(), expected);
        }
    }
}
