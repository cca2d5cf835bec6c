//! Closed-loop streams: the next message is due some time after the previous one has ended.

use super::*;

#[test]
fn closed_loop_waits_for_the_end_of_each_message() {
    let closed = "arrival = \"closed\"\nthink_time = \"1s\"\npayload = \"x\"";
    let mut wire = Wire::online(60, "ack_timeout = \"10s\"", closed);
    wire.pass(5.0).unwrap();
    assert_eq!(wire.ack(), 1, "one is in flight, and no other is due");
    wire.turn().unwrap();
    for _ in 0..3 {
        wire.pass(0.999).unwrap();
        assert_eq!(wire.ack(), 0);
        wire.pass(0.001).unwrap();
        assert_eq!(wire.ack(), 1, "one second after the acknowledgment");
        wire.turn().unwrap();
    }
    // A timed-out message has ended too.
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
    wire.pass(10.0).unwrap();
    assert_eq!(wire.sent().len(), 0);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.closed_loop);
    assert_eq!((telemetry.due, telemetry.outcome(Outcome::Ok)), (6, 4));
    assert_eq!((telemetry.outcome(Outcome::TimedOut), telemetry.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn closed_loop_continues_after_unsent_messages() {
    let closed = "arrival = \"closed\"\nthink_time = \"0s\"\npayload = \"x\"";
    let mut wire = Wire::online(60, "offline = \"skip\"\nsend_by = \"5s\"", closed);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.ack(), 1);
    wire.close(Closed::Reset);
    wire.to_device.clear();
    wire.now += Duration::from_secs(3);
    wire.attempt();
    wire.connack(0);
    wire.pass(1.0).unwrap();
    let published = |packet: &Packet| matches!(packet, Packet::Publish(_));
    assert_eq!(
        wire.sent().iter().filter(|packet| published(packet)).count(),
        1,
        "one message, not an endless loop"
    );
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    let count = |outcome| telemetry.outcome(outcome);
    // One of the offline messages was due at CONNECT, the other at the loss.
    assert_eq!((count(Outcome::Lost), count(Outcome::Offline), count(Outcome::Unfinished)), (1, 2, 1));
}

#[test]
fn qos_0_closed_loop_continues_when_a_message_is_flushed() {
    let closed = "arrival = \"closed\"\nthink_time = \"1s\"\nqos = 0\npayload = \"x\"";
    let mut wire = Wire::online(60, "", closed);
    wire.pass(5.0).unwrap();
    wire.out.clear();
    wire.device.handle_flushed(wire.now);
    assert_eq!(wire.device.poll_timeout(), Some(wire.now + Duration::from_secs(1)));
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
}
