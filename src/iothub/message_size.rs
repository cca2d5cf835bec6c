//! Computes the size of a message as an IoT hub counts it. Used by `plan`, which refuses messages that are too large, by the emulator,
//! which closes connections that send such messages, and by the cost estimate. This file must not depend on limits.

use super::properties;
use percent_encoding::percent_decode_str;

/// The decoded names of system properties in Azure's SDKs. All other names count as user properties. Azure does not document how a hub
/// treats an unknown `$.` name.
const SYSTEM: [&str; 17] = [
    "$.mid",
    "$.cid",
    "$.uid",
    "$.to",
    "$.ct",
    "$.ce",
    "$.on",
    "$.exp",
    "$.ctime",
    "$.sub",
    "$.schema",
    "$.ifid",
    "$.cdid",
    "$.cmid",
    "$.diagid",
    "$.diagctx",
    "iothub-ack",
];

/// Returns the size of a message in bytes: its body, the names and values of its user properties, and the **values** of its system
/// properties (Azure: "Create and read IoT Hub messages"). `bag` is the encoded property bag. Its
/// separators and percent-encoding do not count.
///
/// Azure documents this for device-to-cloud messages. It is our choice to count cloud-to-device messages in the same way, but without
/// their destination: the hub adds `$.to`, and callers leave it out of `bag`.
///
/// The result is at most `body_bytes + bag.len()`. Does not allocate.
#[must_use]
pub fn message_bytes(body_bytes: usize, bag: &str) -> usize {
    let property = |(name, value): (&str, Option<&str>)| {
        let is_system = SYSTEM.iter().any(|system| percent_decode_str(name).eq(system.bytes()));
        let name_bytes = if is_system { 0 } else { percent_decode_str(name).count() };
        name_bytes + value.map_or(0, |value| percent_decode_str(value).count())
    };
    body_bytes.saturating_add(properties::fields(bag).map(property).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_property_names_and_escapes_do_not_count() {
        for (bag, bytes) in [
            ("", 0),
            ("a=1", 2),
            ("a=1&bc=23", 6),
            ("a", 1),
            ("a=", 1),
            ("?a=1/", 2),
            ("%24.ct=application%2Fjson", 16),
            ("$.ct=application%2Fjson&$.ce=utf-8", 21),
            ("%24.mid=42&temp=high", 10),
            ("iothub-ack=full", 4),
            ("$.unknown=1", 10),
            // A user property despite its name (Azure: "Create and read IoT Hub messages").
            ("iothub-creation-time-utc=x", 25),
            // Two bytes of UTF-8 in six characters; a byte that is not UTF-8; an invalid escape.
            ("%C3%BC=%C3%BC", 4),
            ("a=%FF", 2),
            ("a=%zz", 4),
        ] {
            assert_eq!(message_bytes(100, bag), 100 + bytes, "{bag}");
            assert!(bytes <= bag.len(), "{bag}");
        }
    }

    proptest::proptest! {
        #[test]
        fn user_properties_count_with_their_decoded_size(
            properties in proptest::collection::vec(("[^$i].{0,20}", ".{0,20}"), 0..5),
        ) {
            let raw: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
            proptest::prop_assert_eq!(message_bytes(7, &properties::encode(&properties)), 7 + raw);
        }

        #[test]
        fn size_is_at_most_the_length_of_the_bag(bag in ".{0,60}") {
            proptest::prop_assert!(message_bytes(0, &bag) <= bag.len());
        }
    }
}
