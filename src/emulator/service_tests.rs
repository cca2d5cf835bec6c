//! What a back end requests and what a device gets, in virtual time.

use super::Config;
use super::test_support::{DEVICE, Line, Offer, World, config, group, seconds};
use crate::iothub::service::{Feedback, ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::twin_patch::TwinError;
use crate::iothub::{limits, topics};
use crate::sansio::{Close, Machine};
use crate::wire::encode;
use crate::wire::{Packet, Publish, QoS, STRING_BYTES_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot::error::TryRecvError;

const METHODS: (&str, QoS) = (topics::METHODS, QoS::AtLeastOnce);
const DESIRED: (&str, QoS) = (topics::TWIN_DESIRED, QoS::AtLeastOnce);

fn method(connect_timeout_ms: u64) -> ServiceRequest {
    ServiceRequest::InvokeMethod {
        name: "reboot".to_owned(),
        payload: Some(json!({"delay": 1})),
        response_timeout: Duration::from_millis(30_000),
        connect_timeout: Duration::from_millis(connect_timeout_ms),
    }
}

fn desired(patch: Value) -> ServiceRequest {
    let Value::Object(patch) = patch else { panic!("{patch}") };
    ServiceRequest::UpdateDesired { patch }
}

fn c2d(payload: &str) -> ServiceRequest {
    c2d_for(payload, None)
}

fn c2d_for(payload: &str, ttl_ms: Option<u64>) -> ServiceRequest {
    ServiceRequest::SendMessage {
        message_id: None,
        properties: Default::default(),
        payload: payload.to_owned(),
        ttl: ttl_ms.map(Duration::from_millis),
        ack: Feedback::None,
    }
}

/// The one method that the device is called for: its request id.
fn called(line: &mut Line, world: &World) -> String {
    line.session.wake();
    let messages = line.messages(world);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(
        (message.qos, message.retain, &message.payload[..]),
        (QoS::AtMostOnce, false, &br#"{"delay":1}"#[..])
    );
    message.topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").unwrap().to_owned()
}

fn answer(line: &mut Line, world: &World, rid: &str, body: &str) {
    line.publish(world, &format!("$iothub/methods/res/200/?$rid={rid}"), body, QoS::AtLeastOnce).unwrap();
    assert_eq!(line.read(world), [Packet::PubAck(7)]);
}

#[test]
fn a_method_is_called_and_its_answer_matched_by_its_request_id() {
    let mut world = World::new();
    let mut line = world.online(true, &[METHODS]);
    let mut first = world.request(method(0));
    assert_eq!(first.wake, Some(line.address));
    let first_rid = called(&mut line, &world);
    let mut second = world.request(method(0));
    let second_rid = called(&mut line, &world);
    assert_ne!(first_rid, second_rid);
    for unknown in ["ffff", "", "x"] {
        answer(&mut line, &world, unknown, "");
    }
    answer(&mut line, &world, &second_rid, r#"{"ok":true}"#);
    let expected = ServiceResponse { status: Some(200), version: None, payload: Some(json!({"ok": true})) };
    assert_eq!(second.result.try_recv(), Ok(Ok(expected)));
    assert_eq!(first.result.try_recv(), Err(TryRecvError::Empty));
    answer(&mut line, &world, &first_rid, "");
    let nothing = ServiceResponse { status: Some(200), version: None, payload: Some(json!(null)) };
    assert_eq!(first.result.try_recv(), Ok(Ok(nothing)));
}

#[test]
fn a_call_without_payload_has_an_empty_body_unlike_null() {
    let mut world = World::new();
    let mut line = world.online(true, &[METHODS]);
    for (payload, body) in [(None, ""), (Some(json!(null)), "null"), (Some(json!("")), "\"\"")] {
        world.request(ServiceRequest::InvokeMethod {
            name: "m".to_owned(),
            payload,
            response_timeout: Duration::from_millis(30_000),
            connect_timeout: Duration::from_millis(0),
        });
        line.session.wake();
        let messages = line.messages(&world);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), body);
    }
}

#[test]
fn a_device_that_does_not_answer_in_time_is_504101_and_its_late_answer_nothing() {
    let mut world = World::new();
    let mut line = world.online(true, &[METHODS]);
    let mut pending = world.request(method(0));
    let rid = called(&mut line, &world);
    assert_eq!(line.session.poll_timeout(), Some(world.now + seconds(30)));
    world.now += seconds(30);
    line.turn(&world).unwrap();
    let error = pending.result.try_recv().unwrap().unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NoAnswer, 504_101));
    answer(&mut line, &world, &rid, "{}");
    assert!(line.session.poll_timeout().unwrap() > world.now);
}

#[test]
fn a_call_waits_for_its_device_to_connect_and_to_subscribe() {
    let mut world = World::new();
    let mut early = world.request(method(10_000));
    assert_eq!((early.wake, early.deadline.unwrap().at), (None, world.now + seconds(10)));
    let mut line = world.online(true, &[]);
    assert_eq!(line.messages(&world), []);
    line.subscribe(&world, &[METHODS]).unwrap();
    let rid = called_with_suback(&mut line, &world);
    answer(&mut line, &world, &rid, "1");
    assert_eq!(early.result.try_recv().unwrap().unwrap().payload, Some(json!(1)));
    world.directory.expire_call(DEVICE, early.deadline.unwrap().call);

    // One that waits outlives a connection that is not for it.
    line.drop(&world);
    let line = world.online(true, &[]);
    let mut late = world.request(method(10_000));
    line.drop(&world);
    assert_eq!(late.result.try_recv(), Err(TryRecvError::Empty));
    world.directory.expire_call(DEVICE, late.deadline.unwrap().call);
    let error = late.result.try_recv().unwrap().unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NotOnline, 404_103));
    assert!(world.directory.is_empty(), "nothing is left of it");
}

fn called_with_suback(line: &mut Line, world: &World) -> String {
    let packets = line.read(world);
    let [Packet::SubAck { .. }, Packet::Publish(call)] = &packets[..] else { panic!("{packets:?}") };
    call.topic.rsplit_once("$rid=").unwrap().1.to_owned()
}

#[test]
fn calls_end_with_their_connection() {
    let mut world = World::new();
    // Told and not answered; handed over and not told.
    let mut line = world.online(true, &[METHODS]);
    let mut told = world.request(method(60_000));
    called(&mut line, &world);
    let mut untold = world.request(method(60_000));
    line.drop(&world);
    for pending in [&mut told, &mut untold] {
        assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotOnline));
    }
    // Taken over: the new connection is not pending what the old one was.
    let mut old = world.online(false, &[METHODS]);
    let mut pending = world.request(method(60_000));
    called(&mut old, &world);
    let mut new = world.connect(&Offer::of(DEVICE));
    assert_eq!(new.session.claim(new.address), Some(old.address));
    old.session.take_over();
    old.drop(&world);
    assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotOnline));
    new.session.admit(world.now);
    assert_eq!(new.messages(&world), []);
    // One that nobody tells, because the device takes nothing in.
    let mut stuck = world.request(method(0));
    world.directory.expire_call(DEVICE, stuck.deadline.unwrap().call);
    assert_eq!(stuck.result.try_recv().unwrap(), Err(ServiceError::NoAnswer));
    assert_eq!(new.messages(&world), []);
}

#[test]
fn what_cannot_be_called_is_refused_with_its_code() {
    let mut world = World::new();
    assert_eq!(world.result_of(method(0)), Err(ServiceError::NotOnline));
    let mut line = world.online(true, &[]);
    assert_eq!(world.result_of(method(0)), Err(ServiceError::NotOnline), "not subscribed");
    let long = "n".repeat(STRING_BYTES_MAX - topics::method("", "1").len());
    for name in ["", "a/b", "a+", "#", "\0", &long] {
        let error = world
            .result_of(ServiceRequest::InvokeMethod {
                name: name.to_owned(),
                payload: None,
                response_timeout: Duration::from_millis(1),
                connect_timeout: Duration::from_millis(1),
            })
            .unwrap_err();
        assert_eq!(error.code(), 400_004, "{name}");
    }
    let large = "x".repeat(limits::METHOD_BYTES_MAX - 1);
    let call = ServiceRequest::InvokeMethod {
        name: "m".to_owned(),
        payload: Some(large.into()),
        response_timeout: Duration::from_millis(30_000),
        connect_timeout: Duration::from_millis(0),
    };
    assert_eq!(world.result_of(call).unwrap_err().code(), 413_001);
    // And what a device must not answer.
    line.subscribe(&world, &[METHODS]).unwrap();
    line.read(&world);
    for (body, code) in [("x".repeat(limits::METHOD_BYTES_MAX + 1), 413_001), ("{".to_owned(), 400_012)] {
        let mut pending = world.request(method(0));
        let rid = called(&mut line, &world);
        answer(&mut line, &world, &rid, &body);
        assert_eq!(pending.result.try_recv().unwrap().unwrap_err().code(), code);
    }
    for topic in ["$iothub/methods/res/x/?$rid=1", "$iothub/methods/res/200"] {
        assert!(line.publish(&world, topic, "", QoS::AtMostOnce).is_err(), "{topic}");
    }
}

#[test]
fn unanswered_calls_of_a_device_are_bounded_with_403800() {
    let mut world = World::new();
    let refused = |world: &World| {
        let mut pending = world.request(method(60_000));
        let error = pending.result.try_recv().unwrap().unwrap_err();
        assert_eq!((error.clone(), error.code()), (ServiceError::TooManyCalls, 403_800));
        assert_eq!((pending.wake, pending.deadline), (None, None));
    };
    let requests = |world: &World, n| (0..n).map(|_| world.request(method(60_000))).collect::<Vec<_>>();
    let rid = |message: &Publish| message.topic.rsplit_once("$rid=").unwrap().1.to_owned();

    // First calls that wait for the device, then calls that were sent to it.
    let mut pending = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    let mut line = world.online(true, &[]);
    line.subscribe(&world, &[METHODS]).unwrap();
    let told = line.messages(&world);
    assert_eq!(told.len(), limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);

    // An answer, a timeout and the end of the connection make room.
    answer(&mut line, &world, &rid(&told[0]), "{}");
    assert_eq!(pending[0].result.try_recv().unwrap().unwrap().status, Some(200));
    pending.extend(requests(&world, 1));
    refused(&world);
    line.session.wake();
    assert_eq!(line.messages(&world).len(), 1);
    world.now += seconds(30);
    line.turn(&world).unwrap();
    assert_eq!(pending[1].result.try_recv().unwrap(), Err(ServiceError::NoAnswer));
    let again = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    line.drop(&world);
    drop(again);
    let waiting = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    for pending in &waiting {
        world.directory.expire_call(DEVICE, pending.deadline.unwrap().call);
    }
    assert!(world.directory.is_empty(), "nothing is left of them");
    requests(&world, 1);
}

#[test]
fn unread_changes_of_a_device_are_bounded_with_403004() {
    let mut world = World::new();
    let change =
        |world: &World| world.result_of(desired(json!({"a": 1}))).map(|called| called.version.unwrap());
    let mut line = world.online(true, &[DESIRED]);
    for version in (2..).take(limits::DESIRED_QUEUE_MAX) {
        assert_eq!(change(&world), Ok(version));
    }
    let error = change(&world).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::TooManyChanges, 403_004));
    let twin = world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap();
    assert_eq!(twin["properties"]["desired"]["$version"], 51, "the refused change left the twin as it was");
    line.session.wake();
    assert_eq!(line.messages(&world).len(), limits::DESIRED_QUEUE_MAX);
    assert_eq!(change(&world), Ok(52));
    // Nothing is kept for a device that is not connected.
    line.drop(&world);
    for version in (53..).take(2 * limits::DESIRED_QUEUE_MAX) {
        assert_eq!(change(&world), Ok(version));
    }
}

#[test]
fn who_is_known_depends_on_who_could_connect() {
    let own = |id: &str| Config { device_keys: [(id.into(), group())].into(), ..config() };
    let policy = Config { policies: vec![("device".to_owned(), group())], ..config() };
    let ask = |world: &World| world.result_of(ServiceRequest::ReadTwin).map(drop);
    assert_eq!(ask(&World::with(own(DEVICE))), Ok(()));
    assert_eq!(ask(&World::with(policy)), Ok(()));
    assert_eq!(ask(&World::new()), Ok(()));
    let error = ask(&World::with(own("other"))).unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NotFound, 404_001));
    let world = World::new();
    let mut pending = world.directory.request(world.now, world.unix(), "not an id", ServiceRequest::ReadTwin);
    assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotFound));
    assert!(world.directory.is_empty(), "asking leaves nothing behind");
}

#[test]
fn desired_properties_reach_the_device_with_their_version_and_deletions() {
    let mut world = World::new();
    let mut line = world.online(true, &[DESIRED]);
    for (version, patch, pushed) in [
        (2, json!({"a": {"b": 1}, "c": 1}), r#"{"$version":2,"a":{"b":1},"c":1}"#),
        (3, json!({"c": null}), r#"{"$version":3,"c":null}"#),
    ] {
        let mut pending = world.request(desired(patch));
        assert_eq!(pending.result.try_recv().unwrap().unwrap().version, Some(version));
        assert_eq!(pending.wake, Some(line.address));
        line.session.wake();
        let messages = line.messages(&world);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(message.topic, format!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), pushed);
        assert_eq!((message.qos, message.pid != 0), (QoS::AtLeastOnce, true));
        line.write(&world, |out| encode::puback(out, message.pid)).unwrap();
    }
    assert_eq!(world.result_of(desired(json!({"a.b": 1}))), Err(TwinError::KeyCharacter.into()));
    assert_eq!(world.result_of(desired(json!({"a": [null]}))), Err(TwinError::NullInArray.into()));
    let twin = world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap();
    assert_eq!((&twin["version"], &twin["properties"]["desired"]["a"]), (&json!(3), &json!({"b": 1})));
    assert_eq!((&twin["deviceId"], &twin["connectionState"]), (&json!("d1"), &json!("Connected")));
}

#[test]
fn tags_are_for_back_ends_only() {
    let tags = |patch: Value| {
        let Value::Object(patch) = patch else { panic!("{patch}") };
        ServiceRequest::UpdateTags { patch }
    };
    let mut world = World::new();
    let mut line = world.online(true, &[DESIRED, (topics::TWIN_RESPONSES, QoS::AtMostOnce)]);
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
    line.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce).unwrap();
    let messages = line.messages(&world);
    assert_eq!(&messages[0].payload[..], br#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
}

#[test]
fn what_is_not_told_when_the_connection_ends_is_lost() {
    let mut world = World::new();
    let line = world.online(false, &[DESIRED]);
    world.request(desired(json!({"a": 1})));
    line.drop(&world);
    let mut line = world.online(false, &[]);
    assert_eq!(line.messages(&world), []);
    // And so is what is not subscribed to any more.
    world.request(desired(json!({"a": 2})));
    line.write(&world, |out| encode::unsubscribe(out, 1, &[topics::TWIN_DESIRED]).unwrap()).unwrap();
    line.session.wake();
    assert_eq!(line.read(&world), [Packet::UnsubAck(1)]);
    line.subscribe(&world, &[DESIRED]).unwrap();
    assert_eq!(line.messages(&world), []);
}

#[test]
fn a_connection_is_closed_without_a_word() {
    let mut world = World::new();
    assert_eq!(world.result_of(ServiceRequest::CloseConnection), Err(ServiceError::NotOnline));
    let mut line = world.online(true, &[]);
    let mut pending = world.request(ServiceRequest::CloseConnection);
    assert_eq!(
        (pending.result.try_recv().unwrap(), pending.wake),
        (Ok(ServiceResponse::default()), Some(line.address))
    );
    line.session.wake();
    assert_eq!(line.read(&world), []);
    assert_eq!(line.session.poll_close(), Some(Close::AfterFlush));
    line.drop(&world);
    assert_eq!(world.online(true, &[]).session.poll_close(), None, "the next one stays");
}

#[test]
fn a_message_comes_with_its_system_properties_first() {
    let mut world = World::new();
    let ask = ServiceRequest::SendMessage {
        message_id: Some("m-1".to_owned()),
        properties: [("prop".to_owned(), "a b".to_owned())].into(),
        payload: "text".to_owned(),
        ttl: None,
        ack: Feedback::Full,
    };
    assert_eq!(world.result_of(ask), Ok(ServiceResponse::default()));
    let mut line = world.online(true, &[]);
    line.subscribe_c2d(&world, QoS::AtLeastOnce);
    assert_eq!(line.messages(&world), [], "a clean session drops what was queued");
    let pending = world.request(c2d("2"));
    assert_eq!(pending.wake, Some(line.address));
    line.session.wake();
    assert_eq!(
        line.messages(&world)[0].topic,
        "devices/d1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound"
    );
    let ask = ServiceRequest::SendMessage {
        message_id: Some("m-1".to_owned()),
        properties: [("prop".to_owned(), "a b".to_owned())].into(),
        payload: "text".to_owned(),
        ttl: None,
        ack: Feedback::Full,
    };
    world.request(ask);
    line.session.wake();
    let messages = line.messages(&world);
    assert_eq!(
        messages[0].topic,
        "devices/d1/messages/devicebound/%24.mid=m-1&%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound&iothub-ack=full&prop=a%20b"
    );
    assert_eq!((&messages[0].payload[..], messages[0].dup, messages[0].retain), (&b"text"[..], false, false));
}

#[test]
fn messages_that_cannot_be_sent_are_refused_with_their_code() {
    let world = World::new();
    let sent = |message_id: Option<String>, properties: BTreeMap<String, String>, payload: usize| {
        let (payload, ttl, ack) = ("x".repeat(payload), None, Feedback::None);
        let pending =
            world.result_of(ServiceRequest::SendMessage { message_id, properties, payload, ttl, ack });
        pending.map_err(|error| error.code())
    };
    let with = |id: &str, name: String, payload: usize| {
        sent(Some(id.to_owned()), [(name, String::new())].into(), payload)
    };
    assert_eq!(with("", "n".to_owned(), 1), Err(400_004));
    assert_eq!(with("m", " ".repeat(30_000), 1), Err(413_001), "no topic can carry it");
    // Besides the body, the message id and the property's name count. The destination is the hub's own.
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
fn messages_that_have_expired_are_neither_counted_nor_purged() {
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
    assert!(world.directory.is_empty(), "nothing is left of it");
}

#[test]
fn an_acknowledgement_that_comes_twice_completes_one_message() {
    let mut world = World::new();
    let mut line = world.online(false, &[]);
    line.subscribe_c2d(&world, QoS::AtLeastOnce);
    line.read(&world);
    let pids = ["1", "2"].map(|payload| {
        world.request(c2d(payload));
        line.session.wake();
        let pid = line.messages(&world)[0].pid;
        line.write(&world, |out| encode::puback(out, pid)).unwrap();
        pid
    });
    world.request(c2d("3"));
    line.session.wake();
    let third = line.messages(&world)[0].pid;
    assert!(!pids.contains(&third) && pids[0] != pids[1], "{pids:?} {third}");
    for pid in pids {
        line.write(&world, |out| encode::puback(out, pid)).unwrap();
    }
    assert_eq!(
        world.result_of(ServiceRequest::PurgeMessages).unwrap().payload,
        Some(json!({ "totalMessagesPurged": 1 }))
    );
}

#[test]
fn a_message_that_nobody_wants_any_more_wakes_nobody_and_waits() {
    let mut world = World::new();
    let mut line = world.online(false, &[]);
    line.subscribe_c2d(&world, QoS::AtLeastOnce);
    world.request(c2d("1"));
    line.session.wake();
    let first = line.messages(&world);
    assert_eq!(first.len(), 1);
    line.write(&world, |out| encode::unsubscribe(out, 1, &[&topics::c2d(DEVICE)]).unwrap()).unwrap();
    world.now += limits::C2D_LOCK;
    line.turn(&world).unwrap();
    assert_eq!(line.messages(&world), []);
    assert!(line.session.poll_timeout().unwrap() > world.now);
    line.subscribe_c2d(&world, QoS::AtMostOnce);
    let again = line.messages(&world);
    assert_eq!((again.len(), again[0].qos), (1, QoS::AtMostOnce));
    assert!(line.session.poll_timeout().unwrap() > world.now);
    assert_eq!(
        world.result_of(ServiceRequest::PurgeMessages).unwrap().payload,
        Some(json!({ "totalMessagesPurged": 0 }))
    );
}
