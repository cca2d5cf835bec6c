//! The size of a message as an IoT hub counts it. Used by `plan`, which refuses larger messages, by the emulator, which closes the
//! connection on them, and by the cost estimate, so that all three agree.

use super::properties;
use percent_encoding::percent_decode_str;

/// The decoded names of system properties, as Azure's SDKs write them. Any other name counts as a user property: Azure does not document
/// how a hub treats an unknown `$.` name.
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

/// The size of a message in bytes: its body, the names and values of its user properties, and the **values** of its system
/// properties (Azure: "Create and read IoT Hub messages"). `bag` is encoded; separators and percent-encoding do not count.
///
/// The page states this for device-to-cloud messages. Counting cloud-to-device messages in the same way is our choice, and so is that
/// their destination does not count: the hub adds `$.to`, and callers leave it out of `bag`.
///
/// Never more than `body_bytes + bag.len()`. Nothing is allocated.
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
    fn names_of_system_properties_and_escapes_do_not_count() {
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
            // An application property in spite of its name (Azure: "Create and read IoT Hub messages").
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
        fn user_properties_count_as_they_were_before_encoding(
            properties in proptest::collection::vec(("[^$i].{0,20}", ".{0,20}"), 0..5),
        ) {
            let raw: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
            proptest::prop_assert_eq!(message_bytes(7, &properties::encode(&properties)), 7 + raw);
        }

        #[test]
        fn no_bag_counts_more_than_its_text(bag in ".{0,60}") {
            proptest::prop_assert!(message_bytes(0, &bag) <= bag.len());
        }
    }
}
