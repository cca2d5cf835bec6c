//! The presets of `plan::sdk` against the SDKs from PyPI and npm: CONNECT, subscriptions, twin requests and reconnects must match.

use crate::support::recording_hub::{Recorded, RecordingHub, Turn};
use crate::support::sdk::{Sdk, SdkDevice, node, script};
use hubstorm::plan::{self, DevicePreset};
use hubstorm::rng::{Purpose, generator};
use hubstorm::scenario;
use serde_json::json;
use std::time::Duration;

const ID: &str = "meter-1";
/// The number of random delays of each retry.
const DRAWS: u64 = 1_000;

fn preset(sdk: Sdk) -> DevicePreset {
    plan::device_preset(Some(match sdk {
        Sdk::Python => scenario::Sdk::Python,
        Sdk::Node => scenario::Sdk::Node,
    }))
}

fn connects_like_the_preset(sdk: Sdk) {
    let hub = RecordingHub::start([Turn::Serves]);
    let began_unix = hubstorm::clock::unix().as_secs();
    let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(ID), &[]);
    device.execute(json!({"do": "listen", "methods": ["reboot"]}), "listening");
    device.execute(json!({"do": "twin"}), "twin");
    device.leave();
    let Recorded { keep_alive_s, clean_session, user_name, expiry_unix, mut subscribed, twin_qos } =
        hub.recorded().remove(0);
    let preset = preset(sdk);
    assert_eq!((keep_alive_s, clean_session), (preset.keep_alive_s, false));
    let made = began_unix..=hubstorm::clock::unix().as_secs();
    assert!(made.contains(&(expiry_unix - preset.tokens.ttl.as_secs())), "{expiry_unix} from {made:?}");
    assert_eq!(twin_qos, Some(preset.twin_qos));
    let version = format!("/{ID}/?api-version={}&DeviceClientType=", preset.api_version);
    assert!(user_name.contains(&version), "{user_name}");
    subscribed.sort();
    let qos = preset.subscribe_qos;
    let expected = [
        ("$iothub/methods/POST/#".to_owned(), qos.methods as u8),
        ("$iothub/twin/PATCH/properties/desired/#".to_owned(), qos.twin as u8),
        ("$iothub/twin/res/#".to_owned(), qos.twin as u8),
        (format!("devices/{ID}/messages/devicebound/#"), qos.c2d as u8),
    ];
    assert_eq!(subscribed, expected);
}

#[test]
fn python_connects_and_subscribes_like_its_preset() {
    connects_like_the_preset(Sdk::Python);
}

#[test]
fn node_connects_and_subscribes_like_its_preset() {
    connects_like_the_preset(Sdk::Node);
}

/// The next retry would be after an hour (`tests/support/sdk_device.py`).
#[test]
fn python_reconnects_at_once() {
    let hub = RecordingHub::start([Turn::ClosesAtMessage, Turn::Refuses]);
    let mut device = SdkDevice::start(Sdk::Python, &hub.ca(), &hub.connection_string(ID), &[]);
    device.execute(json!({"do": "connect"}), "connected");
    device.send(json!({"do": "send", "body": "1"}));
    assert_eq!(hub.recorded().len(), 2);
    assert_eq!(preset(Sdk::Python).reconnect.first, Some(Duration::from_millis(10)), "as in its source");
}

/// A refusal is final only on the first connection (`_firstConnection` in azure-iot-device-mqtt).
#[test]
fn node_reconnects_after_a_refusal_once_connected() {
    let hub = RecordingHub::start([Turn::ClosesAtMessage, Turn::Refuses, Turn::ClosesAtSubscribe]);
    let mut device = SdkDevice::start(Sdk::Node, &hub.ca(), &hub.connection_string(ID), &[]);
    device.execute(json!({"do": "listen", "methods": ["reboot"]}), "listening");
    device.send(json!({"do": "send", "body": "1"}));
    // It has a method handler, so it subscribes again without a command.
    assert_eq!(hub.recorded().len(), 3);
    assert!(!preset(Sdk::Node).reconnect.gives_up_refused);
}

#[test]
fn node_retry_delays_match_its_preset() {
    let output = script(node(), "node/retry_delays.js").output().expect("node is installed");
    let delays: Vec<[f64; 2]> = serde_json::from_slice(&output.stdout).expect("it prints pairs");
    let back_off = preset(Sdk::Node).reconnect.back_off;
    let mut rng = generator(1, 1, Purpose::Connection);
    for (retry, [least_ms, most_ms]) in (0..).zip(delays) {
        let mut draws: Vec<_> = (0..DRAWS)
            .map(|_| {
                back_off.delay(retry, Duration::ZERO, &mut rng).expect("it always retries").as_secs_f64()
                    * 1e3
            })
            .collect();
        draws.sort_by(f64::total_cmp);
        let (least, most, spread) = (draws[0], draws[draws.len() - 1], most_ms - least_ms);
        assert!(least > least_ms - 0.001 && most < most_ms + 0.001, "retry {retry}: {least} to {most} ms");
        assert!(
            most - least >= 0.9 * spread,
            "retry {retry}: {least} to {most} of {least_ms} to {most_ms} ms"
        );
    }
}
