//! `run` against Debian's mosquitto: TLS, passwords, every QoS. The counts of the broker must agree. And `session` alone against it:
//! deliveries to a subscriber, wills, and messages that a persistent session resends.

use crate::support::address::own_address;
use crate::support::client::{Peer, Who};
use crate::support::hubstorm::{
    WIDE_VALIDITY, Workplace, all_ok, hubstorm, is_undecided_by_stalls, read_result, rows,
};
use crate::support::mosquitto::{Mosquitto, PastedMosquitto};
use crate::support::mqtt::Client;
use hubstorm::measure::Outcome;
use hubstorm::result::model::{RunResult, Status};
use hubstorm::session::Event;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::WillRef;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const DEVICES: u64 = 40;
const PASSWORD: &str = "correct horse";

fn broker() -> Mosquitto {
    Mosquitto::start((0..DEVICES).map(|index| format!("user-dev-{index:03}")), PASSWORD)
}

/// 2 s of ramp and 3 s of steady load, 5 messages a second per device.
fn scenario(broker: &Mosquitto, qos: u8) -> String {
    format!(
        r#"
name = "plain broker"
seed = 11

[target]
kind = "mqtt"
host = "{host}"
port = {port}
ca = "{ca}"

[fleet.sensor]
devices = {DEVICES}
id = "dev-{{index:03}}"
auth = {{ kind = "password", username = "user-${{device}}", password = "${{env.BROKER_PASSWORD}}" }}

[[fleet.sensor.send]]
every = "200ms"
qos = {qos}
topic = "sensors/${{device}}/state"
payload = '{{"seq":${{seq}}}}'

[[phase]]
name = "ramp"
warmup = true
duration = "2s"
online = "0% -> 100%"
[[phase]]
name = "steady"
duration = "3s"

[thresholds]
"{metric}" = ["rate(ok) == 100%"]
"connect{{phase:ramp}}" = ["count(refused) == 0"]
{WIDE_VALIDITY}"#,
        metric = metric(qos),
        host = broker.host(),
        port = broker.tls().port(),
        ca = broker.ca().display(),
    )
}

fn metric(qos: u8) -> &'static str {
    if qos == 0 { "publish.qos0" } else { "publish" }
}

fn run(broker: &Mosquitto, qos: u8) -> RunResult {
    let work = Workplace::new(&scenario(broker, qos)).env("BROKER_PASSWORD", PASSWORD);
    let mut witness = broker.witness();
    let finished = work.run();
    finished.exits(0);
    let result = work.result();
    assert_eq!(result.verdict.status, Status::Pass, "{:?}", result.verdict.reasons);
    assert_eq!(all_ok(&result, "connect"), DEVICES);
    assert_eq!(all_ok(&result, "online"), DEVICES);

    let published = all_ok(&result, metric(qos));
    // Every device is online during steady. Regular arrivals deviate by at most one from the integral of the rate.
    assert!(published >= DEVICES * (3 * 5 - 1), "{published}");
    let counts = witness.counts(published);
    assert_eq!(counts.published, published, "the count of the broker");
    assert_eq!(counts.clients_peak, DEVICES + 1, "the devices and the witness");
    assert_eq!(counts.clients, 1, "every device disconnected, with a clean session");
    assert!(rows(&result, metric(qos)).iter().all(|row| row.no_ack == (qos == 0)));

    assert_eq!(work.outputs("html").len(), 1);
    for file in work.outputs("json").into_iter().chain(work.outputs("html")) {
        let text = std::fs::read_to_string(file).expect("readable");
        assert!(!text.contains(PASSWORD), "a report contains a secret");
        assert!(text.contains("env.BROKER_PASSWORD"), "the report contains the scenario as written");
    }
    assert!(!(finished.stdout + &finished.stderr).contains(PASSWORD), "the output contains a secret");
    result
}

#[test]
fn qos_1_over_tls_agrees_with_the_brokers_counts() {
    let result = run(&broker(), 1);
    let tls = result.run.target.tls.as_ref().expect("the run used TLS");
    assert_eq!((tls.version.as_str(), tls.verified), ("1.3", true));
    assert_eq!(result.run.target.kind, "mqtt");
    assert_eq!(all_ok(&result, "connect.tls"), DEVICES);
}

#[test]
fn qos_0_over_tls_agrees_with_the_brokers_counts() {
    run(&broker(), 0);
}

#[test]
fn qos_2_over_tls_delivers_each_message_once() {
    let broker = broker();
    let mut listener = Peer::new(true);
    listener.connect(&who(&broker, "listener"));
    listener.subscribe("sensors/#", QoS::AtMostOnce);
    let work = Workplace::new(&scenario(&broker, 2)).env("BROKER_PASSWORD", PASSWORD);
    work.run().exits(0);
    let published = all_ok(&work.result(), "publish");
    assert!(published >= DEVICES * (3 * 5 - 1), "{published}");
    // The run has ended, so this message arrives after all others.
    listener.send("sensors/end", b"", QoS::AtLeastOnce, false);
    let mut received = BTreeSet::new();
    loop {
        match listener.event() {
            Event::Message(publish) if publish.topic == "sensors/end" => break,
            Event::Message(publish) => assert!(received.insert((publish.topic, publish.payload)), "twice"),
            Event::Acked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received.len() as u64, published);
}

#[test]
fn closed_loop_latencies_are_labeled_in_every_format() {
    let broker = broker();
    let scenario =
        scenario(&broker, 2).replace("every = \"200ms\"", "arrival = \"closed\"\nthink_time = \"200ms\"");
    let work = Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD);
    let finished = work.run();
    finished.exits(0);
    let label = "closed loop, not corrected";
    assert!(finished.stdout.contains(label), "{}", finished.stdout);
    let html = std::fs::read_to_string(&work.outputs("html")[0]).expect("readable");
    assert!(html.contains(label));
    let result = work.result();
    // One message in the first think time, and then at most one in each 200 ms.
    let published = all_ok(&result, "publish");
    assert!((DEVICES..=DEVICES * 26).contains(&published), "{published}");
    assert!(result.operations.iter().all(|row| row.closed_loop == (row.operation.name() == "publish")));
}

fn who<'a>(broker: &Mosquitto, id: &'a str) -> Who<'a> {
    Who { address: broker.plain(), id, user: "user-dev-000", password: PASSWORD, will: None }
}

#[test]
fn retained_messages_follow_the_subscription() {
    let broker = broker();
    let (mut sender, mut receiver) = (Peer::new(true), Peer::new(true));
    sender.connect(&who(&broker, "sender"));
    receiver.connect(&who(&broker, "receiver"));
    sender.publish("kept/a", b"first", QoS::ExactlyOnce, true);
    receiver.subscribe("kept/#", QoS::ExactlyOnce);
    receiver.receives("kept/a", b"first", QoS::ExactlyOnce, true);
    sender.publish("kept/a", b"second", QoS::ExactlyOnce, true);
    receiver.receives("kept/a", b"second", QoS::ExactlyOnce, false);
    receiver.unsubscribe("kept/#");
    sender.publish("kept/a", b"third", QoS::AtLeastOnce, true);
    receiver.subscribe("other", QoS::AtLeastOnce);
    sender.publish("other", b"fourth", QoS::ExactlyOnce, false);
    receiver.receives("other", b"fourth", QoS::AtLeastOnce, false);
}

#[test]
fn will_is_delivered_when_the_connection_is_reset() {
    let broker = broker();
    let (mut device, mut receiver) = (Peer::new(true), Peer::new(true));
    receiver.connect(&who(&broker, "receiver"));
    receiver.subscribe("gone/#", QoS::ExactlyOnce);
    let will = WillRef { topic: "gone/device", payload: b"bye", qos: QoS::ExactlyOnce, retain: true };
    device.connect(&Who { will: Some(will), ..who(&broker, "device") });
    device.reset();
    receiver.receives("gone/device", b"bye", QoS::ExactlyOnce, false);
    let mut later = Peer::new(true);
    later.connect(&who(&broker, "later"));
    later.subscribe("gone/#", QoS::AtMostOnce);
    later.receives("gone/device", b"bye", QoS::AtMostOnce, true);
}

#[test]
fn kept_session_resends_and_qos_2_arrives_once() {
    let broker = broker();
    let (mut device, mut receiver) = (Peer::new(false), Peer::new(true));
    receiver.connect(&who(&broker, "receiver"));
    receiver.subscribe("t/#", QoS::ExactlyOnce);
    assert!(!device.connect(&who(&broker, "device")));
    let seq = device.send("t/twice", b"x", QoS::ExactlyOnce, false);
    // The device does not read PUBREC.
    device.reset();
    assert!(device.connect(&who(&broker, "device")), "the broker kept the session");
    assert_eq!(device.event(), Event::Resent);
    let event = device.event();
    assert!(matches!(event, Event::Acked { tag, resent: true, .. } if tag == seq), "{event:?}");
    device.publish("t/end", b"y", QoS::ExactlyOnce, false);
    receiver.receives("t/twice", b"x", QoS::ExactlyOnce, false);
    receiver.receives("t/end", b"y", QoS::ExactlyOnce, false);
}

#[test]
fn wrong_password_is_refused_and_fails_the_run() {
    let broker = broker();
    let work = Workplace::new(&scenario(&broker, 1)).env("BROKER_PASSWORD", "wrong").without_preflight();
    work.run().exits(99);
    let result = work.result();
    assert_eq!(result.verdict.status, Status::Fail);
    let refused: u64 = rows(&result, "connect").iter().map(|row| row.outcome(Outcome::Refused)).sum();
    assert!(refused >= DEVICES, "each device tried at least once: {refused}");
    let error = result
        .errors
        .iter()
        .find(|error| error.class == "connack_5")
        .expect("the error class names the code");
    assert_eq!(error.count, refused);
    assert_eq!(broker.witness().counts(0).published, 0);
}

#[test]
fn unknown_authority_is_a_tls_error() {
    let (broker, other) = (broker(), broker());
    let scenario =
        scenario(&broker, 1).replace(&broker.ca().display().to_string(), &other.ca().display().to_string());
    let work = Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD).without_preflight();
    let finished = work.run();
    let result = work.result();
    // On a busy machine, stalls may excuse the failures. The error class is the same.
    if !is_undecided_by_stalls(&result) {
        finished.exits(99);
    }
    assert!(result.errors.iter().any(|error| error.class == "tls_certificate"), "{:#?}", result.errors);
    assert_eq!(broker.witness().counts(0).published, 0);
}

/// The witness counts published messages, including one too many.
#[test]
fn witness_counts_messages_and_clients() {
    let broker = broker();
    let mut witness = broker.witness();
    let mut client = Client::connect(broker.plain(), "hand", "user-dev-000", PASSWORD);
    for _ in 0..3 {
        client.publish("a/b", b"x");
    }
    let counts = witness.counts(3);
    assert_eq!((counts.published, counts.clients, counts.clients_peak), (3, 2, 2));
    client.publish("a/b", b"x");
    assert_eq!(witness.counts(4).published, 4);
}

/// The first devices connect over plain TCP, so TLS cannot be the cause.
#[test]
fn connection_limit_is_not_explained_by_tls() {
    let broker = Mosquitto::open_with("max_connections 5");
    let work = Workplace::new(&format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\ntls = false\n\
         [fleet.one]\ndevices = 20\nauth = {{ kind = \"none\" }}\nreconnect = {{ kind = \"never\" }}\n\
         [[phase]]\nname = \"only\"\nduration = \"1s\"\n[thresholds]\n\"connect\" = [\"rate(ok) == 100%\"]\n{WIDE_VALIDITY}",
        broker.host(),
        broker.plain().port()
    ));
    let finished = work.without_preflight();
    let code = finished.run().code;
    assert!(matches!(code, Some(99 | 120)), "{code:?}");
    let result = finished.result();
    assert_eq!(result.fleets[0].connected_peak, 5);
    let texts: Vec<_> = result.findings.iter().map(|finding| &*finding.text).collect();
    assert!(texts.iter().any(|text| text.contains("may have a connection limit")), "{texts:?}");
    let examples: Vec<_> = result.errors.iter().map(|error| &*error.example).collect();
    for text in texts.iter().chain(&examples) {
        assert!(!text.contains("tls = "), "{text}");
    }
}

/// Pastes the commands that `certs` prints into a shell. mosquitto that root starts once could not read the key.
#[test]
fn commands_that_certs_prints_start_mosquitto() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if std::fs::metadata(folder.path()).expect("the folder exists").uid() != 0 {
        eprintln!(
            "partly skipped: root does not run this test, so mosquitto has the same rights as the key's owner"
        );
    }
    let (certs, out) = (folder.path().join("my certs"), folder.path().join("out"));
    let name = own_address().to_string();
    let printed = hubstorm(&["certs", "--name", &name, "--out", certs.to_str().expect("UTF-8")]);
    let (_, hint) = printed.exits(0).stdout.split_once("paste:\n\n").expect("a hint");
    let (broker, run) = hint.split_once("and in another terminal:").expect("two commands");

    let _broker = PastedMosquitto::start(broker);
    // As printed, the run takes more than a minute.
    let short = "--set fleet.sensor.devices=2 --set phase.ramp.duration=1s --set phase.steady.duration=1s";
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{} {short} --out '{}'", run.trim(), out.display())]);
    let program = Path::new(env!("CARGO_BIN_EXE_hubstorm"));
    let path = format!(
        "{}:{}",
        program.parent().expect("a folder").display(),
        std::env::var("PATH").expect("a PATH")
    );
    let output = shell.current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", path).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let mut results = std::fs::read_dir(&out).unwrap_or_else(|_| panic!("no result: {text}"));
    let json = results
        .find_map(|it| it.ok().map(|it| it.path()).filter(|it| it.extension() == Some("json".as_ref())));
    assert_eq!(all_ok(&read_result(&json.expect("a result")), "connect"), 2, "{text}");
}
