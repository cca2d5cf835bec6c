//! Due messages: lag, expiry, backlog, the offline policy, bursts and QoS 0.

use super::*;

/// Operations that were picked over 100 ms late.
fn late(totals: &Totals) -> u64 {
    totals.lag.count_above(100_000)
}

#[test]
fn a_late_generator_shows_in_what_expires() {
    let mut wire = Wire::online(60, "send_by = \"1s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    assert_eq!(wire.ack(), 2);
    wire.turn().unwrap();
    // This process is stopped, and nothing but that keeps messages back.
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert!(telemetry.lag.max().is_some_and(|us| us > 4_000_000), "{:?}", telemetry.lag.max());
    assert!(late(&telemetry) >= 4);

    // What waits for a window that the hub keeps full expires because of the hub.
    let mut wire = Wire::online(60, "send_by = \"1s\"\nin_flight = 1\nack_timeout = \"60s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert_eq!(late(&telemetry), 0);
}

#[test]
fn a_backlog_that_is_too_late_leaves_the_others_their_turn() {
    let mut wire = Wire::new(60, "send_by = \"1s\"", "every = \"1us\"\npayload = \"x\"");
    wire.now += Duration::from_secs(3);
    wire.connack(0);
    let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
    assert_eq!(telemetry.outcome(Outcome::Expired), 4096);
    assert_eq!(wire.device.poll_timeout(), Some(wire.now), "and goes on at once");
    // It was offline, which is the hub's doing, however long it takes to end them all.
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
    assert_eq!((late_in_all, expired / 100_000), (0, 20), "those of two seconds");
}

#[test]
fn a_device_that_skips_sends_its_backlog_and_not_what_fell_due_while_it_was_offline() {
    let fleet = "offline = \"skip\"\nin_flight = 1\nsend_by = \"60s\"\nack_timeout = \"60s\"";
    let mut wire = Wire::online(60, fleet, EACH_SECOND);
    // Message 0 is in flight; 1, 2 and 3 wait for the window; then the connection goes.
    wire.pass(4.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(10);
    wire.attempt();
    wire.sent();
    wire.connack(0);
    // One a turn, as far as the window lets them: the three from before, nothing of the ten, then the newest.
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

#[test]
fn what_needs_no_ack_does_not_wait_for_the_window() {
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
    assert_eq!(qos.len(), 6, "and one that waits for its ack");
}

#[test]
fn a_burst_goes_at_one_instant() {
    let mut wire = Wire::online(60, "", "every = \"10s\"\nburst = 5\nretain = true\npayload = \"x\"");
    wire.sent();
    while wire.out.is_empty() {
        let next = wire.device.poll_timeout().expect("a burst in each 10 s");
        wire.pass((next - wire.now).as_secs_f64()).unwrap();
    }
    let sent = wire.sent();
    let seqs = sent.iter().filter(|packet| matches!(packet, Packet::Publish(publish) if publish.retain));
    assert_eq!((seqs.count(), sent.len()), (5, 5));
    assert!(!wire.totals_at_end(Operation::Telemetry).closed_loop);
}
