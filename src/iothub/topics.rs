//! A hub's topics: what a device publishes to and subscribes to, and, for the emulator, what a topic means
//! when it comes from a device that is already known. Ids are raw in topics and may contain `#`, `+` and `$`, so
//! topics are read by known prefix, never by splitting or matching wildcards
//! (Azure: "Communicate with an IoT hub using the MQTT protocol").

/// Answers to a device's twin requests.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// Changes of desired properties.
pub const TWIN_DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Direct methods.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// Where a device asks for its whole twin; the request's id follows.
pub const TWIN_GET: &str = "$iothub/twin/GET/?$rid=";
/// Where a device changes its reported properties; the request's id follows.
pub const TWIN_REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";
/// Where a device answers a direct method; `{status}/?$rid={rid}` follows.
pub const METHOD_ANSWER: &str = "$iothub/methods/res/";

/// Where a device sends telemetry; an encoded property bag may follow.
#[must_use]
pub fn telemetry(device: &str) -> String {
    format!("devices/{device}/messages/events/")
}

/// The filter of a device's cloud-to-device messages.
#[must_use]
pub fn c2d(device: &str) -> String {
    format!("devices/{device}/messages/devicebound/#")
}

/// Where a hub answers a twin request; `version` is that of the reported properties after a change.
#[must_use]
pub fn twin_response(status: u16, rid: &str, version: Option<u64>) -> String {
    let version = version.map(|version| format!("&$version={version}")).unwrap_or_default();
    format!("$iothub/twin/res/{status}/?$rid={rid}{version}")
}

/// Where a hub tells that desired properties have changed.
#[must_use]
pub fn twin_desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Where a hub calls a method.
#[must_use]
pub fn method(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

/// Where a hub delivers a cloud-to-device message; `bag` is encoded.
#[must_use]
pub fn c2d_message(device: &str, bag: &str) -> String {
    format!("devices/{device}/messages/devicebound/{bag}")
}

/// The destination of a cloud-to-device message: the value of its system property `$.to`.
#[must_use]
pub fn c2d_to(device: &str) -> String {
    format!("/devices/{device}/messages/deviceBound")
}

/// Status and request id of a method's answer, as [`Inbound::MethodResponse`] carries it; `None` if it is not `{status}/?$rid={rid}`.
#[must_use]
pub fn method_answer(answer: &str) -> Option<(i32, &str)> {
    let (status, query) = answer.split_once("/?")?;
    Some((status.parse().ok()?, query_value(query, "$rid")?))
}

/// The raw value of `name` in a query such as `$rid=1&$version=2`.
#[must_use]
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// What a publish means; texts are what follows the known prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// Device-to-cloud telemetry.
    Telemetry {
        /// The property bag, still encoded; may be empty.
        bag: &'a str,
    },
    /// Wants the whole twin.
    TwinGet {
        /// `$rid=...`.
        query: &'a str,
    },
    /// Changes reported properties.
    TwinReported {
        /// `$rid=...`.
        query: &'a str,
    },
    /// Answers a direct method.
    MethodResponse {
        /// `{status}/?$rid=...`.
        answer: &'a str,
    },
}

/// What a publish of `device` to `topic` means; `None`: nothing, it is not the device's to publish to.
/// Of telemetry every spelling that SDKs use is accepted: without the slash, with one after the bag, with a leading `?`.
#[must_use]
pub fn inbound<'a>(device: &str, topic: &'a str) -> Option<Inbound<'a>> {
    if let Some(rest) = own(device, topic) {
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

/// What a device may subscribe to. Two spellings of one thing are two subscriptions (MQTT 3.1.1 §3.8.4: only an identical
/// filter replaces).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Cloud-to-device messages.
    C2d,
    /// The same as Azure's embedded C SDK spells it, with `+` for the device.
    C2dPlus,
    /// Answers to twin requests.
    TwinResponses,
    /// Changes of desired properties.
    TwinDesired,
    /// Direct methods.
    Methods,
    /// Certificates that the hub issues, a preview.
    Credential,
    /// The same as Azure's page also spells it.
    Credentials,
}

/// What `filter` means when `device` subscribes to it; `None`: it is not a filter that a hub grants.
#[must_use]
pub fn subscription(device: &str, filter: &str) -> Option<Subscription> {
    match filter {
        TWIN_RESPONSES => Some(Subscription::TwinResponses),
        TWIN_DESIRED => Some(Subscription::TwinDesired),
        METHODS => Some(Subscription::Methods),
        "$iothub/credential/#" => Some(Subscription::Credential),
        "$iothub/credentials/#" => Some(Subscription::Credentials),
        _ if own(device, filter) == Some("messages/devicebound/#") => Some(Subscription::C2d),
        "devices/+/messages/devicebound/#" => Some(Subscription::C2dPlus),
        _ => None,
    }
}

/// What follows `devices/{device}/`.
fn own<'a>(device: &str, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix("devices/")?.strip_prefix(device)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_understood_in_every_spelling() {
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
    fn topics_that_are_not_the_devices_mean_nothing() {
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
    fn twin_and_method_topics_are_told_apart() {
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
    fn a_query_is_read_by_name_and_echoed_as_it_is() {
        let query = "$rid=a%20b=c&$version=2&empty=";
        assert_eq!(query_value(query, "$rid"), Some("a%20b=c"));
        assert_eq!(query_value(query, "$version"), Some("2"));
        assert_eq!((query_value(query, "empty"), query_value(query, "$ver")), (Some(""), None));
        assert_eq!(twin_response(200, "a%20b=c", None), "$iothub/twin/res/200/?$rid=a%20b=c");
        assert_eq!(twin_response(204, "1", Some(7)), "$iothub/twin/res/204/?$rid=1&$version=7");
        assert_eq!(twin_desired(7), "$iothub/twin/PATCH/properties/desired/?$version=7");
    }

    #[test]
    fn a_methods_answer_has_a_status_and_a_request_id() {
        assert_eq!(method("reboot", "1f"), "$iothub/methods/POST/reboot/?$rid=1f");
        assert_eq!(method_answer("200/?$rid=1f"), Some((200, "1f")));
        assert_eq!(method_answer("-1/?x=1&$rid="), Some((-1, "")));
        for answer in ["", "200", "200/", "200/?rid=1", "x/?$rid=1", "99999999999/?$rid=1", "/?$rid=1"] {
            assert_eq!(method_answer(answer), None, "{answer}");
        }
    }

    #[test]
    fn a_hub_grants_its_own_filters_and_no_others() {
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
