//! Disconnects by the scenario: the packets of the device, the outcomes of its messages, and the counts.

use super::*;

/// The device is online for 10 s, and is then disconnected.
fn storm(how: &str) -> String {
    format!(
        "every = \"1s\"\npayload = \"x\"\n[[phase]]\nname = \"calm\"\nduration = \"10s\"\n\
         [[phase]]\nname = \"storm\"\ndisconnect = {{ how = \"{how}\" }}\nduration = \"10s\""
    )
}

#[test]
fn device_disconnects_as_told_and_reconnects_by_its_policy() {
    for (how, close) in [("close", Close::AfterFlush), ("reset", Close::Reset), ("silent", Close::Silent)] {
        for (clean, lost, resent) in [(true, 3, 0), (false, 0, 3)] {
            let policy = "reconnect = { kind = \"fixed\", delay = \"2s\" }\nack_timeout = \"60s\"";
            let mut wire = Wire::online(5, &format!("clean_session = {clean}\n{policy}"), &storm(how));
            wire.pass(7.0).unwrap();
            wire.ack();
            wire.pass(2.999).unwrap();
            assert_eq!((wire.device.poll_close(), wire.ack()), (None, 3), "{how}");
            wire.to_device.clear();
            wire.pass(0.001).unwrap();
            assert_eq!(wire.device.poll_close(), Some(close));
            let last = if how == "close" { vec![Packet::Disconnect] } else { vec![] };
            assert_eq!(wire.sent(), last, "{how}");
            assert_eq!(wire.close(Closed::Local), ConnectionEnd::Disconnected);
            let delay = wire.device.back_off(&mut Retries::default(), wire.now);
            assert_eq!(delay, Some(Duration::from_secs(2)));
            wire.now += Duration::from_secs(2);
            wire.attempt();
            wire.sent();
            encode::connack(&mut wire.to_device, !clean, 0);
            wire.turn().unwrap();
            let sent = wire.sent();
            let published = sent.iter().filter_map(|packet| match packet {
                Packet::Publish(publish) => Some(publish.dup),
                _ => None,
            });
            let published: Vec<bool> = published.collect();
            assert_eq!(published.iter().filter(|dup| **dup).count(), resent, "{how} {clean}");
            assert_eq!(published.iter().filter(|dup| !**dup).count(), 2, "those due in the meantime");
            wire.pass(1.0).unwrap();
            assert_eq!(wire.device.poll_close(), None, "it is disconnected only once");
            let counts = *wire.context.recorder.borrow_mut().counts(0);
            assert_eq!((counts.disconnects, counts.reconnects), (1, 1));
            let (telemetry, errors) = wire.totals_and_errors(Operation::Telemetry);
            assert_eq!(telemetry.outcome(Outcome::Lost), lost, "{how} {clean}");
            assert!(errors.is_empty(), "a planned disconnect is no error: {errors:?}");
        }
    }
}

#[test]
fn device_that_is_offline_at_its_disconnect_is_left_out() {
    let mut wire = Wire::online(5, "reconnect = { kind = \"fixed\", delay = \"4s\" }", &storm("reset"));
    wire.pass(8.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(4);
    wire.attempt();
    wire.connack(0);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.device.poll_close(), None);
    assert_eq!(wire.context.recorder.borrow_mut().counts(0).disconnects, 0);
}

#[test]
fn churn_ends_a_span_as_told() {
    for (how, expected) in [("close", None), ("reset", Some(Close::Reset)), ("silent", Some(Close::Silent))] {
        let churn = format!(
            "every = \"100ms\"\npayload = \"x\"\n[[phase]]\nname = \"churn\"\nduration = \"10m\"\n\
             churn = {{ rate = \"100%/1m\", how = \"{how}\", away = \"10s\" }}"
        );
        let mut wire = Wire::online(5, "in_flight = 9999\nack_timeout = \"1h\"", &churn);
        let plan = wire.context.plan.clone();
        let mut stays = plan.schedule.stays(&plan.device_seed(&plan.fleets[0], 0));
        let stay = stays.next().unwrap();
        wire.device.leaves = stay.left;
        wire.device.span = stay.span;
        #[expect(clippy::cast_precision_loss, reason = "minutes")]
        wire.pass(stay.span.to_ns as f64 / 1e9).unwrap();
        assert_eq!(wire.device.poll_close(), expected, "{how}");
        assert_eq!(wire.context.recorder.borrow_mut().counts(0).disconnects, 1);
        if how == "close" {
            assert!(
                matches!(wire.device.connection, ConnectionState::Disconnecting(_)),
                "it waits for PUBACKs"
            );
            wire.pass(2.0).unwrap();
            assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
        } else {
            assert_eq!(wire.close(Closed::Local), ConnectionEnd::Left);
        }
        wire.device.end_span(wire.now);
        let again = stays.next().unwrap();
        assert_eq!(again.span.from_ns, stay.span.to_ns + 10_000_000_000);
        let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
        assert_eq!(telemetry.due, telemetry.ended() + wire.device.session.open().count() as u64);
    }
}
