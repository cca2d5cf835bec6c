//! Packet ids, acknowledgments, timeouts, quarantine, and QoS 0.

use super::*;

#[test]
fn acks_in_any_order_end_their_own_messages() {
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    assert_eq!(bench.written(), PUBLISH_1);
    bench.advance(SECOND).unwrap();
    let (second, third) = (bench.publish(), bench.publish());
    assert_eq!(bench.open(), [first, second, third]);
    assert!(!bench.session.has_room());
    assert_eq!(bench.publish_at(QoS::AtLeastOnce), Err(PublishError::WindowFull));
    let acks = [puback(3), puback(1), puback(2)].concat();
    assert_eq!(bench.receive(&acks).unwrap(), [acked(third), acked(first), acked(second)]);
    assert_eq!(bench.session.in_flight(), 0);
    assert!(bench.session.has_room());
    // The id that has been free longest is used next.
    bench.out.clear();
    bench.publish();
    assert_eq!(bench.written()[5..7], [0, 3]);
}

#[test]
fn one_frame_at_a_time_until_its_event_is_polled() {
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
fn late_puback_is_not_matched_to_another_message() {
    let mut bench = Bench::online(CLEAN);
    let first = bench.publish();
    bench.advance(4 * SECOND).unwrap();
    let second = bench.publish();
    bench.advance(6 * SECOND - Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.events(), []);
    bench.advance(Duration::from_nanos(1)).unwrap();
    assert_eq!(bench.events(), [timed_out(first)], "exactly at the timeout, and only the first");
    assert_eq!((bench.session.in_flight(), bench.session.quarantined()), (1, 1));
    assert_eq!(bench.open(), [second]);

    // Two new messages fit into the window of three: the quarantined id does not count toward it, and is not reused.
    bench.out.clear();
    let (third, fourth) = (bench.publish(), bench.publish());
    let written = bench.written();
    assert_eq!((written[6], written[14]), (3, 4));
    assert!(!bench.session.has_room());
    assert_eq!(bench.receive(&puback(1)).unwrap(), [Event::LateAck]);
    assert_eq!(bench.session.quarantined(), 0);
    let acks = [puback(2), puback(3), puback(4)].concat();
    assert_eq!(bench.receive(&acks).unwrap(), [acked(second), acked(third), acked(fourth)]);
    // The id is free again.
    bench.out.clear();
    bench.publish();
    assert_eq!(bench.written()[6], 1);
}

#[test]
fn window_of_timed_out_messages_is_a_stall() {
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
    assert_eq!(bench.events(), [timed_out(third)], "reported once, along with the error");
    bench.session.handle_closed(bench.now);
    assert_eq!(bench.events(), [], "all have ended");
    assert_eq!(bench.session.quarantined(), 0);
    bench.connect(false);
    assert!(bench.session.has_room());
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
}

#[test]
fn messages_wait_when_every_packet_id_is_in_use() {
    let mut bench = Bench::online(Settings { in_flight: u16::MAX, ..CLEAN });
    for _ in 1..subscribe::FIRST_PID {
        bench.publish();
        bench.out.clear();
    }
    assert_eq!((bench.session.in_flight(), bench.session.has_room()), (65_279, false));
    assert_eq!(bench.publish_at(QoS::AtLeastOnce), Err(PublishError::WindowFull));
    assert_eq!(bench.written(), b"");
    bench.receive(&[0x40, 2, 0x12, 0x34]).unwrap();
    bench.publish();
    assert_eq!(bench.written()[5..7], [0x12, 0x34], "the only free id");
    assert!(!bench.session.has_room());
    // Subscriptions use separate ids.
    let pid = bench.session.subscribe(bench.now, &[("a", QoS::AtMostOnce)], &mut bench.out);
    assert_eq!(pid, Ok(subscribe::FIRST_PID));
    // If all messages time out, that is a stall.
    assert_eq!(bench.advance(10 * SECOND), Err(SessionError::AckStall));
}
