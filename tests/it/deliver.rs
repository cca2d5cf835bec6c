//! Messages from publishers to subscribers: delivered, duplicated, reordered and lost, against mosquitto and against scripted brokers that
//! deliver wrongly on purpose. The tests assert counts, never times.

use crate::support::TEST_TIMEOUT;
use crate::support::address::{listen, own_address};
use crate::support::client::{Peer, Who};
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, totals};
use crate::support::mosquitto::Mosquitto;
use crate::support::mqtt::{CONNECT, Client, Frame, PUBLISH, SUBSCRIBE, read_frame};
use hubstorm::measure::{Fleet, Stream};
use hubstorm::result::model::RunResult;
use hubstorm::wire::QoS;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Fleet `out` publishes to fleet `inn` for 2 s at 50/s, after a warm-up for connecting.
fn scenario(address: SocketAddr, qos: u8, more: &str) -> String {
    format!(
        r#"
drain = "2s"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
[fleet.out]
devices = 5
[[fleet.out.send]]
rate = "50/s"
qos = {qos}
topic = "from/${{device}}"
payload = '{{"seq":${{seq}},"stamp":"${{stamp}}"}}'
{more}
[fleet.inn]
devices = 3
subscribe = [{{ filter = "from/+", qos = {qos} }}]
[[phase]]
name = "connect"
warmup = true
duration = "1s"
load = "0%"
[[phase]]
name = "steady"
duration = "2s"
[thresholds]
"deliver" = ["rate(ok) == 100%"]
{WIDE_VALIDITY}"#,
        host = address.ip(),
        port = address.port(),
    )
}

fn run(scenario: &str, exit_code: i32) -> RunResult {
    let work = Workplace::new(scenario);
    work.run().exits(exit_code);
    work.result()
}

/// Returns the duplicates, reordered and foreign messages of a fleet.
fn counts(result: &RunResult, fleet: &str) -> [u64; 3] {
    let fleet: &Fleet = result.fleets.iter().find(|known| known.name == fleet).expect("a fleet of the run");
    [fleet.counts.duplicates, fleet.counts.reordered, fleet.counts.foreign]
}

#[test]
fn every_subscriber_receives_every_message_at_every_qos() {
    let broker = Mosquitto::open();
    for (qos, metric) in [(0, "publish.qos0"), (1, "publish"), (2, "publish")] {
        let scenario = scenario(broker.plain(), qos, "").replace("drain = \"2s\"", "drain = \"100s\"");
        let result = run(&scenario, 0);
        let published = all_ok(&result, metric);
        assert!(published >= 5 * 19, "{published}");
        assert_eq!(all_ok(&result, "deliver"), 3 * published, "QoS {qos}");
        assert_eq!(counts(&result, "inn"), [0, 0, 0]);
        assert!(result.run.duration_us < 100_000_000, "the drain ends when all messages have arrived");
    }
}

#[test]
fn large_messages_are_delivered() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "");
    let small = r#"payload = '{"seq":${seq},"stamp":"${stamp}"}'"#;
    assert!(text.contains(small));
    let large = text.replace(small, "payload = { size = 1100000 }").replace("50/s", "5/s");
    let result = run(&large.replace("drain = \"2s\"", "drain = \"100s\""), 0);
    assert_eq!(all_ok(&result, "deliver"), 3 * all_ok(&result, "publish"));
    assert!(all_ok(&result, "deliver") > 0);
}

#[test]
fn unsubscribed_sessions_keep_no_subscription() {
    let broker = Mosquitto::open();
    let kept = "unsubscribe = true\nclean_session = false\nid = \"leaver-{index}\"\nsubscribe =";
    let text = scenario(broker.plain(), 1, "").replace("subscribe =", kept);
    let result = run(&text.replace("drain = \"2s\"", "drain = \"100s\""), 0);
    assert_eq!(all_ok(&result, "unsubscribe"), 3);
    assert_eq!(all_ok(&result, "deliver"), 3 * all_ok(&result, "publish"));
    // The broker kept the session without a subscription, so the first message is one for the new subscription.
    let (mut leaver, mut sender) = (Peer::new(false), Peer::new(true));
    let who = |id| Who { address: broker.plain(), id, user: "", password: "", will: None };
    assert!(leaver.connect(&who("leaver-0")));
    leaver.subscribe("now/#", QoS::AtMostOnce);
    sender.connect(&who("sender"));
    for topic in ["from/me", "now/me"] {
        sender.publish(topic, b"x", QoS::AtLeastOnce, false);
    }
    leaver.receives("now/me", b"x", QoS::AtMostOnce, false);
}

#[test]
fn messages_of_an_earlier_run_are_foreign() {
    let broker = Mosquitto::open();
    let retained = scenario(broker.plain(), 1, "retain = true");
    let first = run(&retained, 0);
    assert_eq!(counts(&first, "inn"), [0, 0, 0], "the broker had no messages before");
    // The broker retains one message of each of the 5 devices and sends them to the 3 subscribers.
    let second = run(&retained, 0);
    assert_eq!(counts(&second, "inn"), [0, 0, 15]);
    assert_eq!(all_ok(&second, "deliver"), 3 * all_ok(&second, "publish"));
}

#[test]
fn concurrent_runs_do_not_count_each_others_messages() {
    let broker = Mosquitto::open();
    let scenario = scenario(broker.plain(), 1, "");
    let runs = [(); 2].map(|()| {
        let scenario = scenario.clone().replace("[fleet.inn]", "[fleet.inn]\nid = \"ID-{index}\"");
        scenario.replace("[fleet.out]", "[fleet.out]\nid = \"OD-{index}\"")
    });
    // With the same client ids, the runs would take over each other's connections.
    let [one, two] = [(0, "x"), (1, "y")].map(|(run, name)| {
        let text = runs[run].replace("ID-", &format!("{name}-in-")).replace("OD-", &format!("{name}-out-"));
        Workplace::new(&text)
    });
    let running = [one.start(), two.start()];
    for run in running {
        run.wait().exits(0);
    }
    for work in [one, two] {
        let result = work.result();
        assert_eq!(all_ok(&result, "deliver"), 3 * all_ok(&result, "publish"));
        assert!(counts(&result, "inn")[2] > 0, "each run received messages of the other");
    }
}

#[test]
fn messages_without_a_stamp_are_not_tracked() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "")
        .replace("${stamp}", "")
        .replace("\"deliver\" = [\"rate(ok) == 100%\"]", "");
    let result = run(&text, 0);
    assert_eq!((totals(&result, "deliver").0, counts(&result, "inn")), (0, [0, 0, 0]));
    assert!(result.fleets[1].counts.bytes_received > 0);
}

/// Returns the bytes that a scripted broker sends to its subscriber for the n-th message. `kept` is its state.
type Deliver = fn(n: u64, packet: &[u8], kept: &mut Vec<u8>) -> Vec<u8>;

/// A broker for one publisher and one subscriber. It acknowledges at once and delivers with the given function.
struct FaultyBroker {
    listener: TcpListener,
    deliver: Deliver,
}

#[derive(Default)]
struct Deliveries {
    subscriber: Option<TcpStream>,
    count: u64,
    kept: Vec<u8>,
}

impl FaultyBroker {
    fn start(deliver: Deliver) -> SocketAddr {
        let listener = listen(own_address());
        let address = listener.local_addr().expect("the listener is bound");
        let broker = FaultyBroker { listener, deliver };
        // The thread ends with the process.
        thread::spawn(move || broker.serve());
        address
    }

    fn serve(&self) {
        let shared = Arc::new(Mutex::new(Deliveries::default()));
        for stream in self.listener.incoming().map_while(Result::ok) {
            let (shared, deliver) = (Arc::clone(&shared), self.deliver);
            thread::spawn(move || FaultyBroker::connection(stream, &shared, deliver));
        }
    }

    fn connection(mut stream: TcpStream, shared: &Mutex<Deliveries>, deliver: Deliver) {
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a socket");
        while let Ok(Some(frame)) = read_frame(&mut stream) {
            let answer = match frame.kind() {
                CONNECT => vec![0x20, 2, 0, 0],
                SUBSCRIBE => {
                    let stream = stream.try_clone().expect("a socket");
                    shared.lock().expect("no other thread panicked").subscriber = Some(stream);
                    vec![0x90, 3, frame.body[0], frame.body[1], 0]
                }
                PUBLISH => {
                    FaultyBroker::publish(
                        &frame,
                        &mut shared.lock().expect("no other thread panicked"),
                        deliver,
                    );
                    let (_, id, _) = frame.publish();
                    [&[0x40, 2][..], &id.expect("QoS 1").to_be_bytes()].concat()
                }
                _ => continue,
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    /// Forwards a message at QoS 0.
    fn publish(frame: &Frame, deliveries: &mut Deliveries, deliver: Deliver) {
        let (topic, _, payload) = frame.publish();
        let length = u16::try_from(topic.len()).expect("a short topic").to_be_bytes();
        let body = [&length[..], topic.as_bytes(), payload].concat();
        let packet = [&[0x30, u8::try_from(body.len()).expect("a small packet")][..], &body].concat();
        let bytes = deliver(deliveries.count, &packet, &mut deliveries.kept);
        deliveries.count += 1;
        if let Some(subscriber) = &mut deliveries.subscriber {
            // If the subscriber is gone, the test notices.
            drop(subscriber.write_all(&bytes));
        }
    }
}

/// One publisher and one subscriber: 60 messages, after the subscription.
fn small(deliver: Deliver) -> String {
    scenario(FaultyBroker::start(deliver), 1, "")
        .replace("devices = 5", "devices = 1")
        .replace("devices = 3", "devices = 1")
        .replace("50/s", "30/s")
}

#[test]
fn dropped_messages_are_lost() {
    let work = Workplace::new(&small(|n, packet, _| if n % 10 == 9 { Vec::new() } else { packet.to_vec() }));
    let finished = work.run();
    finished.exits(99);
    let line = "  out to from/${device}: 6 lost, 0 duplicates, 0 out of order, 54 arrived";
    assert!(finished.stdout.contains(line), "{}", finished.stdout);
    let page = std::fs::read_to_string(&work.outputs("html")[0]).expect("a readable file");
    assert!(page.contains("<td>from/${device}</td><td>54</td><td>6</td><td>0</td><td>0</td>"));
    let result = work.result();
    assert_eq!(all_ok(&result, "publish"), 60, "the broker acknowledged all messages");
    let (due, outcomes) = totals(&result, "deliver");
    assert_eq!((due, outcomes["ok"], outcomes["lost"]), (60, 54, 6));
    assert_eq!(counts(&result, "inn"), [0, 0, 0]);
    let stream = Stream {
        fleet: "out".to_owned(),
        send: 0,
        topic: "from/${device}".to_owned(),
        ok: 54,
        lost: 6,
        ..Stream::default()
    };
    assert_eq!(result.streams, [stream]);
    assert!(result.findings.iter().any(|finding| finding.evidence == "6 of 60 copies lost"));
    assert!(result.run.duration_us >= 5_000_000, "the drain lasts its full time");
}

#[test]
fn repeated_messages_are_duplicates() {
    let result = run(&small(|n, packet, _| packet.repeat(if n % 3 == 0 { 2 } else { 1 })), 0);
    assert_eq!((all_ok(&result, "deliver"), counts(&result, "inn")), (60, [20, 0, 0]));
    let [stream] = &result.streams[..] else { panic!("one stream: {:?}", result.streams) };
    assert_eq!((stream.ok, stream.lost, stream.duplicates, stream.reordered), (60, 0, 20, 0));
}

#[test]
fn overtaken_messages_are_reordered() {
    // In each group of five, the first message arrives last.
    let result = run(
        &small(|n, packet, kept| match n % 5 {
            0 => {
                kept.clear();
                kept.extend(packet);
                Vec::new()
            }
            4 => [packet, kept].concat(),
            _ => packet.to_vec(),
        }),
        0,
    );
    assert_eq!((all_ok(&result, "deliver"), counts(&result, "inn")), (60, [0, 12, 0]));
    assert_eq!((result.streams[0].ok, result.streams[0].reordered), (60, 12));
}

#[test]
fn messages_with_a_damaged_stamp_are_lost() {
    let text = small(|n, packet, _| {
        let mut packet = packet.to_vec();
        if n == 30 {
            let mark = packet.iter().position(|byte| *byte == b'~').expect("a stamp");
            // The due time is now in the future.
            packet[mark + 30] = b'z';
        }
        packet
    });
    let result = run(&text, 99);
    let (due, outcomes) = totals(&result, "deliver");
    assert_eq!((due, outcomes["ok"], outcomes["lost"]), (60, 59, 1));
    assert_eq!(counts(&result, "inn"), [0, 0, 1]);
}

#[test]
fn messages_to_a_disconnected_subscriber_are_lost() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "").replace(
        "devices = 3",
        "devices = 1\nid = \"ear\"\nreconnect = { kind = \"fixed\", delay = \"500ms\" }",
    );
    let mut witness = Client::connect(broker.plain(), "witness", "", "");
    witness.subscribe(&["from/#"]);
    let work = Workplace::new(&text);
    let running = work.start();
    assert_eq!(witness.read().kind(), PUBLISH);
    // A second client with the same id takes over the connection and disconnects at once.
    drop(Client::connect(broker.plain(), "ear", "", ""));
    running.wait().exits(99);
    let result = work.result();
    let (due, outcomes) = totals(&result, "deliver");
    assert_eq!(due, all_ok(&result, "publish"), "every message was for this subscriber");
    assert!(outcomes["lost"] > 0 && outcomes["ok"] > 0, "{outcomes:?}");
    assert_eq!(result.fleets[1].counts.reconnects, 1);
}

#[test]
fn check_prints_tracked_messages() {
    let work = Workplace::new(&scenario("127.0.0.1:1883".parse().expect("an address"), 1, ""));
    let path = work.scenario();
    let checked = crate::support::hubstorm::hubstorm(&["check", path.to_str().expect("UTF-8")]);
    checked.exits(0);
    let line = "tracked      each message is delivered in 3 copies with every device online";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);
}

#[test]
fn messages_from_a_file_are_sent_unchanged() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "")
        .replace("devices = 5", "devices = 1")
        .replace(r#"'{"seq":${seq},"stamp":"${stamp}"}'"#, r#"{ file = "lines.txt" }"#)
        .replace("\"deliver\" = [\"rate(ok) == 100%\"]", "");
    let mut witness = Client::connect(broker.plain(), "witness", "", "");
    witness.subscribe(&["from/#"]);
    let work = Workplace::new(&text).file("lines.txt", "first\n\n{\"second\":${seq}}\r\nthird");
    let running = work.start();
    let received: Vec<String> =
        (0..4).map(|_| String::from_utf8(witness.read().publish().2.to_vec()).expect("UTF-8")).collect();
    assert_eq!(received, ["first", "{\"second\":${seq}}", "third", "first"]);
    running.wait().exits(0);
}
