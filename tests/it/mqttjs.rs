//! A device with npm's `mqtt`, written as its users write it, against the emulator. It has its own codec and TLS. `hubstorm token` makes
//! its token.

use crate::support::hub::{GROUP_KEY, LocalHub};
use crate::support::hubstorm::command;
use crate::support::sdk::{node, script};
use serde_json::{Value, json};

fn token(hub: &LocalHub, device: &str) -> String {
    let host = hub.host().to_string();
    let output = command(["token", "--host", &host, "--device", device, "--group-key", "env:KEY"])
        .env("KEY", GROUP_KEY)
        .output()
        .expect("the program was built");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a token is text").trim_end().to_owned()
}

/// Runs a device and returns its report.
fn device(hub: &LocalHub, device: &str, token: &str) -> Value {
    let output = script(node(), "node/mqttjs_device.js")
        .args(["--host", &hub.host().to_string(), "--device", device, "--ca"])
        .arg(hub.ca())
        .env("DEVICE_TOKEN", token)
        .output()
        .expect("node is installed");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it prints one object")
}

#[test]
fn mqttjs_device_subscribes_sends_and_pings() {
    let hub = LocalHub::start();
    let seen = device(&hub, "meter-1", &token(&hub, "meter-1"));
    assert_eq!(seen["connack"], 0, "{seen}");
    assert_eq!((&seen["granted"], &seen["sent"]), (&json!([1]), &json!([3, 3])), "{seen}");
    assert!(seen["pings"].as_u64() >= Some(2) && seen["error"].is_null(), "{seen}");
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.telemetry, stats.protocol_errors), (1, 6, 0), "{stats:?}");
}

#[test]
fn mqttjs_device_with_a_wrong_token_is_refused_with_5() {
    let hub = LocalHub::start();
    let other = token(&hub, "meter-2");
    for (why, token) in [
        ("another device's token", other.clone()),
        ("its own name under another signature", other.replace("meter-2", "meter-1")),
        ("no token", "secret".to_owned()),
    ] {
        let seen = device(&hub, "meter-1", &token);
        assert_eq!(seen["connack"], 5, "{why}: {seen}");
        assert!(seen["error"].to_string().contains("Not authorized"), "{why}: {seen}");
    }
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.refused), (0, 3), "{stats:?}");
}
