//! Two-hour steps of the wall clock, forward and backward, before and during a connection: dates follow the clock, durations do not.

use super::admission::Refusal;
use super::session::Event;
use super::test_support::{Client, ConnectFields, DEVICE, HOST, World, group, seconds};
use crate::iothub::service::{Feedback, ServiceRequest, ServiceResponse};
use crate::iothub::{names, sas, topics};
use crate::wire::{QoS, encode};
use serde_json::{Value, json};
use std::time::Duration;

const FORWARD_US: i64 = 7_200_000_000;
const BACK_US: i64 = -FORWARD_US;
const HOUR_S: u64 = 3_600;
/// The hub allows a clock skew of five minutes, and ends a connection five minutes after its token expires.
const TOLERANCE_S: u64 = 300;

/// Returns a CONNECT with a new token.
fn fields(world: &World, ttl_s: u64) -> ConnectFields {
    let expiry = world.unix().as_secs() + ttl_s;
    let token = sas::token(&group().derive(DEVICE), &names::resource(HOST, DEVICE), expiry, None);
    ConnectFields { token: Some(token.to_string()), ..ConnectFields::of(DEVICE) }
}

fn online(world: &mut World, ttl_s: u64) -> Client {
    let fields = fields(world, ttl_s);
    let mut client = world.connect(&fields);
    client.admit(world);
    client.read(world);
    client
}

fn message(payload: &str, ttl_ms: u64) -> ServiceRequest {
    let (properties, payload) = (Default::default(), payload.to_owned());
    ServiceRequest::SendMessage {
        message_id: None,
        properties,
        payload,
        ttl: Some(Duration::from_millis(ttl_ms)),
        ack: Feedback::None,
    }
}

fn bodies(client: &mut Client, world: &World) -> Vec<String> {
    client.session.wake();
    client
        .messages(world)
        .iter()
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect()
}

#[test]
fn a_token_is_checked_with_the_current_wall_clock() {
    for (by_us, ttl_s, refusal) in [
        (FORWARD_US, HOUR_S, Some(Refusal::Expired)),
        (FORWARD_US, 12 * HOUR_S, None),
        (BACK_US, HOUR_S, None),
        (0, HOUR_S, None),
    ] {
        let mut world = World::new();
        let old = fields(&world, ttl_s);
        // The connection is already open when the clock steps.
        let mut client = world.open();
        world.wall.step(by_us);
        client.connect(&world, &old);
        let refused = match client.session.poll_event() {
            Some(Event::Refused(refusal)) => Some(refusal),
            _ => None,
        };
        assert_eq!(refused, refusal, "{by_us} {ttl_s}");
        // A new token is accepted in any case.
        online(&mut world, HOUR_S);
    }
}

#[test]
fn a_step_neither_ends_nor_extends_a_connection() {
    for by_us in [FORWARD_US, BACK_US] {
        for ttl_s in [HOUR_S, 12 * HOUR_S] {
            let mut world = World::new();
            let mut client = online(&mut world, ttl_s);
            world.now += seconds(60);
            world.wall.step(by_us);
            let end = world.now + seconds(ttl_s + TOLERANCE_S - 61);
            while world.now < end {
                // Advance by less than the keep-alive timeout, so that the hub does not close the connection.
                world.now = end.min(world.now + seconds(1_200));
                client.write(&world, encode::pingreq).unwrap();
                client.handle_timeout(&world).unwrap();
            }
            assert!(client.session.is_online(), "{by_us} {ttl_s}");
            world.now += seconds(1);
            client.handle_timeout(&world).unwrap();
            assert_eq!(client.session.poll_event(), Some(Event::Expired), "{by_us} {ttl_s}");
        }
    }
}

#[test]
fn clock_steps_affect_neither_queued_messages_nor_locks() {
    for by_us in [FORWARD_US, BACK_US] {
        let mut world = World::new();
        assert_eq!(world.result_of(message("short", 30_000)), Ok(ServiceResponse::default()));
        assert_eq!(world.result_of(message("long", 600_000)), Ok(ServiceResponse::default()));
        world.now += seconds(29);
        world.wall.step(by_us);
        let mut client = online(&mut world, HOUR_S);
        client.subscribe_c2d(&world, QoS::AtLeastOnce);
        assert_eq!(bodies(&mut client, &world), ["short", "long"], "{by_us}: neither has expired");
        world.wall.step(-by_us);
        world.now += seconds(59);
        client.handle_timeout(&world).unwrap();
        assert_eq!(bodies(&mut client, &world), [""; 0], "{by_us}: both are locked for a minute");
        world.now += seconds(1);
        client.handle_timeout(&world).unwrap();
        assert_eq!(
            bodies(&mut client, &world),
            ["long"],
            "{by_us}: the locks have expired, and so has the short message"
        );
    }
}

#[test]
fn twin_updates_are_dated_by_the_current_wall_clock() {
    let mut world = World::new();
    let mut client = online(&mut world, 12 * HOUR_S);
    client.subscribe(&world, &[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
    world.now += seconds(60);
    world.wall.step(BACK_US);
    world
        .result_of(ServiceRequest::UpdateDesired { patch: serde_json::from_value(json!({"a": 1})).unwrap() })
        .unwrap();
    client
        .publish(&world, "$iothub/twin/PATCH/properties/reported/?$rid=1", "{\"b\":1}", QoS::AtMostOnce)
        .unwrap();
    let twin: Value = world.result_of(ServiceRequest::ReadTwin).unwrap().payload.unwrap();
    for section in ["desired", "reported"] {
        // Two hours before the start, plus a minute.
        assert_eq!(
            twin["properties"][section]["$metadata"]["$lastUpdated"], "2027-01-15T06:01:00Z",
            "{twin}"
        );
    }
    // Errors have a date too.
    client.read(&world);
    client.publish(&world, "$iothub/twin/PATCH/properties/reported/?$rid=2", "[]", QoS::AtMostOnce).unwrap();
    let body: Value = serde_json::from_slice(&client.messages(&world)[0].payload).unwrap();
    assert!(body["timestampUtc"].as_str().unwrap().starts_with("2027-01-15T06:01"), "{body}");
}
