//! Tests of the session in virtual time, against hand-made bytes. This file has the bench and the tests of the session as a
//! whole.

mod control;
mod exactly_once;
mod keep_alive;
mod outcomes;
mod persistent;
mod qos_2;
mod repeats;
mod window;

use super::*;
use crate::policy::ping::{PingPolicy, PingTimeout};
use std::time::Duration;

/// A message's tag is its number.
type Tag = u64;
type Session = super::Session<Tag>;
type Event = super::Event<Tag>;

const SECOND: Duration = Duration::from_secs(1);

const CLEAN: Settings = Settings {
    keep_alive_s: 60,
    clean_session: true,
    in_flight: 3,
    ack_timeout: Duration::from_secs(10),
    connack_timeout: Duration::from_secs(30),
    pings: PingPolicy { timeout: PingTimeout::AtMost { divisor: 1, max_s: 5 }, ..PingPolicy::OWN },
    frame_mib_max: 1,
};

const PERSISTENT: Settings = Settings { clean_session: false, ..CLEAN };

/// A session, the time, and both directions of its connection.
struct Bench {
    session: Session,
    now: Instant,
    input: BytesMut,
    out: BytesMut,
    seq: u64,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts at any instant")]
        let now = Instant::now();
        let (input, out) = (BytesMut::new(), BytesMut::new());
        Bench { session: Session::new(settings), now, input, out, seq: 0 }
    }

    fn online(settings: Settings) -> Bench {
        let mut bench = Bench::new(settings);
        bench.connect(false);
        bench
    }

    fn connect(&mut self, session_present: bool) -> Vec<Event> {
        let credentials = Credentials { client_id: "d", username: Some("u"), password: Some(b"p") };
        self.session.connect(self.now, &credentials, &mut self.out).unwrap();
        assert_eq!(self.session.state(), State::Connecting);
        self.out.clear();
        let events = self.receive(&[0x20, 2, u8::from(session_present), 0]).unwrap();
        assert_eq!(events.first(), Some(&Event::Connected { session_present }));
        assert_eq!(self.session.state(), State::Online);
        events
    }

    fn open(&self) -> Vec<(Tag, Instant)> {
        self.session.open().map(|(tag, sent)| (*tag, sent)).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SessionError> {
        self.input.extend_from_slice(bytes);
        let mut events = Vec::new();
        while self.session.handle_input(self.now, &mut self.input)? {
            events.extend(self.events());
        }
        Ok(events)
    }

    fn publish_at(&mut self, qos: QoS) -> Result<Tag, PublishError> {
        let tag = self.seq;
        let message = Message { topic: "t", payload: b"x", qos, retain: false };
        let refused = |refused: NotPublished<Tag>| {
            assert_eq!(refused.tag, tag, "a refused message returns its tag");
            refused.error
        };
        self.session.publish(self.now, &message, tag, &mut self.out).map_err(refused)?;
        self.seq += 1;
        Ok(tag)
    }

    fn publish(&mut self) -> (Tag, Instant) {
        (self.publish_at(QoS::AtLeastOnce).unwrap(), self.now)
    }

    /// Takes all output, including the session's own packets.
    fn written(&mut self) -> Vec<u8> {
        self.session.poll_output(self.now, &mut self.out);
        self.out.split().to_vec()
    }

    /// Lets time pass as a link does: timers run exactly at their deadlines.
    fn advance(&mut self, by: Duration) -> Result<(), SessionError> {
        let until = self.now + by;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline in the past would loop forever");
            self.now = at;
            self.session.handle_timeout(at)?;
            self.session.poll_output(at, &mut self.out);
            assert_ne!(self.session.poll_timeout(), Some(at), "an unchanged deadline would loop forever");
        }
        self.now = until;
        Ok(())
    }
}

fn puback(pid: u8) -> [u8; 4] {
    [0x40, 2, 0, pid]
}

fn acked((tag, sent): (Tag, Instant)) -> Event {
    Event::Acked { tag, sent, resent: false }
}

fn lost((tag, sent): (Tag, Instant)) -> Event {
    Event::Lost { tag, sent }
}

fn timed_out((tag, sent): (Tag, Instant)) -> Event {
    Event::TimedOut { tag, sent }
}

const PUBLISH_1: &[u8] = b"\x32\x06\x00\x01t\x00\x01x";
const PUBLISH_1_DUP: &[u8] = b"\x3a\x06\x00\x01t\x00\x01x";
const PUBLISH_2_DUP: &[u8] = b"\x3a\x06\x00\x01t\x00\x02x";

#[test]
fn session_is_small_until_it_publishes() {
    let size = size_of::<Session>();
    assert!(size <= 360, "{size} bytes");
    let mut bench = Bench::online(CLEAN);
    assert!(bench.session.window.is_none());
    bench.publish();
    let window = bench.session.window.as_ref().unwrap();
    assert!(size_of_val(&**window) <= 256, "{} bytes", size_of_val(&**window));
}

#[test]
fn connect_is_written_and_accepted() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: Some("u"), password: Some(b"p") };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert_eq!(bench.written(), b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01d\x00\x01u\x00\x01p");
    assert!(!format!("{credentials:?}").contains("112"), "{credentials:?}");
    assert!(!bench.session.has_room());
    assert_eq!(bench.publish_at(QoS::AtLeastOnce), Err(PublishError::NotOnline));
    assert_eq!(bench.receive(&[0x20, 2, 0]).unwrap(), [], "half a CONNACK");
    assert_eq!(bench.receive(&[0]).unwrap(), [Event::Connected { session_present: false }]);
    assert!(bench.session.has_room());
}

#[test]
fn refusal_is_an_event_and_ends_the_connection() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert_eq!(
        bench.receive(&[0x20, 2, 0, 5]).unwrap(),
        [Event::Refused { code: 5, session_present: false }]
    );
    assert_eq!(bench.session.poll_close(), Some(Close::AfterFlush));
    assert_eq!(bench.session.poll_timeout(), None);
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    assert_eq!(bench.session.poll_close(), None);
}

#[test]
fn missing_connack_times_out() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    bench.advance(30 * SECOND - Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.advance(Duration::from_nanos(1)), Err(SessionError::ConnackTimeout));
    assert_eq!(SessionError::ConnackTimeout.class(), "connack_timeout");
}

#[test]
fn unexpected_packets_are_protocol_errors() {
    for bytes in [
        &puback(1)[..],         // never used
        &[0x40, 2, 0, 0],       // no id
        &[0x40, 2, 0xff, 0xff], // id never used
        &[0x90, 3, 0xff, 0, 0], // SUBACK without SUBSCRIBE
        &[0xd0, 0],             // PINGRESP without PINGREQ
        &[0x20, 2, 0, 0],       // a second CONNACK
        &[0xc0, 0],             // PINGREQ
        &[0xe0, 0],             // DISCONNECT
        &[0x50, 2, 0, 1],       // PUBREC without a message
        &[0x70, 2, 0, 1],       // PUBCOMP without a message
        &[0xb0, 2, 0, 1],       // UNSUBACK without UNSUBSCRIBE
        &[0x00, 0],             // not MQTT
    ] {
        let error = Bench::online(CLEAN).receive(bytes).unwrap_err();
        assert_eq!(error.class(), "protocol_error", "{bytes:02x?} {error}");
    }
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(first)]);
    assert!(bench.receive(&puback(1)).is_err(), "the same PUBACK twice");
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert!(bench.receive(&[0xd0, 0]).is_err(), "a packet before CONNACK");
}
