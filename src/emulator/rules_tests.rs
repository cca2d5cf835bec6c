//! IoT Hub rules that an emulator can easily get wrong, part 1: who may connect, and how a connection ends. `message_rules_tests` has the
//! rules for messages, twins and methods. There are thirty rules; each test name begins with the number of its rule.
//!
//! Rules without a test are for features that are not emulated yet: 21 (throttling first adds latency, then closes the connection), 22
//! (above a quota, the hub first accepts messages, then closes the connection), 28 (a connect throttle delays CONNACK) and 29 (metering in
//! units of 4 KB, separate from throttles) for tiers; 23 (a client certificate is requested but not required) for X.509; 24 (the case of
//! the WebSocket sub-protocol) for WebSockets; 26 (error header and body agree) for the REST API; 30 (a DPS user name has no `?`) for DPS.

use super::Config;
use super::admission::Refusal;
use super::session::{Event, HubError};
use super::test_support::{
    Client, ConnectFields, DEVICE, UNIX_S, World, config, connack, group, seconds, with_telemetry_log,
};
use crate::iothub::sas::{self, Key};
use crate::iothub::service::{ServiceRequest, ServiceResponse};
use crate::iothub::topics;
use crate::sansio::{Close, Closed, Machine};
use crate::wire::{Packet, encode};
use serde_json::json;
use std::time::{Duration, Instant};

const CONNACK_5: [Packet; 1] = [Packet::ConnAck { session_present: false, code: 5 }];

/// Returns the refusal of a CONNECT, or `None` if it is accepted.
fn refused(fields: &ConnectFields) -> Option<Refusal> {
    let mut world = World::new();
    let mut client = world.connect(fields);
    match client.session.poll_event() {
        Some(Event::Refused(refusal)) => {
            assert_eq!(client.read(&world), CONNACK_5);
            assert_eq!(client.session.poll_close(), Some(Close::AfterFlush));
            Some(refusal)
        }
        Some(Event::Authorized) => None,
        other => panic!("{other:?}"),
    }
}

fn token(key: &Key, resource: &str, expiry_unix: u64) -> Option<String> {
    Some(sas::token(key, resource, expiry_unix, None).to_string())
}

#[test]
fn rule_01_each_refused_connect_gets_code_5_and_is_closed() {
    let good = || ConnectFields::of(DEVICE);
    let wrong_key = token(&group().derive("d2"), "hub.test/devices/d1", UNIX_S + 60);
    let expired = token(&group().derive(DEVICE), "hub.test/devices/d1", UNIX_S - 301);
    assert_eq!(refused(&good()), None);
    for (fields, refusal) in [
        (ConnectFields { token: wrong_key, ..good() }, Refusal::Signature),
        (ConnectFields { token: expired, ..good() }, Refusal::Expired),
        (ConnectFields { token: None, ..good() }, Refusal::NoPassword),
        (ConnectFields { client_id: "d2".to_owned(), ..good() }, Refusal::ClientId),
        (ConnectFields { user_name: "other.test/d1/?api-version=1".to_owned(), ..good() }, Refusal::Host),
    ] {
        assert_eq!(refused(&fields), Some(refusal));
    }
    let mut world = World::new();
    assert_eq!(world.result_of(ServiceRequest::Disable(true)), Ok(ServiceResponse::default()));
    let mut client = world.connect(&good());
    client.admit(&world);
    assert_eq!(client.session.poll_event(), Some(Event::Refused(Refusal::Disabled)));
    assert_eq!(client.read(&world), CONNACK_5);
    let mut world = World::with(Config { device_keys: [("d2".into(), group())].into(), ..config() });
    assert_eq!(world.connect(&good()).read(&world), CONNACK_5);
}

/// Fixed test vectors: two spellings of one resource, each with its own signature.
#[test]
fn rule_02_the_signature_covers_the_resource_as_sent() {
    const RAW: &str = "example-hub.azure-devices.net";
    let token = |resource: &str, signature: &str| {
        Some(format!("SharedAccessSignature sr={RAW}{resource}dev-1&sig={signature}&se=1893456000"))
    };
    let upper = "16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D";
    let lower = "OQCtjoxbqL%2F08OiIbi%2BXG%2FOZ3ZKA4j%2BN2gFw9Uyde%2FI%3D";
    for (token, good) in [
        (token("%2Fdevices%2F", upper), true),
        (token("%2fdevices%2f", lower), true),
        (token("%2fdevices%2f", upper), false),
        (token("%2Fdevices%2F", lower), false),
    ] {
        let device_keys = [("dev-1".into(), group())].into();
        let mut world =
            World::with(Config { host_names: vec![RAW.to_owned()], device_keys, ..Config::default() });
        let user_name = format!("{RAW}/dev-1/?api-version=2021-04-12");
        let mut client = world.connect(&ConnectFields { token, user_name, ..ConnectFields::of("dev-1") });
        let expected = if good { Event::Authorized } else { Event::Refused(Refusal::Signature) };
        assert_eq!(client.session.poll_event(), Some(expected));
    }
}

#[test]
fn rule_03_device_ids_are_case_sensitive_unlike_audiences() {
    let key = group().derive("Meter-1");
    for (resource, client_id, device, good) in [
        ("hub.test/devices/meter-1", "Meter-1", "Meter-1", true),
        ("HUB.TEST/DEVICES/METER-1", "Meter-1", "Meter-1", true),
        ("hub.test/devices/Meter-1", "meter-1", "Meter-1", false),
        ("hub.test/devices/Meter-1", "meter-1", "meter-1", false),
    ] {
        let user_name = format!("Hub.Test/{device}/?api-version=2021-04-12");
        let token = token(&key, resource, UNIX_S + 60);
        let fields =
            ConnectFields { client_id: client_id.to_owned(), user_name, token, ..ConnectFields::of(device) };
        assert_eq!(refused(&fields).is_none(), good, "{resource} {client_id} {device}");
    }
}

#[test]
fn rule_04_legacy_user_names_and_ids_with_question_marks() {
    for (device, user_name, good) in [
        (DEVICE, "hub.test/d1/?api-version=2021-04-12&DeviceClientType=py%2F2&model-id=dtmi%3Aa%3B1", true),
        (DEVICE, "hub.test/d1/api-version=2016-11-14", true),
        (DEVICE, "hub.test/d1", true),
        ("?d?", "hub.test/?d?/?api-version=2021-04-12", true),
        (DEVICE, "hub.test/d1/?api-version", false),
        (DEVICE, "hub.test", false),
    ] {
        let fields = ConnectFields { user_name: user_name.to_owned(), ..ConnectFields::of(device) };
        assert_eq!(refused(&fields).is_none(), good, "{user_name}");
    }
}

#[test]
fn rule_11_a_second_connection_closes_the_first() {
    let mut world = World::new();
    let mut old = world.online(true, &[]);
    let mut new = world.connect(&ConnectFields::of(DEVICE));
    assert_eq!(new.session.poll_event(), Some(Event::Authorized));
    assert_eq!(new.session.claim(new.address), Some(old.address), "the old one must close first");
    old.session.take_over();
    assert_eq!(old.session.poll_close(), Some(Close::AfterFlush));
    old.drop(&world);
    new.session.admit(world.now);
    assert_eq!(new.read(&world), [connack(false)]);
    assert_eq!(new.session.poll_close(), None);
}

#[test]
fn rule_12_keep_alive_timeout_is_1_5_times_up_to_1767_s() {
    for (keep_alive_s, silence_ms) in
        [(1, 1_500), (60, 90_000), (1177, 1_765_500), (1200, 1_767_000), (0, 1_767_000)]
    {
        let mut world = World::new();
        let mut client = world.connect(&ConnectFields { keep_alive_s, ..ConnectFields::of(DEVICE) });
        client.admit(&world);
        world.now += Duration::from_millis(silence_ms - 1);
        assert_eq!(client.handle_timeout(&world), Ok(()), "{keep_alive_s}");
        world.now += Duration::from_millis(1);
        assert_eq!(client.handle_timeout(&world), Err(HubError::KeepAlive), "{keep_alive_s}");
    }
}

/// A device that sends PINGREQ every two seconds until `silent_from`, and the time of its last packet.
struct Pinging {
    client: Client,
    silent_from: Option<Instant>,
    last: Instant,
}

#[test]
fn silent_devices_are_closed_in_the_order_of_last_packets() {
    let [every, timeout] = [seconds(2), seconds(9)];
    let mut world = with_telemetry_log();
    let start = world.now;
    // Ten devices become silent, each at another time and not in the order of their connects. The others never do.
    let mut devices: Vec<Pinging> = Vec::new();
    for index in 0..15_u64 {
        world.now += Duration::from_millis(10);
        let id = format!("d{index}");
        let will = Some((topics::telemetry(&id), "gone"));
        let mut client = world.connect(&ConnectFields { keep_alive_s: 6, will, ..ConnectFields::of(&id) });
        client.admit(&world);
        assert_eq!(client.read(&world), [connack(false)]);
        let silent_from = (index < 10).then(|| start + Duration::from_millis(4_000 + index * 7 % 10 * 1_300));
        devices.push(Pinging { client, silent_from, last: world.now });
    }
    let mut closed = Vec::new();
    while world.now < start + seconds(60) {
        let pings = |device: &Pinging| {
            let next = device.last + every;
            device.silent_from.is_none_or(|from| next < from).then_some(next)
        };
        let next = devices.iter().flat_map(|device| [pings(device), device.client.session.poll_timeout()]);
        world.now = next.flatten().min().expect("some devices never become silent");
        for (index, device) in devices.iter_mut().enumerate() {
            if pings(device) == Some(world.now) {
                device.client.write(&world, encode::pingreq).unwrap();
                assert_eq!(device.client.read(&world), [Packet::PingResp]);
                device.last = world.now;
            }
            if device.client.session.poll_timeout() == Some(world.now) {
                assert_eq!(device.client.handle_timeout(&world), Err(HubError::KeepAlive), "{index}");
                device.client.session.handle_closed(world.now, Closed::Local);
                closed.push((world.now, index));
            }
        }
    }
    let silent = devices.iter().enumerate().filter(|(_, device)| device.silent_from.is_some());
    let mut expected: Vec<(Instant, usize)> =
        silent.map(|(index, device)| (device.last + timeout, index)).collect();
    expected.sort_unstable();
    assert_eq!(closed, expected);
    let wills: Vec<String> =
        world.directory.take_telemetry().iter().map(|message| message.device.to_string()).collect();
    assert_eq!(wills, closed.iter().map(|(_, index)| format!("d{index}")).collect::<Vec<_>>());
}

#[test]
fn rule_13_clock_skew_of_5_minutes_and_end_after_expiry() {
    let with_expiry = |expiry| ConnectFields {
        token: token(&group().derive(DEVICE), "hub.test/devices/d1", expiry),
        ..ConnectFields::of(DEVICE)
    };
    assert_eq!(refused(&with_expiry(UNIX_S - 300)), None);
    assert_eq!(refused(&with_expiry(UNIX_S - 301)), Some(Refusal::Expired));
    let mut world = World::new();
    let mut client = world.connect(&with_expiry(UNIX_S + 60));
    client.admit(&world);
    world.now += seconds(60 + 299);
    client.handle_timeout(&world).unwrap();
    assert!(client.session.is_online());
    world.now += seconds(1);
    client.handle_timeout(&world).unwrap();
    assert_eq!(client.session.poll_event(), Some(Event::Expired));
    assert_eq!(client.session.poll_close(), Some(Close::AfterFlush));
}

#[test]
fn rule_25_a_disabled_device_is_closed_and_gets_code_5() {
    let mut world = World::new();
    let mut client = world.online(false, &[]);
    let pending = world.request(ServiceRequest::Disable(true));
    assert_eq!(pending.wake, Some(client.address));
    client.session.wake();
    assert_eq!(client.read(&world), []);
    assert_eq!(client.session.poll_close(), Some(Close::AfterFlush));
    client.drop(&world);
    let mut client = world.connect(&ConnectFields::of(DEVICE));
    client.admit(&world);
    assert_eq!(client.read(&world), CONNACK_5);
    client.drop(&world);
    let call = ServiceRequest::InvokeMethod {
        name: "m".to_owned(),
        payload: Some(json!(1)),
        response_timeout: Duration::from_millis(1),
        connect_timeout: Duration::from_millis(9),
    };
    assert_eq!(world.result_of(call).unwrap_err().code(), 404_001);
    world.result_of(ServiceRequest::Disable(false)).unwrap();
    world.online(false, &[]);
}

/// Three connections of one device: the second takes over from the first, and the third from the second. The second is never online.
#[test]
fn a_connection_that_was_never_admitted_leaves_no_will() {
    let mut world = World::new();
    let fields =
        || ConnectFields { will: Some((topics::telemetry(DEVICE), "gone")), ..ConnectFields::of(DEVICE) };
    let mut first = world.connect(&fields());
    first.admit(&world);
    let [mut second, mut third] = [world.connect(&fields()), world.connect(&fields())];
    assert_eq!(second.session.claim(second.address), Some(first.address));
    first.session.take_over();
    assert_eq!(third.session.claim(third.address), Some(second.address));
    second.session.take_over();
    assert_eq!((second.drop(&world), first.drop(&world)), (0, 1));
    third.session.admit(world.now);
    assert_eq!(third.read(&world), [connack(false)]);
    assert_eq!(third.drop(&world), 1);
}
