//! Direct methods in virtual time: matching, timeouts, limits, and connections that end.

use super::test_support::{Client, ConnectFields, DEVICE, World, seconds};
use crate::iothub::service::{ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::{limits, topics};
use crate::sansio::Machine;
use crate::wire::{Packet, Publish, QoS, STRING_BYTES_MAX};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot::error::TryRecvError;

const METHODS: (&str, QoS) = (topics::METHODS, QoS::AtLeastOnce);

fn method(connect_timeout_ms: u64) -> ServiceRequest {
    ServiceRequest::InvokeMethod {
        name: "reboot".to_owned(),
        payload: Some(json!({"delay": 1})),
        response_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_millis(connect_timeout_ms),
    }
}

/// Returns the request id of the only method call that the device receives.
fn receive_call(client: &mut Client, world: &World) -> String {
    client.session.wake();
    let messages = client.messages(world);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(
        (message.qos, message.retain, &message.payload[..]),
        (QoS::AtMostOnce, false, &br#"{"delay":1}"#[..])
    );
    message.topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").unwrap().to_owned()
}

fn respond(client: &mut Client, world: &World, rid: &str, body: &str) {
    client.publish(world, &format!("$iothub/methods/res/200/?$rid={rid}"), body, QoS::AtLeastOnce).unwrap();
    assert_eq!(client.read(world), [Packet::PubAck(7)]);
}

#[test]
fn responses_are_matched_by_request_id() {
    let mut world = World::new();
    let mut client = world.online(true, &[METHODS]);
    let mut first = world.request(method(0));
    assert_eq!(first.wake, Some(client.address));
    let first_rid = receive_call(&mut client, &world);
    let mut second = world.request(method(0));
    let second_rid = receive_call(&mut client, &world);
    assert_ne!(first_rid, second_rid);
    for unknown in ["ffff", "", "x"] {
        respond(&mut client, &world, unknown, "");
    }
    respond(&mut client, &world, &second_rid, r#"{"ok":true}"#);
    let expected = ServiceResponse { status: Some(200), version: None, payload: Some(json!({"ok": true})) };
    assert_eq!(second.result.try_recv(), Ok(Ok(expected)));
    assert_eq!(first.result.try_recv(), Err(TryRecvError::Empty));
    respond(&mut client, &world, &first_rid, "");
    let nothing = ServiceResponse { status: Some(200), version: None, payload: Some(json!(null)) };
    assert_eq!(first.result.try_recv(), Ok(Ok(nothing)));
}

#[test]
fn a_call_without_payload_has_an_empty_body_unlike_null() {
    let mut world = World::new();
    let mut client = world.online(true, &[METHODS]);
    for (payload, body) in [(None, ""), (Some(json!(null)), "null"), (Some(json!("")), "\"\"")] {
        world.request(ServiceRequest::InvokeMethod {
            name: "m".to_owned(),
            payload,
            response_timeout: Duration::from_secs(30),
            connect_timeout: Duration::ZERO,
        });
        client.session.wake();
        let messages = client.messages(&world);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), body);
    }
}

#[test]
fn a_response_timeout_is_504101_and_late_responses_do_nothing() {
    let mut world = World::new();
    let mut client = world.online(true, &[METHODS]);
    let mut pending = world.request(method(0));
    let rid = receive_call(&mut client, &world);
    assert_eq!(client.session.poll_timeout(), Some(world.now + seconds(30)));
    world.now += seconds(30);
    client.handle_timeout(&world).unwrap();
    let error = pending.result.try_recv().unwrap().unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NoAnswer, 504_101));
    respond(&mut client, &world, &rid, "{}");
    assert!(client.session.poll_timeout().unwrap() > world.now);
}

#[test]
fn a_call_waits_for_its_device_to_connect_and_subscribe() {
    let mut world = World::new();
    let mut early = world.request(method(10_000));
    assert_eq!((early.wake, early.deadline.unwrap().at), (None, world.now + seconds(10)));
    let mut client = world.online(true, &[]);
    assert_eq!(client.messages(&world), []);
    client.subscribe(&world, &[METHODS]).unwrap();
    let rid = receive_suback_and_call(&mut client, &world);
    respond(&mut client, &world, &rid, "1");
    assert_eq!(early.result.try_recv().unwrap().unwrap().payload, Some(json!(1)));
    world.directory.expire_call(DEVICE, early.deadline.unwrap().call);

    // A waiting call outlives a connection without a subscription.
    client.drop(&world);
    let client = world.online(true, &[]);
    let mut late = world.request(method(10_000));
    client.drop(&world);
    assert_eq!(late.result.try_recv(), Err(TryRecvError::Empty));
    world.directory.expire_call(DEVICE, late.deadline.unwrap().call);
    let error = late.result.try_recv().unwrap().unwrap_err();
    assert_eq!((error.clone(), error.code()), (ServiceError::NotOnline, 404_103));
    assert!(world.directory.is_empty(), "no state is left");
}

fn receive_suback_and_call(client: &mut Client, world: &World) -> String {
    let packets = client.read(world);
    let [Packet::SubAck { .. }, Packet::Publish(call)] = &packets[..] else { panic!("{packets:?}") };
    call.topic.rsplit_once("$rid=").unwrap().1.to_owned()
}

#[test]
fn calls_end_with_their_connection() {
    let mut world = World::new();
    // A sent call and a queued one.
    let mut client = world.online(true, &[METHODS]);
    let mut sent = world.request(method(60_000));
    receive_call(&mut client, &world);
    let mut queued = world.request(method(60_000));
    client.drop(&world);
    for pending in [&mut sent, &mut queued] {
        assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotOnline));
    }
    // Takeover: the new connection does not get the calls of the old one.
    let mut old = world.online(false, &[METHODS]);
    let mut pending = world.request(method(60_000));
    receive_call(&mut old, &world);
    let mut new = world.connect(&ConnectFields::of(DEVICE));
    assert_eq!(new.session.claim(new.address), Some(old.address));
    old.session.take_over();
    old.drop(&world);
    assert_eq!(pending.result.try_recv().unwrap(), Err(ServiceError::NotOnline));
    new.session.admit(world.now);
    assert_eq!(new.messages(&world), []);
    // A call that is never sent, because the device does not read.
    let mut stuck = world.request(method(0));
    world.directory.expire_call(DEVICE, stuck.deadline.unwrap().call);
    assert_eq!(stuck.result.try_recv().unwrap(), Err(ServiceError::NoAnswer));
    assert_eq!(new.messages(&world), []);
}

#[test]
fn invalid_calls_and_responses_have_error_codes() {
    let mut world = World::new();
    assert_eq!(world.result_of(method(0)), Err(ServiceError::NotOnline));
    let mut client = world.online(true, &[]);
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
        response_timeout: Duration::from_secs(30),
        connect_timeout: Duration::ZERO,
    };
    assert_eq!(world.result_of(call).unwrap_err().code(), 413_001);
    // Invalid responses from the device.
    client.subscribe(&world, &[METHODS]).unwrap();
    client.read(&world);
    for (body, code) in [("x".repeat(limits::METHOD_BYTES_MAX + 1), 413_001), ("{".to_owned(), 400_012)] {
        let mut pending = world.request(method(0));
        let rid = receive_call(&mut client, &world);
        respond(&mut client, &world, &rid, &body);
        assert_eq!(pending.result.try_recv().unwrap().unwrap_err().code(), code);
    }
    for topic in ["$iothub/methods/res/x/?$rid=1", "$iothub/methods/res/200"] {
        assert!(client.publish(&world, topic, "", QoS::AtMostOnce).is_err(), "{topic}");
    }
}

#[test]
fn unanswered_calls_of_a_device_are_limited_with_403800() {
    let mut world = World::new();
    let refused = |world: &World| {
        let mut pending = world.request(method(60_000));
        let error = pending.result.try_recv().unwrap().unwrap_err();
        assert_eq!((error.clone(), error.code()), (ServiceError::TooManyCalls, 403_800));
        assert_eq!((pending.wake, pending.deadline), (None, None));
    };
    let requests = |world: &World, n| (0..n).map(|_| world.request(method(60_000))).collect::<Vec<_>>();
    let rid = |message: &Publish| message.topic.rsplit_once("$rid=").unwrap().1.to_owned();

    // The limit applies first to calls that wait for the device, then to calls that were sent to it.
    let mut pending = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    let mut client = world.online(true, &[]);
    client.subscribe(&world, &[METHODS]).unwrap();
    let sent = client.messages(&world);
    assert_eq!(sent.len(), limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);

    // A response, a timeout and the end of the connection each make room.
    respond(&mut client, &world, &rid(&sent[0]), "{}");
    assert_eq!(pending[0].result.try_recv().unwrap().unwrap().status, Some(200));
    pending.extend(requests(&world, 1));
    refused(&world);
    client.session.wake();
    assert_eq!(client.messages(&world).len(), 1);
    world.now += seconds(30);
    client.handle_timeout(&world).unwrap();
    assert_eq!(pending[1].result.try_recv().unwrap(), Err(ServiceError::NoAnswer));
    let again = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    client.drop(&world);
    drop(again);
    let waiting = requests(&world, limits::METHODS_IN_FLIGHT_MAX);
    refused(&world);
    for pending in &waiting {
        world.directory.expire_call(DEVICE, pending.deadline.unwrap().call);
    }
    assert!(world.directory.is_empty(), "no state is left");
    requests(&world, 1);
}
