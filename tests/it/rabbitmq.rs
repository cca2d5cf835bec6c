//! `run` against Debian's RabbitMQ: a broker with a codec and a TLS written in Erlang. What it does in another way than the standard
//! stands in `docs/reliability.md`.

use crate::support::client::{Peer, Who};
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, rows, totals};
use crate::support::mqtt::Client;
use crate::support::rabbitmq::{RabbitMq, USER};
use hubstorm::result::model::RunResult;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::WillRef;
use std::collections::BTreeSet;

const DEVICES: u64 = 10;
const PASSWORD: &str = "correct-horse";
const STEADY: &str = r#"
[[phase]]
name = "steady"
duration = "2s"
"#;

/// One broker for all: it takes ten seconds to start.
#[test]
fn rabbitmq_agrees_except_for_its_qos_2() {
    let broker = RabbitMq::start(PASSWORD);
    qos_0_and_1_pass_over_tls_and_its_answer_to_qos_2_breaks_the_protocol(&broker);
    a_collector_hears_every_sensor(&broker);
    wills_retained_messages_and_kept_sessions(&broker);
}

fn qos_0_and_1_pass_over_tls_and_its_answer_to_qos_2_breaks_the_protocol(broker: &RabbitMq) {
    let mut listener = Client::connect(broker.plain(), "listener", USER, PASSWORD);
    listener.subscribe(&["sensors/#"]);

    let result = run(broker, &[0, 1]);
    let published = all_ok(&result, "publish.qos0") + all_ok(&result, "publish");
    assert_eq!(all_ok(&result, "connect.tls"), DEVICES);
    assert!(result.run.target.tls.is_some_and(|tls| tls.verified));
    let mut heard = BTreeSet::new();
    while (heard.len() as u64) < published {
        assert!(heard.insert(next(&mut listener)), "twice");
    }
    // What came too often would come before this.
    listener.publish("sensors/end", b"");
    assert_eq!(next(&mut listener).0, "sensors/end");

    // MQTT 3.1.1 §4.3.3 wants PUBREC.
    let result = run(broker, &[2]);
    let (due, outcomes) = totals(&result, "publish");
    assert!(due > 0 && !outcomes.contains_key("ok"), "{outcomes:?}");
    let [error] = &result.errors[..] else { panic!("one class is wanted: {:#?}", result.errors) };
    assert_eq!((error.class.as_str(), error.culprit.name()), ("protocol_error", "peer"));
    assert!(error.example.contains("PUBACK"), "{error:?}");
}

fn a_collector_hears_every_sensor(broker: &RabbitMq) {
    // It has the ramp to connect and to subscribe.
    let collector = format!(
        r#"
[fleet.collector]
devices = 1
auth = {{ kind = "password", username = "{USER}", password = "${{env.BROKER_PASSWORD}}" }}
subscribe = [{{ filter = "sensors/+/1", qos = 1 }}]

[[phase]]
name = "ramp"
warmup = true
duration = "3s"
"#
    );
    let result = run_with(broker, &(send(1) + &collector + STEADY));
    let delivered: Vec<_> =
        rows(&result, "deliver").into_iter().filter(|row| row.phase == "steady").collect();
    let [row] = &delivered[..] else { panic!("one fleet listens: {delivered:?}") };
    // Within one of the integral.
    assert!(row.due >= DEVICES * 9, "{row:?}");
    assert_eq!(row.ok(), row.due, "{row:?}");
}

fn wills_retained_messages_and_kept_sessions(broker: &RabbitMq) {
    let who = |id| Who { address: broker.plain(), id, user: USER, password: PASSWORD, will: None };
    let (mut sender, mut receiver) = (Peer::new(true), Peer::new(false));
    sender.connect(&who("sender"));
    assert!(!receiver.connect(&who("receiver")));
    sender.publish("kept/a", b"first", QoS::AtLeastOnce, true);
    // MQTT 3.1.1 §3.3.1.3 wants it for every filter that matches; RabbitMQ has it for the topic itself only.
    receiver.subscribe("kept/#", QoS::AtLeastOnce);
    receiver.subscribe("kept/a", QoS::AtLeastOnce);
    receiver.receives("kept/a", b"first", QoS::AtLeastOnce, true);

    let will = WillRef { topic: "kept/will", payload: b"bye", qos: QoS::AtLeastOnce, retain: false };
    let mut device = Peer::new(true);
    device.connect(&Who { will: Some(will), ..who("device") });
    device.reset();
    receiver.receives("kept/will", b"bye", QoS::AtLeastOnce, false);

    receiver.reset();
    sender.publish("kept/b", b"second", QoS::AtLeastOnce, false);
    assert!(receiver.connect(&who("receiver")), "it kept the session");
    receiver.receives("kept/b", b"second", QoS::AtLeastOnce, false);
}

/// Topic and payload of the next message.
fn next(listener: &mut Client) -> (String, Vec<u8>) {
    let frame = listener.read();
    let (topic, _, payload) = frame.publish();
    (topic, payload.to_vec())
}

/// Two seconds of messages at each of these QoS.
fn run(broker: &RabbitMq, qos: &[u8]) -> RunResult {
    let sends: String = qos.iter().map(|qos| send(*qos)).collect();
    run_with(broker, &(sends + STEADY))
}

fn send(qos: u8) -> String {
    format!(
        r#"
[[fleet.sensor.send]]
every = "200ms"
qos = {qos}
topic = "sensors/${{device}}/{qos}"
payload = '{{"seq":${{seq}},"stamp":"${{stamp}}"}}'
"#
    )
}

/// A fleet of sensors, and what else is said of it.
fn run_with(broker: &RabbitMq, more: &str) -> RunResult {
    let scenario = format!(
        r#"
name = "RabbitMQ"
seed = 11

[target]
kind = "mqtt"
host = "{host}"
port = {port}
ca = "{ca}"

[fleet.sensor]
devices = {DEVICES}
id = "dev-{{index:03}}"
auth = {{ kind = "password", username = "{USER}", password = "${{env.BROKER_PASSWORD}}" }}
{WIDE_VALIDITY}
{more}"#,
        host = broker.tls().ip(),
        port = broker.tls().port(),
        ca = broker.ca().display(),
    );
    let work = Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD);
    work.run().exits(0);
    work.result()
}
