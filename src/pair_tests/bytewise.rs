//! Delivering the bytes on the wire one at a time changes nothing.

use super::*;

/// Latency affects the measured times. The size of the chunks in which bytes arrive does not.
#[test]
fn single_bytes_give_the_same_events() {
    let run = |bytewise: bool, latency: Duration| {
        let mut pair = Pair::new(Settings { clean_session: false, ..settings() });
        pair.bytewise = bytewise;
        pair.latency = latency;
        for _ in 0..2 {
            pair.connect(HOUR);
            pair.run(seconds(1));
            pair.subscribe();
            for seq in 0..8 {
                pair.publish(seq);
            }
            pair.run(seconds(200));
            pair.publish(8);
            pair.drop_connection();
        }
        let start = pair.start;
        let events: Vec<String> = pair
            .events
            .iter()
            .map(|event| match event {
                Event::Acked { tag, sent, resent } => {
                    format!("acked {} {:?} {resent}", tag, *sent - start)
                }
                Event::Pong { sent } => format!("pong {:?}", *sent - start),
                Event::Subscribed { sent, granted, .. } => {
                    format!("subscribed {:?} {granted:?}", *sent - start)
                }
                Event::Lost { tag, .. } => format!("lost {}", tag),
                Event::TimedOut { tag, .. } => format!("timed out {}", tag),
                other => format!("{other:?}"),
            })
            .collect();
        (events, pair.telemetry)
    };
    for latency in [Duration::ZERO, Duration::from_millis(150)] {
        let (events, telemetry) = run(false, latency);
        assert_eq!((events.clone(), telemetry), run(true, latency));
        assert_eq!(telemetry, 17, "{events:?}");
    }
}
