//! IoT Hub rules that an emulator can easily get wrong, part 2: messages, subscriptions, twins and methods. `rules_tests` has the rules for
//! connections, and lists the rules that have no test yet. Each test name begins with the number of its rule.

use super::Config;
use super::session::HubError;
use super::telemetry::Telemetry;
use super::test_support::{
    ConnectFields, DEVICE, World, c2d, c2d_for, config, connack, delivered, desired, group, seconds,
    with_telemetry_log,
};
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::service::{ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::topics;
use crate::sansio::{Closed, Machine};
use crate::wire::encode::{self, PublishRef};
use crate::wire::{Packet, QoS};
use serde_json::{Value, json};
use std::time::Duration;

const RESPONSES: (&str, QoS) = (topics::TWIN_RESPONSES, QoS::AtMostOnce);

#[test]
fn rule_05_property_bags_are_parsed_in_every_spelling() {
    let mut world = with_telemetry_log();
    let mut client = world.online(true, &[]);
    let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let system = vec![pair("$.ct", Some("application/json")), pair("a", Some("1+ 2"))];
    for (tail, properties) in [
        ("", vec![]),
        ("/", vec![]),
        ("/%24.ct=application%2Fjson&a=1%2B%202", system.clone()),
        ("/?$.ct=application%2fjson&a=1%2b%202/", system.clone()),
        ("/%24.ct=application%2Fjson&a=1%2B%202/", system),
        ("/none&empty=", vec![pair("none", None), pair("empty", Some(""))]),
    ] {
        client.publish(&world, &format!("devices/d1/messages/events{tail}"), "{}", QoS::AtLeastOnce).unwrap();
        assert_eq!(client.read(&world), [Packet::PubAck(7)]);
        let kept = world.directory.take_telemetry();
        let [Telemetry { device, payload, .. }] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!((device.as_str(), &payload[..]), (DEVICE, &b"{}"[..]));
        assert_eq!(kept[0].properties().unwrap(), properties, "{tail}");
    }
    assert_eq!(client.session.take_telemetry(), 6);
}

/// SDKs escape these characters, but a hand-written client may not.
#[test]
fn unescaped_characters_in_a_bag_end_the_connection() {
    for (bag, c) in [("a=1#2", '#'), ("a+b=1", '+'), ("a=b/c", '/'), ("?$.ct=a/b&x=1", '/'), ("a=1//", '/')] {
        let topic = format!("devices/d1/messages/events/{bag}");
        let world = |lenient_properties| {
            World::with(Config {
                group_keys: vec![group()],
                telemetry_kept: 1,
                options: EmulatorOptions { lenient_properties, ..EmulatorOptions::default() },
                ..config()
            })
        };
        let mut strict = world(false);
        let mut client = strict.online(true, &[]);
        assert_eq!(
            client.publish(&strict, &topic, "", QoS::AtLeastOnce),
            Err(HubError::Unescaped(c)),
            "{bag}"
        );
        assert_eq!((client.read(&strict), strict.directory.take_telemetry()), (vec![], vec![]));
        client.drop(&strict);
        let will = || Some((topic.clone(), "gone"));
        let mut client = strict.connect(&ConnectFields { will: will(), ..ConnectFields::of(DEVICE) });
        client.admit(&strict);
        assert_eq!(client.drop(&strict), 0, "{bag}");

        let mut lenient = world(true);
        let mut client = lenient.connect(&ConnectFields { will: will(), ..ConnectFields::of(DEVICE) });
        client.admit(&lenient);
        client.publish(&lenient, &topic, "", QoS::AtMostOnce).unwrap();
        assert_eq!(client.drop(&lenient), 2, "{bag}");
        lenient.directory.take_telemetry()[0].properties().unwrap();
    }
}

#[test]
fn rule_06_a_plus_for_the_device_means_the_device_itself() {
    let mut world = World::new();
    let mut client = world.online(true, &[("devices/+/messages/devicebound/#", QoS::AtLeastOnce)]);
    world.request(c2d("own"));
    let other = world.directory.request(world.now, world.unix(), "d2", c2d("other's"));
    assert_eq!(other.wake, None);
    assert_eq!(delivered(&mut client, &world), [("own".to_owned(), false, 0x8000)]);
}

#[test]
fn rule_07_publish_at_qos_2_closes_and_subscribe_gets_qos_1() {
    let mut world = World::new();
    let mut client = world.online(true, &[]);
    let c2d = topics::c2d(DEVICE);
    client.subscribe(&world, &[(&c2d, QoS::ExactlyOnce), (topics::METHODS, QoS::AtMostOnce)]).unwrap();
    assert_eq!(client.read(&world), [Packet::SubAck { pid: 3, granted: vec![1, 0] }]);
    let twice = client.publish(&world, &topics::telemetry(DEVICE), "", QoS::ExactlyOnce);
    assert_eq!(twice, Err(HubError::QosTwo));
}

#[test]
fn rule_08_a_sixth_subscription_closes_the_connection() {
    let all = [
        topics::TWIN_RESPONSES,
        topics::TWIN_DESIRED,
        topics::METHODS,
        "devices/d1/messages/devicebound/#",
        "devices/+/messages/devicebound/#",
        "$iothub/credential/#",
    ]
    .map(|filter| (filter, QoS::AtMostOnce));
    let mut world = World::new();
    let mut at_once = world.online(true, &[]);
    assert_eq!(at_once.subscribe(&world, &all), Err(HubError::TooManySubscriptions(6)));
    at_once.drop(&world);
    let mut in_turn = world.online(true, &[]);
    for filter in all.iter().take(5) {
        in_turn.subscribe(&world, &[*filter]).unwrap();
        in_turn.subscribe(&world, &[*filter]).unwrap();
    }
    in_turn.write(&world, |out| encode::unsubscribe(out, 1, &[all[0].0]).unwrap()).unwrap();
    in_turn.subscribe(&world, &all[5..]).unwrap();
    assert_eq!(in_turn.subscribe(&world, &all[..1]), Err(HubError::TooManySubscriptions(6)));
}

#[test]
fn rule_09_foreign_topics_and_filters_close_the_connection() {
    for filter in
        ["#", "$iothub/#", "devices/d2/messages/devicebound/#", "devices/d1/messages/events/#", "a/b"]
    {
        let mut world = World::new();
        let mut client = world.online(true, &[]);
        assert_eq!(client.subscribe(&world, &[(filter, QoS::AtMostOnce)]), Err(HubError::ForeignFilter));
        assert_eq!(client.read(&world), [], "no SUBACK with 0x80");
    }
    for topic in ["a/b", "devices/d2/messages/events/", "$iothub/twin/PUT/?$rid=1", "$iothub/twin/GET/"] {
        let mut world = World::new();
        let mut client = world.online(true, &[]);
        let published = client.publish(&world, topic, "", QoS::AtLeastOnce);
        assert_eq!(published, Err(HubError::ForeignTopic), "{topic}");
        assert_eq!(client.read(&world), []);
    }
}

#[test]
fn rule_10_a_continued_session_gets_messages_immediately() {
    let mut world = World::new();
    let mut client = world.online(false, &[]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    client.drop(&world);
    assert_eq!(world.result_of(c2d("1")), Ok(ServiceResponse::default()));
    let mut client = world.connect(&ConnectFields::of(DEVICE));
    client.admit(&world);
    let packets = client.read(&world);
    let [first, Packet::Publish(message)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!((first, &message.payload[..]), (&connack(true), &b"1"[..]));
    // The message was not acknowledged, so the session gets the same packet again.
    client.drop(&world);
    let mut client = world.connect(&ConnectFields::of(DEVICE));
    client.admit(&world);
    let packets = client.read(&world);
    let [_, Packet::Publish(again)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!((again.pid, again.dup), (message.pid, true));
    client.drop(&world);
    // A clean session drops queued messages, and gets none before it subscribes.
    let mut client = world.connect(&ConnectFields { clean_session: true, ..ConnectFields::of(DEVICE) });
    client.admit(&world);
    world.request(c2d("2"));
    client.session.wake();
    assert_eq!(client.read(&world), [connack(false)]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    assert_eq!(delivered(&mut client, &world), [("2".to_owned(), false, 0x8001)]);
    // The clean session ends with its connection: the next session gets the message as a new one after it subscribes.
    client.drop(&world);
    let mut client = world.connect(&ConnectFields::of(DEVICE));
    client.admit(&world);
    assert_eq!(client.read(&world), [connack(false)]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    assert_eq!(delivered(&mut client, &world), [("2".to_owned(), false, 0x8002)]);
}

#[test]
fn rule_14_the_device_view_of_the_twin_has_no_wrapper() {
    let mut world = World::new();
    let mut client = world.online(true, &[RESPONSES]);
    world.result_of(desired(json!({"a": 1}))).unwrap();
    client.publish(&world, "$iothub/twin/GET/?$rid=x", "", QoS::AtMostOnce).unwrap();
    let messages = client.messages(&world);
    assert_eq!(messages[0].topic, "$iothub/twin/res/200/?$rid=x");
    assert_eq!(
        serde_json::from_slice::<Value>(&messages[0].payload).unwrap(),
        json!({"desired": {"a": 1, "$version": 2}, "reported": {"$version": 1}})
    );
}

#[test]
fn rule_15_a_reported_change_gets_204_with_its_version() {
    let mut world = World::new();
    let mut client = world.online(true, &[RESPONSES]);
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=4a";
    for version in [2, 3] {
        client.publish(&world, topic, r#"{"a":1}"#, QoS::AtMostOnce).unwrap();
        let messages = client.messages(&world);
        assert_eq!(messages[0].topic, format!("$iothub/twin/res/204/?$rid=4a&$version={version}"));
        assert!(messages[0].payload.is_empty());
    }
}

#[test]
fn rule_16_a_desired_change_has_a_version_and_nulls() {
    let mut world = World::new();
    let mut client = world.online(true, &[(topics::TWIN_DESIRED, QoS::AtMostOnce)]);
    world.result_of(desired(json!({"a": 1, "b": {"c": 2}}))).unwrap();
    world.result_of(desired(json!({"a": null, "b": {"c": null}}))).unwrap();
    client.session.wake();
    let messages = client.messages(&world);
    assert_eq!(messages[1].topic, "$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(
        serde_json::from_slice::<Value>(&messages[1].payload).unwrap(),
        json!({"a": null, "b": {"c": null}, "$version": 3})
    );
}

#[test]
fn rule_17_desired_changes_need_a_subscription() {
    let mut world = World::new();
    world.result_of(desired(json!({"a": 1}))).unwrap();
    let mut client = world.online(false, &[]);
    assert_eq!(world.request(desired(json!({"a": 2}))).wake, None);
    client.subscribe(&world, &[(topics::TWIN_DESIRED, QoS::AtMostOnce), RESPONSES]).unwrap();
    client.session.wake();
    assert_eq!(client.messages(&world), []);
    // A subscribed session that is not connected gets no notifications either, even after the device reconnects.
    client.drop(&world);
    world.result_of(desired(json!({"a": 3}))).unwrap();
    let mut client = world.online(false, &[]);
    assert_eq!(client.messages(&world), []);
    client.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce).unwrap();
    let messages = client.messages(&world);
    let twin: Value = serde_json::from_slice(&messages[0].payload).unwrap();
    assert_eq!(twin["desired"], json!({"a": 3, "$version": 4}));
}

#[test]
fn rule_18_methods_use_qos_0_and_offline_is_404103() {
    let mut world = World::new();
    let method = || ServiceRequest::InvokeMethod {
        name: "m".to_owned(),
        payload: Some(json!({})),
        response_timeout: Duration::from_secs(30),
        connect_timeout: Duration::ZERO,
    };
    let error = world.result_of(method()).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NotOnline, 404_103));
    let mut client = world.online(false, &[(topics::METHODS, QoS::AtLeastOnce)]);
    world.request(method());
    client.session.wake();
    let messages = client.messages(&world);
    assert_eq!(
        (messages[0].qos, messages[0].topic.as_str()),
        (QoS::AtMostOnce, "$iothub/methods/POST/m/?$rid=2")
    );
    client.drop(&world);
    assert_eq!(
        world.result_of(method()),
        Err(ServiceError::NotOnline),
        "a session's subscription does not count while the session has no connection"
    );
}

#[test]
fn rule_19_up_to_fifty_messages_are_queued_for_a_device() {
    let mut world = World::new();
    for n in 0..50 {
        // The last message expires early.
        let ttl_ms = (n == 49).then_some(10_000);
        assert_eq!(world.result_of(c2d_for(&n.to_string(), ttl_ms)), Ok(ServiceResponse::default()));
    }
    assert_eq!(world.result_of(c2d("too many")).unwrap_err().code(), 403_004);
    let mut client = world.online(false, &[]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    let first = delivered(&mut client, &world);
    assert_eq!(first.len(), 10, "the window");
    for (_, _, pid) in &first[..9] {
        client.write(&world, |out| encode::puback(out, *pid)).unwrap();
    }
    assert_eq!(delivered(&mut client, &world).len(), 9);
    let lock_ends = world.now + seconds(60);
    assert_eq!(client.session.poll_timeout(), Some(lock_ends));
    world.now = lock_ends;
    client.handle_timeout(&world).unwrap();
    assert!(client.session.poll_timeout().unwrap() > world.now, "a deadline in the past would fire forever");
    let again = client.messages(&world);
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|message| message.dup), "{again:?}");
    assert_eq!(again[0].payload, first[9].0.as_bytes());
    // Acknowledged messages are not delivered again, and the expired one is never delivered.
    let mut bodies = Vec::new();
    let mut messages = again;
    while !messages.is_empty() {
        for message in messages {
            client.write(&world, |out| encode::puback(out, message.pid)).unwrap();
            bodies.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        messages = client.messages(&world);
    }
    assert_eq!(bodies, (9..49).map(|n| n.to_string()).collect::<Vec<_>>());
    world.now += seconds(120);
    client.handle_timeout(&world).unwrap();
    assert_eq!(delivered(&mut client, &world), []);
}

#[test]
fn rule_20_a_retained_message_gets_a_property() {
    let mut world = with_telemetry_log();
    let mut client = world.online(true, &[]);
    let publish = PublishRef {
        topic: "devices/d1/messages/events/a=1",
        payload: b"",
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: true,
        pid: 1,
    };
    client.write(&world, |out| encode::publish(out, &publish).unwrap()).unwrap();
    let kept = world.directory.take_telemetry();
    let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    assert_eq!(kept[0].properties().unwrap(), [pair("a", "1"), pair("mqtt-retain", "True")]);
}

#[test]
fn rule_27_a_puback_follows_the_accepted_message() {
    let mut world = with_telemetry_log();
    let mut client = world.online(true, &[]);
    for pid in [9, 4] {
        let topic = topics::telemetry(DEVICE);
        let publish =
            PublishRef { topic: &topic, payload: b"", qos: QoS::AtLeastOnce, dup: true, retain: false, pid };
        client.write(&world, |out| encode::publish(out, &publish).unwrap()).unwrap();
    }
    // Both were accepted before anything was written; a duplicate is stored twice.
    assert_eq!(world.directory.take_telemetry().len(), 2);
    assert_eq!(client.read(&world), [Packet::PubAck(9), Packet::PubAck(4)]);
}

#[test]
fn a_will_is_telemetry_with_its_message_type() {
    let mut world = with_telemetry_log();
    let will = |topic: &str| Some((topic.to_owned(), "gone"));
    let telemetry = "devices/d1/messages/events/%24.ct=text";
    let mut client = world.connect(&ConnectFields { will: will(telemetry), ..ConnectFields::of(DEVICE) });
    client.admit(&world);
    assert_eq!(client.drop(&world), 1);
    let kept = world.directory.take_telemetry();
    assert_eq!(kept[0].payload, b"gone");
    let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    assert_eq!(kept[0].properties().unwrap(), [pair("$.ct", "text"), pair("iothub-MessageType", "Will")]);
    // No will after DISCONNECT, and none for a topic that is not telemetry.
    let mut client = world.connect(&ConnectFields { will: will(telemetry), ..ConnectFields::of(DEVICE) });
    client.admit(&world);
    client.write(&world, encode::disconnect).unwrap();
    assert_eq!(client.drop(&world), 0);
    let mut client = world.connect(&ConnectFields { will: will("gone/d1"), ..ConnectFields::of(DEVICE) });
    client.admit(&world);
    client.session.handle_closed(world.now, Closed::Reset);
    assert_eq!(client.session.take_telemetry(), 0);
    assert_eq!(world.directory.take_telemetry(), []);
}

/// Azure allows all these characters in device ids, and does not escape them in topics.
#[test]
fn a_device_id_with_wildcards_works() {
    const ID: &str = "d#+1$?%";
    let mut world = with_telemetry_log();
    let mut client =
        world.connect(&ConnectFields { will: Some((topics::telemetry(ID), "")), ..ConnectFields::of(ID) });
    client.admit(&world);
    client.read(&world);
    client.publish(&world, &topics::telemetry(ID), "", QoS::AtMostOnce).unwrap();
    client.subscribe(&world, &[(&topics::c2d(ID), QoS::AtMostOnce)]).unwrap();
    assert_eq!(client.read(&world), [Packet::SubAck { pid: 3, granted: vec![0] }]);
    assert_eq!(world.directory.take_telemetry()[0].device, ID);
    let foreign = client.publish(&world, "devices/#/messages/events/", "", QoS::AtMostOnce);
    assert_eq!(foreign, Err(HubError::ForeignTopic));
}
