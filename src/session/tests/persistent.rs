//! Open messages when the connection ends: lost, or kept and resent.

use super::*;

#[test]
fn clean_session_loses_open_messages() {
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
    assert_eq!(first.0, 0);
}

#[test]
fn kept_message_is_resent_with_dup_and_its_id() {
    let mut bench = Bench::online(PERSISTENT);
    let (first, second) = (bench.publish(), bench.publish());
    bench.out.clear();
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.open(), [first, second]);
    // Stay offline for longer than the ack timeout, which does not run while offline.
    bench.advance(60 * SECOND).unwrap();
    assert_eq!(bench.connect(true), [Event::Connected { session_present: true }]);
    assert!(!bench.session.has_room(), "kept messages go first");
    assert_eq!(bench.written(), [PUBLISH_1_DUP, PUBLISH_2_DUP].concat());
    assert_eq!(bench.events(), [Event::Resent, Event::Resent]);
    assert!(bench.session.has_room());
    assert_eq!(bench.written(), b"", "once");
    let third = bench.publish();
    let resent = Event::Acked { tag: first.0, sent: first.1, resent: true };
    assert_eq!(bench.receive(&[puback(1), puback(3)].concat()).unwrap(), [resent, acked(third)]);
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.events(), [timed_out(second)], "the timeout starts at the second sending");
    // The second message has ended: it is not resent, and its id is free on the next connection.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.out.clear();
    assert_eq!(bench.written(), b"");
    assert_eq!(bench.session.quarantined(), 0);
}

#[test]
fn kept_message_is_lost_if_the_server_has_no_session() {
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
fn kept_messages_survive_a_refused_connection() {
    let mut bench = Bench::online(PERSISTENT);
    bench.publish();
    bench.session.handle_closed(bench.now);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    assert_eq!(
        bench.receive(&[0x20, 2, 0, 3]).unwrap(),
        [Event::Refused { code: 3, session_present: false }]
    );
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    assert_eq!(bench.written(), PUBLISH_1_DUP);
}

#[test]
fn resending_waits_for_room_in_the_output() {
    let mut bench = Bench::online(PERSISTENT);
    let payload = vec![0; crate::sansio::OUTPUT_BYTES_MAX];
    let message = Message { topic: "t", payload: &payload, qos: QoS::AtLeastOnce, retain: false };
    for seq in 0..2 {
        bench.session.publish(bench.now, &message, seq, &mut bench.out).unwrap();
    }
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    for _ in 0..2 {
        let written = bench.written();
        assert!(written.len() > payload.len() && written.len() < 2 * payload.len(), "{}", written.len());
        assert_eq!(bench.events(), [Event::Resent]);
    }
    assert_eq!(bench.written(), b"");
    // The first is acknowledged before the second is resent. The second does not time out, and is kept again.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    assert!(matches!(bench.receive(&puback(1)).unwrap()[..], [Event::Acked { resent: true, .. }, ..]));
    bench.session.handle_timeout(bench.now + 11 * SECOND).unwrap();
    assert_eq!(bench.session.quarantined(), 0);
    bench.session.handle_closed(bench.now);
    bench.events();
    bench.connect(true);
    assert!(!bench.written().is_empty());
    assert_eq!(bench.events(), [Event::Resent]);
}

#[test]
fn message_whose_tag_was_taken_ends_without_an_event() {
    let mut bench = Bench::online(PERSISTENT);
    let ((first, _), (second, _)) = (bench.publish(), bench.publish());
    let unflushed = bench.publish_at(QoS::AtMostOnce).unwrap();
    assert_eq!(bench.session.take_open(), [first, second, unflushed]);
    assert_eq!((bench.open(), bench.session.take_open()), (vec![], vec![]));
    bench.session.handle_flushed(bench.now);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.receive(&puback(1)).unwrap(), [Event::LateAck], "the exchange continues");
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), []);
    bench.out.clear();
    bench.connect(true);
    assert_eq!((bench.written(), bench.events()), (PUBLISH_2_DUP.to_vec(), vec![Event::Resent]));
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.connect(false), [Event::Connected { session_present: false }]);
}
