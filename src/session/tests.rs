//! The session in virtual time, against bytes made by hand.

use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

const CLEAN: Settings = Settings {
    keep_alive_s: 60,
    clean_session: true,
    in_flight: 3,
    ack_timeout: Duration::from_secs(10),
    connack_timeout: Duration::from_secs(30),
    ping_timeout: Duration::from_secs(5),
};

const PERSISTENT: Settings = Settings { clean_session: false, ..CLEAN };

/// A session, the time, and the two directions of its connection.
struct Bench {
    session: Session,
    now: Instant,
    input: BytesMut,
    out: BytesMut,
    seq: u64,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        #[expect(clippy::disallowed_methods, reason = "some instant for virtual time to start from")]
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
        let tag = Tag { due: self.now, picked: self.now, stream: 0, seq: self.seq };
        let message = Message { topic: "t", payload: b"x", qos };
        self.session.publish(self.now, &message, tag, &mut self.out)?;
        self.seq += 1;
        Ok(tag)
    }

    fn publish(&mut self) -> (Tag, Instant) {
        (self.publish_at(QoS::AtLeastOnce).unwrap(), self.now)
    }

    /// Takes what is written, the session's own packets included.
    fn written(&mut self) -> Vec<u8> {
        self.session.poll_output(self.now, &mut self.out);
        self.out.split().to_vec()
    }

    /// Lets time pass as a link does: the timers run exactly when they are due.
    fn advance(&mut self, by: Duration) -> Result<(), SessionError> {
        let until = self.now + by;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline in the past would spin");
            self.now = at;
            self.session.handle_timeout(at)?;
            self.session.poll_output(at, &mut self.out);
            assert_ne!(self.session.poll_timeout(), Some(at), "a deadline that stays would spin");
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
fn a_session_is_small_until_it_publishes() {
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
fn a_refusal_is_data_and_ends_the_connection() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert_eq!(bench.receive(&[0x20, 2, 0, 5]).unwrap(), [Event::Refused { code: 5 }]);
    assert_eq!(bench.session.poll_close(), Some(Close::AfterFlush));
    assert_eq!(bench.session.poll_timeout(), None);
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    assert_eq!(bench.session.poll_close(), None);
}

#[test]
fn no_connack_times_out() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    bench.advance(30 * SECOND - Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.advance(Duration::from_nanos(1)), Err(SessionError::ConnackTimeout));
    assert_eq!(SessionError::ConnackTimeout.class(), "connack_timeout");
}

#[test]
fn acks_in_any_order_end_their_own_message() {
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    assert_eq!(bench.written(), PUBLISH_1);
    bench.advance(SECOND).unwrap();
    let (second, third) = (bench.publish(), bench.publish());
    assert_eq!(bench.session.open().collect::<Vec<_>>(), [first, second, third]);
    assert!(!bench.session.has_room());
    assert_eq!(bench.publish_at(QoS::AtLeastOnce), Err(PublishError::WindowFull));
    let acks = [puback(3), puback(1), puback(2)].concat();
    assert_eq!(bench.receive(&acks).unwrap(), [acked(third), acked(first), acked(second)]);
    assert_eq!(bench.session.in_flight(), 0);
    assert!(bench.session.has_room());
    // The id that has rested longest is used next.
    bench.out.clear();
    bench.publish();
    assert_eq!(bench.written()[5..7], [0, 3]);
}

#[test]
fn one_frame_at_a_time_and_none_while_its_event_waits() {
    let mut bench = Bench::online(CLEAN);
    let (first, second) = (bench.publish(), bench.publish());
    bench.input.extend_from_slice(&[puback(1), puback(2)].concat());
    assert_eq!(bench.session.handle_input(bench.now, &mut bench.input), Ok(true));
    assert_eq!(bench.session.handle_input(bench.now, &mut bench.input), Ok(false));
    assert_eq!(bench.input.len(), 4);
    assert_eq!(bench.events(), [acked(first)]);
    assert_eq!(bench.receive(&[]).unwrap(), [acked(second)]);
}

#[test]
fn a_timed_out_id_is_quarantined_and_its_late_ack_matches_nothing() {
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    bench.advance(4 * SECOND).unwrap();
    let second = bench.publish();
    bench.advance(6 * SECOND - Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.events(), []);
    bench.advance(Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.events(), [timed_out(first)], "at the timeout, and only the first");
    assert_eq!((bench.session.in_flight(), bench.session.quarantined()), (1, 1));
    assert_eq!(bench.session.open().collect::<Vec<_>>(), [second]);

    // Two new messages fit the window of three; none gets the quarantined id.
    bench.out.clear();
    let (third, fourth) = (bench.publish(), bench.publish());
    let written = bench.written();
    assert_eq!((written[6], written[14]), (3, 4));
    assert!(!bench.session.has_room());
    assert_eq!(bench.receive(&puback(1)).unwrap(), [Event::LateAck]);
    assert_eq!(bench.session.quarantined(), 0);
    let acks = [puback(2), puback(3), puback(4)].concat();
    assert_eq!(bench.receive(&acks).unwrap(), [acked(second), acked(third), acked(fourth)]);
    // Now the id is free again.
    bench.out.clear();
    bench.publish();
    assert_eq!(bench.written()[6], 1);
}

#[test]
fn a_window_of_timed_out_ids_is_a_stall() {
    let mut bench = Bench::online(CLEAN);
    for quarantined in 1..=2 {
        let message = bench.publish();
        bench.advance(10 * SECOND).unwrap();
        assert_eq!(bench.events(), [timed_out(message)]);
        assert_eq!(bench.session.quarantined(), quarantined);
        assert!(bench.session.has_room());
    }
    let (third, fourth) = (bench.publish(), bench.publish());
    assert_eq!(bench.receive(&puback(4)).unwrap(), [acked(fourth)]);
    assert_eq!(bench.advance(10 * SECOND), Err(SessionError::AckStall));
    assert!(!bench.session.has_room());
    assert_eq!(bench.events(), [timed_out(third)], "told once, also with the error");
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), [], "they have ended");
    assert_eq!(bench.session.quarantined(), 0);
    bench.connect(false);
    assert!(bench.session.has_room());
}

#[test]
fn acks_that_make_no_sense_are_the_peers_fault() {
    for bytes in [
        &puback(1)[..],         // never used
        &[0x40, 2, 0, 0],       // no id at all
        &[0x40, 2, 0xff, 0xff], // nobody's
        &[0x90, 3, 0xff, 0, 0], // SUBACK without SUBSCRIBE
        &[0xd0, 0],             // PINGRESP without PINGREQ
        &[0x20, 2, 0, 0],       // a second CONNACK
        &[0xc0, 0],             // PINGREQ
        &[0xe0, 0],             // DISCONNECT
        &[0x62, 2, 0, 1],       // PUBREL
        &[0xb0, 2, 0, 1],       // UNSUBACK
        &[0x00, 0],             // not MQTT
    ] {
        let error = Bench::online(CLEAN).receive(bytes).unwrap_err();
        assert_eq!(error.class(), "protocol_error", "{bytes:02x?} {error}");
    }
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(first)]);
    assert!(bench.receive(&puback(1)).is_err(), "the same ack twice");
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert!(bench.receive(&[0xd0, 0]).is_err(), "anything before CONNACK");
}

#[test]
fn qos_0_ends_with_the_flush() {
    let mut bench = Bench::online(CLEAN);
    let sent = bench.now;
    let (first, second) =
        (bench.publish_at(QoS::AtMostOnce).unwrap(), bench.publish_at(QoS::AtMostOnce).unwrap());
    assert_eq!(bench.written(), b"\x30\x04\x00\x01tx\x30\x04\x00\x01tx");
    assert_eq!(bench.session.open().count(), 2);
    assert_eq!(bench.session.in_flight(), 0);
    bench.session.handle_flushed(bench.now);
    assert_eq!(bench.events(), [acked((first, sent)), acked((second, sent))]);
    let third = bench.publish_at(QoS::AtMostOnce).unwrap();
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), [lost((third, sent))]);
    assert_eq!(Bench::online(CLEAN).publish_at(QoS::ExactlyOnce), Err(PublishError::QoS2));
}

#[test]
fn a_clean_session_loses_what_is_open() {
    let mut bench = Bench::online(CLEAN);
    let (first, second) = (bench.publish(), bench.publish());
    bench.receive(&puback(1)).unwrap();
    bench.session.handle_closed(bench.now);
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), [lost(second)]);
    assert_eq!(bench.session.open().count(), 0);
    assert_eq!(bench.session.poll_timeout(), None);
    bench.connect(false);
    assert_eq!(bench.written(), b"");
    assert_eq!(first.0.seq, 0);
}

#[test]
fn a_kept_message_is_sent_again_with_dup_and_its_id() {
    let mut bench = Bench::online(PERSISTENT);
    let (first, second) = (bench.publish(), bench.publish());
    bench.out.clear();
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.session.open().collect::<Vec<_>>(), [first, second]);
    // Offline for longer than the ack timeout: its clock stands still.
    bench.advance(60 * SECOND).unwrap();
    assert_eq!(bench.connect(true), [Event::Connected { session_present: true }]);
    assert!(!bench.session.has_room(), "what is kept goes first");
    assert_eq!(bench.written(), [PUBLISH_1_DUP, PUBLISH_2_DUP].concat());
    assert_eq!(bench.events(), [Event::Resent, Event::Resent]);
    assert!(bench.session.has_room());
    assert_eq!(bench.written(), b"", "once");
    let third = bench.publish();
    let resent = Event::Acked { tag: first.0, sent: first.1, resent: true };
    assert_eq!(bench.receive(&[puback(1), puback(3)].concat()).unwrap(), [resent, acked(third)]);
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.events(), [timed_out(second)], "the clock runs from the second sending");
    // It has ended: it is not sent again, and its id is free on the next connection.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.out.clear();
    assert_eq!(bench.written(), b"");
    assert_eq!(bench.session.quarantined(), 0);
}

#[test]
fn a_kept_message_is_lost_when_the_server_forgot() {
    let mut bench = Bench::online(PERSISTENT);
    let (first, second) = (bench.publish(), bench.publish());
    bench.out.clear();
    bench.session.handle_closed(bench.now);
    let connected = Event::Connected { session_present: false };
    assert_eq!(bench.connect(false), [connected, lost(first), lost(second)]);
    assert_eq!(bench.written(), b"");
    assert!(bench.session.has_room());
}

#[test]
fn a_refusal_between_two_connections_keeps_what_is_kept() {
    let mut bench = Bench::online(PERSISTENT);
    bench.publish();
    bench.session.handle_closed(bench.now);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert_eq!(bench.receive(&[0x20, 2, 0, 3]).unwrap(), [Event::Refused { code: 3 }]);
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    assert_eq!(bench.written(), PUBLISH_1_DUP);
}

#[test]
fn resending_waits_for_room_in_the_output() {
    let mut bench = Bench::online(PERSISTENT);
    let payload = vec![0; crate::sansio::OUTPUT_BYTES_MAX];
    let message = Message { topic: "t", payload: &payload, qos: QoS::AtLeastOnce };
    for seq in 0..2 {
        let tag = Tag { due: bench.now, picked: bench.now, stream: 0, seq };
        bench.session.publish(bench.now, &message, tag, &mut bench.out).unwrap();
    }
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    for _ in 0..2 {
        let written = bench.written();
        assert!(written.len() > payload.len() && written.len() < 2 * payload.len(), "{}", written.len());
        assert_eq!(bench.events(), [Event::Resent]);
    }
    assert_eq!(bench.written(), b"");
    // Lost half-way: both are kept, both are sent again.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    bench.session.handle_closed(bench.now);
    bench.events();
    bench.connect(true);
    bench.written();
    bench.written();
    assert_eq!(bench.events(), [Event::Resent, Event::Resent]);
}

#[test]
fn abandoning_loses_what_is_kept_now_and_later() {
    let mut bench = Bench::online(PERSISTENT);
    let first = bench.publish();
    bench.session.handle_closed(bench.now);
    bench.session.abandon();
    assert_eq!(bench.events(), [lost(first)]);

    let mut bench = Bench::online(PERSISTENT);
    let (first, second) = (bench.publish(), bench.publish());
    bench.session.abandon();
    assert_eq!(bench.events(), [], "online it may still be acknowledged");
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(first)]);
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), [lost(second)]);
}

#[test]
fn an_hour_of_keep_alive() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let mut pings = 0;
    for _ in 0..3600 {
        bench.advance(SECOND).unwrap();
        if bench.out.split().as_ref() == [0xc0, 0] {
            pings += 1;
            let sent = bench.now;
            bench.advance(SECOND / 4).unwrap();
            assert_eq!(bench.receive(&[0xd0, 0]).unwrap(), [Event::Pong { sent }]);
            bench.now -= SECOND / 4;
        }
        assert!(bench.out.is_empty());
    }
    assert_eq!(pings, 60);
}

#[test]
fn no_ping_while_something_is_sent() {
    let mut bench = Bench::online(CLEAN);
    for _ in 0..100 {
        bench.publish_at(QoS::AtMostOnce).unwrap();
        bench.session.handle_flushed(bench.now);
        bench.out.clear();
        bench.advance(59 * SECOND).unwrap();
        assert!(bench.out.is_empty(), "what was sent moves the ping");
    }
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.written(), [0xc0, 0], "to 60 s after the last of it");
    // What is received does not: it counts what is sent (§3.1.2.10).
    bench.receive(&[0xd0, 0]).unwrap();
    bench.advance(59 * SECOND).unwrap();
    bench.receive(b"\x30\x04\x00\x01tx").unwrap();
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.written(), [0xc0, 0]);
}

#[test]
fn an_unanswered_ping_times_out() {
    let mut bench = Bench::online(CLEAN);
    bench.advance(64 * SECOND).unwrap();
    assert_eq!(bench.advance(SECOND), Err(SessionError::PingTimeout));

    // A ping that cannot even be written: the peer reads nothing.
    let mut bench = Bench::online(CLEAN);
    bench.session.handle_timeout(bench.now + 60 * SECOND).unwrap();
    assert_eq!(bench.session.handle_timeout(bench.now + 65 * SECOND), Err(SessionError::PingTimeout));

    // The next ping would be due before the timeout of the last.
    let mut bench = Bench::online(Settings { keep_alive_s: 2, ..CLEAN });
    bench.advance(3 * SECOND).unwrap();
    assert_eq!(bench.advance(SECOND), Err(SessionError::PingTimeout));

    let mut bench = Bench::online(Settings { keep_alive_s: 0, ..CLEAN });
    bench.advance(86_400 * SECOND).unwrap();
    assert_eq!(bench.written(), b"", "0 turns it off");
}

#[test]
fn subscribing() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let sent = bench.now;
    let filters = [("a", QoS::AtLeastOnce), ("b", QoS::AtMostOnce)];
    let first = bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    assert_eq!(bench.written(), b"\x82\x0a\xff\x00\x00\x01a\x01\x00\x01b\x00");
    let second = bench.session.subscribe(bench.now, &filters[..1], &mut bench.out).unwrap();
    assert_ne!(first, second);
    let events = bench.receive(&[0x90, 3, 0xff, 1, 0x80]).unwrap();
    assert_eq!(events, [Event::Subscribed { pid: second, sent, granted_all: false }]);
    let events = bench.receive(&[0x90, 4, 0xff, 0, 0, 0]).unwrap();
    assert_eq!(events, [Event::Subscribed { pid: first, sent, granted_all: true }], "less is granted, too");

    bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    assert!(bench.receive(&[0x90, 3, 0xff, 0, 0]).is_err(), "one code for two filters");
    let two = [("a", QoS::ExactlyOnce)];
    assert_eq!(bench.session.subscribe(bench.now, &two, &mut bench.out), Err(SubscribeError::QoS2));
    for _ in 0..256 {
        bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    }
    assert_eq!(bench.session.subscribe(bench.now, &filters, &mut bench.out), Err(SubscribeError::TooMany));
}

#[test]
fn messages_from_the_server() {
    let mut bench = Bench::online(CLEAN);
    let events =
        bench.receive(b"\x30\x04\x00\x01tx\x32\x06\x00\x01t\x12\x34y\x32\x06\x00\x01t\x00\x07z").unwrap();
    let payloads: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Message(publish) => publish.payload.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(payloads, [b"x", b"y", b"z"]);
    bench.out.clear();
    assert_eq!(bench.written(), [0x40, 2, 0x12, 0x34, 0x40, 2, 0, 7], "in order of arrival, none for QoS 0");
    assert_eq!(bench.written(), b"");
    let error = bench.receive(b"\x34\x06\x00\x01t\x00\x01x").unwrap_err();
    assert_eq!(error, SessionError::Protocol("PUBLISH at QoS 2, which was not asked for"));
}

#[test]
fn nothing_is_written_behind_disconnect() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let first = bench.publish();
    bench.written();
    bench.receive(b"\x32\x06\x00\x01t\x00\x07z").unwrap();
    bench.session.disconnect(bench.now, &mut bench.out);
    assert_eq!(bench.session.poll_close(), Some(Close::AfterFlush));
    assert!(!bench.session.has_room());
    assert_eq!(bench.written(), [0xe0, 0], "not even the PUBACK that is owed");
    bench.session.disconnect(bench.now, &mut bench.out);
    bench.advance(3600 * SECOND).unwrap();
    assert_eq!(bench.written(), b"");
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(first)], "an ack on the way is still taken");
}
