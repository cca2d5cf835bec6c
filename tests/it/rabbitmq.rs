//! `run` against Debian's RabbitMQ, whose codec and TLS are written in Erlang. `docs/reliability.md` lists its deviations from the
//! standard.

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

/// All tests use one broker, because it takes ten seconds to start.
#[test]
fn rabbitmq_agrees_except_for_its_qos_2() {
    let broker = RabbitMq::start(PASSWORD);
    qos_0_and_1_pass_and_qos_2_is_a_protocol_error(&broker);
    a_collector_receives_every_message(&broker);
    wills_retained_messages_and_sessions_work(&broker);
}

fn qos_0_and_1_pass_and_qos_2_is_a_protocol_error(broker: &RabbitMq) {
    let mut listener = Client::connect(broker.plain(), "listener", USER, PASSWORD);
    listener.subscribe(&["sensors/#"]);

    let result = run(broker, &[0, 1]);
    let published = all_ok(&result, "publish.qos0") + all_ok(&result, "publish");
    assert_eq!(all_ok(&result, "connect.tls"), DEVICES);
    assert!(result.run.target.tls.is_some_and(|tls| tls.verified));
    let mut received = BTreeSet::new();
    while (received.len() as u64) < published {
        assert!(received.insert(next(&mut listener)), "twice");
    }
    // Duplicates would arrive before this message.
    listener.publish("sensors/end", b"");
    assert_eq!(next(&mut listener).0, "sensors/end");

    // MQTT 3.1.1 §4.3.3 requires PUBREC.
    let result = run(broker, &[2]);
    let (due, outcomes) = totals(&result, "publish");
    assert!(due > 0 && !outcomes.contains_key("ok"), "{outcomes:?}");
    let [error] = &result.errors[..] else { panic!("one class expected: {:#?}", result.errors) };
    assert_eq!((error.class.as_str(), error.culprit.name()), ("protocol_error", "peer"));
    assert!(error.example.contains("PUBACK"), "{error:?}");
}

fn a_collector_receives_every_message(broker: &RabbitMq) {
    // The collector connects and subscribes during the ramp.
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
    let [row] = &delivered[..] else { panic!("one fleet subscribes: {delivered:?}") };
    // Regular arrivals deviate by at most one from the integral of the rate.
    assert!(row.due >= DEVICES * 9, "{row:?}");
    assert_eq!(row.ok(), row.due, "{row:?}");
}

fn wills_retained_messages_and_sessions_work(broker: &RabbitMq) {
    let who = |id| Who { address: broker.plain(), id, user: USER, password: PASSWORD, will: None };
    let (mut sender, mut receiver) = (Peer::new(true), Peer::new(false));
    sender.connect(&who("sender"));
    assert!(!receiver.connect(&who("receiver")));
    sender.publish("kept/a", b"first", QoS::AtLeastOnce, true);
    // MQTT 3.1.1 §3.3.1.3 requires it for every matching filter. RabbitMQ sends it only for the topic itself.
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
    assert!(receiver.connect(&who("receiver")), "the broker kept the session");
    receiver.receives("kept/b", b"second", QoS::AtLeastOnce, false);
}

/// Returns topic and payload of the next message.
fn next(listener: &mut Client) -> (String, Vec<u8>) {
    let frame = listener.read();
    let (topic, _, payload) = frame.publish();
    (topic, payload.to_vec())
}

/// Runs two seconds of messages at each of these QoS.
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

/// Runs a fleet of sensors with these additions to the scenario.
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
