//! Azure's device SDK for Python, unmodified, against an emulator whose tier throttles it or has no quota left.

use crate::support::hub::LocalHub;
use crate::support::sdk::{Sdk, SdkDevice};
use hubstorm::emulator::ThrottleStats;
use hubstorm::iothub::emulator_options::TierOptions;
use hubstorm::iothub::limits::Tier;
use hubstorm::iothub::throttles::HubSize;
use serde_json::json;
use std::time::Duration;

const ID: &str = "meter-1";
const MESSAGES: usize = 30;

/// One S1 unit without a burst and a queue: one message and one twin request in 10 ms.
fn s1() -> TierOptions {
    let none = Duration::ZERO;
    TierOptions { burst: none, queue: none, ..TierOptions::of(HubSize { tier: Tier::S1, units: 1 }) }
}

/// The SDK never recovers if it writes at the moment when the hub closes the connection: that ends its network thread. So the message that
/// is too many is always the last one.
#[test]
fn python_reconnects_when_it_is_throttled() {
    let hub = LocalHub::start_with_tier(s1());
    let mut device = SdkDevice::connected(Sdk::Python, &hub, ID, &[]);
    let is_throttled = |throttle: &ThrottleStats| throttle.classes.contains_key("d2c");
    // Of two messages at once, the second is too many, unless it arrives more than 10 ms after the first.
    while !is_throttled(&hub.throttle_stats()) {
        let before = hub.stats().telemetry;
        device.send(json!({"do": "together", "times": 2, "command": {"do": "send", "body": "x"}}));
        hub.wait_for(|stats, throttle| is_throttled(throttle) || stats.telemetry >= before + 2);
    }
    // The SDK reconnects without a command, and sends the unacknowledged messages again.
    let before = hub.stats().telemetry;
    hub.wait_for(|stats, _| stats.accepted > 1 && stats.telemetry > before);
    let throttle = hub.throttle_stats();
    assert!(throttle.classes["d2c"].rejected > 0, "{throttle:?}");
    let stats = hub.stop();
    assert_eq!((stats.refused, stats.protocol_errors), (0, 0), "{stats:?}");
}

#[test]
fn python_sees_status_429_of_a_throttled_twin_request() {
    let hub = LocalHub::start_with_tier(s1());
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
