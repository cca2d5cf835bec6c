//! The topics of an IoT hub: builds the topics that devices and hubs publish to, and parses those that a device publishes or subscribes to
//! (Azure: "Communicate with an IoT hub using the MQTT protocol"). Used by `plan`, `fleet` and the emulator. It must not depend on packets.
//!
//! Device ids in topics are not escaped and may contain `#`, `+` and `$`. So topics are parsed by their known prefixes, never by splitting
//! or matching wildcards.

/// The topic filter for answers to twin requests.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// The topic filter for changes to desired properties.
pub const TWIN_DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// The topic filter for direct method calls.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// The topic for requesting the whole twin, without the request id at its end.
pub const TWIN_GET: &str = "$iothub/twin/GET/?$rid=";
/// The topic for changing reported properties, without the request id at its end.
pub const TWIN_REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";
/// The topic for answering a direct method, without `{status}/?$rid={rid}` at its end.
pub const METHOD_ANSWER: &str = "$iothub/methods/res/";

/// Returns the telemetry topic of a device. An encoded property bag may follow.
#[must_use]
pub fn telemetry(device: &str) -> String {
    format!("devices/{device}/messages/events/")
}

/// Returns the topic filter for a device's cloud-to-device messages.
#[must_use]
pub fn c2d(device: &str) -> String {
    format!("devices/{device}/messages/devicebound/#")
}

/// Returns the topic of the answer to a twin request. `version` is the version of the reported properties after a change.
#[must_use]
pub fn twin_response(status: u16, rid: &str, version: Option<u64>) -> String {
    let version = version.map(|version| format!("&$version={version}")).unwrap_or_default();
    format!("$iothub/twin/res/{status}/?$rid={rid}{version}")
}

/// Returns the topic of a change to desired properties.
#[must_use]
pub fn twin_desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Returns the topic of a method call.
#[must_use]
pub fn method(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

/// Returns the topic of a cloud-to-device message with this encoded property bag.
#[must_use]
pub fn c2d_message(device: &str, bag: &str) -> String {
    format!("devices/{device}/messages/devicebound/{bag}")
}

/// Returns the destination of a cloud-to-device message: the value of its system property `$.to`.
#[must_use]
pub fn c2d_to(device: &str) -> String {
    format!("/devices/{device}/messages/deviceBound")
}

/// Parses the status and request id of [`Inbound::MethodResponse`]. Returns `None` if the text is not `{status}/?$rid={rid}`.
#[must_use]
pub fn method_answer(answer: &str) -> Option<(i32, &str)> {
    let (status, query) = answer.split_once("/?")?;
    Some((status.parse().ok()?, query_value(query, "$rid")?))
}

/// Returns the undecoded value of `name` in a query such as `$rid=1&$version=2`.
#[must_use]
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// The meaning of a published topic, with the text after the known prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// Device-to-cloud telemetry.
    Telemetry {
        /// Encoded property bag. May be empty.
        bag: &'a str,
    },
    /// A request for the whole twin.
    TwinGet {
        /// Query with the request id: `$rid=...`.
        query: &'a str,
    },
    /// A change to reported properties.
    TwinReported {
        /// Query with the request id: `$rid=...`.
        query: &'a str,
    },
    /// The answer to a direct method.
    MethodResponse {
        /// Status and request id: `{status}/?$rid=...`.
        answer: &'a str,
    },
}

/// Returns the meaning of a topic to which `device` publishes, or `None` if the device may not publish to it. Accepts every spelling of the
/// telemetry topic that Azure's SDKs use: without the last slash, with a slash after the bag, and with a leading `?`.
#[must_use]
pub fn inbound<'a>(device: &str, topic: &'a str) -> Option<Inbound<'a>> {
    if let Some(rest) = device_topic(device, topic) {
        let rest = rest.strip_prefix("messages/events")?;
        if rest.is_empty() {
            return Some(Inbound::Telemetry { bag: "" });
        }
        let bag = rest.strip_prefix('/')?;
        let bag = bag.strip_prefix('?').unwrap_or(bag);
        return Some(Inbound::Telemetry { bag: bag.strip_suffix('/').unwrap_or(bag) });
    }
    let rest = topic.strip_prefix("$iothub/")?;
    if let Some(query) = rest.strip_prefix("twin/GET/?") {
        return Some(Inbound::TwinGet { query });
    }
    if let Some(query) = rest.strip_prefix("twin/PATCH/properties/reported/?") {
        return Some(Inbound::TwinReported { query });
    }
    rest.strip_prefix("methods/res/").map(|answer| Inbound::MethodResponse { answer })
}

/// A subscription that a hub grants. Two spellings of a filter are two subscriptions, because only an identical filter replaces a
/// subscription (MQTT 3.1.1 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Cloud-to-device messages.
    C2d,
    /// Cloud-to-device messages in the spelling of Azure's embedded C SDK, with `+` for the device.
    C2dPlus,
    /// Answers to twin requests.
    TwinResponses,
    /// Changes to desired properties.
    TwinDesired,
    /// Direct methods.
    Methods,
    /// Certificates that the hub issues (preview).
    Credential,
    /// Certificates that the hub issues, in the other spelling of Azure's page.
    Credentials,
}

/// Returns the subscription that `filter` requests for `device`, or `None` if a hub does not grant it.
#[must_use]
pub fn subscription(device: &str, filter: &str) -> Option<Subscription> {
    match filter {
        TWIN_RESPONSES => Some(Subscription::TwinResponses),
        TWIN_DESIRED => Some(Subscription::TwinDesired),
        METHODS => Some(Subscription::Methods),
        "$iothub/credential/#" => Some(Subscription::Credential),
        "$iothub/credentials/#" => Some(Subscription::Credentials),
        _ if device_topic(device, filter) == Some("messages/devicebound/#") => Some(Subscription::C2d),
        "devices/+/messages/devicebound/#" => Some(Subscription::C2dPlus),
        _ => None,
    }
}

/// Returns the rest of a topic after `devices/{device}/`.
fn device_topic<'a>(device: &str, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix("devices/")?.strip_prefix(device)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_topics_of_all_sdks_are_accepted() {
        for (topic, bag) in [
            ("devices/d1/messages/events", ""),
            ("devices/d1/messages/events/", ""),
            ("devices/d1/messages/events/a=1&b=2", "a=1&b=2"),
            ("devices/d1/messages/events/a=1/", "a=1"),
            ("devices/d1/messages/events/?a=1", "a=1"),
        ] {
            assert_eq!(inbound("d1", topic), Some(Inbound::Telemetry { bag }), "{topic}");
        }
        assert_eq!(inbound("d#+$", &telemetry("d#+$")), Some(Inbound::Telemetry { bag: "" }));
    }

    #[test]
    fn topics_of_other_devices_are_none() {
        for topic in [
            "devices/d2/messages/events/",
            "devices/D1/messages/events/",
            "devices/d1/messages/eventsx",
            "devices/d1/messages/devicebound/",
            "devices/d11/messages/events/",
            "devices/d1",
            "$iothub/twin/GET",
            "$iothub/other",
            "ä",
            "",
        ] {
            assert_eq!(inbound("d1", topic), None, "{topic}");
        }
    }

    #[test]
    fn twin_and_method_topics_are_parsed() {
        assert_eq!(inbound("d", "$iothub/twin/GET/?$rid=1"), Some(Inbound::TwinGet { query: "$rid=1" }));
        assert_eq!(
            inbound("d", "$iothub/twin/PATCH/properties/reported/?$rid=1"),
            Some(Inbound::TwinReported { query: "$rid=1" })
        );
        assert_eq!(
            inbound("d", "$iothub/methods/res/200/?$rid=7"),
            Some(Inbound::MethodResponse { answer: "200/?$rid=7" })
        );
    }

    #[test]
    fn query_values_are_returned_undecoded() {
        let query = "$rid=a%20b=c&$version=2&empty=";
        assert_eq!(query_value(query, "$rid"), Some("a%20b=c"));
        assert_eq!(query_value(query, "$version"), Some("2"));
        assert_eq!((query_value(query, "empty"), query_value(query, "$ver")), (Some(""), None));
        assert_eq!(twin_response(200, "a%20b=c", None), "$iothub/twin/res/200/?$rid=a%20b=c");
        assert_eq!(twin_response(204, "1", Some(7)), "$iothub/twin/res/204/?$rid=1&$version=7");
        assert_eq!(twin_desired(7), "$iothub/twin/PATCH/properties/desired/?$version=7");
    }

    #[test]
    fn method_answers_have_a_status_and_a_request_id() {
        assert_eq!(method("reboot", "1f"), "$iothub/methods/POST/reboot/?$rid=1f");
        assert_eq!(method_answer("200/?$rid=1f"), Some((200, "1f")));
        assert_eq!(method_answer("-1/?x=1&$rid="), Some((-1, "")));
        for answer in ["", "200", "200/", "200/?rid=1", "x/?$rid=1", "99999999999/?$rid=1", "/?$rid=1"] {
            assert_eq!(method_answer(answer), None, "{answer}");
        }
    }

    #[test]
    fn only_filters_that_hubs_support_are_granted() {
        for (filter, meaning) in [
            ("devices/d1/messages/devicebound/#", Some(Subscription::C2d)),
            ("devices/+/messages/devicebound/#", Some(Subscription::C2dPlus)),
            ("$iothub/credential/#", Some(Subscription::Credential)),
            ("$iothub/credentials/#", Some(Subscription::Credentials)),
            (TWIN_RESPONSES, Some(Subscription::TwinResponses)),
            (TWIN_DESIRED, Some(Subscription::TwinDesired)),
            (METHODS, Some(Subscription::Methods)),
            ("devices/d2/messages/devicebound/#", None),
            ("devices/d1/messages/events/#", None),
            ("devices/d1/#", None),
            ("#", None),
            ("$iothub/#", None),
        ] {
            assert_eq!(subscription("d1", filter), meaning, "{filter}");
        }
        assert_eq!(subscription("d1", &c2d("d1")), Some(Subscription::C2d));
    }
}
