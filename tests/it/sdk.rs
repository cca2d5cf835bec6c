//! Azure's device SDKs, unmodified, against the emulator. They have their own codecs, TLS, tokens and topics. If an SDK and the emulator
//! disagree, the SDK is right.

use crate::support::address::listen_at;
use crate::support::emulator::Emulator;
use crate::support::hub::{LocalHub, PORT};
use crate::support::sdk::{Sdk, SdkDevice, run_file};
use serde_json::{Value, json};

const ID: &str = "meter-1";
const TRIES_MAX: u32 = 10;

/// Makes a test of each function for each SDK.
macro_rules! for_each_sdk {
    ($($test:ident)*) => {
        mod python {
            $(#[test] fn $test() { super::$test(super::Sdk::Python); })*
        }
        mod node {
            $(#[test] fn $test() { super::$test(super::Sdk::Node); })*
        }
    };
}

for_each_sdk! {
    sends_telemetry_with_properties
    is_disconnected_by_a_second_client_with_its_id
    reconnects_after_a_takeover_and_sends_again
    renews_a_short_token
    wrong_key_is_refused
    reads_its_twin_and_reports_properties
    receives_desired_properties
    answers_methods
    receives_and_completes_c2d_messages
    reconnects_after_a_forced_close
    cannot_connect_while_disabled
    reconnects_after_faults_and_its_messages_count
    reconnects_after_a_disable_fault
    works_with_every_character_of_a_device_id
    readme_example_works
}

fn sends_telemetry_with_properties(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    let large = "x".repeat(200 * 1024);
    device.execute(json!({"do": "send", "body": large}), "sent");
    device.execute(
        json!({
            "do": "send", "body": r#"{"t":21}"#, "message_id": "m-1(:)", "correlation_id": "c=&1",
            "content_type": "application/json", "content_encoding": "utf-8",
            "properties": {"alarm": "high & rising", "größe": "é/?#+%20", "empty": ""},
        }),
        "sent",
    );
    device.leave();
    let messages = hub.telemetry();
    let [plain, full] = &messages[..] else { panic!("{} messages", messages.len()) };
    assert_eq!((plain.device.as_str(), plain.bag.as_str(), plain.payload.len()), (ID, "", large.len()));
    assert_eq!(full.payload, br#"{"t":21}"#);
    let properties = full.properties().expect("UTF-8");
    let expected = [
        ("$.mid", "m-1(:)"),
        ("$.cid", "c=&1"),
        ("$.ct", "application/json"),
        ("$.ce", "utf-8"),
        ("alarm", "high & rising"),
        ("größe", "é/?#+%20"),
        ("empty", ""),
    ];
    for (name, value) in expected {
        let property = properties.iter().find(|property| property.0 == name);
        let value = value.to_owned();
        assert_eq!(property, Some(&(name.to_owned(), Some(value))), "{}", full.bag);
    }
    assert_eq!(properties.len(), expected.len(), "{}", full.bag);
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.telemetry, stats.protocol_errors), (1, 2, 0), "{stats:?}");
}

fn is_disconnected_by_a_second_client_with_its_id(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut first = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    let mut second = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    first.wait_for("disconnected");
    second.execute(json!({"do": "send", "body": "mine"}), "sent");
    second.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over, stats.telemetry), (2, 1, 1), "{stats:?}");
}

/// Python reconnects at once, Node when it sends the next message.
fn reconnects_after_a_takeover_and_sends_again(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    device.execute(json!({"do": "send", "body": "before"}), "sent");
    let mut intruder = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    if let Sdk::Python = sdk {
        intruder.wait_for("disconnected");
    }
    device.execute(json!({"do": "send", "body": "after"}), "sent");
    if let Sdk::Node = sdk {
        intruder.wait_for("disconnected");
    }
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over, stats.telemetry), (3, 2, 2), "{stats:?}");
}

fn renews_a_short_token(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &["--token-lifetime", "2"]);
    // The device sends while it renews its token twice. A message in flight during a reconnect may arrive twice.
    let mut sent = 0;
    while hub.stats().accepted < 3 {
        device.execute(json!({"do": "send", "body": "still here"}), "sent");
        sent += 1;
    }
    device.leave();
    let stats = hub.stop();
    assert!(stats.telemetry >= sent, "{sent} sent: {stats:?}");
    assert_eq!((stats.refused, stats.expired, stats.protocol_errors), (0, 0, 0), "{stats:?}");
}

fn wrong_key_is_refused(sdk: Sdk) {
    let hub = LocalHub::start();
    let wrong = hub.connection_string("another").replace("another", ID);
    let mut device = SdkDevice::start(sdk, &hub.ca(), &wrong, &[]);
    let why = device.fails(json!({"do": "connect"}));
    assert!(why.contains(refused(sdk)), "{why}");
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.refused), (0, 1), "{stats:?}");
}

/// Returns the name that an SDK has for CONNACK with code 5.
fn refused(sdk: Sdk) -> &'static str {
    match sdk {
        Sdk::Python => "CredentialError",
        Sdk::Node => "Not authorized",
    }
}

fn reads_its_twin_and_reports_properties(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    let new = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    assert_eq!(device.execute(json!({"do": "twin"}), "twin")["twin"], new);
    let patch = json!({"firmware": "1.0", "at": {"place": "Köln", "since": 7}});
    device.execute(json!({"do": "report", "patch": patch}), "reported");
    device.execute(json!({"do": "report", "patch": {"firmware": "1.1", "at": {"since": null}}}), "reported");
    let twin = device.execute(json!({"do": "twin"}), "twin")["twin"].clone();
    assert_eq!(twin["reported"], json!({"firmware": "1.1", "at": {"place": "Köln"}, "$version": 3}));
    let why = device.fails(json!({"do": "report", "patch": {"a.b": 1}}));
    let refused = match sdk {
        Sdk::Python => "status 400",
        Sdk::Node => "a key contains a control character, a dot, a dollar sign or a space",
    };
    assert!(why.contains(refused), "{why}");
    // A new connection reads the reported properties.
    device.leave();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    assert_eq!(device.execute(json!({"do": "twin"}), "twin")["twin"], twin);
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.protocol_errors), (2, 0), "{stats:?}");
}

/// Subscribes to everything. Returns when the hub has processed the subscriptions.
fn listen(device: &mut SdkDevice) {
    device.execute(json!({"do": "listen", "methods": ["reboot"]}), "listening");
    // The same connection delivers this request after the subscriptions.
    device.execute(json!({"do": "twin"}), "twin");
}

/// Waits for the change with this version. Node also reports earlier ones.
fn wait_for_desired(device: &mut SdkDevice, version: u64) -> Value {
    loop {
        let patch = device.wait_for("desired")["patch"].clone();
        if patch["$version"].as_u64() >= Some(version) {
            return patch;
        }
    }
}

fn receives_desired_properties(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    listen(&mut device);
    let answer = hub.ask(ID, json!({"desired": {"patch": {"every_s": 5, "at": {"place": "Köln"}}}}));
    assert_eq!(answer.map(|answer| answer.version), Ok(Some(2)));
    let patch = wait_for_desired(&mut device, 2);
    assert_eq!(patch, json!({"every_s": 5, "at": {"place": "Köln"}, "$version": 2}));
    hub.ask(ID, json!({"desired": {"patch": {"every_s": null}}})).expect("it is known");
    assert_eq!(wait_for_desired(&mut device, 3), json!({"every_s": null, "$version": 3}));
    let twin = device.execute(json!({"do": "twin"}), "twin");
    assert_eq!(twin["twin"]["desired"], json!({"at": {"place": "Köln"}, "$version": 3}));
    device.leave();
}

fn answers_methods(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    listen(&mut device);
    for payload in [json!({"delay": 1, "why": "größe"}), json!("now"), json!([1, 2]), json!(null)] {
        let answer =
            hub.ask(ID, json!({"method": {"name": "reboot", "payload": payload}})).expect("it answers");
        assert_eq!((answer.status, answer.payload), (Some(200), Some(json!({"echo": payload}))));
        let method = device.wait_for("method");
        assert_eq!((&method["name"], &method["payload"]), (&json!("reboot"), &payload));
    }
    // A call without a payload has an empty body, which is not JSON. The SDK for Python reads it as None. The one for Node.js answers 400.
    let answer = hub.ask(ID, json!({"method": {"name": "reboot"}})).expect("it answers");
    match sdk {
        Sdk::Python => {
            assert_eq!((answer.status, answer.payload), (Some(200), Some(json!({"echo": null}))));
            assert_eq!(device.wait_for("method")["payload"], json!(null));
        }
        Sdk::Node => assert_eq!(answer.status, Some(400)),
    }
    device.leave();
    let answer = hub.ask(ID, json!({"method": {"name": "reboot"}}));
    assert_eq!(answer.map_err(|error| error.code()), Err(404_103));
}

fn receives_and_completes_c2d_messages(sdk: Sdk) {
    let hub = LocalHub::start();
    let send = |message: Value| hub.ask(ID, json!({"c2d": message})).expect("it is queued");
    // The first connection creates the session that queues the message.
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    listen(&mut device);
    send(json!({"payload": "plain"}));
    assert_eq!(device.wait_for("message")["body"], "plain");
    device.leave();

    let properties = json!({"alarm": "high & rising", "größe": "é/?#+%20"});
    send(json!({"payload": "größer", "message_id": "m-1(:)", "properties": properties, "ack": "full"}));
    // The message arrives right after CONNACK, so the device must listen before it connects. Listening connects.
    let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(ID), &[]);
    listen(&mut device);
    let message = device.wait_for("message");
    assert_eq!((&message["body"], &message["message_id"]), (&json!("größer"), &json!("m-1(:)")));
    let seen = &message["properties"];
    for (name, value) in properties.as_object().expect("it is one") {
        assert_eq!(&seen[name], value, "{seen}");
    }
    // The same connection delivers this request after the acknowledgment.
    device.execute(json!({"do": "twin"}), "twin");
    assert_eq!(
        hub.ask(ID, json!("purge")).map(|answer| answer.payload),
        Ok(Some(json!({"totalMessagesPurged": 0}))),
        "it was completed"
    );
    device.leave();
}

fn reconnects_after_a_forced_close(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    listen(&mut device);
    hub.ask(ID, json!("close")).expect("it is online");
    // The SDK reconnects without a command. A call waits until the device has subscribed again, unless it reached the old connection.
    let call = json!({"method": {"name": "reboot", "payload": 1, "connect_timeout_ms": 60_000}});
    let answer = (0..TRIES_MAX).find_map(|_| hub.ask(ID, call.clone()).ok());
    assert_eq!(answer.expect("it answers").status, Some(200));
    device.execute(json!({"do": "send", "body": "after"}), "sent");
    device.execute(json!({"do": "report", "patch": {"again": true}}), "reported");
    device.execute(json!({"do": "twin"}), "twin");
    hub.ask(ID, json!({"desired": {"patch": {"every_s": 5}}})).expect("it is known");
    wait_for_desired(&mut device, 2);
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.telemetry, stats.protocol_errors), (2, 1, 0), "{stats:?}");
}

fn cannot_connect_while_disabled(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    hub.ask(ID, json!({"disable": true})).expect("it is known");
    device.wait_for("disconnected");
    let why = device.fails(json!({"do": "connect"}));
    assert!(why.contains(refused(sdk)), "{why}");
    hub.ask(ID, json!({"disable": false})).expect("it is known");
    let attempts = device.connect_after_refusal();
    device.leave();
    let stats = hub.stop();
    assert!((2..=1 + attempts).contains(&stats.accepted), "{stats:?}");
    assert_eq!(stats.refused, 1, "{stats:?}");
}

/// Forced closes, a reset and a new certificate end the connection. The SDK reconnects, and the hub counts every message.
fn reconnects_after_faults_and_its_messages_count(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &[]);
    for kind in ["close", "reset", "certificate-change", "close"] {
        device.execute(json!({"do": "send", "body": "before"}), "sent");
        hub.fault(json!({"kind": kind}));
        while hub.applied().last() != Some(&1) {
            std::thread::yield_now();
        }
        // Node reconnects when it sends the next message. Python refuses messages until it has reconnected.
        if matches!(sdk, Sdk::Python) {
            device.wait_for("disconnected");
            device.wait_for("connected");
        }
        device.execute(json!({"do": "send", "body": "after"}), "sent");
    }
    device.leave();
    assert_eq!(hub.applied(), [1, 1, 1, 1]);
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.telemetry, stats.protocol_errors), (5, 8, 0), "{stats:?}");
}

/// The fault closes the connection and refuses CONNECT with return code 5. After it, the same client connects again.
fn reconnects_after_a_disable_fault(sdk: Sdk) {
    let hub = LocalHub::start();
    let mut device = SdkDevice::connected(sdk, &hub, ID, &["--no-retry"]);
    device.execute(json!({"do": "send", "body": "before"}), "sent");
    hub.fault(json!({"kind": "disable-device", "for": "2s", "devices": [ID]}));
    let end = hubstorm::clock::now() + std::time::Duration::from_secs(2);
    device.wait_for("disconnected");
    // On a slow machine, the fault may be over at the first attempt.
    let mut attempts = 1;
    if !device.connects() {
        // The event to wait for is the time itself at which the fault ends.
        while let Some(left) = end.checked_duration_since(hubstorm::clock::now()) {
            std::thread::park_timeout(left);
        }
        attempts = device.connect_after_refusal();
    }
    device.execute(json!({"do": "send", "body": "after"}), "sent");
    device.leave();
    let (applied, stats) = (hub.applied(), hub.stop());
    assert_eq!(applied, [1 + stats.refused], "the closed connection, and each refused CONNECT");
    assert!((2..=1 + attempts).contains(&stats.accepted), "{stats:?}");
    assert_eq!(stats.telemetry, 2, "{stats:?}");
}

/// Except for `#` and `+`, which the MQTT clients of the SDKs refuse, and `;`, which ends a field of a connection string.
fn works_with_every_character_of_a_device_id(sdk: Sdk) {
    const ID: &str = "Meter-:.%20_*?!(),=@$'1";
    let hub = LocalHub::start();
    let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(ID), &[]);
    listen(&mut device);
    device.execute(json!({"do": "send", "body": "1", "properties": {"a": "b"}}), "sent");
    device.execute(json!({"do": "report", "patch": {"a": 1}}), "reported");
    hub.ask(ID, json!({"c2d": {"payload": "2"}})).expect("it is queued");
    assert_eq!(device.wait_for("message")["body"], "2");
    let answer = hub.ask(ID, json!({"method": {"name": "reboot", "payload": 3}})).expect("it answers");
    assert_eq!(answer.payload, Some(json!({"echo": 3})));
    device.leave();
    let stats = hub.stop();
    assert_eq!((stats.telemetry, stats.refused, stats.protocol_errors), (1, 0, 0), "{stats:?}");
}

fn readme_example_works(sdk: Sdk) {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## Your SDK code against the emulator\n").expect("the section");
    let (fence, name) = match sdk {
        Sdk::Python => ("```python\n", "device.py"),
        Sdk::Node => ("```js\n", "device.mjs"),
    };
    let example =
        section.split_once(fence).and_then(|(_, rest)| rest.split_once("```")).expect("the example").0;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    let address = listen_at(PORT).local_addr().expect("it is bound");
    let emulator = Emulator::start_at(address, &["--ca-out", ca.to_str().expect("UTF-8")], &[]);
    std::fs::write(folder.path().join(name), example).expect("the folder is writable");
    let output = run_file(sdk, folder.path(), name, emulator.sample_connection_string());
    // Python prints its own notation, with single quotes.
    let twin = output.replace('\'', "\"");
    let twin: Value = serde_json::from_str(&twin).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(twin, json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));
    emulator.stop();
}
