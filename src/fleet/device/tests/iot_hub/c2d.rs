//! Cloud-to-device messages: their age, with and without clock steps, and their order.

use super::*;

const C2D: &str = "subscribe = [\"c2d\"]";

#[test]
fn age_is_measured_from_the_senders_stamp() {
    let mut wire = Wire::online(60, C2D, RARELY);
    wire.pass(10.0).unwrap();
    // The run starts at 1,800,000,000 s.
    for bag in [
        "hubstorm-sent=1800000009500000&hubstorm-seq=0",
        "iothub-creation-time-utc=2027-01-15T08%3A00%3A07Z",
        "hubstorm-sent=1799999990000000&hubstorm-seq=77",
        "temp=high",
        "hubstorm-sent=1800000011000000",
        "hubstorm-seq=1",
        "%ff",
    ] {
        wire.deliver(&c2d(bag), "{}");
    }
    let counts = wire.hub_counts();
    assert_eq!((counts.c2d, counts.c2d_unstamped), (7, 3));
    assert_eq!((counts.c2d_skipped, counts.c2d_duplicates), (0, 0), "numbers of an earlier run do not count");
    let ages = wire.totals_at_end(Operation::C2d);
    assert_eq!((ages.due, ages.outcome(Outcome::Ok)), (3, 3));
    assert_eq!(ages.service.count(), 0, "there is no answer");
    let seconds: Vec<_> = [0.3, 0.6, 1.0].map(|q| ages.response.quantile(q).map(|us| us / 100_000)).into();
    assert_eq!(seconds, [Some(5), Some(30), Some(200)]);
}

/// The clock steps after 10 s. One message was sent 5 s before the step and arrives right after it; another arrives 5 s later.
#[test]
fn age_never_contains_a_clock_step() {
    let drive = "\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"1/m\"\npayload = \"x\"";
    for by_us in [7_200_000_000, -7_200_000_000] {
        let stepped = |send: &str, sent: [i64; 2]| {
            let mut wire = Wire::online(60, C2D, send);
            wire.pass(10.0).unwrap();
            wire.context.wall.step(by_us);
            wire.deliver(&c2d(&format!("hubstorm-sent={}", sent[0])), "{}");
            wire.pass(5.0).unwrap();
            wire.deliver(&c2d(&format!("hubstorm-sent={}", sent[1])), "{}");
            let (ages, errors) = wire.totals_and_errors(Operation::C2d);
            (ages.outcome(Outcome::Ok), ages.response.max().map(|us| us / 1_000_000), errors)
        };
        let (five_s, twelve_s) = (1_800_000_005_000_000, 1_800_000_012_000_000);
        // The stamps of this run's service client do not step: the ages are 5 s and 3 s.
        let own = stepped(&format!("{RARELY}{drive}"), [five_s, twelve_s]);
        assert_eq!(own, (2, Some(5), vec![]), "{by_us}");
        // Other senders use a wall clock like this machine's: only the second age is known.
        let foreign = stepped(RARELY, [five_s, twelve_s + by_us]);
        assert_eq!(foreign, (1, Some(3), vec!["clock_step"]), "{by_us}");
    }
}

#[test]
fn stamp_later_than_the_arrival_is_an_error() {
    let mut wire = Wire::online(60, C2D, RARELY);
    wire.deliver(&c2d("hubstorm-sent=1800000011000000"), "{}");
    let errors = wire.errors();
    assert_eq!(
        errors.iter().map(|error| (error.class.as_str(), error.count)).collect::<Vec<_>>(),
        [("clock_ahead", 1)]
    );
    assert_eq!(wire.totals_at_end(Operation::C2d).due, 0);
}

#[test]
fn messages_before_subscribe_are_acknowledged() {
    let mut wire = Wire::new(60, C2D, RARELY);
    wire.sent();
    encode::connack(&mut wire.to_device, true, 0);
    let publish = encode::PublishRef {
        topic: &c2d("hubstorm-sent=1800000000000000&hubstorm-seq=0"),
        payload: b"x",
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 9,
    };
    for _ in 0..2 {
        encode::publish(&mut wire.to_device, &publish).unwrap();
    }
    wire.turn().unwrap();
    let acks = wire.sent().iter().filter(|packet| matches!(packet, Packet::PubAck(9))).count();
    assert_eq!(acks, 2);
    let counts = wire.hub_counts();
    assert_eq!((counts.c2d, counts.c2d_duplicates), (2, 1));
    assert_eq!(wire.totals_at_end(Operation::C2d).outcome(Outcome::Ok), 2);
}
