//! One connection as the hub sees it, in virtual time: CONNECT, telemetry, subscriptions, deadlines and closing.

mod twin;

use super::*;
use crate::clock::WallClock;
use crate::emulator::Config;
use crate::emulator::subscriptions::Subscriptions;
use crate::iothub::sas::{self, Key};
use crate::iothub::topics::Subscription;
use crate::iothub::{names, topics};
use crate::wire::DecodeError;
use crate::wire::encode::{ConnectRef, PublishRef, WillRef};

const UNIX: u64 = 1_800_000_000;
const TTL_S: u64 = 3600;

const ADDRESS: Address = Address { shard: 0, connection: 0 };

#[expect(clippy::disallowed_methods, reason = "any instant will do, because the test sets the time")]
fn start() -> Instant {
    Instant::now()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A session and the current time.
struct Hub {
    session: HubSession,
    opened: Instant,
    now: Instant,
}

impl Hub {
    fn new() -> Hub {
        let opened = start();
        let group = Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let config = Config {
            host_names: vec!["hub.test".to_owned()],
            group_keys: vec![group],
            wall: WallClock::of(opened, seconds(UNIX)),
            ..Config::default()
        };
        Hub::with_directory(Arc::new(Directory::new(config)), opened)
    }

    fn with_directory(directory: Arc<Directory>, opened: Instant) -> Hub {
        let session = HubSession::new(directory, opened);
        Hub { session, opened, now: opened }
    }

    fn admit(&mut self) {
        assert_eq!(self.session.claim(ADDRESS), None);
        self.session.admit(self.now);
    }

    /// Ends the connection and opens another one.
    fn reconnect(mut self) -> Hub {
        self.session.handle_closed(self.now, Closed::Eof);
        self.session.release();
        Hub::with_directory(Arc::clone(&self.session.directory), self.now)
    }

    fn subscriptions(&self) -> Subscriptions {
        self.session.directory.visit("d1", |entry| entry.device.subscriptions)
    }

    /// Returns a session that is online and whose CONNACK has been read.
    fn online(keep_alive_s: u16, clean_session: bool) -> Hub {
        let mut hub = Hub::new();
        hub.connect(keep_alive_s, clean_session, "d1").unwrap();
        assert_eq!(hub.session.poll_event(), Some(Event::Authorized));
        hub.admit();
        assert_eq!(hub.output(), [0x20, 2, 0, 0]);
        hub
    }

    fn connect(&mut self, keep_alive_s: u16, clean_session: bool, key_of: &str) -> Result<(), HubError> {
        self.connect_with(keep_alive_s, clean_session, key_of, None)
    }

    /// Returns a session whose CONNECT has a will for this topic.
    fn with_will(topic: &str) -> Hub {
        let mut hub = Hub::new();
        let will = WillRef { topic, payload: b"gone", qos: QoS::AtLeastOnce, retain: true };
        hub.connect_with(60, true, "d1", Some(will)).unwrap();
        hub
    }

    /// Sends CONNECT with a token that is signed with the key of the device `key_of`.
    fn connect_with(
        &mut self,
        keep_alive_s: u16,
        clean_session: bool,
        key_of: &str,
        will: Option<WillRef<'_>>,
    ) -> Result<(), HubError> {
        let key = self.session.directory.config().group_keys[0].derive(key_of);
        let token = sas::token(&key, "hub.test/devices/d1", UNIX + TTL_S, None);
        let name = names::user_name("hub.test", "d1");
        let connect = ConnectRef {
            client_id: "d1",
            keep_alive_s,
            clean_session,
            username: Some(&name),
            password: Some(token.as_bytes()),
            will,
        };
        self.input(|out| encode::connect(out, &connect).unwrap())
    }

    fn input(&mut self, write: impl FnOnce(&mut BytesMut)) -> Result<(), HubError> {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        self.session.handle_input(self.now, &mut bytes)?;
        assert!(bytes.is_empty() || self.session.is_claiming());
        Ok(())
    }

    fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<(), HubError> {
        let publish = PublishRef { topic, payload, qos, dup: false, retain: false, pid: 7 };
        self.input(|out| encode::publish(out, &publish).unwrap())
    }

    fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Result<(), HubError> {
        self.input(|out| encode::subscribe(out, 3, filters).unwrap())
    }

    fn output(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.session.poll_output(self.now, &mut out);
        out.to_vec()
    }

    /// Advances the time and handles the deadlines.
    fn at(&mut self, since_opened: Duration) -> Result<(), HubError> {
        self.now = self.opened + since_opened;
        self.session.handle_timeout(self.now)
    }
}

#[test]
fn a_valid_connect_is_answered_when_the_device_id_is_free() {
    let mut hub = Hub::new();
    hub.connect(60, true, "d1").unwrap();
    assert_eq!((hub.session.poll_event(), hub.session.device()), (Some(Event::Authorized), "d1"));
    assert!(!hub.session.wants_input() && hub.output().is_empty());
    // A packet that is sent right after CONNECT is read later, neither lost nor refused.
    let mut early = BytesMut::from(&[0xC0, 0][..]);
    hub.session.handle_input(hub.now, &mut early).unwrap();
    assert_eq!(early.len(), 2);
    hub.admit();
    hub.session.handle_input(hub.now, &mut early).unwrap();
    assert_eq!(hub.output(), [0x20, 2, 0, 0, 0xD0, 0]);
    assert!(hub.session.is_online());
}

#[test]
fn an_invalid_connect_is_answered_with_5_and_closed() {
    let mut hub = Hub::new();
    hub.connect(60, true, "d2").unwrap();
    assert_eq!(hub.session.poll_event(), Some(Event::Refused(Refusal::Signature)));
    assert_eq!(hub.output(), [0x20, 2, 0, 5]);
    assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
    hub.input(|out| out.extend_from_slice(b"more input")).unwrap();
    assert!(hub.output().is_empty());
}

#[test]
fn session_present_needs_a_stored_persistent_session() {
    let mut hub = Hub::online(60, false);
    for (clean_session, subscribe, present) in
        [(false, true, 0), (false, true, 1), (true, true, 0), (false, false, 0), (false, false, 0)]
    {
        hub = hub.reconnect();
        hub.connect(60, clean_session, "d1").unwrap();
        hub.admit();
        assert_eq!(hub.output(), [0x20, 2, present, 0]);
        if subscribe {
            hub.subscribe(&[(topics::METHODS, QoS::AtMostOnce)]).unwrap();
            hub.output();
        }
    }
    let directory = Arc::clone(&hub.session.directory);
    drop(hub.reconnect());
    assert!(directory.is_empty());
}

#[test]
fn telemetry_is_counted_and_acknowledged_in_order() {
    let mut hub = Hub::online(60, true);
    let topic = topics::telemetry("d1");
    hub.publish(&topic, b"x", QoS::AtMostOnce).unwrap();
    assert!(hub.output().is_empty());
    for pid in [9, 4] {
        let publish =
            PublishRef { topic: &topic, payload: b"x", qos: QoS::AtLeastOnce, dup: true, retain: true, pid };
        hub.input(|out| encode::publish(out, &publish).unwrap()).unwrap();
    }
    hub.input(encode::pingreq).unwrap();
    assert_eq!(hub.output(), [0x40, 2, 0, 9, 0x40, 2, 0, 4, 0xD0, 0]);
    assert_eq!((hub.session.take_telemetry(), hub.session.take_telemetry()), (3, 0));
    // Accepted, but not telemetry, and there is no subscription for the response.
    hub.publish("$iothub/twin/GET/?$rid=1", b"", QoS::AtLeastOnce).unwrap();
    assert_eq!((hub.output(), hub.session.take_telemetry()), (vec![0x40, 2, 0, 7], 0));
}

#[test]
fn a_retained_message_is_telemetry() {
    let mut hub = Hub::online(60, true);
    let topic = topics::telemetry("d1");
    let publish =
        PublishRef { topic: &topic, payload: b"", qos: QoS::AtLeastOnce, dup: false, retain: true, pid: 7 };
    hub.input(|out| encode::publish(out, &publish).unwrap()).unwrap();
    assert_eq!((hub.output(), hub.session.take_telemetry()), (vec![0x40, 2, 0, 7], 1));
}

#[test]
fn a_will_is_telemetry_if_there_was_no_disconnect() {
    let telemetry = topics::telemetry("d1");
    let end = |topic: &str, admitted: bool, disconnect: bool| {
        let mut hub = Hub::with_will(topic);
        if admitted {
            hub.admit();
        }
        if disconnect {
            hub.input(encode::disconnect).unwrap();
        }
        assert_eq!(hub.session.take_telemetry(), 0);
        hub.session.handle_closed(hub.now, Closed::Reset);
        hub.session.handle_closed(hub.now, Closed::Reset);
        hub.session.take_telemetry()
    };
    assert_eq!(end(&telemetry, true, false), 1);
    assert_eq!(end(&telemetry, true, true), 0);
    assert_eq!(end(&telemetry, false, false), 0, "it was never online");
    assert_eq!(end("gone/d1", true, false), 0, "Azure does not document other topics");
}

/// Returns the result of sending these bytes on a new connection.
fn begins_with(bytes: &[u8]) -> Result<(), HubError> {
    let mut hub = Hub::new();
    hub.session.handle_input(hub.now, &mut BytesMut::from(bytes))
}

#[test]
fn a_connection_must_begin_with_connect() {
    for first in (0..=u8::MAX).filter(|&first| first != CONNECT) {
        assert_eq!(begins_with(&[first]), Err(HubError::NotConnect), "{first:#x}");
    }
    assert_eq!(begins_with(&[CONNECT]), Ok(()));
}

#[test]
fn a_connect_that_is_too_large_is_refused_after_its_header() {
    let announce = |frame_bytes: usize| {
        let remaining = frame_bytes - 4;
        let byte = |shift: usize| u8::try_from(remaining >> shift & 0x7f).unwrap();
        begins_with(&[CONNECT, byte(0) | 0x80, byte(7) | 0x80, byte(14)])
    };
    assert_eq!(announce(limits::CONNECT_BYTES_MAX), Ok(()));
    let (frame_bytes, frame_bytes_max) = (limits::CONNECT_BYTES_MAX + 1, limits::CONNECT_BYTES_MAX);
    let too_large = DecodeError::TooLarge { frame_bytes, frame_bytes_max };
    assert_eq!(announce(frame_bytes), Err(HubError::Decode(too_large)));
}

#[test]
fn packets_that_azure_answers_by_closing_are_errors() {
    let mut hub = Hub::online(60, true);
    let topic = topics::telemetry("d1");
    let body = vec![0; limits::TELEMETRY_BYTES_MAX];
    hub.publish(&topic, &body, QoS::AtLeastOnce).unwrap();
    for (result, error) in [
        (hub.publish(&topic, b"", QoS::ExactlyOnce), HubError::QosTwo),
        (hub.publish("devices/d2/messages/events/", b"", QoS::AtLeastOnce), HubError::ForeignTopic),
        (hub.publish("a/b", b"", QoS::AtMostOnce), HubError::ForeignTopic),
        (
            hub.publish("devices/d1/messages/events/a=1", &body, QoS::AtLeastOnce),
            HubError::TooLarge(limits::TELEMETRY_BYTES_MAX + 2),
        ),
        (hub.subscribe(&[("a/b", QoS::AtMostOnce)]), HubError::ForeignFilter),
        (hub.connect(60, true, "d1"), HubError::Unexpected("second CONNECT")),
        (hub.input(|out| encode::connack(out, false, 0)), HubError::Unexpected("server packet")),
        (hub.input(|out| out.extend_from_slice(&[0x62, 2, 0, 1])), HubError::Unexpected("QoS 2 packet")),
        (Hub::new().input(encode::pingreq), HubError::NotConnect),
    ] {
        assert_eq!(result.unwrap_err(), error);
    }
    let frame = vec![0; FRAME_BYTES_MAX];
    assert!(matches!(hub.publish(&topic, &frame, QoS::AtMostOnce), Err(HubError::Decode(_))));
}

#[test]
fn a_message_may_be_262_144_bytes_long() {
    // 2 bytes for a user property; 16 and 5 bytes for system property values; 5 bytes whose encoding is longer.
    for (bag, bytes) in
        [("", 0), ("a=1", 2), ("%24.ct=application%2Fjson&$.ce=utf-8", 21), ("n%C3%A4=%26%20", 5)]
    {
        let mut hub = Hub::online(60, true);
        let topic = format!("devices/d1/messages/events/{bag}");
        let body = vec![0; 262_145 - bytes];
        hub.publish(&topic, &body[1..], QoS::AtLeastOnce).unwrap();
        let error = hub.publish(&topic, &body, QoS::AtLeastOnce).unwrap_err();
        assert_eq!(error, HubError::TooLarge(262_145), "{bag}");
    }
}

#[test]
fn subscriptions_are_granted_at_most_qos_1() {
    let mut hub = Hub::online(60, false);
    let c2d = topics::c2d("d1");
    hub.subscribe(&[(&c2d, QoS::ExactlyOnce), (topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
    assert_eq!(hub.output(), [0x90, 4, 0, 3, 1, 0]);
    let stored = hub.subscriptions();
    assert_eq!(stored.get(Subscription::C2d), Some(QoS::AtLeastOnce));
    assert_eq!(stored.get(Subscription::TwinResponses), Some(QoS::AtMostOnce));
    // UNSUBSCRIBE from both, and from a filter without a subscription, which is acknowledged too (MQTT 3.1.1 §3.10.4).
    let mut body = vec![0, 9];
    for filter in [c2d.as_str(), topics::TWIN_RESPONSES, "x"] {
        body.extend_from_slice(&u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
    }
    let length = u8::try_from(body.len()).unwrap();
    hub.input(|out| {
        out.extend_from_slice(&[0xA2, length]);
        out.extend_from_slice(&body);
    })
    .unwrap();
    assert_eq!(hub.output(), [0xB0, 2, 0, 9]);
    assert!(hub.subscriptions().is_empty());
}

#[test]
fn subscriptions_are_counted_over_the_whole_connection() {
    let mut hub = Hub::online(60, true);
    let at_most_once = |filter| [(filter, QoS::AtMostOnce)];
    hub.subscribe(&[(topics::METHODS, QoS::AtMostOnce); 6]).unwrap();
    for filter in [
        "devices/d1/messages/devicebound/#",
        "devices/+/messages/devicebound/#",
        topics::TWIN_RESPONSES,
        topics::TWIN_DESIRED,
    ] {
        hub.subscribe(&at_most_once(filter)).unwrap();
    }
    let sixth = hub.subscribe(&at_most_once("$iothub/credential/#"));
    assert_eq!(sixth.unwrap_err(), HubError::TooManySubscriptions(6));
    assert_eq!(hub.subscriptions().len(), 5);
}

#[test]
fn connect_must_arrive_in_time() {
    let mut hub = Hub::new();
    let limit = limits::CONNECT_ARRIVAL_TIMEOUT;
    assert_eq!(hub.session.poll_timeout(), Some(hub.opened + limit));
    hub.at(limit - Duration::from_millis(1)).unwrap();
    assert_eq!(hub.at(limit), Err(HubError::ConnectTimeout));
}

#[test]
fn silence_ends_the_connection_after_1_5_keep_alives() {
    let mut hub = Hub::online(60, true);
    hub.at(seconds(89)).unwrap();
    hub.input(encode::pingreq).unwrap();
    hub.at(seconds(89 + 90) - Duration::from_millis(1)).unwrap();
    assert_eq!(hub.session.poll_timeout(), Some(hub.opened + seconds(89 + 90)));
    assert_eq!(hub.at(seconds(89 + 90)), Err(HubError::KeepAlive));
    assert_eq!(Hub::online(0, true).at(seconds(1767)), Err(HubError::KeepAlive));
}

#[test]
fn the_connection_ends_after_the_token_and_its_grace() {
    let mut hub = Hub::online(1000, true);
    let end = seconds(TTL_S) + limits::EXPIRY_GRACE;
    for minute in (10..65).step_by(10) {
        hub.at(seconds(minute * 60)).unwrap();
        hub.input(encode::pingreq).unwrap();
    }
    assert_eq!(hub.session.poll_timeout(), Some(hub.opened + end));
    hub.at(end - Duration::from_millis(1)).unwrap();
    assert!(hub.session.is_online());
    hub.at(end).unwrap();
    assert_eq!(hub.session.poll_event(), Some(Event::Expired));
    assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
}

#[test]
fn takeover_and_disconnect_close_after_flushing() {
    let mut hub = Hub::online(60, true);
    hub.publish(&topics::telemetry("d1"), b"", QoS::AtLeastOnce).unwrap();
    assert!(hub.session.take_over());
    assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
    assert_eq!(hub.output(), [0x40, 2, 0, 7], "an accepted message is still acknowledged");
    let mut hub = Hub::online(60, true);
    hub.input(encode::disconnect).unwrap();
    assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
    assert!(!hub.session.take_over(), "it was closing already");
    // A takeover before admission: there is no CONNACK.
    let mut hub = Hub::new();
    hub.connect(60, true, "d1").unwrap();
    hub.session.take_over();
    hub.admit();
    assert!(hub.output().is_empty());
}

#[test]
fn the_hub_stops_reading_from_a_device_that_does_not_read() {
    let mut hub = Hub::online(60, true);
    for _ in 0..OUTGOING_MAX {
        assert!(hub.session.wants_input());
        hub.input(encode::pingreq).unwrap();
    }
    assert!(!hub.session.wants_input());
    hub.output();
    assert!(hub.session.wants_input());
}
