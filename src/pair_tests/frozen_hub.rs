//! A hub that stops answering.

use super::*;

#[test]
fn frozen_hub_causes_timeouts_and_late_acknowledgments() {
    let mut pair = Pair::online(Settings { keep_alive_s: 600, ..settings() });
    pair.frozen = true;
    pair.publish(1);
    pair.run(seconds(29));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { .. })), 0);
    pair.run(seconds(2));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { tag, .. } if *tag == 1)), 1);
    assert_eq!((pair.client.quarantined(), pair.client.has_room()), (1, true));
    pair.frozen = false;
    pair.publish(2);
    pair.run(seconds(1));
    assert_eq!(pair.count(|event| matches!(event, Event::LateAck)), 1);
    assert_eq!((pair.acked(), pair.client.quarantined(), pair.telemetry), (1, 0, 2));
}

#[test]
fn hub_that_acknowledges_nothing_ends_in_an_ack_stall() {
    let mut pair = Pair::online(Settings { keep_alive_s: 600, in_flight: 3, ..settings() });
    pair.frozen = true;
    for seq in 0..3 {
        pair.publish(seq);
    }
    assert!(!pair.client.has_room());
    pair.run(seconds(31));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { .. })), 3);
    assert!(matches!(pair.ends[..], [End { client: Some(SessionError::AckStall), .. }]), "{:?}", pair.ends);
}

#[test]
fn frozen_hub_does_not_answer_pings() {
    let mut pair = Pair::online(settings());
    pair.frozen = true;
    pair.run(seconds(120));
    assert!(
        matches!(pair.ends[..], [End { client: Some(SessionError::PingTimeout), .. }]),
        "{:?}",
        pair.ends
    );
}
