//! Unacknowledged messages when a connection is lost or taken over.

use super::*;
use crate::iothub::service::{Feedback, ServiceRequest};
use std::collections::BTreeMap;

#[test]
fn takeover_of_a_kept_session_resends_messages() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.subscribe();
    pair.run(seconds(1));
    assert!(
        matches!(pair.events.last(), Some(Event::Subscribed { granted, .. }) if *granted == [1, 0]),
        "{:?}",
        pair.events
    );
    // A takeover ends the connection before the message reaches the hub.
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
fn clean_session_loses_messages_with_its_connection() {
    let mut pair = Pair::online(settings());
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!((pair.acked(), pair.telemetry), (0, 0));
}

#[test]
fn kept_messages_are_lost_if_the_hub_has_no_session() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. })), 0);
    // Without a subscription, the hub does not keep the session.
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!(pair.count(|event| matches!(event, Event::Connected { session_present: false })), 2);
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    assert_eq!(pair.telemetry, 0);
}

/// Connections are lost with messages and acknowledgments in transit: repeated messages have DUP set, and all messages arrive.
#[test]
fn messages_to_a_kept_session_survive_lost_connections() {
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
        // The connection is lost while the message or its acknowledgment is in transit, or it is not lost.
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
    assert_eq!(first, (0..40).collect::<Vec<_>>(), "each message arrived");
    assert!(messages.len() > 40, "some arrived twice");
    for (at, (n, dup)) in messages.iter().enumerate() {
        let before = messages[..at].iter().any(|(it, _)| it == n);
        assert!(*dup || !before, "{n} was repeated without DUP");
    }
    let twin = pair
        .directory
        .request(pair.now, pair.unix(), DEVICE, ServiceRequest::ReadTwin)
        .result
        .try_recv()
        .unwrap();
    assert_eq!(twin.unwrap().payload.unwrap()["cloudToDeviceMessageCount"], 0);
}
