//! A hub that stops reading, over a real link and a pipe, and a hub that only sends.

use super::*;
use crate::link::{End, Link, Transport};

/// Runs a link over a pipe. The hub answers CONNECT and then stops reading.
async fn run_against_a_frozen_hub(
    load_s: u64,
    fleet: &str,
) -> (End<SessionError>, ConnectionEnd, Totals, Duration) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let big = "rate = \"100/s\"\nqos = 0\npayload = { size = 4096 }";
    let context = context(load_s, fleet, big);
    let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index: 0 });
    device.start_span(context.plan.schedule.online_spans(0, 1)[0]);
    device.start_attempt(0, crate::clock::now());
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut link = Link::new(Transport::Duplex(ours), context.buffers.clone(), &context.deadlines);
    let hub = async {
        let mut connect = [0; 256];
        let _ = theirs.read(&mut connect).await.unwrap();
        let mut connack = BytesMut::new();
        encode::connack(&mut connack, false, 0);
        theirs.write_all(&connack).await.unwrap();
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = std::future::poll_fn(|cx| link.poll(cx, &mut device)) => end,
        () = hub => unreachable!("it never ends"),
        error = context.deadlines.run() => panic!("{error}"),
    };
    let lasted = crate::clock::now() - context.clock.zero;
    let connection = device.connection_end();
    let wire =
        Wire { context, device, now: crate::clock::now(), out: BytesMut::new(), to_device: BytesMut::new() };
    let sent = wire.context.plan.fleets[0].sends[0].operation;
    (end, connection, wire.totals_at_end(sent), lasted)
}

#[tokio::test(start_paused = true)]
async fn hub_that_stops_reading_does_not_delay_the_end() {
    let (end, connection, telemetry, lasted) = run_against_a_frozen_hub(5, "keep_alive = \"1000s\"").await;
    assert_eq!((end, connection), (End::Closed(Closed::Local), ConnectionEnd::Finished));
    assert_eq!((telemetry.due, telemetry.outcome(Outcome::Unfinished)), (500, 500));
    assert!(lasted < Duration::from_secs(5 + 2 + 2), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn keep_alive_detects_a_hub_that_stops_reading() {
    let (end, connection, telemetry, lasted) = run_against_a_frozen_hub(600, "keep_alive = \"20s\"").await;
    assert_eq!(end, End::Failed(SessionError::PingTimeout));
    assert_eq!(connection, ConnectionEnd::Lost);
    assert_eq!(telemetry.outcome(Outcome::Ok), 0);
    assert!(lasted < Duration::from_secs(20 + 20 + 31), "{lasted:?}");
}

#[test]
fn reading_stops_while_a_hub_does_not_read_acknowledgments() {
    let mut wire = Wire::online(60, "", EACH_SECOND);
    let publish = encode::PublishRef {
        topic: "devices/a-00000/messages/devicebound/",
        payload: b"x",
        qos: wire::QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 1,
    };
    for _ in 0..5_000 {
        encode::publish(&mut wire.to_device, &publish).unwrap();
    }
    wire.device.handle_input(wire.now, &mut wire.to_device).unwrap();
    assert!(!wire.device.wants_input() && !wire.to_device.is_empty());
    let mut acks = 0;
    while !wire.to_device.is_empty() {
        wire.turn().unwrap();
        acks += wire.sent().iter().filter(|packet| matches!(packet, Packet::PubAck(1))).count();
    }
    assert_eq!(acks, 5_000, "each message is acknowledged");
}
