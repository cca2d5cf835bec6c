//! The end of a connection: planned, unexpected, and during a token renewal.

use super::*;

#[test]
fn loss_after_the_planned_end_is_not_offline_time() {
    let mut wire = Wire::online(3, "reconnect = { kind = \"never\" }", EACH_SECOND);
    wire.pass(4.0).unwrap();
    assert_eq!(wire.device.poll_close(), None, "three acknowledgments are outstanding");
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    let context = wire.context.clone();
    assert_eq!(wire.device.back_off(&mut Retries::default(), wire.now), None);
    assert_eq!(wire.totals_at_end(Operation::Online).due, 1, "only the planned connection");
    let counts = *context.recorder.borrow_mut().counts(0);
    assert_eq!((counts.reconnects, counts.gave_up), (0, 0));
}

/// The device should be online for the first 5 s, and again after 10 s.
const TWICE: &str = "every = \"1s\"\npayload = \"x\"\n[[phase]]\nname = \"on\"\nduration = \"5s\"\n\
                     [[phase]]\nname = \"off\"\nonline = \"0%\"\nduration = \"5s\"";

#[test]
fn messages_cut_off_by_the_span_are_unfinished_or_kept() {
    for (clean, unfinished, resent) in [(true, 5, 0), (false, 0, 5)] {
        let fleet = format!("clean_session = {clean}\nack_timeout = \"60s\"\nsubscribe = [\"c2d\"]");
        let mut wire = Wire::online(60, &fleet, TWICE);
        wire.pass(7.0).unwrap();
        assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush), "the drain is over");
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
        wire.device.end_span(wire.now);
        let mut measurement = wire.measurement();
        let telemetry = measurement.sum(|key| key.operation == Operation::Telemetry);
        assert_eq!(telemetry.outcome(Outcome::Unfinished), unfinished, "{clean}");
        assert_eq!(telemetry.due, 5);

        wire.now = wire.context.clock.zero + Duration::from_secs(10);
        wire.device.start_span(wire.context.plan.schedule.online_spans(0, 1)[1]);
        wire.attempt();
        wire.sent();
        encode::connack(&mut wire.to_device, !clean, 0);
        wire.turn().unwrap();
        let is_dup = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.dup);
        assert_eq!(wire.sent().iter().filter(|packet| is_dup(packet)).count(), resent);
        assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
        wire.device.settle(wire.now);
        measurement.merge(&wire.measurement());
        let telemetry = measurement.sum(|key| key.operation == Operation::Telemetry);
        assert_eq!((telemetry.due, telemetry.outcome(Outcome::Unfinished)), (5, 5), "each message ends once");
    }
}

#[test]
fn device_waits_for_unsuback_before_it_disconnects() {
    let fleet = "unsubscribe = true\nsubscribe = [\"c2d\"]\nack_timeout = \"60s\"";
    let unsubscribe = |wire: &mut Wire| {
        let mut sent = wire.sent().into_iter();
        sent.find_map(|packet| match packet {
            Packet::Unsubscribe { pid, filters } => Some((pid, filters)),
            _ => None,
        })
    };
    for answers in [true, false] {
        let mut wire = Wire::online(60, fleet, &TWICE.replace("1s", "100d"));
        wire.suback();
        wire.pass(4.9).unwrap();
        assert_eq!(unsubscribe(&mut wire), None, "the span is not over");
        wire.pass(0.2).unwrap();
        let (pid, filters) = unsubscribe(&mut wire).expect("the span is over");
        assert_eq!(filters, ["devices/a-00000/messages/devicebound/#"]);
        assert_eq!(wire.device.poll_close(), None, "waiting for UNSUBACK");
        if answers {
            encode::unsuback(&mut wire.to_device, pid);
            wire.turn().unwrap();
        } else {
            wire.pass(2.0).unwrap();
        }
        assert_eq!(wire.sent(), [Packet::Disconnect]);
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
        let outcome = if answers { Outcome::Ok } else { Outcome::Unfinished };
        let ends = wire.totals_at_end(Operation::Unsubscribe);
        assert_eq!((ends.due, ends.outcome(outcome)), (1, 1));
    }
}

#[test]
fn connection_lost_before_its_renewal_is_not_renewed() {
    let auth = "auth = { kind = \"sas\", ttl = \"10s\", renew = \"50%\" }\nack_timeout = \"5s\"";
    let mut wire = Wire::online(60, auth, "every = \"100ms\"\npayload = \"x\"");
    while !wire.device.is_reconnecting() {
        wire.ack();
        wire.pass(0.1).unwrap();
    }
    assert_eq!(wire.device.poll_close(), None, "an acknowledgment is outstanding");
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Lost);
    wire.attempt();
    wire.connack(0);
    let counts = *wire.context.recorder.borrow_mut().counts(0);
    assert_eq!((counts.reconnects, counts.renewals), (1, 0));
    assert_eq!(wire.totals_at_end(Operation::Online).due, 2, "the planned connection and the loss");
}
