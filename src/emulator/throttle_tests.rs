//! A hub with a tier, in virtual time: what its devices and its service clients see when a throttle or the quota binds. The numbers in test
//! names are those of the list of behaviors in which emulators are often wrong.

use super::Config;
use super::service::PendingRequest;
use super::session::HubError;
use super::test_support::{
    Client, ConnectFields, DEVICE, UNIX_S, World, c2d, config, delivered, desired, group, seconds,
};
use super::throttle::Refused;
use crate::iothub::emulator_options::{EmulatorOptions, TierOptions};
use crate::iothub::limits::Tier;
use crate::iothub::service::{ServiceError, ServiceRequest};
use crate::iothub::throttles::HubSize;
use crate::iothub::topics;
use crate::sansio::{Close, Machine};
use crate::wire::encode::{self, PublishRef};
use crate::wire::{Packet, QoS};
use serde_json::{Value, json};
use std::time::Duration;

const EVENTS: &str = "devices/d1/messages/events/";
const TWIN: [(&str, QoS); 1] = [(topics::TWIN_RESPONSES, QoS::AtMostOnce)];

/// A hub of one unit, with a burst and a queue of these lengths.
fn hub(tier: Tier, burst_ms: u64, queue_ms: u64) -> World {
    let queue = Duration::from_millis(queue_ms);
    hub_with(TierOptions {
        burst: Duration::from_millis(burst_ms),
        queue,
        connect_wait: queue,
        ..TierOptions::of(HubSize { tier, units: 1 })
    })
}

fn hub_with(tier: TierOptions) -> World {
    let options = EmulatorOptions { tier: Some(tier), ..EmulatorOptions::default() };
    World::with(Config { group_keys: vec![group()], options, ..config() })
}

fn send(client: &mut Client, world: &World, pid: u16) -> Result<(), HubError> {
    let publish =
        PublishRef { topic: EVENTS, payload: b"x", qos: QoS::AtLeastOnce, dup: false, retain: false, pid };
    client.write(world, |out| encode::publish(out, &publish).unwrap())
}

/// Returns the answers to twin requests: status and body.
fn answers(client: &mut Client, world: &World) -> Vec<(String, String)> {
    let messages = client.messages(world).into_iter();
    let status = |topic: &str| topic.trim_start_matches("$iothub/twin/res/")[..3].to_owned();
    messages.map(|it| (status(&it.topic), String::from_utf8(it.payload.to_vec()).unwrap())).collect()
}

fn get(client: &mut Client, world: &World) -> Result<(), HubError> {
    client.publish(world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce)
}

fn report(client: &mut Client, world: &World) -> Result<(), HubError> {
    client.publish(world, "$iothub/twin/PATCH/properties/reported/?$rid=1", "{\"a\":1}", QoS::AtMostOnce)
}

fn used(world: &World) -> u64 {
    world.directory.throttle().unwrap().stats(world.now).quota_used
}

#[test]
fn rule_21_throttled_acks_are_late_then_the_hub_closes() {
    // S1: 100 per second, so ten messages pass at once, and ten wait for up to 100 ms.
    let mut world = hub(Tier::S1, 100, 100);
    let mut client = world.online(true, &[]);
    let sent: Vec<_> = (1..=21).map(|pid| send(&mut client, &world, pid)).collect();
    assert!(sent[..20].iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(sent[20], Err(HubError::Tier(Refused::Throttled)));
    let acks = |range: std::ops::RangeInclusive<u16>| range.map(Packet::PubAck).collect::<Vec<_>>();
    assert_eq!(client.read(&world), acks(1..=10));
    for pid in 11..=20 {
        let at = client.session.poll_timeout().unwrap();
        assert_eq!(
            at,
            world.now + Duration::from_millis(10),
            "the next deadline is in the future, so it is no stall"
        );
        world.now = at - Duration::from_nanos(1);
        client.handle_timeout(&world).unwrap();
        assert_eq!(client.read(&world), []);
        world.now = at;
        client.handle_timeout(&world).unwrap();
        assert_eq!(client.read(&world), acks(pid..=pid));
    }
    assert_eq!(client.drop(&world), 20);
    let stats = world.directory.throttle().unwrap().stats(world.now);
    let d2c = stats.classes["d2c"];
    assert_eq!((d2c.delayed, d2c.rejected, d2c.first_unix_us), (10, 1, UNIX_S * 1_000_000));
}

#[test]
fn a_delayed_puback_does_not_delay_pings_and_is_not_overtaken() {
    let mut world = hub(Tier::S1, 0, 1000);
    let mut client = world.online(true, &TWIN);
    send(&mut client, &world, 1).unwrap();
    send(&mut client, &world, 2).unwrap();
    client.write(&world, encode::pingreq).unwrap();
    // The PUBACK of a request that is not throttled waits for those before it.
    client.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtLeastOnce).unwrap();
    let now = client.read(&world);
    assert!(matches!(now[..], [Packet::PubAck(1), Packet::PingResp, Packet::Publish(_)]), "{now:?}");
    world.now += Duration::from_millis(10);
    client.handle_timeout(&world).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(2), Packet::PubAck(7)]);
}

#[test]
fn rule_28_connack_waits_for_the_throttle_of_connections() {
    let mut world = hub(Tier::S1, 20, 20);
    let clean = || ConnectFields { clean_session: true, ..ConnectFields::of(DEVICE) };
    let mut clients: Vec<Client> = (0..4).map(|_| world.connect(&clean())).collect();
    // Two pass at once; the others are not claiming their device yet.
    let throttled: Vec<bool> = clients.iter().map(|client| client.session.is_throttled()).collect();
    assert_eq!(throttled, [false, false, true, true]);
    let mut fifth = world.open();
    let connect = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fifth.connect(&world, &clean())));
    assert!(connect.is_err(), "the connection ends without CONNACK");
    for (index, ms) in [(2, 10), (3, 20)] {
        let at = clients[index].session.poll_timeout().unwrap();
        assert!(!clients[index].session.wants_input() && clients[index].read(&world).is_empty());
        assert!(at.duration_since(world.now) <= Duration::from_millis(ms), "{index}");
    }
    world.now += Duration::from_millis(20);
    clients[3].handle_timeout(&world).unwrap();
    clients[3].admit(&world);
    assert_eq!(clients[3].read(&world), [Packet::ConnAck { session_present: false, code: 0 }]);
    // A client that ends its connection while it waits publishes no will.
    let throttled = clients.remove(2);
    assert_eq!(throttled.drop(&world), 0);
}

#[test]
fn twin_requests_above_the_throttle_are_answered_with_429() {
    for (request, passed) in [(get as fn(&mut Client, &World) -> _, 10), (report, 5)] {
        let mut world = hub(Tier::S1, 100, 20);
        let mut client = world.online(true, &TWIN);
        // Two reads, or one update, wait for their answer.
        let waiting = passed / 5;
        for _ in 0..passed + waiting + 3 {
            request(&mut client, &world).unwrap();
        }
        let at_once = answers(&mut client, &world);
        let count =
            |answers: &[(String, String)], status: &str| answers.iter().filter(|it| it.0 == status).count();
        let is_ok = |answers: &[(String, String)]| count(answers, "200") + count(answers, "204");
        assert_eq!((is_ok(&at_once), count(&at_once, "429")), (passed, 3));
        let body: Value = serde_json::from_str(&at_once.last().unwrap().1).unwrap();
        assert_eq!(body["errorCode"], 429_001);
        assert!(
            body["message"].is_string() && body["trackingId"].is_string() && body["timestampUtc"].is_string()
        );
        world.now += Duration::from_millis(20);
        client.handle_timeout(&world).unwrap();
        assert_eq!(is_ok(&answers(&mut client, &world)), waiting);
    }
}

#[test]
fn rule_22_used_up_quota_severs_on_publish() {
    // F1 has 8,000 messages a day. It is 2027-01-15, 08:00 UTC.
    let used_up = TierOptions { quota_used: 7_999, ..TierOptions::of(HubSize { tier: Tier::F1, units: 1 }) };
    let mut world = hub_with(used_up);
    let mut client = world.online(true, &TWIN);
    send(&mut client, &world, 1).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(1)]);
    let refused = Err(HubError::Tier(Refused::QuotaUsedUp));
    assert_eq!(send(&mut client, &world, 2), refused);
    assert_eq!(get(&mut client, &world), refused);
    assert_eq!(report(&mut client, &world), refused);
    assert_eq!(client.drop(&world), 1);
    for request in [c2d("x"), desired(json!({ "a": 1 })), ServiceRequest::ReadTwin] {
        assert_eq!(world.result_of(request), Err(ServiceError::QuotaUsedUp));
    }
    world.now += seconds(16 * 3600) - Duration::from_nanos(1);
    let token = |fields: ConnectFields, world: &World| {
        // The token of the fields has expired by now.
        let key = group().derive(DEVICE);
        let resource = crate::iothub::names::resource(super::test_support::HOST, DEVICE);
        let expiry = world.unix().as_secs() + 3600;
        ConnectFields {
            token: Some(crate::iothub::sas::token(&key, &resource, expiry, None).to_string()),
            ..fields
        }
    };
    let fields = token(ConnectFields::of(DEVICE), &world);
    let mut client = world.connect(&fields);
    client.admit(&world);
    assert!(matches!(client.read(&world)[..], [Packet::ConnAck { code: 0, .. }]));
    assert_eq!(send(&mut client, &world, 1), refused, "a nanosecond before midnight");
    world.now += Duration::from_nanos(1);
    send(&mut client, &world, 1).unwrap();
    assert_eq!(used(&world), 1);
}

#[test]
fn rule_29_twins_methods_and_c2d_messages_are_billed() {
    let mut world = hub(Tier::S1, 60_000, 60_000);
    let desired_filter = (topics::TWIN_DESIRED, QoS::AtMostOnce);
    let c2d_filter = topics::c2d(DEVICE);
    let filters =
        [TWIN[0], desired_filter, (topics::METHODS, QoS::AtMostOnce), (&c2d_filter, QoS::AtMostOnce)];
    let mut client = world.online(true, &filters);
    let mut expected = 0;
    let mut bills = |world: &World, n: u64, what: &str| {
        expected += n;
        assert_eq!(used(world), expected, "{what}");
    };
    bills(&world, 0, "connections and subscriptions are free");
    client.write(&world, encode::pingreq).unwrap();
    bills(&world, 0, "pings are free");
    get(&mut client, &world).unwrap();
    bills(&world, 1, "a twin read");
    report(&mut client, &world).unwrap();
    bills(&world, 1, "a twin update");
    world.result_of(desired(json!({ "a": 1 }))).unwrap();
    bills(&world, 2, "a change to desired properties, and its notification");
    world.result_of(c2d(&"x".repeat(5000))).unwrap();
    bills(&world, 2, "a message of two blocks");
    delivered(&mut client, &world);
    bills(&world, 0, "its delivery is not billed again");
    let mut with_properties = c2d(&"x".repeat(4090));
    let ServiceRequest::SendMessage { properties, .. } = &mut with_properties else { unreachable!() };
    properties.insert("kind".to_owned(), "test".to_owned());
    world.result_of(with_properties).unwrap();
    bills(&world, 2, "properties count");
    delivered(&mut client, &world);
    let PendingRequest { mut result, .. } = world.request(method(&json!("x".repeat(5000))));
    bills(&world, 2, "a method call of two blocks");
    client.session.wake();
    let call = client.messages(&world).remove(0);
    let rid = call.topic.rsplit_once("$rid=").unwrap().1.to_owned();
    client.publish(&world, &format!("$iothub/methods/res/200/?$rid={rid}"), "", QoS::AtMostOnce).unwrap();
    assert!(result.try_recv().unwrap().is_ok());
    bills(&world, 1, "its empty answer");
}

fn method(payload: &Value) -> ServiceRequest {
    ServiceRequest::InvokeMethod {
        name: "m".to_owned(),
        payload: Some(payload.clone()),
        response_timeout: seconds(30),
        connect_timeout: Duration::ZERO,
    }
}

#[test]
fn calls_of_a_service_client_are_throttled() {
    // S1: 100 messages a minute, and 160 KiB of calls per second.
    let mut world = hub(Tier::S1, 3_000, 600);
    let client = world.online(true, &[(topics::METHODS, QoS::AtMostOnce)]);
    let messages: Vec<_> = (0..7).map(|_| world.request(c2d("x")).held.map(|at| at - world.now)).collect();
    assert_eq!(messages[..5], [None; 5]);
    assert_eq!(messages[5], Some(Duration::from_millis(600)));
    assert_eq!(world.result_of(c2d("x")), Err(ServiceError::Throttled));
    assert_eq!(ServiceError::Throttled.code(), 429_001);
    drop(client);
    let mut world = hub(Tier::S1, 1_000, 0);
    let _client = world.online(true, &[(topics::METHODS, QoS::AtMostOnce)]);
    // Two calls of 68 KiB and one of 24 KiB.
    let mut call = |kib: usize| {
        let mut pending = world.request(method(&json!("x".repeat(kib * 1024 - 2))));
        world.now += Duration::ZERO;
        pending.result.try_recv().ok()
    };
    assert_eq!([call(68), call(68)], [None, None], "they wait for the device");
    assert_eq!(call(28), Some(Err(ServiceError::Throttled)));
    assert_eq!(call(24), None);
}

#[test]
fn basic_tiers_have_no_twins_methods_and_c2d_messages() {
    for tier in [Tier::B1, Tier::B2, Tier::B3] {
        let mut world = hub(tier, 1000, 1000);
        let mut client = world.online(true, &TWIN);
        let refused = Err(HubError::Tier(Refused::NotInTier));
        assert_eq!(get(&mut client, &world), refused);
        assert_eq!(report(&mut client, &world), refused);
        let all = [c2d("x"), desired(json!({ "a": 1 })), method(&Value::Null), ServiceRequest::ReadTwin];
        for request in all {
            let error = world.result_of(request).unwrap_err();
            assert_eq!((&error, error.code()), (&ServiceError::NotInTier, 403_010));
        }
        send(&mut client, &world, 1).unwrap();
        assert_eq!(client.read(&world), [Packet::PubAck(1)]);
    }
}

#[test]
fn a_hub_without_a_tier_has_no_limits() {
    let mut world = World::new();
    let mut client = world.online(true, &[]);
    assert!(world.directory.throttle().is_none());
    for pid in 1..=1000 {
        send(&mut client, &world, pid).unwrap();
        assert_eq!(client.read(&world), [Packet::PubAck(pid)]);
    }
}

#[test]
fn a_stopping_hub_sends_late_acks_before_it_closes() {
    let mut world = hub(Tier::S1, 100, 100);
    let mut client = world.online(true, &[]);
    (1..=12).for_each(|pid| send(&mut client, &world, pid).unwrap());
    assert_eq!(client.read(&world).len(), 10);
    client.session.drain();
    assert_eq!(client.session.poll_close(), None, "two acknowledgments are late");
    send(&mut client, &world, 13).unwrap();
    world.now += Duration::from_millis(20);
    client.handle_timeout(&world).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(11), Packet::PubAck(12)]);
    assert_eq!(client.session.poll_close(), Some(Close::AfterFlush));
    let counts = (client.session.take_acks(), client.session.take_telemetry());
    assert_eq!(counts, (12, 12), "a message that arrives later is not accepted");
}

#[test]
fn a_stopping_hub_closes_idle_connections_at_once() {
    let mut world = hub(Tier::S1, 100, 100);
    let mut online = world.online(true, &[]);
    online.session.drain();
    assert_eq!(online.session.poll_close(), Some(Close::AfterFlush));
    let mut silent = world.open();
    silent.session.drain();
    assert_eq!(silent.session.poll_close(), Some(Close::AfterFlush));
    let mut claiming = world.connect(&ConnectFields::of("d2"));
    claiming.session.drain();
    assert_eq!((claiming.read(&world), claiming.session.poll_close()), (vec![], Some(Close::AfterFlush)));
}
