//! Due messages: lag, expiry, backlog, the offline policy, bursts and QoS 0.

use super::*;

/// Returns the number of operations with a lag over 100 ms.
fn late(totals: &Totals) -> u64 {
    totals.lag.count_above(100_000)
}

#[test]
fn expired_messages_show_the_generators_lag() {
    let mut wire = Wire::online(60, "send_by = \"1s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    assert_eq!(wire.ack(), 2);
    wire.turn().unwrap();
    // The load generator stalls, which is the only cause of the delay.
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert!(telemetry.lag.max().is_some_and(|us| us > 4_000_000), "{:?}", telemetry.lag.max());
    assert!(late(&telemetry) >= 4);

    // Messages that expire while the hub keeps the window full have no lag.
    let mut wire = Wire::online(60, "send_by = \"1s\"\nin_flight = 1\nack_timeout = \"60s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert_eq!(late(&telemetry), 0);
}

#[test]
fn expired_backlog_is_ended_in_several_turns() {
    let mut wire = Wire::new(60, "send_by = \"1s\"", "every = \"1us\"\npayload = \"x\"");
    wire.now += Duration::from_secs(3);
    wire.connack(0);
    let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
    assert_eq!(telemetry.outcome(Outcome::Expired), 4096);
    assert_eq!(wire.device.poll_timeout(), Some(wire.now), "continues immediately");
    // The device was offline, so the hub is the cause, no matter how long it takes to end all expired messages.
    let (mut late_in_all, mut expired) = (late(&telemetry), telemetry.outcome(Outcome::Expired));
    while expired < 2_000_000 {
        wire.turn().unwrap();
        let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
        (late_in_all, expired) =
            (late_in_all + late(&telemetry), expired + telemetry.outcome(Outcome::Expired));
        if wire.device.poll_timeout() != Some(wire.now) {
            break;
        }
    }
    assert_eq!((late_in_all, expired / 100_000), (0, 20), "the messages of two seconds");
}

#[test]
fn offline_skip_drops_only_messages_due_while_offline() {
    let fleet = "offline = \"skip\"\nin_flight = 1\nsend_by = \"60s\"\nack_timeout = \"60s\"";
    let mut wire = Wire::online(60, fleet, EACH_SECOND);
    // Message 0 is in flight; 1, 2 and 3 wait for the window; then the connection is lost.
    wire.pass(4.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(10);
    wire.attempt();
    wire.sent();
    wire.connack(0);
    // The window has room for one message per turn: the three due before the loss, none of the ten due while offline, then the
    // newest.
    let mut sent = 0;
    for _ in 0..10 {
        sent += wire.ack();
        wire.turn().unwrap();
    }
    assert_eq!(sent, 3);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.ack(), 1);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert_eq!((telemetry.outcome(Outcome::Offline), telemetry.outcome(Outcome::Lost)), (10, 1));
    assert_eq!((telemetry.outcome(Outcome::Ok), telemetry.due), (4, 15));
}

/// A device that never connects reports its messages, which are due within each second, while it waits for its next attempt, not only at the end.
#[test]
fn offline_messages_end_when_their_outcome_is_certain() {
    for (offline, outcome, until_each_second) in
        [("queue", Outcome::Expired, [0, 0, 0, 0, 1, 2]), ("skip", Outcome::Offline, [0, 1, 2, 3, 4, 5])]
    {
        let fleet = format!("offline = \"{offline}\"\nsend_by = \"3s\"");
        let mut wire = Wire::new(60, &fleet, EACH_SECOND);
        wire.connack(5);
        assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Failed);
        let (start, mut next_ns, mut ended) = (wire.now, Some(0), 0);
        for (second, expected) in (0..).zip(until_each_second) {
            wire.now = start + Duration::from_secs(second);
            if next_ns.is_some_and(|next_ns| next_ns <= wire.context.ns(wire.now)) {
                next_ns = wire.device.end_messages_while_offline(wire.now);
            }
            let telemetry = wire.measurement().of(Operation::Telemetry);
            ended += telemetry.outcome(outcome);
            assert_eq!((ended, telemetry.due), (expected, telemetry.ended()), "{offline}, {second} s");
        }
    }
}

#[test]
fn qos_0_messages_do_not_wait_for_the_window() {
    let two = "every = \"1s\"\npayload = \"x\"\n[[fleet.a.send]]\narrival = \"regular\"\nevery = \"1s\"\nqos = 0\npayload = \"y\"";
    let mut wire = Wire::online(60, "in_flight = 1", two);
    wire.pass(5.0).unwrap();
    let qos_of = |packet: &Packet| match packet {
        Packet::Publish(publish) => Some(publish.qos),
        _ => None,
    };
    let mut qos: Vec<_> = wire.sent().iter().filter_map(qos_of).collect();
    qos.sort();
    assert_eq!(qos.iter().filter(|qos| **qos == wire::QoS::AtMostOnce).count(), 5);
    assert_eq!(qos.len(), 6, "and one that waits for its PUBACK");
}

#[test]
fn burst_is_sent_at_one_instant() {
    let mut wire = Wire::online(60, "", "every = \"10s\"\nburst = 5\nretain = true\npayload = \"x\"");
    wire.sent();
    while wire.out.is_empty() {
        let next = wire.device.poll_timeout().expect("a burst every 10 s");
        wire.pass((next - wire.now).as_secs_f64()).unwrap();
    }
    let sent = wire.sent();
    let seqs = sent.iter().filter(|packet| matches!(packet, Packet::Publish(publish) if publish.retain));
    assert_eq!((seqs.count(), sent.len()), (5, 5));
    assert!(!wire.totals_at_end(Operation::Telemetry).closed_loop);
}
