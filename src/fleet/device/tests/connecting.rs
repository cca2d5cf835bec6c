//! Connection attempts: their outcome, their failed step, and what CONNECT carries.

use super::*;

#[test]
fn failed_dial_has_the_outcome_of_its_step() {
    use crate::link::{DialError, Step, Steps};
    use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut};
    for (step, error, outcome) in [
        (Step::Dns, TimedOut, Outcome::TimedOut),
        (Step::Tcp, TimedOut, Outcome::TimedOut),
        (Step::Tls, TimedOut, Outcome::TimedOut),
        (Step::Tcp, ConnectionRefused, Outcome::Refused),
        (Step::Dns, NotFound, Outcome::Lost),
        (Step::Tls, ConnectionReset, Outcome::Lost),
    ] {
        let mut wire = Wire::new(5, "", EACH_SECOND);
        let error = DialError::new(step, Steps::default(), error.into());
        wire.device.dial_failed(&error, wire.now);
        assert_eq!(wire.totals_at_end(Operation::Connect).outcome(outcome), 1, "{error}");
    }
}

/// Attempts that the server ends with FIN or RST are counted separately from attempts that the device ends, and from established
/// connections.
#[test]
fn only_closes_by_the_peer_count_before_connack() {
    use crate::link::{DialError, Step, Steps};
    let counted = |end: &dyn Fn(&mut Wire)| {
        let mut wire = Wire::new(60, "", EACH_SECOND);
        end(&mut wire);
        let counts = wire.counts();
        (counts.closed_before_connack, counts.reset_before_connack)
    };
    let closes = |why: Closed| counted(&|wire: &mut Wire| assert_ne!(wire.close(why), ConnectionEnd::Lost));
    assert_eq!(closes(Closed::Eof), (1, 0));
    assert_eq!(closes(Closed::Reset), (0, 1));
    assert_eq!(closes(Closed::Local), (0, 0), "ended by the device");
    let dials = |kind: std::io::ErrorKind| {
        counted(&|wire: &mut Wire| {
            let error = DialError::new(Step::Tls, Steps::default(), kind.into());
            wire.device.dial_failed(&error, wire.now);
        })
    };
    assert_eq!(dials(std::io::ErrorKind::ConnectionReset), (0, 1));
    assert_eq!(dials(std::io::ErrorKind::UnexpectedEof), (1, 0));
    assert_eq!(dials(std::io::ErrorKind::TimedOut), (0, 0));
    let online = counted(&|wire: &mut Wire| {
        wire.connack(0);
        wire.close(Closed::Eof);
    });
    assert_eq!(online, (0, 0), "an open connection");
}

#[test]
fn due_messages_are_sent_after_connack_during_the_drain() {
    let mut wire = Wire::new(5, "connect_timeout = \"30s\"", EACH_SECOND);
    wire.pass(6.0).unwrap();
    assert_eq!(wire.device.poll_close(), None, "one second of the drain is left");
    wire.connack(0);
    assert_eq!(wire.ack(), 5);
    assert_eq!(wire.device.poll_close(), None, "acknowledgments are outstanding");
    wire.turn().unwrap();
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    assert_eq!(wire.totals_at_end(Operation::Telemetry).outcome(Outcome::Ok), 5);
}

#[test]
fn pending_attempt_is_unfinished_after_the_drain() {
    let mut wire = Wire::new(5, "connect_timeout = \"60s\"", EACH_SECOND);
    wire.pass(6.9).unwrap();
    assert_eq!(wire.device.poll_close(), None);
    wire.pass(0.2).unwrap();
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    let connect = wire.totals_at_end(Operation::Connect);
    assert_eq!((connect.due, connect.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn failed_attempt_counts_for_its_step_too() {
    for (code, outcome) in [(None, Outcome::TimedOut), (Some(5), Outcome::Refused)] {
        let mut wire = Wire::new(30, "connect_timeout = \"5s\"", EACH_SECOND);
        match code {
            Some(code) => wire.connack(code),
            None => assert_eq!(wire.pass(6.0), Err(SessionError::ConnackTimeout)),
        }
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Failed);
        let measurement = wire.measurement();
        let sum = |operation| measurement.sum(|key| key.operation == operation);
        let (step, connect) = (sum(Operation::ConnectMqtt), sum(Operation::Connect));
        assert_eq!((step.due, step.outcome(outcome)), (1, 1), "{outcome:?}");
        assert_eq!((connect.due, connect.lag.count()), (1, 1), "a failed attempt has a lag too");
    }
}

#[test]
fn online_is_measured_over_all_failed_attempts() {
    let mut wire = Wire::new(30, "", EACH_SECOND);
    for _ in 0..3 {
        wire.connack(3);
        wire.close(Closed::Local);
        wire.now += Duration::from_secs(2);
        wire.attempt();
    }
    wire.connack(0);
    let online = wire.totals_at_end(Operation::Online);
    assert_eq!((online.due, online.outcome(Outcome::Ok)), (1, 1));
    assert_eq!(online.response.max().map(|us| us / 1_000_000), Some(6));
}

#[test]
fn connect_carries_the_will() {
    let will = "will = { payload = 'gone ${device} ${uptime}', retain = true }";
    let mut wire = Wire::new(60, will, EACH_SECOND);
    let sent = wire.sent();
    let [Packet::Connect(connect)] = &sent[..] else { panic!("{sent:?}") };
    let will = connect.will.as_ref().expect("a will");
    assert_eq!(
        (will.topic.as_str(), &will.payload[..]),
        ("devices/a-00000/messages/events/", &b"gone a-00000 0"[..])
    );
    assert_eq!((will.qos, will.retain), (wire::QoS::AtLeastOnce, true));
}
