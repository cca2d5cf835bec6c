//! Subscriptions, messages from the server, and DISCONNECT.

use super::*;

#[test]
fn subscriptions_end_with_their_suback() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let sent = bench.now;
    let filters = [("a", QoS::AtLeastOnce), ("b", QoS::AtMostOnce)];
    let first = bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    assert_eq!(bench.written(), b"\x82\x0a\xff\x00\x00\x01a\x01\x00\x01b\x00");
    let second = bench.session.subscribe(bench.now, &filters[..1], &mut bench.out).unwrap();
    assert_ne!(first, second);
    let events = bench.receive(&[0x90, 3, 0xff, 1, 0x80]).unwrap();
    assert_eq!(events, [Event::Subscribed { pid: second, sent, granted: vec![0x80] }]);
    let events = bench.receive(&[0x90, 4, 0xff, 0, 0, 0]).unwrap();
    assert_eq!(events, [Event::Subscribed { pid: first, sent, granted: vec![0, 0] }]);

    bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    assert!(bench.receive(&[0x90, 3, 0xff, 0, 0]).is_err(), "one return code for two filters");
    for _ in 0..256 {
        bench.session.subscribe(bench.now, &filters, &mut bench.out).unwrap();
    }
    assert_eq!(bench.session.subscribe(bench.now, &filters, &mut bench.out), Err(SubscribeError::TooMany));
}

#[test]
fn qos_1_messages_from_the_server_get_puback() {
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
    assert_eq!(
        bench.written(),
        [0x40, 2, 0x12, 0x34, 0x40, 2, 0, 7],
        "in order of arrival, and none for QoS 0"
    );
    assert_eq!(bench.written(), b"");
}

#[test]
fn nothing_is_written_after_disconnect() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let first = bench.publish();
    bench.written();
    bench.receive(b"\x32\x06\x00\x01t\x00\x07z").unwrap();
    bench.session.disconnect(bench.now, &mut bench.out);
    assert_eq!(bench.session.poll_close(), Some(Close::AfterFlush));
    assert!(!bench.session.has_room());
    assert_eq!(bench.written(), [0xe0, 0], "not even the pending PUBACK");
    bench.session.disconnect(bench.now, &mut bench.out);
    bench.advance(3600 * SECOND).unwrap();
    assert_eq!(bench.written(), b"");
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(first)], "a late PUBACK still counts");
}

#[test]
fn unsubscribe_ends_with_its_unsuback() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let sent = bench.now;
    let first = bench.session.unsubscribe(bench.now, &["a", "b/#"], &mut bench.out).unwrap();
    assert_eq!(bench.written(), b"\xa2\x0a\xff\x00\x00\x01a\x00\x03b/#");
    let second = bench.session.subscribe(bench.now, &[("a", QoS::AtMostOnce)], &mut bench.out).unwrap();
    assert_ne!(first, second);
    assert_eq!(bench.receive(&[0xb0, 2, 0xff, 0]).unwrap(), [Event::Unsubscribed { pid: first, sent }]);
    assert!(bench.receive(&[0xb0, 2, 0xff, 1]).is_err(), "UNSUBACK for a SUBSCRIBE");

    let mut bench = Bench::online(CLEAN);
    bench.session.unsubscribe(bench.now, &["a"], &mut bench.out).unwrap();
    assert!(bench.receive(&[0x90, 3, 0xff, 0, 0]).is_err(), "SUBACK for an UNSUBSCRIBE");
    let nothing = bench.session.unsubscribe(bench.now, &[], &mut bench.out);
    assert!(matches!(nothing, Err(SubscribeError::Encode(_))), "{nothing:?}");
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.session.unsubscribe(bench.now, &["a"], &mut bench.out), Err(SubscribeError::NotOnline));
}

#[test]
fn replies_to_a_peer_that_does_not_read_are_bounded() {
    let mut bench = Bench::online(CLEAN);
    let mut taken = 0;
    while bench.session.wants_input() {
        assert_eq!(bench.receive(PUBLISH_1).unwrap().len(), 1);
        taken += 1;
        assert!(taken <= 10_000, "the queue of replies grows without bound");
    }
    assert_eq!(bench.written().len(), taken * puback(1).len(), "one PUBACK for each message");
    assert!(bench.session.wants_input(), "it reads again");
}

#[test]
fn connack_after_disconnect_is_ignored() {
    let mut bench = Bench::new(CLEAN);
    let credentials = Credentials { client_id: "d", username: None, password: None };
    bench.session.connect(bench.now, &credentials, &mut bench.out).unwrap();
    bench.session.disconnect(bench.now, &mut bench.out);
    assert_eq!(bench.receive(&[0x20, 2, 0, 0]), Ok(Vec::new()));
    assert_eq!(bench.session.state(), State::Closed);
}
