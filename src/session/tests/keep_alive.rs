//! Keep-alive: when PINGREQ is sent, and when a connection without PINGRESP ends, for each policy.

use super::*;
use crate::policy::ping::Silence;

const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];

#[test]
fn idle_connection_pings_once_per_interval() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    let mut pings = 0;
    for _ in 0..3600 {
        bench.advance(SECOND).unwrap();
        if bench.out.split().as_ref() == PINGREQ {
            pings += 1;
            let sent = bench.now;
            bench.advance(SECOND / 4).unwrap();
            assert_eq!(bench.receive(&PINGRESP).unwrap(), [Event::Pong { sent }]);
            bench.now -= SECOND / 4;
        }
        assert!(bench.out.is_empty());
    }
    assert_eq!(pings, 60);
}

/// Sends a QoS 1 message and receives its acknowledgment.
fn exchange(bench: &mut Bench) {
    bench.publish();
    bench.receive(&puback(1)).unwrap();
    bench.out.clear();
}

/// Sends a QoS 0 message.
fn send(bench: &mut Bench) {
    bench.publish_at(QoS::AtMostOnce).unwrap();
    bench.session.handle_flushed(bench.now);
}

/// Sends a QoS 0 message each second and receives nothing. Returns the second of each PINGREQ, and the second in which the
/// connection ended, if it ended within `seconds`.
fn sends_each_second(settings: Settings, seconds: u64) -> (Vec<u64>, Option<u64>) {
    let mut bench = Bench::online(settings);
    bench.out.clear();
    let mut pings = Vec::new();
    for second in 1..=seconds {
        if bench.advance(SECOND) == Err(SessionError::PingTimeout) {
            return (pings, Some(second));
        }
        if bench.out.split().ends_with(&PINGREQ) {
            pings.push(second);
        }
        send(&mut bench);
        bench.out.clear();
    }
    (pings, None)
}

fn with(pings: PingPolicy) -> Settings {
    Settings { pings, ..CLEAN }
}

#[test]
fn no_ping_while_packets_go_in_both_directions() {
    let mut bench = Bench::online(CLEAN);
    for _ in 0..100 {
        exchange(&mut bench);
        bench.advance(59 * SECOND).unwrap();
        assert!(bench.out.is_empty(), "sent and received packets delay the ping");
    }
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.written(), PINGREQ, "60 s after the last packet");
}

#[test]
fn dead_peer_is_detected_while_messages_are_sent() {
    assert_eq!(sends_each_second(CLEAN, 600), (vec![60], Some(65)));
    // The time since the last received byte counts, not the connection's age.
    let mut bench = Bench::online(CLEAN);
    bench.advance(30 * SECOND).unwrap();
    exchange(&mut bench);
    for _ in 0..59 {
        bench.advance(SECOND).unwrap();
        send(&mut bench);
        bench.out.clear();
    }
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.written(), PINGREQ);
    assert_eq!(bench.advance(5 * SECOND), Err(SessionError::PingTimeout));
}

#[test]
fn peer_that_answers_pings_is_kept_while_sending() {
    let mut bench = Bench::online(CLEAN);
    let mut pings = 0;
    for _ in 0..600 {
        bench.out.clear();
        send(&mut bench);
        bench.advance(SECOND).unwrap();
        if bench.out.ends_with(&PINGREQ) {
            pings += 1;
            bench.receive(&PINGRESP).unwrap();
        }
    }
    assert_eq!(pings, 10);
}

#[test]
fn client_that_only_receives_pings_too() {
    let mut bench = Bench::online(CLEAN);
    bench.out.clear();
    for _ in 0..59 {
        bench.advance(SECOND).unwrap();
        bench.receive(b"\x30\x04\x00\x01tx").unwrap();
    }
    bench.advance(SECOND).unwrap();
    assert_eq!(bench.written(), PINGREQ, "the server counts what we send (§3.1.2.10)");
}

#[test]
fn unanswered_ping_times_out() {
    let mut bench = Bench::online(CLEAN);
    bench.advance(64 * SECOND).unwrap();
    assert_eq!(bench.advance(SECOND), Err(SessionError::PingTimeout));

    // A ping that cannot be written, because the peer does not read.
    let mut bench = Bench::online(CLEAN);
    bench.session.handle_timeout(bench.now + 60 * SECOND).unwrap();
    assert_eq!(bench.session.handle_timeout(bench.now + 65 * SECOND), Err(SessionError::PingTimeout));

    // The timeout is no longer than the keep-alive.
    let mut bench = Bench::online(Settings { keep_alive_s: 2, ..CLEAN });
    bench.advance(3 * SECOND).unwrap();
    assert_eq!(bench.advance(SECOND), Err(SessionError::PingTimeout));

    let mut bench = Bench::online(Settings { keep_alive_s: 0, ..CLEAN });
    bench.advance(86_400 * SECOND).unwrap();
    assert_eq!(bench.written(), b"", "0 turns it off");
}

#[test]
fn pings_follow_each_silence_policy() {
    let policy = |after, divisor, timeout| with(PingPolicy { after, divisor, timeout });
    // Messages are sent and none are received, so the session never pings.
    let sent = policy(Silence::Sent, 1, PingTimeout::KeepAlive);
    assert_eq!(sends_each_second(sent, 600), (vec![], None));
    // A ping after 15 s, with a timeout of 30 s. The next interval ends before that, but only one ping is open at a time.
    let received = policy(Silence::Received, 4, PingTimeout::Fixed { s: 30 });
    assert_eq!(sends_each_second(received, 600), (vec![15], Some(45)));
    let any = policy(Silence::Any, 1, PingTimeout::KeepAlive);
    assert_eq!(sends_each_second(any, 600), (vec![60], Some(120)));
    // The session pings in every interval, no matter what is sent and received.
    let mut bench = Bench::online(any);
    for n in 1..=5 {
        bench.advance(59 * SECOND).unwrap();
        exchange(&mut bench);
        bench.advance(SECOND).unwrap();
        assert_eq!(bench.written(), PINGREQ, "interval {n}");
        bench.receive(&PINGRESP).unwrap();
    }
    // Received packets do not delay a ping that depends on sent packets, and vice versa.
    let mut bench = Bench::online(sent);
    bench.out.clear();
    bench.advance(30 * SECOND).unwrap();
    bench.receive(b"\x30\x04\x00\x01tx").unwrap();
    bench.advance(30 * SECOND).unwrap();
    assert_eq!(bench.written(), PINGREQ);
    let mut bench = Bench::online(received);
    bench.out.clear();
    bench.advance(10 * SECOND).unwrap();
    bench.receive(b"\x30\x04\x00\x01tx").unwrap();
    bench.advance(10 * SECOND).unwrap();
    assert_eq!(bench.written(), b"");
    bench.advance(5 * SECOND).unwrap();
    assert_eq!(bench.written(), PINGREQ);
}
