//! Each kind of fault, in virtual time: what a device sees, and what the hub counts. The numbers in test names are those of the list of
//! behaviors in which emulators are often wrong.

use super::Config;
use super::session::{Event, HubError};
use super::test_support::{Client, ConnectFields, DEVICE, World, config, desired, group, seconds};
use crate::iothub::topics;
use crate::policy::fault::{Fault, FaultKind};
use crate::sansio::{Close, Closed, Machine};
use crate::wire::encode::{self, PublishRef};
use crate::wire::{Packet, QoS};
use serde_json::json;
use std::time::Duration;

const EVENTS: &str = "devices/d1/messages/events/";
const TWIN: [(&str, QoS); 1] = [(topics::TWIN_RESPONSES, QoS::AtMostOnce)];

/// A fault from 10 s to 20 s after the start of the run.
fn window(kind: FaultKind) -> Fault {
    Fault { at: seconds(10), length: seconds(10), ..Fault::new(kind) }
}

/// Starts a run with these faults.
fn hub(faults: Vec<Fault>) -> World {
    let world = World::with(Config { group_keys: vec![group()], faults, ..config() });
    assert!(world.directory.faults().start(world.now));
    world
}

fn applied(world: &World) -> u64 {
    world.directory.faults().stats().iter().map(|fault| fault.applied).sum()
}

/// Advances to a time of the run, and handles the deadlines.
fn at(world: &mut World, client: &mut Client, start: std::time::Instant, ms: u64) -> Result<(), HubError> {
    world.now = start + Duration::from_millis(ms);
    client.handle_timeout(world)
}

fn send(client: &mut Client, world: &World, pid: u16) -> Result<(), HubError> {
    let publish =
        PublishRef { topic: EVENTS, payload: b"x", qos: QoS::AtLeastOnce, dup: false, retain: false, pid };
    client.write(world, |out| encode::publish(out, &publish).unwrap())
}

fn connect(world: &mut World) -> Client {
    world.connect(&ConnectFields { clean_session: true, ..ConnectFields::of(DEVICE) })
}

/// Closes the connection as the hub requested. Returns how.
fn close(client: Client, world: &World) -> Option<Close> {
    let mut client = client;
    let how = client.session.poll_close();
    client.session.handle_closed(world.now, Closed::Local);
    client.session.release();
    how
}

#[test]
fn close_and_reset_happen_once_without_a_length() {
    for (kind, how) in [
        (FaultKind::Close, Close::AfterFlush),
        (FaultKind::Reset, Close::Reset),
        (FaultKind::CertificateChange, Close::AfterFlush),
    ] {
        let mut world = hub(vec![Fault { at: seconds(10), ..Fault::new(kind) }]);
        let start = world.now;
        let mut client = world.online(true, &[]);
        // An early call does nothing and does not use up the fault. The deadline is the start of the fault.
        at(&mut world, &mut client, start, 9_999).unwrap();
        assert_eq!(client.session.poll_timeout(), Some(start + seconds(10)), "{kind:?}");
        assert_eq!(client.session.poll_close(), None);
        at(&mut world, &mut client, start, 10_000).unwrap();
        assert_eq!(client.read(&world), [], "MQTT 3.1.1 has no packet for it");
        assert_eq!(close(client, &world), Some(how), "{kind:?}");
        // The next connection stays open.
        let mut client = world.online(true, &[]);
        at(&mut world, &mut client, start, 10_001).unwrap();
        assert_eq!((client.session.poll_close(), applied(&world)), (None, 1), "{kind:?}");
    }
}

#[test]
fn close_with_a_length_closes_each_new_connection() {
    let mut world = hub(vec![window(FaultKind::Close)]);
    let start = world.now;
    for second in [10, 15, 19] {
        world.now = start + seconds(second);
        let mut client = world.online(true, &[]);
        client.handle_timeout(&world).unwrap();
        assert_eq!(close(client, &world), Some(Close::AfterFlush));
    }
    world.now = start + seconds(20);
    let mut client = world.online(true, &[]);
    client.handle_timeout(&world).unwrap();
    assert_eq!((client.session.poll_close(), applied(&world)), (None, 3));
}

#[test]
fn a_closed_connection_publishes_its_will() {
    for kind in [FaultKind::Close, FaultKind::Reset] {
        let mut world = hub(vec![Fault { at: seconds(10), ..Fault::new(kind) }]);
        let start = world.now;
        let will = Some((EVENTS.to_owned(), "gone"));
        let mut client = world.connect(&ConnectFields { will, ..ConnectFields::of(DEVICE) });
        client.admit(&world);
        at(&mut world, &mut client, start, 10_000).unwrap();
        client.session.handle_closed(world.now, Closed::Local);
        assert_eq!(client.session.take_telemetry(), 1, "{kind:?}");
    }
}

#[test]
fn refuse_answers_connect_with_its_code() {
    for code in [3, 5] {
        let mut world = hub(vec![Fault { code, ..window(FaultKind::Refuse) }]);
        let start = world.now;
        let mut online = world.online(true, &[]);
        at(&mut world, &mut online, start, 10_000).unwrap();
        assert!(online.session.is_online(), "open connections stay open");
        online.drop(&world);
        let mut refused = connect(&mut world);
        assert!(matches!(refused.session.poll_event(), Some(Event::Refused(_))));
        assert_eq!(refused.read(&world), [Packet::ConnAck { session_present: false, code }]);
        assert_eq!(close(refused, &world), Some(Close::AfterFlush));
        world.now = start + seconds(20);
        assert!(world.online(true, &[]).session.is_online());
        assert_eq!(applied(&world), 1);
    }
}

#[test]
fn hold_acks_sends_them_at_the_end_in_order() {
    let mut world = hub(vec![window(FaultKind::HoldAcks)]);
    let start = world.now;
    let mut client = world.online(true, &TWIN);
    send(&mut client, &world, 1).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(1)]);
    world.now = start + seconds(12);
    for pid in 2..=4 {
        send(&mut client, &world, pid).unwrap();
    }
    client.write(&world, encode::pingreq).unwrap();
    assert_eq!(client.read(&world), [Packet::PingResp], "only PUBACKs are held");
    at(&mut world, &mut client, start, 19_999).unwrap();
    assert_eq!(client.read(&world), []);
    at(&mut world, &mut client, start, 20_000).unwrap();
    send(&mut client, &world, 5).unwrap();
    assert_eq!(client.read(&world), [2, 3, 4, 5].map(Packet::PubAck));
    assert_eq!((applied(&world), client.drop(&world)), (3, 5), "the hub accepted every message");
}

#[test]
fn drop_acks_accepts_messages_without_puback() {
    let mut world = hub(vec![window(FaultKind::DropAcks)]);
    let start = world.now;
    let mut client = world.online(true, &[]);
    world.now = start + seconds(10);
    send(&mut client, &world, 1).unwrap();
    send(&mut client, &world, 2).unwrap();
    at(&mut world, &mut client, start, 20_000).unwrap();
    send(&mut client, &world, 3).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(3)]);
    assert_eq!((applied(&world), client.drop(&world)), (2, 3));
}

#[test]
fn delay_makes_every_answer_late() {
    let by = Duration::from_millis(500);
    let mut world = hub(vec![Fault { by, ..window(FaultKind::Delay) }]);
    let start = world.now;
    let mut client = world.online(true, &TWIN);
    world.now = start + seconds(10);
    send(&mut client, &world, 1).unwrap();
    client.write(&world, encode::pingreq).unwrap();
    client.subscribe(&world, &TWIN).unwrap();
    client.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce).unwrap();
    client.write(&world, |out| encode::unsubscribe(out, 9, &["$iothub/methods/POST/#"]).unwrap()).unwrap();
    assert_eq!(client.read(&world), []);
    at(&mut world, &mut client, start, 10_000).unwrap();
    assert_eq!(client.session.poll_timeout(), Some(world.now + by));
    at(&mut world, &mut client, start, 10_500).unwrap();
    let answers = client.read(&world);
    assert!(
        matches!(
            answers[..],
            [
                Packet::PubAck(1),
                Packet::PingResp,
                Packet::SubAck { .. },
                Packet::Publish(_),
                Packet::UnsubAck(9)
            ]
        ),
        "{answers:?}"
    );
    world.now = start + seconds(20);
    send(&mut client, &world, 2).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(2)]);
    assert_eq!(applied(&world), 5);
}

#[test]
fn stall_reads_stops_reading_and_the_keep_alive() {
    let mut world = hub(vec![window(FaultKind::StallReads)]);
    let start = world.now;
    let mut client = world.connect(&ConnectFields { keep_alive_s: 6, ..ConnectFields::of(DEVICE) });
    client.admit(&world);
    client.read(&world);
    world.now = start + seconds(8);
    client.write(&world, encode::pingreq).unwrap();
    assert_eq!(client.read(&world), [Packet::PingResp]);
    at(&mut world, &mut client, start, 10_000).unwrap();
    assert!(!client.session.wants_input());
    // Its keep-alive would end after 9 s, but the hub itself does not read.
    at(&mut world, &mut client, start, 19_000).unwrap();
    assert_eq!(client.session.poll_timeout(), Some(start + seconds(20)));
    // What the hub sends by itself still arrives.
    world.request(desired(json!({"a": 1})));
    assert!(!client.session.wants_input());
    at(&mut world, &mut client, start, 20_000).unwrap();
    assert!(client.session.wants_input());
    assert_eq!(client.session.poll_timeout(), Some(start + seconds(29)), "the keep-alive starts again");
    assert_eq!(applied(&world), 1);
    // A device that reconnects during the fault is stalled too.
    client.drop(&world);
    world.now = start + seconds(15);
    let mut client = world.online(true, &[]);
    client.handle_timeout(&world).unwrap();
    assert!(!client.session.wants_input());
    assert_eq!(applied(&world), 2);
}

#[test]
fn rule_25_disabled_device_is_closed_then_refused_with_5() {
    let mut world = hub(vec![window(FaultKind::DisableDevice)]);
    let start = world.now;
    let mut client = world.online(true, &[]);
    at(&mut world, &mut client, start, 10_000).unwrap();
    assert_eq!(client.read(&world), [], "the close is silent");
    assert_eq!(close(client, &world), Some(Close::AfterFlush));
    let mut refused = connect(&mut world);
    assert_eq!(refused.read(&world), [Packet::ConnAck { session_present: false, code: 5 }]);
    refused.drop(&world);
    world.now = start + seconds(20);
    assert!(world.online(true, &[]).session.is_online());
    assert_eq!(applied(&world), 2);
}

#[test]
fn rule_22_quota_exhausted_closes_on_publish() {
    let mut world = hub(vec![window(FaultKind::QuotaExhausted)]);
    let start = world.now;
    world.now = start + seconds(10);
    let mut client = world.online(true, &TWIN);
    client.write(&world, encode::pingreq).unwrap();
    assert_eq!(client.read(&world), [Packet::PingResp]);
    assert_eq!(send(&mut client, &world, 1), Err(HubError::QuotaFault));
    assert_eq!(client.drop(&world), 0);
    let mut client = world.online(true, &TWIN);
    let get = client.publish(&world, "$iothub/twin/GET/?$rid=1", "", QoS::AtMostOnce);
    assert_eq!((get, client.drop(&world)), (Err(HubError::QuotaFault), 0));
    world.now = start + seconds(20);
    let mut client = world.online(true, &[]);
    send(&mut client, &world, 1).unwrap();
    assert_eq!((applied(&world), client.drop(&world)), (2, 1));
}

#[test]
fn rule_28_slow_connack_delays_it() {
    let by = seconds(3);
    let mut world = hub(vec![Fault { by, ..window(FaultKind::SlowConnack) }]);
    let start = world.now;
    world.now = start + seconds(19);
    let mut client = connect(&mut world);
    assert_eq!(
        (client.session.poll_event(), client.session.poll_timeout()),
        (None, Some(start + seconds(22)))
    );
    at(&mut world, &mut client, start, 21_999).unwrap();
    assert_eq!(client.session.poll_event(), None);
    at(&mut world, &mut client, start, 22_000).unwrap();
    client.admit(&world);
    assert_eq!(client.read(&world), [Packet::ConnAck { session_present: false, code: 0 }]);
    client.drop(&world);
    let mut client = connect(&mut world);
    client.admit(&world);
    assert_eq!(applied(&world), 1);
}

#[test]
fn a_fault_affects_only_the_devices_that_it_chose() {
    let devices = Some(vec!["d2".into()]);
    let mut world = hub(vec![Fault { devices, ..window(FaultKind::DropAcks) }]);
    world.now += seconds(10);
    let mut client = world.online(true, &[]);
    send(&mut client, &world, 1).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(1)]);
    let mut other = world.connect(&ConnectFields::of("d2"));
    other.admit(&world);
    other.read(&world);
    other.publish(&world, "devices/d2/messages/events/", "x", QoS::AtLeastOnce).unwrap();
    assert_eq!((other.read(&world), applied(&world)), (vec![], 1));
}

#[test]
fn a_fault_that_is_added_affects_open_connections() {
    let mut world = World::new();
    let mut client = world.online(true, &[]);
    world.now += seconds(1);
    assert_eq!(world.directory.faults().add(world.now, Fault::new(FaultKind::Close)), Some(0));
    // The message to the connection takes a moment.
    world.now += Duration::from_millis(1);
    client.session.update_faults(world.now);
    client.handle_timeout(&world).unwrap();
    assert_eq!(close(client, &world), Some(Close::AfterFlush));
    // A connection that was admitted after the fault stays open.
    let mut client = world.online(true, &[]);
    client.session.update_faults(world.now);
    client.handle_timeout(&world).unwrap();
    assert_eq!((client.session.poll_close(), applied(&world)), (None, 1));
}

#[test]
fn planned_faults_wait_for_the_start_of_the_run() {
    let faults = vec![window(FaultKind::DropAcks)];
    let mut world = World::with(Config { group_keys: vec![group()], faults, ..config() });
    world.now += seconds(15);
    let mut client = world.online(true, &[]);
    send(&mut client, &world, 1).unwrap();
    assert_eq!(client.read(&world), [Packet::PubAck(1)]);
    assert!(world.directory.faults().start(world.now) && !world.directory.faults().start(world.now));
    client.session.update_faults(world.now);
    world.now += seconds(10);
    client.handle_timeout(&world).unwrap();
    send(&mut client, &world, 2).unwrap();
    assert_eq!((client.read(&world), applied(&world)), (vec![], 1));
}

#[test]
fn certificate_changes_are_counted_from_their_start() {
    let change = |at| Fault { at: seconds(at), ..Fault::new(FaultKind::CertificateChange) };
    let world = hub(vec![change(10), change(20)]);
    let faults = world.directory.faults();
    let at = |s| faults.certificate_changes(world.now + seconds(s));
    assert_eq!([at(9), at(10), at(19), at(20)], [0, 1, 1, 2]);
}
