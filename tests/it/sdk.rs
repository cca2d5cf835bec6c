//! Azure's own device SDKs, unmodified, against the emulator: codecs, TLS, tokens, topics and habits that are not ours. Where
//! an SDK and the emulator disagree, the SDK is right.

use crate::support::hub::LocalHub;
use crate::support::sdk::{Sdk, SdkDevice};
use serde_json::json;

const ID: &str = "meter-1";

/// Each story is told of each SDK.
macro_rules! stories {
    ($($story:ident)*) => {
        mod python {
            $(#[test] fn $story() { super::$story(super::Sdk::Python); })*
        }
        mod node {
            $(#[test] fn $story() { super::$story(super::Sdk::Node); })*
        }
    };
}

stories! {
    sends_telemetry_with_properties
    is_taken_over_by_another_with_its_id
    comes_back_after_it_was_closed_and_sends_on
    renews_a_short_token
    a_wrong_key_is_refused
    reads_its_twin_and_reports
}

fn sends_telemetry_with_properties(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    device.does(json!({"do": "send", "body": "plain"}), "sent");
    device.does(
        json!({
            "do": "send", "body": r#"{"t":21}"#, "message_id": "m-1(:)", "correlation_id": "c=&1",
            "content_type": "application/json", "content_encoding": "utf-8",
            "properties": {"alarm": "high & rising", "größe": "é/?#+%20"},
        }),
        "sent",
    );
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.telemetry, stats.protocol_errors), (1, 2, 0), "{stats:?}");
}

fn is_taken_over_by_another_with_its_id(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut first = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    let mut second = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    first.sees("disconnected");
    second.does(json!({"do": "send", "body": "mine"}), "sent");
    second.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over, stats.telemetry), (2, 1, 1), "{stats:?}");
}

/// Python connects again at once, Node when it has something to send.
fn comes_back_after_it_was_closed_and_sends_on(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    device.does(json!({"do": "send", "body": "before"}), "sent");
    let mut intruder = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    if let Sdk::Python = sdk {
        device.sees("disconnected");
        device.sees("connected");
    }
    device.does(json!({"do": "send", "body": "after"}), "sent");
    intruder.sees("disconnected");
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over, stats.telemetry), (3, 2, 2), "{stats:?}");
}

fn renews_a_short_token(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &["--token-lifetime", "2"]);
    // It sends on while it renews, twice. What is under way when it reconnects may come twice.
    let mut sent = 0;
    while hub.stats().accepted < 3 {
        device.does(json!({"do": "send", "body": "still here"}), "sent");
        sent += 1;
    }
    device.leave();
    let stats = hub.stop();
    assert!(stats.telemetry >= sent, "{sent} sent: {stats:?}");
    assert_eq!((stats.refused, stats.expired, stats.protocol_errors), (0, 0, 0), "{stats:?}");
}

fn a_wrong_key_is_refused(sdk: Sdk) {
    let hub = LocalHub::start();
    let wrong = hub.connection_string("another").replace("another", ID);
    let mut device = SdkDevice::start(sdk, &hub, &wrong, &[]);
    let why = device.fails(json!({"do": "connect"}));
    let refused = match sdk {
        Sdk::Python => "CredentialError",
        Sdk::Node => "UnauthorizedError",
    };
    assert!(why.contains(refused), "{why}");
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.refused), (0, 1), "{stats:?}");
}

fn reads_its_twin_and_reports(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    let new = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    assert_eq!(device.does(json!({"do": "twin"}), "twin")["twin"], new);
    let patch = json!({"firmware": "1.0", "at": {"place": "Köln", "since": 7}});
    device.does(json!({"do": "report", "patch": patch}), "reported");
    device.does(json!({"do": "report", "patch": {"firmware": "1.1", "at": {"since": null}}}), "reported");
    let twin = device.does(json!({"do": "twin"}), "twin")["twin"].clone();
    assert_eq!(twin["reported"], json!({"firmware": "1.1", "at": {"place": "Köln"}, "$version": 3}));
    let why = device.fails(json!({"do": "report", "patch": {"a.b": 1}}));
    let refused = match sdk {
        Sdk::Python => "status 400",
        Sdk::Node => "a key has a control character, a dot, a dollar sign or a space",
    };
    assert!(why.contains(refused), "{why}");
    // Another one sees what was reported.
    device.leave();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    assert_eq!(device.does(json!({"do": "twin"}), "twin")["twin"], twin);
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.protocol_errors), (2, 0), "{stats:?}");
}
