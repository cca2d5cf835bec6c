//! QoS 2 byte by byte, in both directions and over a reconnect (MQTT 3.1.1 §4.3.3, §4.4).

use super::*;

const PUBLISH_1: &[u8] = b"\x34\x06\x00\x01t\x00\x01x";
const PUBLISH_1_DUP: &[u8] = b"\x3c\x06\x00\x01t\x00\x01x";
const PUBREC_1: [u8; 4] = [0x50, 2, 0, 1];
const PUBREL_1: [u8; 4] = [0x62, 2, 0, 1];
const PUBCOMP_1: [u8; 4] = [0x70, 2, 0, 1];

fn publish(bench: &mut Bench) -> (Tag, Instant) {
    (bench.publish_at(QoS::ExactlyOnce).unwrap(), bench.now)
}

#[test]
fn message_ends_with_pubcomp() {
    let mut bench = Bench::online(CLEAN);
    let first = publish(&mut bench);
    assert_eq!(bench.written(), PUBLISH_1);
    assert_eq!(bench.session.in_flight(), 1);
    assert_eq!(bench.receive(&PUBREC_1).unwrap(), []);
    assert_eq!(bench.written(), PUBREL_1);
    assert_eq!(bench.session.in_flight(), 1);
    assert_eq!(bench.receive(&PUBCOMP_1).unwrap(), [acked(first)]);
    assert_eq!(bench.session.in_flight(), 0);
    assert_eq!(bench.written(), b"");
    assert!(bench.receive(&PUBCOMP_1).is_err(), "once");
}

#[test]
fn each_qos_has_its_own_acknowledgments() {
    for (qos, wrong) in [
        (QoS::AtLeastOnce, PUBREC_1),
        (QoS::AtLeastOnce, PUBCOMP_1),
        (QoS::ExactlyOnce, puback(1)),
        (QoS::ExactlyOnce, PUBCOMP_1), // before PUBREC
    ] {
        let mut bench = Bench::online(CLEAN);
        bench.publish_at(qos).unwrap();
        let error = bench.receive(&wrong).unwrap_err();
        assert_eq!(error.class(), "protocol_error", "{qos:?} {wrong:02x?}");
    }
}

#[test]
fn pubrels_are_sent_in_the_order_of_their_pubrecs() {
    let mut bench = Bench::online(CLEAN);
    publish(&mut bench);
    publish(&mut bench);
    bench.out.clear();
    bench.receive(&[[0x50, 2, 0, 2], PUBREC_1].concat()).unwrap();
    assert_eq!(bench.written(), [[0x62, 2, 0, 2], PUBREL_1].concat(), "[MQTT-4.6.0-4]");
}

#[test]
fn timed_out_exchange_is_still_completed() {
    let mut bench = Bench::online(CLEAN);
    let first = publish(&mut bench);
    bench.advance(9 * SECOND).unwrap();
    bench.receive(&PUBREC_1).unwrap();
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.events(), [timed_out(first)]);
    assert_eq!(bench.session.quarantined(), 1);
    bench.out.clear();
    bench.receive(&PUBREC_1).unwrap();
    assert_eq!(bench.written(), PUBREL_1);
    assert_eq!(bench.receive(&PUBCOMP_1).unwrap(), [Event::LateAck]);
    assert_eq!(bench.session.quarantined(), 0);
}

#[test]
fn kept_exchange_resumes_where_it_stopped() {
    let mut bench = Bench::online(PERSISTENT);
    let (first, second) = (publish(&mut bench), publish(&mut bench));
    bench.receive(&[0x50, 2, 0, 2]).unwrap();
    bench.out.clear();
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), []);
    bench.connect(true);
    assert_eq!(bench.written(), [PUBLISH_1_DUP, &[0x62, 2, 0, 2]].concat());
    assert_eq!(bench.events(), [Event::Resent, Event::Resent]);
    bench.receive(&PUBREC_1).unwrap();
    assert_eq!(bench.written(), PUBREL_1);
    let resent = |(tag, sent)| Event::Acked { tag, sent, resent: true };
    let completed = bench.receive(&[[0x70, 2, 0, 2], PUBCOMP_1].concat()).unwrap();
    assert_eq!(completed, [resent(second), resent(first)]);
}

#[test]
fn timed_out_message_is_completed_but_reported_once() {
    let mut bench = Bench::online(PERSISTENT);
    let first = publish(&mut bench);
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.events(), [timed_out(first)]);
    let second = publish(&mut bench);
    bench.out.clear();
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.open(), [second], "the first has ended");
    // If a new message had the id of the first, the server would mistake it for the first.
    bench.connect(true);
    let written = bench.written();
    assert_eq!(written, [PUBLISH_1_DUP, b"\x3c\x06\x00\x01t\x00\x02x"].concat(), "in sending order");
    bench.events();
    bench.receive(&PUBREC_1).unwrap();
    assert_eq!(bench.receive(&PUBCOMP_1).unwrap(), [Event::LateAck]);
    // The second one times out on two connections and is reported once. It ends when the server has lost the session.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    bench.events();
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.events(), [timed_out(second)]);
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.events(), [Event::Resent]);
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.connect(false), [Event::Connected { session_present: false }]);
    assert_eq!((bench.session.in_flight(), bench.session.quarantined()), (0, 0));
    assert!(bench.session.has_room());
}

#[test]
fn message_from_the_server_is_reported_once() {
    let message = b"\x34\x06\x00\x01t\x00\x01x";
    let repetition = b"\x3c\x06\x00\x01t\x00\x01x";
    let mut bench = Bench::online(PERSISTENT);
    bench.out.clear();
    assert!(matches!(bench.receive(message).unwrap()[..], [Event::Message(_)]));
    assert_eq!(bench.written(), PUBREC_1);
    assert_eq!(bench.receive(repetition).unwrap(), []);
    assert_eq!(bench.written(), PUBREC_1);
    // The same happens on the next connection of a persistent session.
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    assert_eq!(bench.receive(repetition).unwrap(), []);
    assert_eq!(bench.written(), PUBREC_1);
    for _ in 0..2 {
        assert_eq!(bench.receive(&PUBREL_1).unwrap(), []);
        assert_eq!(bench.written(), PUBCOMP_1, "whether or not the id is known [MQTT-4.3.3-2]");
    }
    assert!(
        matches!(bench.receive(message).unwrap()[..], [Event::Message(_)]),
        "a new message with the same id"
    );
    // A server without the session starts over.
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    assert!(matches!(bench.receive(message).unwrap()[..], [Event::Message(_)]));
    let mut bench = Bench::online(CLEAN);
    bench.receive(message).unwrap();
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    assert!(matches!(bench.receive(message).unwrap()[..], [Event::Message(_)]));
}

#[test]
fn replies_are_sent_in_the_order_of_their_packets() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    bench.receive(b"\x34\x06\x00\x01t\x00\x05x\x32\x06\x00\x01t\x00\x06x\x62\x02\x00\x05").unwrap();
    assert_eq!(bench.written(), [0x50, 2, 0, 5, 0x40, 2, 0, 6, 0x70, 2, 0, 5]);
}
