//! A device whose peer is dead: when the device detects this while it is sending, and how it counts QoS 0 messages. Also tests
//! Session Present.

use super::*;
use crate::sansio::TlsEnd;

const QOS_0: &str = "every = \"1s\"\nqos = 0\npayload = \"x\"";
const PINGRESP: [u8; 2] = [0xd0, 0];

/// Advances time on a link that accepts all output. Returns the numbers of PUBLISH and PINGREQ packets.
fn flow(wire: &mut Wire, seconds: usize) -> Result<[usize; 2], SessionError> {
    let mut packets = [0; 2];
    for _ in 0..seconds {
        wire.pass(1.0)?;
        wire.device.handle_flushed(wire.now);
        for packet in wire.sent() {
            packets[0] += usize::from(matches!(packet, Packet::Publish(_)));
            packets[1] += usize::from(packet == Packet::PingReq);
        }
    }
    Ok(packets)
}

/// Returns the numbers of ok messages, of messages that may be lost, and of pings that timed out.
fn counted(wire: &Wire) -> [u64; 3] {
    let measurement = wire.measurement();
    let [sent, pings] =
        [Operation::TelemetryQos0, Operation::Ping].map(|operation| measurement.of(operation));
    [sent.ok(), measurement.count(|counts| counts.qos0_on_dead_connections), pings.outcome(Outcome::TimedOut)]
}

#[test]
fn dead_peer_is_found_while_qos_0_messages_are_sent() {
    let mut wire = Wire::online(60, "keep_alive = \"5s\"", QOS_0);
    wire.sent();
    assert_eq!(flow(&mut wire, 9), Ok([9, 1]));
    assert_eq!(flow(&mut wire, 1), Err(SessionError::PingTimeout));
    wire.close(Closed::Local);
    wire.device.settle(wire.now);
    assert_eq!(counted(&wire), [9, 9, 1], "nothing was received since CONNACK");
}

const ALERT: TlsEnd = TlsEnd { cause: "", fix: "" };

#[test]
fn only_messages_after_the_last_received_byte_may_be_lost() {
    for (why, lost) in [(Closed::Reset, 3), (Closed::Eof, 0), (Closed::TlsAlert(&ALERT), 0)] {
        let mut wire = Wire::online(60, "keep_alive = \"5s\"", QOS_0);
        wire.sent();
        assert_eq!(flow(&mut wire, 6).map(|packets| packets[1]), Ok(1));
        wire.to_device.extend_from_slice(&PINGRESP);
        wire.turn().unwrap();
        assert_eq!(flow(&mut wire, 3), Ok([3, 0]));
        wire.close(why);
        wire.device.settle(wire.now);
        assert_eq!(counted(&wire), [9, lost, 0], "{why:?}");
    }
}

#[test]
fn acknowledged_messages_do_not_count_as_possibly_lost() {
    let mut wire = Wire::online(60, "keep_alive = \"5s\"", EACH_SECOND);
    assert!(flow(&mut wire, 3).is_ok());
    wire.close(Closed::Reset);
    wire.device.settle(wire.now);
    assert_eq!(counted(&wire)[1], 0);
}

#[test]
fn session_present_on_a_clean_session_is_only_counted() {
    for (clean_session, present, counted) in [(true, true, 1), (true, false, 0), (false, true, 0)] {
        let mut wire = Wire::new(60, &format!("clean_session = {clean_session}"), EACH_SECOND);
        encode::connack(&mut wire.to_device, present, 0);
        wire.turn().unwrap();
        assert_eq!(wire.counts().clean_sessions_present, counted, "{clean_session} {present}");
        wire.pass(3.0).unwrap();
        assert!(wire.ack() > 0, "the connection continues");
        wire.turn().unwrap();
        wire.close(Closed::Eof);
        wire.device.settle(wire.now);
    }
}

#[test]
fn session_present_with_a_refusal_is_in_the_example() {
    for present in [true, false] {
        let mut wire = Wire::new(60, "", EACH_SECOND);
        encode::connack(&mut wire.to_device, present, 5);
        let _ = wire.turn();
        let errors = wire.errors();
        let [crate::measure::ErrorTotals { example, .. }] = errors.as_slice() else {
            panic!("expected one error class: {errors:?}")
        };
        assert!(example.contains("CONNACK return code 5"), "{example}");
        assert_eq!(example.contains("section 3.2.2.2"), present, "{example}");
        wire.device.settle(wire.now);
    }
}
