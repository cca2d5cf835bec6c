//! The hot functions: the cost of every message besides the socket and TLS. One table, used by the timer and by callgrind.
//!
//! Everything is seeded and no step reads a clock, so that a step does the same work in every run.

use bytes::BytesMut;
use hubstorm::clock;
use hubstorm::emulator::directory::Directory;
use hubstorm::emulator::session::HubSession;
use hubstorm::emulator::{Address, Config};
use hubstorm::fleet::{Arrival, DeliveryTracker, DeviceRef, Inbox};
use hubstorm::iothub::emulator_options::{EmulatorOptions, TierOptions};
use hubstorm::iothub::limits::Tier;
use hubstorm::iothub::names;
use hubstorm::iothub::sas::{self, Key as SasKey};
use hubstorm::iothub::throttles::HubSize;
use hubstorm::measure::{
    Collector, Delta, Fleet, Key, Layout, Operation, Phase, Recorder, SecondEnd, Source, Times,
};
use hubstorm::plan::{self, Cursor, Load, Payload, PayloadContext, RunLoad, Span, Spread, Stamp};
use hubstorm::policy::ping::PingPolicy;
use hubstorm::rng::Purpose;
use hubstorm::sansio::Machine;
use hubstorm::scenario::Input;
use hubstorm::session::{Credentials, Event, Message, Session, Settings};
use hubstorm::stalls::Stalls;
use hubstorm::wire::{self, Packet, QoS, Strictness, encode};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One step of a hot function, which can be repeated.
type Step = Box<dyn FnMut()>;

/// A hot function. `prepare` creates its input.
pub(crate) struct Hot {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn() -> Step,
}

pub(crate) const HOT: [Hot; 16] = [
    Hot { name: "encode-publish", prepare: encode_publish },
    Hot { name: "decode-puback", prepare: decode_puback },
    Hot { name: "decode-publish", prepare: decode_publish },
    Hot { name: "publish-to-ack", prepare: publish_to_ack },
    Hot { name: "record", prepare: || record(0) },
    Hot { name: "record-late", prepare: || record(1) },
    Hot { name: "swap", prepare: || swap(None) },
    Hot { name: "swap-with-journal", prepare: || swap(Some(Delta::default())) },
    Hot { name: "hub-telemetry", prepare: || hub_telemetry(None) },
    Hot { name: "hub-telemetry-s3", prepare: || hub_telemetry(Some(TierOptions::of(S3))) },
    Hot { name: "find-stamp", prepare: find_stamp },
    Hot { name: "publish-to-deliver", prepare: publish_to_deliver },
    Hot { name: "next-arrival-regular", prepare: || next_arrival(Spread::Regular) },
    Hot { name: "next-arrival-poisson", prepare: || next_arrival(Spread::Poisson) },
    Hot { name: "render-template", prepare: || render(&Payload::template(TEMPLATE).expect("a template")) },
    Hot { name: "render-filler", prepare: || render(&Payload::filler(PAYLOAD.len())) },
];

/// A tier that does not throttle the step. Its quota is never used up, because only few steps run.
const S3: HubSize = HubSize { tier: Tier::S3, units: 10 };

const SEED: u64 = 1;
const DEVICE: &str = "meter-00001";
const TOPIC: &str = "devices/meter-00001/messages/events/";
const PAYLOAD: [u8; 256] = [b'x'; 256];
const TEMPLATE: &str =
    r#"{"id":"${device}","seq":${seq},"t":"${now}","kwh":${walk(start=1200, step=0.4, min=0)}}"#;

fn encode_publish() -> Step {
    let mut out = BytesMut::with_capacity(1024);
    let publish = encode::PublishRef {
        topic: TOPIC,
        payload: &PAYLOAD,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 1,
    };
    Box::new(move || {
        out.clear();
        encode::publish(black_box(&mut out), black_box(&publish)).expect("it fits");
    })
}

fn decode_puback() -> Step {
    let mut frame = BytesMut::new();
    encode::puback(&mut frame, 7);
    decode(frame, |packet| matches!(packet, Packet::PubAck(7)))
}

/// Decodes strictly, as the emulator does.
fn decode_publish() -> Step {
    let mut frame = BytesMut::new();
    let publish = encode::PublishRef {
        topic: TOPIC,
        payload: &PAYLOAD,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 7,
    };
    encode::publish(&mut frame, &publish).expect("it fits");
    decode(frame, |packet| matches!(packet, Packet::Publish(publish) if publish.pid == 7))
}

fn decode(frame: BytesMut, expected: fn(&Packet) -> bool) -> Step {
    let mut input = BytesMut::with_capacity(64 * 1024);
    Box::new(move || {
        input.extend_from_slice(&frame);
        let packet = wire::decode(black_box(&mut input), 1024, Strictness::Strict);
        assert!(packet.is_ok_and(|packet| packet.as_ref().is_some_and(expected)));
    })
}

/// Sends a message, receives its PUBACK, and polls the event.
fn publish_to_ack() -> Step {
    let settings = Settings {
        keep_alive_s: 240,
        clean_session: true,
        in_flight: 32,
        ack_timeout: Duration::from_secs(10),
        connack_timeout: Duration::from_secs(10),
        pings: PingPolicy::OWN,
        frame_mib_max: 1,
    };
    #[expect(clippy::disallowed_methods, reason = "the start of virtual time")]
    let mut now = Instant::now();
    // As large as the device's data for a message.
    let mut session: Session<[u64; 5]> = Session::new(settings);
    let (mut input, mut out) = (BytesMut::with_capacity(1024), BytesMut::with_capacity(1024));
    let credentials = Credentials { client_id: DEVICE, username: None, password: None };
    session.connect(now, &credentials, &mut out).expect("short fields");
    input.extend_from_slice(&[0x20, 2, 0, 0]);
    session.handle_input(now, &mut input).expect("a CONNACK");
    assert!(matches!(session.poll_event(), Some(Event::Connected { .. })));
    let mut seq = 0;
    Box::new(move || {
        now += Duration::from_micros(100);
        out.clear();
        session.poll_output(now, &mut out);
        let tag = [seq; 5];
        let message = Message { topic: TOPIC, payload: &PAYLOAD, qos: QoS::AtLeastOnce, retain: false };
        session.publish(now, black_box(&message), tag, &mut out).expect("room");
        let pid = &out[out.len() - PAYLOAD.len() - 2..][..2];
        input.extend_from_slice(&[0x40, 2, pid[0], pid[1]]);
        session.handle_timeout(now).expect("no timeout");
        session.handle_input(now, black_box(&mut input)).expect("a PUBACK");
        assert!(matches!(session.poll_event(), Some(Event::Acked { tag, .. }) if tag[0] == seq));
        black_box(session.poll_timeout());
        seq += 1;
    })
}

/// The emulator receives a message and writes its PUBACK, without or with a tier. The load is half of the tier's limit.
fn hub_telemetry(tier: Option<TierOptions>) -> Step {
    let group = SasKey::from_bytes(&[7; 32]);
    let options = EmulatorOptions { tier, ..EmulatorOptions::default() };
    let config = Config { group_keys: vec![group.clone()], options, ..Config::default() };
    let directory = Arc::new(Directory::new(config));
    let mut now = clock::now();
    let mut session = HubSession::new(directory, now);
    let resource = names::resource("localhost", DEVICE);
    let expiry_unix = clock::unix().as_secs() + 86_400;
    let token = sas::token(&group.derive(DEVICE), &resource, expiry_unix, None).to_string();
    let user_name = names::user_name("localhost", DEVICE);
    let (mut input, mut out) = (BytesMut::with_capacity(1024), BytesMut::with_capacity(1024));
    let connect = encode::ConnectRef {
        client_id: DEVICE,
        keep_alive_s: 0,
        clean_session: true,
        username: Some(&user_name),
        password: Some(token.as_bytes()),
        will: None,
    };
    encode::connect(&mut input, &connect).expect("it fits");
    session.handle_input(now, &mut input).expect("a valid CONNECT");
    session.claim(Address { shard: 0, connection: 1 });
    session.admit(now);
    session.poll_output(now, &mut out);
    let mut frame = BytesMut::new();
    let publish = encode::PublishRef {
        topic: TOPIC,
        payload: &PAYLOAD,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 7,
    };
    encode::publish(&mut frame, &publish).expect("it fits");
    Box::new(move || {
        now += Duration::from_nanos(33_333);
        out.clear();
        input.extend_from_slice(&frame);
        session.handle_input(now, black_box(&mut input)).expect("telemetry");
        session.handle_timeout(now).expect("no timeout");
        session.poll_output(now, &mut out);
        assert_eq!(out.len(), 4);
        black_box(session.poll_timeout());
    })
}

/// Records an operation that is due and ends ok: five histograms, two counters, the series. Repeats one second at 10,000/s. If the
/// snapshot covers another second (`second` is not 0), the operation is also recorded for the batch of its own second.
fn record(second: u64) -> Step {
    const PER_SECOND: u64 = 10_000;
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    recorder.open_second(second);
    let mut n = 0_u64;
    let mut step = move || {
        let due = n % PER_SECOND * (1_000_000_000 / PER_SECOND);
        // Acknowledged 0.2 to 3.5 ms later.
        let took = 200_000 + n.wrapping_mul(2_654_435_761) % 3_300_000;
        let times = Times { due, picked: due + 40_000, sent: due + 55_000, acked: due + took };
        recorder.due(black_box(key), black_box(due));
        recorder.ok(black_box(key), black_box(&times));
        n += 1;
    };
    // The first operation of a second allocates the histograms; the last is acknowledged in the next second.
    (0..PER_SECOND).for_each(|_| step());
    Box::new(step)
}

/// Closes a second of 10,000 messages and their latencies: once per second, not per message. The difference between the two is the
/// journal's share, apart from the checksum and the `write`.
fn swap(mut journal: Option<Delta>) -> Step {
    const PER_SECOND: u64 = 10_000;
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    let phase = Phase { end_us: 1_000_000, ..Phase::default() };
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![phase]);
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    recorder.open_second(0);
    for n in 0..PER_SECOND {
        let due = n * (1_000_000_000 / PER_SECOND);
        // 0.2 to 3.5 ms, and one in 100 ten times as long.
        let took = (200_000 + n.wrapping_mul(2_654_435_761) % 3_300_000) * if n % 100 == 0 { 10 } else { 1 };
        let times =
            Times { due, picked: due + 40_000 + n % 64 * 10_000, sent: due + 700_000, acked: due + took };
        recorder.due(key, due);
        recorder.ok(key, &times);
    }
    let snapshot = recorder.swap();
    let end = SecondEnd { row_ns: 1_000_000_000, until_ns: 1_000_000_000, ..SecondEnd::default() };
    let mut step = move || {
        if let Some(delta) = &mut journal {
            delta.add(black_box(&snapshot), Source::Worker(0));
            black_box(delta.end(&end));
        }
        collector.add(black_box(&snapshot), Source::Worker(0));
        collector.tick(end.row_ns, Some(50.0), 1_000);
    };
    // The first step creates the sums.
    step();
    Box::new(step)
}

/// Returns the payload of a tracked message, with the stamp at its end.
fn stamped(stamp: &Stamp) -> Vec<u8> {
    [&PAYLOAD[Stamp::BYTES..], &stamp.to_text()].concat()
}

fn find_stamp() -> Step {
    let stamp = Stamp { run: 7, device: 0, stream: 0, seq: 1, due_us: 1 };
    let payload = stamped(&stamp);
    Box::new(move || assert_eq!(Stamp::find(black_box(&payload), stamp.run), Some(stamp)))
}

/// Delivers a message of the run to one of its own subscribers: stamps, encodes and decodes it, finds the stamp, and records
/// the delivery and its time.
fn publish_to_deliver() -> Step {
    let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n\
                [fleet.out]\ndevices = 1\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"a\"\npayload = '${stamp}'\n\
                [fleet.in]\ndevices = 1\nsubscribe = [\"a\"]\n[[phase]]\nname = \"p\"\nduration = \"100d\"\n";
    let files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let input = Input { file: "hot.toml", text, overrides: &[], env: &|_| None, files: &files };
    let plan = plan::load(&input, &mut rand::rng()).expect("a plan");
    let layout = Layout::new(2, 1, Duration::from_secs(60));
    let key = Key { operation: Operation::Deliver, fleet: 1, phase: 0 };
    let (mut tracker, mut inbox, mut recorder) = (
        DeliveryTracker::new(&plan),
        Inbox::default(),
        Recorder::new(layout, Rc::new(Stalls::new(clock::now()))),
    );
    let mut input = BytesMut::with_capacity(64 * 1024);
    let mut seq = 0;
    // Due every 100 us within one repeated second; each takes 1 to 4 ms.
    let mut step = move || {
        let due_us = seq % 10_000 * 100;
        let stamp = Stamp { run: plan.deliveries.run(), device: 0, stream: 0, seq, due_us };
        let payload = stamped(&stamp);
        let publish = encode::PublishRef {
            topic: TOPIC,
            payload: &payload,
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        encode::publish(&mut input, &publish).expect("it fits");
        let packet = wire::decode(black_box(&mut input), 1024, Strictness::Lenient).expect("a packet");
        let Some(Packet::Publish(publish)) = packet else { unreachable!("a PUBLISH") };
        let stamp = Stamp::find(&publish.payload, plan.deliveries.run()).expect("a stamp");
        let arrival = tracker.arrived(&plan, &mut inbox, DeviceRef { fleet: 1, index: 0 }, &stamp);
        assert_eq!(arrival, Some(Arrival::New));
        let due = stamp.due_us * 1_000;
        let acked = due + 1_000_000 + seq.wrapping_mul(2_654_435_761) % 3_000_000;
        recorder.due(key, due);
        recorder.ok(key, &Times { due, picked: due, sent: due, acked });
        seq += 1;
    };
    (0..10_000).for_each(|_| step());
    Box::new(step)
}

/// Computes the next arrival in the steady phase after a ramp.
fn next_arrival(spread: Spread) -> Step {
    const S: u64 = 1_000_000_000;
    let mut load = Load::default();
    load.push(10 * S, [0.0, 1.0]);
    load.push(1_000_000_000 * S, [1.0, 1.0]);
    let arrival = plan::Arrival { spread, rate_hz: 0.1, burst: 1 };
    let mut cursor = Cursor::new(&arrival, &RunLoad::new(&load), SEED, 1, Purpose::Arrivals(0), 1);
    cursor.enter(Span { from_ns: 10 * S, to_ns: 1_000_000_000 * S });
    Box::new(move || {
        cursor.advance();
        assert!(black_box(&cursor).peek().is_some());
    })
}

fn render(payload: &Payload) -> Step {
    let payload = payload.clone();
    let mut state = payload.state(SEED, 1, Purpose::Payload(0));
    let mut out = Vec::with_capacity(payload.bytes_max(DEVICE.len()));
    let mut seq = 0;
    Box::new(move || {
        out.clear();
        let context = PayloadContext {
            device: DEVICE,
            index: 1,
            seq,
            now_unix: Duration::from_millis(1_751_965_811_120 + seq * 100),
            uptime: Duration::from_millis(seq * 100),
        };
        payload.render(&mut state, black_box(&context), black_box(&mut out));
        seq += 1;
    })
}
