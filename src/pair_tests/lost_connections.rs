//! Unacknowledged messages when a connection is lost or taken over.

use super::*;
use crate::iothub::service::{Feedback, ServiceRequest};
use std::collections::BTreeMap;

#[test]
fn after_a_takeover_a_kept_session_sends_again_what_was_not_acknowledged() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.subscribe();
    pair.run(seconds(1));
    assert!(
        matches!(pair.events.last(), Some(Event::Subscribed { granted, .. }) if *granted == [1, 0]),
        "{:?}",
        pair.events
    );
    // The hub is told to make room before the message reaches it.
    pair.publish(1);
    pair.hub.take_over();
    pair.run(seconds(1));
    assert_eq!((pair.ends.len(), pair.acked()), (1, 0));
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. })), 0);
    pair.connect(HOUR);
    pair.run(seconds(1));
    assert_eq!(pair.count(|event| matches!(event, Event::Connected { session_present: true })), 1);
    assert_eq!(pair.count(|event| matches!(event, Event::Acked { resent: true, tag, .. } if *tag == 1)), 1);
    assert_eq!(pair.telemetry, 1);
}

#[test]
fn after_a_drop_a_clean_session_has_lost_what_was_not_acknowledged() {
    let mut pair = Pair::online(settings());
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!((pair.acked(), pair.telemetry), (0, 0));
}

#[test]
fn without_a_session_at_the_hub_what_was_kept_is_lost() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. })), 0);
    // No subscription, so the hub has no session to come back to.
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!(pair.count(|event| matches!(event, Event::Connected { session_present: false })), 2);
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    assert_eq!(pair.telemetry, 0);
}

/// Connections that are lost with messages and acknowledgements on their way: what comes again is the same packet with DUP set, and
/// nothing is left behind.
#[test]
fn messages_to_a_kept_session_arrive_over_any_losses() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.subscribe();
    pair.run(seconds(1));
    let mut pending = Vec::new();
    for n in 0..40_u64 {
        let message = ServiceRequest::SendMessage {
            message_id: None,
            properties: BTreeMap::new(),
            payload: n.to_string(),
            ttl: None,
            ack: Feedback::None,
        };
        pending.push(pair.directory.request(pair.now, pair.unix(), DEVICE, message));
        pair.hub.wake();
        // Now the message is lost, now its acknowledgement, now nothing.
        pair.run(Duration::from_millis(n % 14));
        if n % 3 != 0 {
            pair.drop_connection();
            pair.connect(HOUR);
        }
    }
    pair.run(seconds(200));
    assert!(pending.iter_mut().all(|pending| pending.result.try_recv().is_ok_and(|result| result.is_ok())));
    let messages: Vec<(u64, bool)> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Message(it) => Some((std::str::from_utf8(&it.payload).ok()?.parse().ok()?, it.dup)),
            _ => None,
        })
        .collect();
    let first: Vec<u64> = (0..40).filter_map(|n| Some(messages.iter().find(|(it, _)| *it == n)?.0)).collect();
    assert_eq!(first, (0..40).collect::<Vec<_>>(), "each came");
    assert!(messages.len() > 40, "some came again");
    for (at, (n, dup)) in messages.iter().enumerate() {
        let before = messages[..at].iter().any(|(it, _)| it == n);
        assert!(*dup || !before, "{n} came again without DUP");
    }
    let twin = pair
        .directory
        .request(pair.now, pair.unix(), DEVICE, ServiceRequest::ReadTwin)
        .result
        .try_recv()
        .unwrap();
    assert_eq!(twin.unwrap().payload.unwrap()["cloudToDeviceMessageCount"], 0);
}
