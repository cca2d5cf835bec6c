//! Requests of a service client other than methods, in virtual time: twins, cloud-to-device messages, closing and disabling.

use super::Config;
use super::test_support::{DEVICE, World, c2d, c2d_for, config, desired, group};
use crate::iothub::service::{Feedback, ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::twin_patch::TwinError;
use crate::iothub::{limits, topics};
use crate::sansio::{Close, Machine};
use crate::wire::encode;
use crate::wire::{Packet, QoS};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const DESIRED: (&str, QoS) = (topics::TWIN_DESIRED, QoS::AtLeastOnce);

#[test]
fn unsent_changes_of_a_device_are_limited_with_403004() {
    let mut world = World::new();
    let change =
        |world: &World| world.result_of(desired(json!({"a": 1}))).map(|response| response.version.unwrap());
    let mut client = world.online(true, &[DESIRED]);
    for version in (2..).take(limits::DESIRED_QUEUE_MAX) {
        assert_eq!(change(&world), Ok(version));
    }
    let error = change(&world).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::TooManyChanges, 403_004));
    let twin = world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap();
    assert_eq!(twin["properties"]["desired"]["$version"], 51, "the refused change did not change the twin");
    client.session.wake();
    assert_eq!(client.messages(&world).len(), limits::DESIRED_QUEUE_MAX);
    assert_eq!(change(&world), Ok(52));
    // Changes are not queued for a device that is not connected.
    client.drop(&world);
    for version in (53..).take(2 * limits::DESIRED_QUEUE_MAX) {
        assert_eq!(change(&world), Ok(version));
    }
}

#[test]
fn a_device_is_known_if_it_could_connect() {
    let own = |id: &str| Config { device_keys: [(id.into(), group())].into(), ..config() };
    let policy = Config { policies: vec![("device".to_owned(), group())], ..config() };
    let read_twin = |world: &World| world.result_of(ServiceRequest::ReadTwin).map(drop);
    assert_eq!(read_twin(&World::with(own(DEVICE))), Ok(()));
    assert_eq!(read_twin(&World::with(policy)), Ok(()));
    assert_eq!(read_twin(&World::new()), Ok(()));
    let error = read_twin(&World::with(own("other"))).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NotFound, 404_001));
    let world = World::new();
    let mut pending = world.directory.request(world.now, world.unix(), "not an id", ServiceRequest::ReadTwin);
    assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotFound));
    assert!(world.directory.is_empty(), "a request leaves no state");
}

#[test]
fn desired_changes_carry_their_version_and_deletions() {
    let mut world = World::new();
    let mut client = world.online(true, &[DESIRED]);
    for (version, patch, pushed) in [
        (2, json!({"a": {"b": 1}, "c": 1}), r#"{"$version":2,"a":{"b":1},"c":1}"#),
        (3, json!({"c": null}), r#"{"$version":3,"c":null}"#),
    ] {
        let mut pending = world.request(desired(patch));
        assert_eq!(pending.result.try_recv().unwrap().unwrap().version, Some(version));
        assert_eq!(pending.wake, Some(client.address));
        client.session.wake();
        let messages = client.messages(&world);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(message.topic, format!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), pushed);
        assert_eq!((message.qos, message.pid != 0), (QoS::AtLeastOnce, true));
        client.write(&world, |out| encode::puback(out, message.pid)).unwrap();
    }
    assert_eq!(world.result_of(desired(json!({"a.b": 1}))), Err(TwinError::KeyCharacter.into()));
    assert_eq!(world.result_of(desired(json!({"a": [null]}))), Err(TwinError::NullInArray.into()));
    let twin = world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap();
    assert_eq!((&twin["version"], &twin["properties"]["desired"]["a"]), (&json!(3), &json!({"b": 1})));
    assert_eq!((&twin["deviceId"], &twin["connectionState"]), (&json!("d1"), &json!("Connected")));
}

#[test]
fn devices_do_not_see_tags() {
    let tags = |patch: Value| {
        let Value::Object(patch) = patch else { panic!("{patch}") };
        ServiceRequest::UpdateTags { patch }
    };
    let mut world = World::new();
    let mut client = world.online(true, &[DESIRED, (topics::TWIN_RESPONSES, QoS::AtMostOnce)]);
    let mut pending = world.request(tags(json!({"site": "b43", "floor": 1})));
    assert_eq!((pending.result.try_recv().unwrap().unwrap().version, pending.wake), (Some(2), None));
    assert_eq!(world.result_of(tags(json!({"floor": null}))).unwrap().version, Some(3));
    let error = world.result_of(tags(json!({"site": [null]}))).unwrap_err();
    assert_eq!((error.clone(), error.code()), (TwinError::NullInArray.into(), 400_004));
    let error = world.result_of(tags(json!({"a": "v".repeat(4096), "b": "v".repeat(4096)}))).unwrap_err();
    assert_eq!(error, TwinError::TooLarge { bytes: 8 * 1024 + 9, bytes_max: 8 * 1024 }.into());
    assert_eq!(
        world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap()["tags"],
        json!({"site": "b43"})
    );
    client.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce).unwrap();
    let messages = client.messages(&world);
    assert_eq!(&messages[0].payload[..], br#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
}

#[test]
fn unsent_desired_changes_are_lost_with_the_connection() {
    let mut world = World::new();
    let client = world.online(false, &[DESIRED]);
    world.request(desired(json!({"a": 1})));
    client.drop(&world);
    let mut client = world.online(false, &[]);
    assert_eq!(client.messages(&world), []);
    // Changes after UNSUBSCRIBE are lost too.
    world.request(desired(json!({"a": 2})));
    client.write(&world, |out| encode::unsubscribe(out, 1, &[topics::TWIN_DESIRED]).unwrap()).unwrap();
    client.session.wake();
    assert_eq!(client.read(&world), [Packet::UnsubAck(1)]);
    client.subscribe(&world, &[DESIRED]).unwrap();
    assert_eq!(client.messages(&world), []);
}

#[test]
fn a_close_request_closes_without_a_response() {
    let mut world = World::new();
    assert_eq!(world.result_of(ServiceRequest::CloseConnection), Err(ServiceError::NotOnline));
    let mut client = world.online(true, &[]);
    let mut pending = world.request(ServiceRequest::CloseConnection);
    assert_eq!(
        (pending.result.try_recv().unwrap(), pending.wake),
        (Ok(ServiceResponse::default()), Some(client.address))
    );
    client.session.wake();
    assert_eq!(client.read(&world), []);
    assert_eq!(client.session.poll_close(), Some(Close::AfterFlush));
    client.drop(&world);
    assert_eq!(world.online(true, &[]).session.poll_close(), None, "the next connection stays open");
}

#[test]
fn a_message_has_its_system_properties_first() {
    let mut world = World::new();
    let message = || ServiceRequest::SendMessage {
        message_id: Some("m-1".to_owned()),
        properties: [("prop".to_owned(), "a b".to_owned())].into(),
        payload: "text".to_owned(),
        ttl: None,
        ack: Feedback::Full,
    };
    assert_eq!(world.result_of(message()), Ok(ServiceResponse::default()));
    let mut client = world.online(true, &[]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    assert_eq!(client.messages(&world), [], "a clean session drops queued messages");
    let pending = world.request(c2d("2"));
    assert_eq!(pending.wake, Some(client.address));
    client.session.wake();
    assert_eq!(
        client.messages(&world)[0].topic,
        "devices/d1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound"
    );
    world.request(message());
    client.session.wake();
    let messages = client.messages(&world);
    assert_eq!(
        messages[0].topic,
        "devices/d1/messages/devicebound/%24.mid=m-1&%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound&iothub-ack=full&prop=a%20b"
    );
    assert_eq!((&messages[0].payload[..], messages[0].dup, messages[0].retain), (&b"text"[..], false, false));
}

#[test]
fn invalid_messages_are_refused_with_their_code() {
    let world = World::new();
    let sent = |message_id: Option<String>, properties: BTreeMap<String, String>, payload: usize| {
        let (payload, ttl, ack) = ("x".repeat(payload), None, Feedback::None);
        let request = ServiceRequest::SendMessage { message_id, properties, payload, ttl, ack };
        world.result_of(request).map_err(|error| error.code())
    };
    let with = |id: &str, name: String, payload: usize| {
        sent(Some(id.to_owned()), [(name, String::new())].into(), payload)
    };
    assert_eq!(with("", "n".to_owned(), 1), Err(400_004));
    assert_eq!(with("m", " ".repeat(30_000), 1), Err(413_001), "the topic would be too long");
    // The body, the message id and the property name count toward the limit. The destination, which the hub adds, does not.
    let counted = 1 + 1;
    assert_eq!(with("m", "n".to_owned(), limits::C2D_BYTES_MAX - counted + 1), Err(413_001));
    assert_eq!(with("m", "n".to_owned(), limits::C2D_BYTES_MAX - counted), Ok(ServiceResponse::default()));
    assert_eq!(sent(None, BTreeMap::new(), limits::C2D_BYTES_MAX + 1), Err(413_001));
    assert_eq!(sent(None, BTreeMap::new(), limits::C2D_BYTES_MAX), Ok(ServiceResponse::default()));
    for _ in 2..limits::C2D_QUEUE_MAX {
        assert_eq!(world.result_of(c2d("x")), Ok(ServiceResponse::default()));
    }
    let error = world.result_of(c2d("x")).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::QueueFull, 403_004));
    let purged = world.result_of(ServiceRequest::PurgeMessages).unwrap().payload.unwrap();
    assert_eq!(purged, json!({ "totalMessagesPurged": 50 }));
    assert!(world.directory.is_empty());
}

#[test]
fn expired_messages_are_neither_counted_nor_purged() {
    let mut world = World::new();
    let count = |world: &World| {
        world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap()["cloudToDeviceMessageCount"]
            .as_u64()
            .unwrap()
    };
    let purged = |world: &World| world.result_of(ServiceRequest::PurgeMessages).unwrap().payload.unwrap();
    world.request(c2d_for("1", Some(300)));
    world.request(c2d("2"));
    assert_eq!(count(&world), 2);
    world.now += Duration::from_millis(800);
    assert_eq!(count(&world), 1);
    world.request(c2d_for("3", Some(300)));
    world.now += Duration::from_millis(800);
    assert_eq!(purged(&world), json!({ "totalMessagesPurged": 1 }));
    world.request(c2d_for("4", Some(300)));
    world.now += Duration::from_millis(800);
    assert_eq!(count(&world), 0);
    assert!(world.directory.is_empty(), "no state is left");
}

#[test]
fn a_repeated_puback_completes_one_message() {
    let mut world = World::new();
    let mut client = world.online(false, &[]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    client.read(&world);
    let pids = ["1", "2"].map(|payload| {
        world.request(c2d(payload));
        client.session.wake();
        let pid = client.messages(&world)[0].pid;
        client.write(&world, |out| encode::puback(out, pid)).unwrap();
        pid
    });
    world.request(c2d("3"));
    client.session.wake();
    let third = client.messages(&world)[0].pid;
    assert!(!pids.contains(&third) && pids[0] != pids[1], "{pids:?} {third}");
    for pid in pids {
        client.write(&world, |out| encode::puback(out, pid)).unwrap();
    }
    assert_eq!(
        world.result_of(ServiceRequest::PurgeMessages).unwrap().payload,
        Some(json!({ "totalMessagesPurged": 1 }))
    );
}

#[test]
fn a_message_without_a_subscription_sets_no_deadline() {
    let mut world = World::new();
    let mut client = world.online(false, &[]);
    client.subscribe_c2d(&world, QoS::AtLeastOnce);
    world.request(c2d("1"));
    client.session.wake();
    let first = client.messages(&world);
    assert_eq!(first.len(), 1);
    client.write(&world, |out| encode::unsubscribe(out, 1, &[&topics::c2d(DEVICE)]).unwrap()).unwrap();
    world.now += limits::C2D_LOCK;
    client.handle_timeout(&world).unwrap();
    assert_eq!(client.messages(&world), []);
    assert!(client.session.poll_timeout().unwrap() > world.now);
    client.subscribe_c2d(&world, QoS::AtMostOnce);
    let again = client.messages(&world);
    assert_eq!((again.len(), again[0].qos), (1, QoS::AtMostOnce));
    assert!(client.session.poll_timeout().unwrap() > world.now);
    assert_eq!(
        world.result_of(ServiceRequest::PurgeMessages).unwrap().payload,
        Some(json!({ "totalMessagesPurged": 0 }))
    );
}
