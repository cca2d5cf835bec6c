//! Failures that the load generator may have caused: after a stall of the worker, or because of a missing local resource.

use super::*;

/// The load generator is the culprit for a loss just after a long stall of the worker. Otherwise the hub is.
#[test]
fn loss_after_a_long_stall_is_excused() {
    for (stall_s, before_s, excused) in [(3, 1.0, 1), (1, 1.0, 0), (0, 3.0, 0)] {
        let mut wire =
            Wire::online(60, "clean_session = true\nkeep_alive = \"5s\"\nack_timeout = \"60s\"", EACH_SECOND);
        let from = wire.now;
        wire.now += Duration::from_secs(stall_s);
        wire.context.deadlines.stalls().note(from, wire.now);
        wire.turn().unwrap();
        wire.now += Duration::from_secs_f64(before_s);
        wire.turn().unwrap();
        let sent = wire.sent().iter().filter(|packet| matches!(packet, Packet::Publish(_))).count() as u64;
        wire.close(Closed::Eof);
        wire.device.settle(wire.now);
        let telemetry = wire.measurement().of(Operation::Telemetry);
        assert!(sent > 0 || stall_s + before_s as u64 == 0, "{stall_s}");
        assert_eq!(telemetry.outcomes[Outcome::Lost], sent, "{stall_s} {before_s}");
        assert_eq!(telemetry.excused[Outcome::Lost], sent * excused, "{stall_s} {before_s}");
    }
}

/// A hub that is still unreachable long after a stall is itself the cause.
#[test]
fn excuse_for_a_stall_ends() {
    for (away_s, is_excused) in [(59, true), (61, false)] {
        let mut wire =
            Wire::online(300, "clean_session = true\nkeep_alive = \"5s\"\nsend_by = \"1s\"", EACH_SECOND);
        let from = wire.now;
        wire.now += Duration::from_secs(3);
        wire.context.deadlines.stalls().note(from, wire.now);
        wire.turn().unwrap();
        wire.close(Closed::Eof);
        let lost_ns = wire.context.ns(wire.now);
        assert_eq!(wire.device.excuse, Excuse::Stall);
        let ends_ns = wire.context.stall_excuse_ns.get();
        assert_eq!(lost_ns + away_s * 1_000_000_000 < ends_ns, is_excused, "{away_s}");
    }
}

#[test]
fn messages_delayed_by_a_local_failure_are_excused() {
    let mut wire = Wire::new(60, "send_by = \"2s\"", EACH_SECOND);
    let full = std::io::Error::from_raw_os_error(24);
    let error = crate::link::DialError::new(crate::link::Step::Tcp, Default::default(), full);
    wire.device.dial_failed(&error, wire.now);
    wire.now += Duration::from_secs(5);
    wire.device.start_attempt(wire.context.ns(wire.now), wire.now);
    wire.connack(0);
    wire.pass(1.0).unwrap();
    wire.ack();
    let measurement = wire.measurement();
    let telemetry = measurement.of(Operation::Telemetry);
    assert!(telemetry.outcomes[Outcome::Expired] >= 2, "{telemetry:?}");
    assert_eq!(telemetry.excused[Outcome::Expired], telemetry.outcomes[Outcome::Expired]);
    assert_eq!(measurement.of(Operation::Connect).excused.sum(), 1);
    // From here on, the hub is the culprit again.
    wire.now += Duration::from_secs(1);
    wire.turn().unwrap();
    wire.close(Closed::Eof);
    assert_eq!(wire.device.excuse, Excuse::None);
    wire.device.settle(wire.now);
}
