//! Keep-alive, token expiry, renewals and refusals.

use super::*;

#[test]
fn idle_connection_is_kept_alive_for_an_hour() {
    for keep_alive_s in [1, 60, 1177] {
        let mut pair = Pair::online(Settings { keep_alive_s, ..settings() });
        pair.run(HOUR);
        assert!(pair.ends.is_empty(), "{keep_alive_s}: {:?}", pair.ends);
        let pongs = pair.count(|event| matches!(event, Event::Pong { .. }));
        let least = 3600 / usize::from(keep_alive_s) - 2;
        assert!((least.max(1)..=2 * (least + 2)).contains(&pongs), "{keep_alive_s}: {pongs}");
    }
}

#[test]
fn hub_closes_an_idle_connection_without_keep_alive() {
    let mut pair = Pair::new(Settings { keep_alive_s: 0, ..settings() });
    pair.connect(24 * HOUR);
    pair.run(HOUR);
    assert_eq!(pair.ends.len(), 1);
    assert_eq!(pair.ends[0].hub, Some(HubError::KeepAlive));
    assert_eq!(pair.ends[0].at, limits::KEEP_ALIVE_TIMEOUT_MAX + pair.latency);
}

#[test]
fn expired_token_ends_the_connection_after_its_grace() {
    let mut pair = Pair::new(settings());
    pair.connect(seconds(600));
    pair.run(HOUR);
    assert_eq!(pair.ends.len(), 1);
    assert_eq!(pair.ends[0].at, seconds(600) + limits::EXPIRY_GRACE);
    assert!(pair.hub_events.contains(&HubEvent::Expired));
    assert_eq!(pair.client.state(), State::Closed);
}

#[test]
fn renewals_avoid_the_expiry_and_lose_nothing() {
    let mut pair = Pair::new(Settings { clean_session: false, ..settings() });
    for seq in 0..8 {
        pair.connect(seconds(600));
        pair.run(seconds(1));
        pair.publish(seq);
        pair.run(seconds(470));
        let mut out = BytesMut::new();
        pair.client.disconnect(pair.now, &mut out);
        pair.to_hub.send(pair.now + pair.latency, out);
        pair.run(seconds(1));
    }
    assert_eq!((pair.ends.len(), pair.acked(), pair.telemetry), (8, 8, 8));
    assert!(!pair.hub_events.contains(&HubEvent::Expired));
    assert!(pair.ends.iter().all(|end| end.hub.is_none() && end.client.is_none()), "{:?}", pair.ends);
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. } | Event::TimedOut { .. })), 0);
}

#[test]
fn refusal_carries_its_code() {
    let mut pair = Pair::with(settings(), Vec::new());
    pair.connect(HOUR);
    pair.run(seconds(1));
    assert!(
        matches!(pair.events[..], [Event::Refused { code: 5, session_present: false }]),
        "{:?}",
        pair.events
    );
    assert_eq!(pair.ends.len(), 1);
}
