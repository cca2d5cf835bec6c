//! `run` against Debian's mosquitto: TLS, user names, passwords, QoS 0 and 1; its own counts agree with ours.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, rows};
use crate::support::mosquitto::Mosquitto;
use crate::support::mqtt::Client;
use hubstorm::result::model::{RunResult, Status};

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
    // Every device is online for all of steady, where regular arrivals are within one of the integral.
    assert!(published >= DEVICES * (3 * 5 - 1), "{published}");
    let counts = witness.counts(published);
    assert_eq!(counts.published, published, "what the broker counted");
    assert_eq!(counts.clients_peak, DEVICES + 1, "the devices and the witness");
    assert_eq!(counts.clients, 1, "every device left, and with a clean session");
    assert!(rows(&result, metric(qos)).iter().all(|row| row.no_ack == (qos == 0)));

    assert_eq!(work.outputs("html").len(), 1);
    for file in work.outputs("json").into_iter().chain(work.outputs("html")) {
        let text = std::fs::read_to_string(file).expect("readable");
        assert!(!text.contains(PASSWORD), "no report has a secret");
        assert!(text.contains("env.BROKER_PASSWORD"), "the scenario is in the report as it was written");
    }
    assert!(!(finished.stdout + &finished.stderr).contains(PASSWORD), "no output has a secret");
    result
}

#[test]
fn qos_1_over_tls_with_passwords_passes_and_the_broker_agrees() {
    let result = run(&broker(), 1);
    let tls = result.run.target.tls.as_ref().expect("TLS was spoken");
    assert_eq!((tls.version.as_str(), tls.verified), ("1.3", true));
    assert_eq!(result.run.target.kind, "mqtt");
    assert_eq!(all_ok(&result, "connect.tls"), DEVICES);
}

#[test]
fn qos_0_over_tls_with_passwords_passes_and_the_broker_agrees() {
    run(&broker(), 0);
}

#[test]
fn a_wrong_password_is_counted_as_refused_and_fails_the_run() {
    let broker = broker();
    let work = Workplace::new(&scenario(&broker, 1)).env("BROKER_PASSWORD", "wrong");
    work.run().exits(99);
    let result = work.result();
    assert_eq!(result.verdict.status, Status::Fail);
    let refused: u64 = rows(&result, "connect").iter().filter_map(|row| row.outcomes.get("refused")).sum();
    assert!(refused >= DEVICES, "each tried at least once: {refused}");
    let error = result.errors.iter().find(|error| error.class == "connack_5").expect("the code is named");
    assert_eq!(error.count, refused);
    assert_eq!(broker.witness().counts(0).published, 0);
}

#[test]
fn an_unknown_authority_is_a_tls_error_and_not_a_pass() {
    let (broker, other) = (broker(), broker());
    let scenario =
        scenario(&broker, 1).replace(&broker.ca().display().to_string(), &other.ca().display().to_string());
    let work = Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD);
    work.run().exits(99);
    let result = work.result();
    assert!(result.errors.iter().any(|error| error.class == "tls_certificate"), "{:#?}", result.errors);
    assert_eq!(broker.witness().counts(0).published, 0);
}

/// The witness itself: it sees what was published, and notices one too many.
#[test]
fn the_witness_counts() {
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
