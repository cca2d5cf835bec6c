//! From publishers to subscribers: what arrives, twice, late or never, against mosquitto and against scripted brokers that do it
//! wrong on purpose. Counts are asserted, never times.

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

/// `out` publishes what `inn` hears, for 2 s at 50/s; in warm-up they come.
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
name = "come"
warmup = true
duration = "1s"
load = "0%"
[[phase]]
name = "talk"
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

/// Duplicates, reordered, foreign.
fn counts(result: &RunResult, fleet: &str) -> [u64; 3] {
    let fleet: &Fleet = result.fleets.iter().find(|known| known.name == fleet).expect("a fleet of the run");
    [fleet.counts.duplicates, fleet.counts.reordered, fleet.counts.foreign]
}

#[test]
fn every_subscriber_has_every_message_at_every_qos() {
    let broker = Mosquitto::open();
    for (qos, metric) in [(0, "publish.qos0"), (1, "publish"), (2, "publish")] {
        let patient = scenario(broker.plain(), qos, "").replace("drain = \"2s\"", "drain = \"100s\"");
        let result = run(&patient, 0);
        let published = all_ok(&result, metric);
        assert!(published >= 5 * 19, "{published}");
        assert_eq!(all_ok(&result, "deliver"), 3 * published, "QoS {qos}");
        assert_eq!(counts(&result, "inn"), [0, 0, 0]);
        assert!(result.run.duration_us < 100_000_000, "what has arrived is not waited for");
    }
}

#[test]
fn a_message_that_a_device_sends_is_not_too_large_for_another() {
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
fn subscribers_that_unsubscribe_leave_nothing_behind() {
    let broker = Mosquitto::open();
    let kept = "unsubscribe = true\nclean_session = false\nid = \"leaver-{index}\"\nsubscribe =";
    let text = scenario(broker.plain(), 1, "").replace("subscribe =", kept);
    let result = run(&text.replace("drain = \"2s\"", "drain = \"100s\""), 0);
    assert_eq!(all_ok(&result, "unsubscribe"), 3);
    assert_eq!(all_ok(&result, "deliver"), 3 * all_ok(&result, "publish"));
    // The broker has kept the session, and no subscription in it: the first thing that comes is what it asks for now.
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
fn retained_messages_and_those_of_another_run_are_foreign() {
    let broker = Mosquitto::open();
    let retained = scenario(broker.plain(), 1, "retain = true");
    let first = run(&retained, 0);
    assert_eq!(counts(&first, "inn"), [0, 0, 0], "nothing was there before");
    // One message of each of the five devices was kept, and each of the three subscribers is told of it.
    let second = run(&retained, 0);
    assert_eq!(counts(&second, "inn"), [0, 0, 15]);
    assert_eq!(all_ok(&second, "deliver"), 3 * all_ok(&second, "publish"));
}

#[test]
fn two_runs_on_one_broker_do_not_count_each_others_messages() {
    let broker = Mosquitto::open();
    let scenario = scenario(broker.plain(), 1, "");
    let runs = [(); 2].map(|()| {
        let scenario = scenario.clone().replace("[fleet.inn]", "[fleet.inn]\nid = \"ID-{index}\"");
        scenario.replace("[fleet.out]", "[fleet.out]\nid = \"OD-{index}\"")
    });
    // The same client ids would take each other's connections over.
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
        assert!(counts(&result, "inn")[2] > 0, "they heard each other");
    }
}

#[test]
fn fleets_that_only_listen_pay_and_count_nothing() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "")
        .replace("${stamp}", "")
        .replace("\"deliver\" = [\"rate(ok) == 100%\"]", "");
    let result = run(&text, 0);
    assert_eq!((totals(&result, "deliver").0, counts(&result, "inn")), (0, [0, 0, 0]));
    assert!(result.fleets[1].counts.bytes_received > 0);
}

/// What a scripted broker does with the n-th message that it was given, for its subscribers.
type Deliver = fn(n: u64, packet: &[u8], kept: &mut Vec<u8>) -> Vec<u8>;

/// A broker for one publisher and one subscriber: acknowledges at once, and delivers as it was told.
struct Wrong {
    listener: TcpListener,
    deliver: Deliver,
}

#[derive(Default)]
struct Delivering {
    subscriber: Option<TcpStream>,
    count: u64,
    kept: Vec<u8>,
}

impl Wrong {
    fn start(deliver: Deliver) -> SocketAddr {
        let listener = listen(own_address());
        let address = listener.local_addr().expect("it is bound");
        let broker = Wrong { listener, deliver };
        // It ends with the test's process.
        thread::spawn(move || broker.serve());
        address
    }

    fn serve(&self) {
        let shared = Arc::new(Mutex::new(Delivering::default()));
        for stream in self.listener.incoming().map_while(Result::ok) {
            let (shared, deliver) = (Arc::clone(&shared), self.deliver);
            thread::spawn(move || Wrong::connection(stream, &shared, deliver));
        }
    }

    fn connection(mut stream: TcpStream, shared: &Mutex<Delivering>, deliver: Deliver) {
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a socket");
        while let Ok(Some(frame)) = read_frame(&mut stream) {
            let answer = match frame.kind() {
                CONNECT => vec![0x20, 2, 0, 0],
                SUBSCRIBE => {
                    let stream = stream.try_clone().expect("a socket");
                    shared.lock().expect("no thread panics").subscriber = Some(stream);
                    vec![0x90, 3, frame.body[0], frame.body[1], 0]
                }
                PUBLISH => {
                    Wrong::publish(&frame, &mut shared.lock().expect("no thread panics"), deliver);
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

    /// At QoS 0, with the topic and the payload that came.
    fn publish(frame: &Frame, delivering: &mut Delivering, deliver: Deliver) {
        let (topic, _, payload) = frame.publish();
        let length = u16::try_from(topic.len()).expect("a short topic").to_be_bytes();
        let body = [&length[..], topic.as_bytes(), payload].concat();
        let packet = [&[0x30, u8::try_from(body.len()).expect("a small packet")][..], &body].concat();
        let bytes = deliver(delivering.count, &packet, &mut delivering.kept);
        delivering.count += 1;
        if let Some(subscriber) = &mut delivering.subscriber {
            // Whether it is still there is what the test finds out.
            drop(subscriber.write_all(&bytes));
        }
    }
}

/// One publisher, one subscriber: 60 messages. Nothing is due before the subscriber has settled.
fn small(deliver: Deliver) -> String {
    scenario(Wrong::start(deliver), 1, "")
        .replace("devices = 5", "devices = 1")
        .replace("devices = 3", "devices = 1")
        .replace("50/s", "30/s")
}

#[test]
fn a_broker_that_drops_every_tenth_is_told_so() {
    let work = Workplace::new(&small(|n, packet, _| if n % 10 == 9 { Vec::new() } else { packet.to_vec() }));
    let finished = work.run();
    finished.exits(99);
    let line = "  out to from/${device}: 6 lost, 0 duplicates, 0 out of order, 54 arrived";
    assert!(finished.stdout.contains(line), "{}", finished.stdout);
    let page = std::fs::read_to_string(&work.outputs("html")[0]).expect("readable");
    assert!(page.contains("<td>from/${device}</td><td>54</td><td>6</td><td>0</td><td>0</td>"));
    let result = work.result();
    assert_eq!(all_ok(&result, "publish"), 60, "it acknowledged everything");
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
    assert!(result.run.duration_us >= 5_000_000, "it was waited for, for the whole drain");
}

#[test]
fn a_broker_that_delivers_twice_is_told_so() {
    let result = run(&small(|n, packet, _| packet.repeat(if n % 3 == 0 { 2 } else { 1 })), 0);
    assert_eq!((all_ok(&result, "deliver"), counts(&result, "inn")), (60, [20, 0, 0]));
    let [stream] = &result.streams[..] else { panic!("one stream: {:?}", result.streams) };
    assert_eq!((stream.ok, stream.lost, stream.duplicates, stream.reordered), (60, 0, 20, 0));
}

#[test]
fn a_broker_that_changes_the_order_is_told_so() {
    // Of each five, the first comes last.
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
fn a_broker_that_garbles_stamps_loses_what_they_were_on() {
    let text = small(|n, packet, _| {
        let mut packet = packet.to_vec();
        if n == 30 {
            let mark = packet.iter().position(|byte| *byte == b'~').expect("a stamp");
            // It now says that it was due at a time that has not come.
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
fn a_subscriber_that_is_away_against_the_plan_loses_what_it_did_not_hear() {
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
    // Of two clients with one id the broker keeps the later; this one goes at once.
    drop(Client::connect(broker.plain(), "ear", "", ""));
    running.wait().exits(99);
    let result = work.result();
    let (due, outcomes) = totals(&result, "deliver");
    assert_eq!(due, all_ok(&result, "publish"), "all of them were for it");
    assert!(outcomes["lost"] > 0 && outcomes["ok"] > 0, "{outcomes:?}");
    assert_eq!(result.fleets[1].counts.reconnects, 1);
}

#[test]
fn check_says_what_is_tracked() {
    let work = Workplace::new(&scenario("127.0.0.1:1883".parse().expect("an address"), 1, ""));
    let path = work.scenario();
    let checked = crate::support::hubstorm::hubstorm(&["check", path.to_str().expect("UTF-8")]);
    checked.exits(0);
    let line = "tracked      each message is delivered in 3 copies with every device online";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);
}

#[test]
fn messages_from_a_file_go_as_they_stand() {
    let broker = Mosquitto::open();
    let text = scenario(broker.plain(), 1, "")
        .replace("devices = 5", "devices = 1")
        .replace(r#"'{"seq":${seq},"stamp":"${stamp}"}'"#, r#"{ file = "said.txt" }"#)
        .replace("\"deliver\" = [\"rate(ok) == 100%\"]", "");
    let mut witness = Client::connect(broker.plain(), "witness", "", "");
    witness.subscribe(&["from/#"]);
    let work = Workplace::new(&text).file("said.txt", "first\n\n{\"second\":${seq}}\r\nthird");
    let running = work.start();
    let heard: Vec<String> = (0..4)
        .map(|_| String::from_utf8(witness.read().publish().2.to_vec()).expect("it was UTF-8"))
        .collect();
    assert_eq!(heard, ["first", "{\"second\":${seq}}", "third", "first"]);
    running.wait().exits(0);
}
