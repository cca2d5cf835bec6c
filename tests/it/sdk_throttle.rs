//! Azure's device SDK for Python, unmodified, against an emulator whose tier throttles it or has no quota left.

use crate::support::hub::LocalHub;
use crate::support::sdk::{Sdk, SdkDevice};
use hubstorm::iothub::emulator_options::TierOptions;
use hubstorm::iothub::limits::Tier;
use hubstorm::iothub::throttles::HubSize;
use serde_json::json;
use std::time::Duration;

const ID: &str = "meter-1";
const MESSAGES: usize = 30;

/// One S1 unit without a burst: one message and one twin request in 10 ms, and messages wait for up to `queue_ms`.
fn s1(queue_ms: u64) -> TierOptions {
    let queue = Duration::from_millis(queue_ms);
    TierOptions { burst: Duration::ZERO, queue, ..TierOptions::of(HubSize { tier: Tier::S1, units: 1 }) }
}

#[test]
fn python_reconnects_when_it_is_throttled() {
    let hub = LocalHub::start_with_tier(s1(100));
    let mut device = SdkDevice::connected(Sdk::Python, &hub, ID, &[]);
    // Eleven messages pass or wait, and the hub closes the connection on the next one. The SDK reconnects without a command, and sends the
    // unacknowledged messages again.
    let messages = json!({"do": "together", "times": MESSAGES, "command": {"do": "send", "body": "x"}});
    device.send(messages);
    hub.wait_for(|stats, throttle| throttle.classes.contains_key("d2c") && stats.accepted > 1);
    let before = hub.stats().telemetry;
    hub.wait_for(|stats, _| stats.telemetry > before);
    let throttle = hub.throttle_stats();
    assert!(throttle.classes["d2c"].rejected > 0, "{throttle:?}");
    let stats = hub.stop();
    assert_eq!((stats.refused, stats.protocol_errors), (0, 0), "{stats:?}");
}

#[test]
fn python_sees_status_429_of_a_throttled_twin_request() {
    let hub = LocalHub::start_with_tier(s1(0));
    let mut device = SdkDevice::connected(Sdk::Python, &hub, ID, &[]);
    device.execute(json!({"do": "twin"}), "twin");
    let read =
        device.execute(json!({"do": "together", "times": MESSAGES, "command": {"do": "twin"}}), "together");
    let failed = read["failed"].as_array().expect("a list");
    assert!(!failed.is_empty() && failed.len() < MESSAGES, "{read}");
    assert!(failed.iter().all(|why| why.to_string().contains("status 429")), "{read}");
    device.leave();
    let throttled = hub.throttle_stats().classes["twin_reads"];
    assert_eq!((throttled.delayed, throttled.rejected), (0, failed.len() as u64));
    // The connection stayed open.
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.protocol_errors), (1, 0), "{stats:?}");
}

/// "Severed on publish": the SDK connects, sends, loses the connection, and does so again.
#[test]
fn python_reconnects_in_a_loop_without_quota() {
    let size = HubSize { tier: Tier::F1, units: 1 };
    let hub = LocalHub::start_with_tier(TierOptions { quota_used: 7_999, ..TierOptions::of(size) });
    let mut device = SdkDevice::connected(Sdk::Python, &hub, ID, &[]);
    device.execute(json!({"do": "send", "body": "the last one"}), "sent");
    device.send(json!({"do": "send", "body": "one too many"}));
    hub.wait_for(|_, throttle| throttle.quota_refused >= 2);
    assert_eq!(hub.throttle_stats().quota_used, 8_000);
    let stats = hub.stop();
    assert_eq!((stats.telemetry, stats.refused, stats.protocol_errors), (1, 0, 0), "{stats:?}");
    assert!(stats.accepted >= 2, "{stats:?}");
}
