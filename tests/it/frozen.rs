//! A broker that freezes for 2 s during the run: response times show it, the lag of the generator does not, and no message is lost.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, rows, totals};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use hubstorm::result::model::Status;
use std::time::Duration;

const DEVICES: u64 = 20;
const PASSWORD: &str = "frozen";
const FREEZE: Duration = Duration::from_secs(2);
/// Bytes of a quarter of the messages, of 512 bytes each. After them the load has started and is far from its end.
const QUARTER_BYTES: u64 = DEVICES * 10 * 8 / 4 * 512;

#[test]
fn freeze_shows_in_response_times_and_loses_nothing() {
    let broker = Mosquitto::start((0..DEVICES).map(|index| format!("dev-{index:03}")), PASSWORD);
    let proxy = Proxy::start(broker.host(), broker.tls());
    let work = Workplace::new(&scenario(&broker, &proxy, "", 1)).env("BROKER_PASSWORD", PASSWORD);
    let mut witness = broker.witness();

    let running = work.start();
    proxy.wait_for_upstream_bytes(QUARTER_BYTES);
    proxy.freeze_for(FREEZE);
    running.wait().exits(0);

    let result = work.result();
    assert_eq!(result.verdict.status, Status::Pass, "{:?}", result.verdict.reasons);
    let published = all_ok(&result, "publish");
    assert_eq!(published, DEVICES * 10 * 8, "regular arrivals over whole periods");
    assert_eq!(witness.counts(published).published, published, "no message was lost or duplicated");
    assert_eq!(result.fleets[0].counts.reconnects, 0);

    let [row] = rows(&result, "publish")[..] else { panic!("one fleet, one phase") };
    // A quarter of the messages became due in the freeze. Those in its first quarter, 6% of all, waited at least 1.5 s. A generator with
    // coordinated omission would show only a few slow messages.
    let (p95, p99) = (
        row.response.quantile(0.95).expect("acknowledged messages"),
        row.response.quantile(0.99).expect("acknowledged messages"),
    );
    assert!(p99 >= 1_500_000, "response p99 {p99} us");
    assert!(p95 >= 1_300_000, "response p95 {p95} us");
    // With a window of 4, the fifth message of a device waits for at least 1.5 s minus four periods.
    let wait = row.wait.max().expect("acknowledged messages");
    assert!(wait >= 1_000_000, "the window held messages back: wait max {wait} us");
    // The generator was on time during the freeze.
    let lag = row.lag.quantile(0.99).expect("started messages");
    assert!(lag < p99 / 4, "lag p99 {lag} us, response p99 {p99} us");
}

/// The devices send QoS 0 messages more often than the keep-alive and receive nothing, so only a ping detects the dead connection.
#[test]
fn devices_that_send_qos_0_detect_a_frozen_hub() {
    let broker = Mosquitto::start((0..DEVICES).map(|index| format!("dev-{index:03}")), PASSWORD);
    let proxy = Proxy::start(broker.host(), broker.tls());
    let work =
        Workplace::new(&scenario(&broker, &proxy, "keep_alive = \"1s\"", 0)).env("BROKER_PASSWORD", PASSWORD);
    let running = work.start();
    proxy.wait_for_upstream_bytes(QUARTER_BYTES);
    // The freeze outlasts the run.
    proxy.freeze_for(FREEZE * 60);
    running.wait().exits(0);

    let result = work.result();
    let lost = result.errors.iter().filter(|error| error.class == "ping_timeout").map(|error| error.count);
    assert_eq!(lost.sum::<u64>(), DEVICES, "{:#?}", result.errors);
    let unheard = result.fleets[0].counts.qos0_on_dead_connections;
    let (_, outcomes) = totals(&result, "publish.qos0");
    // Each device sends for at least most of the keep-alive before its ping times out.
    assert!((DEVICES * 5..=outcomes["ok"]).contains(&unheard), "{unheard} of {outcomes:?}");
    let findings = &result.findings;
    assert!(findings.iter().any(|finding| finding.text.contains("connection was dead")), "{findings:#?}");
}

fn scenario(broker: &Mosquitto, proxy: &Proxy, fleet: &str, qos: u8) -> String {
    // Stalls of a busy test machine may also make messages fail.
    let threshold = match qos {
        0 => r#""publish.qos0" = ["rate(ok) >= 0%"]"#,
        _ => r#""publish" = ["rate(ok) == 100%"]"#,
    };
    format!(
        r#"
name = "frozen hub"
seed = 5
drain = "{drain}"

[target]
kind = "mqtt"
host = "{host}"
port = {port}
ca = "{ca}"

[fleet.sensor]
devices = {DEVICES}
id = "dev-{{index:03}}"
auth = {{ kind = "password", username = "${{device}}", password = "${{env.BROKER_PASSWORD}}" }}
in_flight = 4
ack_timeout = "30s"
send_by = "30s"
{fleet}

[[fleet.sensor.send]]
every = "100ms"
qos = {qos}
topic = "sensors/${{device}}"
payload = {{ size = 512 }}

[[phase]]
name = "steady"
duration = "8s"

[thresholds]
{threshold}
{WIDE_VALIDITY}"#,
        drain = if qos == 0 { "1s" } else { "30s" },
        host = broker.host(),
        port = proxy.port(),
        ca = broker.ca().display(),
    )
}
