//! Repeated acknowledgments, caused by our own packets or not (MQTT 3.1.1 §4.3.2, §4.3.3).

use super::*;

const UNEXPECTED: &str = "protocol_error";

fn pubrec(pid: u8) -> [u8; 4] {
    [0x50, 2, 0, pid]
}

fn pubrel(pid: u8) -> [u8; 4] {
    [0x62, 2, 0, pid]
}

fn pubcomp(pid: u8) -> [u8; 4] {
    [0x70, 2, 0, pid]
}

fn publish(bench: &mut Bench) -> (Tag, Instant) {
    (bench.publish_at(QoS::ExactlyOnce).unwrap(), bench.now)
}

/// Returns the packet id of the last written message, whose payload is one byte.
fn written_pid(bench: &mut Bench) -> u8 {
    bench.session.poll_output(bench.now, &mut bench.out);
    let bytes = bench.out.split();
    bytes[bytes.len() - 2]
}

fn resent((tag, sent): (Tag, Instant)) -> Event {
    Event::Acked { tag, sent, resent: true }
}

/// Asserts that one more acknowledgment ends the connection.
fn ends(bench: &mut Bench, answer: &[u8]) {
    let error = bench.receive(answer).unwrap_err();
    assert_eq!(error.class(), UNEXPECTED, "{answer:02x?}");
}

#[test]
fn each_pubrec_gets_a_pubrel_and_each_pubrel_a_pubcomp() {
    let mut bench = Bench::online(CLEAN);
    let first = publish(&mut bench);
    bench.out.clear();
    bench.receive(&[pubrec(1), pubrec(1), pubrec(1)].concat()).unwrap();
    assert_eq!(bench.written(), [pubrel(1), pubrel(1), pubrel(1)].concat());
    let events = bench.receive(&[pubcomp(1), pubcomp(1), pubcomp(1)].concat()).unwrap();
    assert_eq!(events, [acked(first)], "it ends once");
    assert_eq!((bench.session.in_flight(), bench.written()), (0, vec![]));
    ends(&mut bench, &pubcomp(1));
}

#[test]
fn repeated_pubrec_after_pubcomp_is_answered() {
    let mut bench = Bench::online(CLEAN);
    let first = publish(&mut bench);
    bench.receive(&pubrec(1)).unwrap();
    assert_eq!(bench.receive(&pubcomp(1)).unwrap(), [acked(first)]);
    bench.written();
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.receive(&pubrec(1)).unwrap(), []);
    assert_eq!(bench.written(), pubrel(1));
    assert_eq!(bench.receive(&pubcomp(1)).unwrap(), []);
    ends(&mut bench, &pubcomp(1));
}

#[test]
fn late_pubrec_is_not_matched_to_the_next_message() {
    let mut bench = Bench::online(PERSISTENT);
    publish(&mut bench);
    bench.receive(&[pubrec(1), pubcomp(1)].concat()).unwrap();
    bench.written();
    let second = publish(&mut bench);
    bench.written();
    bench.receive(&pubrec(1)).unwrap();
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    // If the late PUBREC were matched to the second message, PUBREL would be sent here, and that message would be lost.
    assert_eq!(bench.written(), b"\x3c\x06\x00\x01t\x00\x02x");
    assert_eq!(bench.open(), [second]);
}

#[test]
fn resent_publish_may_be_acknowledged_twice() {
    let mut bench = Bench::online(PERSISTENT);
    let first = bench.publish();
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    bench.events();
    assert_eq!(bench.receive(&puback(1)).unwrap(), [resent(first)]);
    let second = bench.publish();
    assert_eq!(bench.receive(&puback(1)).unwrap(), [], "for the first message, not the second");
    assert_eq!(bench.receive(&puback(2)).unwrap(), [acked(second)]);
    ends(&mut bench, &puback(1));
}

#[test]
fn resent_pubrel_may_be_answered_twice() {
    let mut bench = Bench::online(PERSISTENT);
    let first = publish(&mut bench);
    bench.receive(&pubrec(1)).unwrap();
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    assert_eq!(bench.written(), pubrel(1));
    bench.events();
    assert_eq!(bench.receive(&[pubcomp(1), pubcomp(1)].concat()).unwrap(), [resent(first)]);
    ends(&mut bench, &pubcomp(1));
}

#[test]
fn new_connection_expects_no_repeated_acknowledgments() {
    let mut bench = Bench::online(CLEAN);
    publish(&mut bench);
    bench.receive(&[pubrec(1), pubrec(1), pubcomp(1)].concat()).unwrap();
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    ends(&mut bench, &pubcomp(1));
    // A server that has lost the session sends no acknowledgments for it.
    let mut bench = Bench::online(PERSISTENT);
    bench.publish();
    bench.session.handle_closed(bench.now);
    bench.connect(true);
    bench.written();
    bench.session.handle_closed(bench.now);
    bench.connect(false);
    ends(&mut bench, &puback(1));
}

#[test]
fn pubrec_is_accepted_for_ids_of_qos_2_messages_only() {
    let mut bench = Bench::online(CLEAN);
    bench.publish();
    bench.receive(&puback(1)).unwrap();
    ends(&mut bench, &pubrec(1));
    // An id had a QoS 2 message and now has a QoS 1 message: both exchanges continue.
    let mut bench = Bench::online(CLEAN);
    for pid in 1..=9 {
        publish(&mut bench);
        bench.receive(&[pubrec(pid), pubcomp(pid)].concat()).unwrap();
    }
    bench.written();
    let message = bench.publish();
    assert_eq!(written_pid(&mut bench), 1, "reused after eight others");
    bench.receive(&pubrec(1)).unwrap();
    assert_eq!(bench.written(), pubrel(1));
    assert_eq!(bench.receive(&pubcomp(1)).unwrap(), []);
    assert_eq!(bench.receive(&puback(1)).unwrap(), [acked(message)]);
}

#[test]
fn resting_ids_use_bounded_memory() {
    let mut bench = Bench::online(CLEAN);
    for n in 0..1000 {
        let message = publish(&mut bench);
        let pid = written_pid(&mut bench);
        assert!(pid <= 16, "message {n} has id {pid}");
        // Each PUBREC arrives twice, and only one PUBREL is answered.
        bench.receive(&[pubrec(pid), pubrec(pid)].concat()).unwrap();
        assert_eq!(bench.receive(&pubcomp(pid)).unwrap(), [acked(message)]);
        bench.written();
    }
    assert!(bench.session.has_room());
}

#[test]
fn resting_ids_hold_no_message_buffers() {
    let mut bench = Bench::online(PERSISTENT);
    let kept = |bench: &Bench| bench.session.window.as_ref().unwrap().kept_bytes();
    publish(&mut bench);
    let one = kept(&bench);
    bench.receive(&[pubrec(1), pubcomp(1)].concat()).unwrap();
    for _ in 0..100 {
        bench.written();
        publish(&mut bench);
        let pid = written_pid(&mut bench);
        bench.receive(&[pubrec(pid), pubcomp(pid)].concat()).unwrap();
    }
    assert!(one > 0);
    assert_eq!(kept(&bench), one, "one buffer, for any number of ids");
}
