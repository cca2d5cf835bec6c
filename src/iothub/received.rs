//! Parses the messages that a device receives from a hub: answers to twin requests, changes to desired properties, direct methods, and
//! cloud-to-device messages (Azure: "Communicate with an IoT hub using the MQTT protocol"). Called by `fleet`. All input is untrusted:
//! invalid messages yield `None`, and nothing here panics. This file must not depend on clocks or on the state of a device.

use super::properties;
use super::topics::query_value;
use serde::Deserialize;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// The maximum length of the request id of a method call, in bytes. A device stores the id until it answers. Our choice; Azure's ids are
/// short.
pub const RID_BYTES_MAX: usize = 256;

/// The meaning of a topic for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The answer to a twin request.
    TwinAnswer {
        /// HTTP status: 200, 204, or an error.
        status: u16,
        /// Request id, as sent by the device.
        rid: &'a str,
    },
    /// A change to desired properties, which is in the body.
    Desired {
        /// Version of the desired properties after the change.
        version: u64,
    },
    /// A call to a direct method.
    Method {
        /// Name of the method.
        name: &'a str,
        /// Request id, which the answer must repeat.
        rid: &'a str,
    },
    /// A cloud-to-device message.
    C2d {
        /// Encoded property bag. May be empty.
        bag: &'a str,
    },
}

/// Returns the meaning of a topic for `device`, or `None` if hubs do not publish to it.
#[must_use]
pub fn received<'a>(device: &str, topic: &'a str) -> Option<Received<'a>> {
    let Some(rest) = topic.strip_prefix("$iothub/") else {
        let rest = topic.strip_prefix("devices/")?.strip_prefix(device)?;
        let bag = rest.strip_prefix("/messages/devicebound/")?;
        return Some(Received::C2d { bag });
    };
    if let Some(rest) = rest.strip_prefix("twin/res/") {
        let (status, query) = rest.split_once("/?")?;
        return Some(Received::TwinAnswer { status: status.parse().ok()?, rid: rid(query)? });
    }
    if let Some(query) = rest.strip_prefix("twin/PATCH/properties/desired/?") {
        return Some(Received::Desired { version: query_value(query, "$version")?.parse().ok()? });
    }
    let (name, query) = rest.strip_prefix("methods/POST/")?.split_once("/?")?;
    // The topic of the answer contains the request id, so the id must be valid in a topic name (MQTT 3.1.1 §4.7.1, §1.5.3).
    let is_invalid = |c: char| c == '+' || c == '#' || c.is_control();
    let rid = rid(query).filter(|rid| rid.len() <= RID_BYTES_MAX && !rid.contains(is_invalid))?;
    Some(Received::Method { name, rid })
}

/// Returns the request id. Neither devices nor hubs use an empty one.
fn rid(query: &str) -> Option<&str> {
    query_value(query, "$rid").filter(|rid| !rid.is_empty())
}

/// Returns the version of the desired properties from the answer to a request for the whole twin.
#[must_use]
pub fn desired_version(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Twin {
        desired: Desired,
    }
    #[derive(Deserialize)]
    struct Desired {
        #[serde(rename = "$version")]
        version: u64,
    }
    serde_json::from_slice::<Twin>(body).ok().map(|twin| twin.desired.version)
}

/// The body of the answer to a refused twin request. The fields are `None` if the body is invalid. Displayed as `: errorCode 400004, the
/// message`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Refusal {
    /// Error code. Its first three digits are the status (Azure: "Troubleshooting Azure IoT Hub error codes").
    pub error_code: Option<u32>,
    /// Error message.
    pub message: Option<String>,
}

impl Refusal {
    /// Parses a body.
    #[must_use]
    pub fn read(body: &[u8]) -> Refusal {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The maximum number of characters of the message that are displayed.
        const CHARS_MAX: usize = 160;
        if let Some(code) = self.error_code {
            write!(f, ": errorCode {code}")?;
        }
        if let Some(message) = &self.message {
            f.write_str(if self.error_code.is_some() { ", " } else { ": " })?;
            message.chars().take(CHARS_MAX).try_for_each(|c| f.write_char(c))?;
        }
        Ok(())
    }
}

/// Send time and sequence number from the properties of a cloud-to-device message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Send time, since the Unix epoch.
    pub sent: Option<Duration>,
    /// Sequence number among the messages for this device.
    pub seq: Option<u64>,
}

/// Parses the stamp in a property bag. Missing and invalid values are `None`.
#[must_use]
pub fn stamp(bag: &str) -> Stamp {
    let Ok(bag) = properties::decode(bag) else { return Stamp::default() };
    let value = |name_to_find| {
        bag.iter().find(|(name, _)| name == name_to_find).and_then(|(_, value)| value.as_deref())
    };
    let number = |name| value(name)?.parse::<u64>().ok();
    let created = || {
        let created: jiff::Timestamp = value(properties::CREATION_TIME)?.parse().ok()?;
        Duration::try_from(created.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()
    };
    let sent = number(properties::SENT).map(Duration::from_micros).or_else(created);
    Stamp { sent, seq: number(properties::SEQ) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_from_a_hub_are_recognized() {
        let answer = |status, rid| Received::TwinAnswer { status, rid };
        for (topic, meaning) in [
            ("$iothub/twin/res/200/?$rid=7", answer(200, "7")),
            ("$iothub/twin/res/204/?$rid=7&$version=3", answer(204, "7")),
            ("$iothub/twin/res/429/?$version=3&$rid=a-b", answer(429, "a-b")),
            ("$iothub/twin/PATCH/properties/desired/?$version=12", Received::Desired { version: 12 }),
            ("$iothub/methods/POST/reboot/?$rid=1f", Received::Method { name: "reboot", rid: "1f" }),
            ("devices/d#1/messages/devicebound/", Received::C2d { bag: "" }),
            ("devices/d#1/messages/devicebound/%24.mid=4&a=b", Received::C2d { bag: "%24.mid=4&a=b" }),
        ] {
            assert_eq!(received("d#1", topic), Some(meaning), "{topic}");
        }
    }

    #[test]
    fn topics_that_hubs_do_not_use_are_none() {
        let long = format!("$iothub/methods/POST/reboot/?$rid={}", "x".repeat(RID_BYTES_MAX + 1));
        for topic in [
            "",
            "$iothub/",
            "$iothub/twin/res/",
            "$iothub/twin/res/ok/?$rid=1",
            "$iothub/twin/res/70000/?$rid=1",
            "$iothub/twin/res/-200/?$rid=1",
            "$iothub/twin/res/200/?$version=1",
            "$iothub/twin/res/200/?$rid=",
            "$iothub/twin/res/200/",
            "$iothub/twin/PATCH/properties/desired/?$version=",
            "$iothub/twin/PATCH/properties/desired/?$version=18446744073709551616",
            "$iothub/methods/POST/reboot",
            "$iothub/methods/POST/reboot/?$rid",
            "$iothub/methods/GET/reboot/?$rid=1",
            "$iothub/methods/POST/reboot/?$rid=1/#",
            "$iothub/methods/POST/reboot/?$rid=1\u{1b}",
            "devices/d2/messages/devicebound/",
            "devices/d1/messages/events/",
            "devices/d1",
            "ä",
            &long,
        ] {
            assert_eq!(received("d1", topic), None, "{topic}");
        }
    }

    #[test]
    fn only_the_desired_version_of_a_twin_is_read() {
        let body = br#"{"desired":{"a":{"b":[1,null]},"$version":7},"reported":{"$version":3}}"#;
        assert_eq!(desired_version(body), Some(7));
        let deep = [br#"{"desired":{"$version":1,"x":"#.as_slice(), &[b'['; 100_000]].concat();
        let hostile: [&[u8]; 7] = [
            b"",
            b"null",
            b"[]",
            b"{\"desired\":{}}",
            b"{\"desired\":{\"$version\":-1},\"reported\":{}}",
            b"\xff\xfe",
            &deep,
        ];
        for body in hostile {
            assert_eq!(desired_version(body), None);
        }
    }

    #[test]
    fn refusals_are_displayed_shortened() {
        let body = br#"{"errorCode":400004,"trackingId":"1","message":"bad \u001b[2J","timestampUtc":"x"}"#;
        assert_eq!(Refusal::read(body).error_code, Some(400_004));
        let displayed = |body: &[u8]| Refusal::read(body).to_string();
        assert_eq!(
            displayed(body),
            ": errorCode 400004, bad \u{1b}[2J",
            "`report` removes control characters"
        );
        assert_eq!(displayed(br#"{"message":"x"}"#), ": x");
        let long = format!("{{\"message\":\"{}\"}}", "ä".repeat(10_000));
        assert_eq!(displayed(long.as_bytes()).chars().count(), 162);
        for body in [&b""[..], b"{}", b"\xff", b"{\"errorCode\":\"x\"}", b"{\"errorCode\":-1}", b"[[["] {
            assert_eq!(displayed(body), "");
        }
    }

    #[test]
    fn stamps_are_read_from_valid_properties() {
        let at = |micros| Some(Duration::from_micros(micros));
        for (bag, sent, seq) in [
            ("", None, None),
            ("hubstorm-sent=1800000000123456&hubstorm-seq=4", at(1_800_000_000_123_456), Some(4)),
            ("iothub-creation-time-utc=2027-01-15T08%3A00%3A00.5Z", at(1_800_000_000_500_000), None),
            ("iothub-creation-time-utc=2027-01-15T08%3A00%3A00Z&hubstorm-sent=7", at(7), None),
            ("hubstorm-sent=-1&hubstorm-seq=x", None, None),
            ("hubstorm-sent&hubstorm-seq=", None, None),
            ("iothub-creation-time-utc=1960-01-01T00%3A00%3A00Z", None, None),
            ("iothub-creation-time-utc=yesterday&hubstorm-seq=18446744073709551616", None, None),
            ("hubstorm-sent=%ff", None, None),
        ] {
            assert_eq!(stamp(bag), Stamp { sent, seq }, "{bag}");
        }
    }

    proptest::proptest! {
        #[test]
        fn untrusted_input_never_panics(topic in ".{0,80}", body in proptest::collection::vec(0_u8.., 0..80)) {
            let _ = received("d", &topic);
            let _ = received("d", &format!("$iothub/twin/res/{topic}"));
            let _ = (desired_version(&body), Refusal::read(&body).to_string(), stamp(&topic));
        }
    }
}
