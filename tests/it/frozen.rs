//! A hub that stands still for 2 s in mid-run: response times show it, the generator is not blamed, nothing is lost.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, rows, totals};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use hubstorm::result::model::Status;
use std::time::Duration;

const DEVICES: u64 = 20;
const PASSWORD: &str = "frozen";
const FREEZE: Duration = Duration::from_secs(2);
/// A quarter of the run's messages, of 512 bytes each, is through: the load is on and far from over.
const QUARTER_BYTES: u64 = DEVICES * 10 * 8 / 4 * 512;

#[test]
fn a_hub_frozen_for_two_seconds_shows_in_the_response_and_loses_nothing() {
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
    assert_eq!(witness.counts(published).published, published, "nothing was lost, nothing came twice");
    assert_eq!(result.fleets[0].counts.reconnects, 0);

    let [row] = rows(&result, "publish")[..] else { panic!("one fleet, one phase") };
    // A quarter of the messages was due in the freeze, and what was due in its first quarter, 6% of all, had no ack
    // for at least 1.5 s. A generator that waits for acks would have shown a handful of slow messages instead.
    let (p95, p99) =
        (row.response.quantile(0.95).expect("acked"), row.response.quantile(0.99).expect("acked"));
    assert!(p99 >= 1_500_000, "response p99 {p99} us");
    assert!(p95 >= 1_300_000, "response p95 {p95} us");
    // With a window of 4, the fifth message of a device waits for at least 1.5 s less what four periods take.
    let wait = row.wait.max().expect("acked");
    assert!(wait >= 1_000_000, "the window held messages back: wait max {wait} us");
    // The generator was on time while the hub stood still: its lag explains nothing of this.
    let lag = row.lag.quantile(0.99).expect("picked");
    assert!(lag < p99 / 4, "lag p99 {lag} us, response p99 {p99} us");
}

/// Devices send QoS 0 messages more often than the keep-alive and receive nothing, so only a ping detects the dead connection.
#[test]
fn devices_that_send_qos_0_detect_a_frozen_hub() {
    let broker = Mosquitto::start((0..DEVICES).map(|index| format!("dev-{index:03}")), PASSWORD);
    let proxy = Proxy::start(broker.host(), broker.tls());
    let work =
        Workplace::new(&scenario(&broker, &proxy, "keep_alive = \"1s\"", 0)).env("BROKER_PASSWORD", PASSWORD);
    let running = work.start();
    proxy.wait_for_upstream_bytes(QUARTER_BYTES);
    // Longer than the run.
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
    // While other tests run, this machine's stalls may also make messages fail.
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
