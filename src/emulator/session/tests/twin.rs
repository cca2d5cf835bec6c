//! Twin requests from a device, and the limit on unread responses.

use super::*;

const GET: &str = "$iothub/twin/GET/?$rid=";
const PATCH: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

/// Returns the topic, payload and QoS of each message that the hub has sent since the previous call.
fn published(hub: &mut Hub) -> Vec<(String, String, QoS)> {
    let mut out = BytesMut::from(&hub.output()[..]);
    let mut published = Vec::new();
    while let Some(packet) = wire::decode(&mut out, FRAME_BYTES_MAX, Strictness::Strict).unwrap() {
        if let Packet::Publish(publish) = packet {
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            published.push((publish.topic, payload, publish.qos));
        }
    }
    published
}

#[test]
fn twin_responses_have_the_qos_of_the_subscription() {
    let mut hub = Hub::online(60, false);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        hub.subscribe(&[(topics::TWIN_RESPONSES, qos)]).unwrap();
        hub.publish(&format!("{GET}0a&x=%20"), b"ignored", QoS::AtMostOnce).unwrap();
        hub.publish(PATCH, br#"{"a":1}"#, QoS::AtMostOnce).unwrap();
        let (view, version) = match qos {
            QoS::AtMostOnce => (r#"{"desired":{"$version":1},"reported":{"$version":1}}"#, 2),
            _ => (r#"{"desired":{"$version":1},"reported":{"$version":2,"a":1}}"#, 3),
        };
        assert_eq!(
            published(&mut hub),
            [
                ("$iothub/twin/res/200/?$rid=0a".to_owned(), view.to_owned(), qos),
                (format!("$iothub/twin/res/204/?$rid=&$version={version}"), String::new(), qos),
            ]
        );
    }
    // The twin outlives the connection and the session.
    let mut hub = hub.reconnect();
    hub.connect(60, true, "d1").unwrap();
    hub.admit();
    hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
    hub.publish(&format!("{GET}1"), b"", QoS::AtMostOnce).unwrap();
    assert_eq!(published(&mut hub)[0].1, r#"{"desired":{"$version":1},"reported":{"$version":3,"a":1}}"#);
}

#[test]
fn an_invalid_twin_request_gets_an_error_if_subscribed() {
    let mut hub = Hub::online(60, true);
    hub.publish(&format!("{PATCH}1"), b"{", QoS::AtMostOnce).unwrap();
    hub.publish(&format!("{GET}1"), b"", QoS::AtMostOnce).unwrap();
    assert_eq!(published(&mut hub), []);
    hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
    for (query, patch, status, code) in [
        ("1", "{", 400, 400_004),
        ("1", "[]", 400, 400_004),
        ("1", r#"{"$version":1}"#, 400, 400_004),
        ("1", r#"{"a":[{"b":null}]}"#, 400, 400_004),
        ("1&$version=9", "{}", 412, 412_001),
        ("1&$version=x", "{}", 412, 412_001),
    ] {
        hub.publish(&format!("{PATCH}{query}"), patch.as_bytes(), QoS::AtMostOnce).unwrap();
        let responses = published(&mut hub);
        let [(topic, body, _)] = &responses[..] else { panic!("{responses:?}") };
        assert_eq!(*topic, format!("$iothub/twin/res/{status}/?$rid=1"));
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["errorCode"], code, "{patch}");
    }
    hub.session.has_api_version = false;
    hub.publish(&format!("{PATCH}1"), b"{}", QoS::AtMostOnce).unwrap();
    assert!(published(&mut hub)[0].1.contains("400001"));
    let nowhere = hub.publish("$iothub/twin/GET/?rid=1", b"", QoS::AtMostOnce);
    assert_eq!(nowhere, Err(HubError::ForeignTopic));
    let long = format!("{GET}{}", "r".repeat(wire::STRING_BYTES_MAX - GET.len()));
    assert_eq!(hub.publish(&long, b"", QoS::AtMostOnce), Err(HubError::RequestId));
}

#[test]
fn the_hub_stops_reading_while_twin_responses_are_unread() {
    let mut hub = Hub::online(60, true);
    hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
    for key in 0..7 {
        let patch = format!(r#"{{"{key}":"{}"}}"#, "v".repeat(4000));
        hub.publish(&format!("{PATCH}1"), patch.as_bytes(), QoS::AtMostOnce).unwrap();
    }
    let mut gets = BytesMut::new();
    for _ in 0..100 {
        let topic = format!("{GET}1");
        let publish = PublishRef {
            topic: &topic,
            payload: b"",
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        encode::publish(&mut gets, &publish).unwrap();
    }
    hub.session.handle_input(hub.now, &mut gets).unwrap();
    assert!(!hub.session.wants_input() && !gets.is_empty());
    assert!(hub.session.frame_bytes < OUTGOING_BYTES_MAX + 32 * 1024, "{}", hub.session.frame_bytes);
    let mut responses = 0;
    while !gets.is_empty() || hub.session.frame_bytes > 0 {
        responses += published(&mut hub).len();
        hub.session.handle_input(hub.now, &mut gets).unwrap();
    }
    assert_eq!(responses, 7 + 100);
}
