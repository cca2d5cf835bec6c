//! A device with Paho, written as its users write it, against `hubstorm emulator`. It has its own codec and TLS, and makes its own SAS
//! tokens.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use hubstorm::emulator::control::Ready;
use hubstorm::iothub::sas::Key;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

const GROUP_KEY: &str =
    "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";

/// The emulator in its own process, which ends with the test.
struct Emulator {
    process: Child,
    ready: Ready,
}

impl Emulator {
    fn start() -> Emulator {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--listen", "127.0.0.1:0", "--group-key", "env:HUBSTORM_TEST_GROUP_KEY"])
            .env("HUBSTORM_TEST_GROUP_KEY", GROUP_KEY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Emulator { process, ready }
    }

    /// Runs a Paho device and returns its report.
    fn paho(&self, device: &str, key: &Key, more: &[&str]) -> Value {
        let python = std::env::var_os("HUBSTORM_TEST_PYTHON").expect(
            "HUBSTORM_TEST_PYTHON must name a Python with paho-mqtt: run the tests with tests/run, which installs it",
        );
        let address: SocketAddr = self.ready.mqtt.parse().unwrap();
        let output = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/paho_device.py"))
            .args(["--host", &self.ready.host, "--port", &address.port().to_string()])
            .args(["--ca", self.ready.ca_file.as_deref().expect("it is no child"), "--device", device])
            .args(more)
            .env("DEVICE_KEY", key.to_base64().as_str())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // SIGTERM lets it remove its certificate file.
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

fn device_key(device: &str) -> Key {
    Key::from_base64(GROUP_KEY).unwrap().derive(device)
}

#[test]
fn paho_device_subscribes_and_sends_telemetry() {
    let emulator = Emulator::start();
    let seen = emulator.paho("meter-1", &device_key("meter-1"), &[]);
    assert_eq!(seen["connack"], "Success", "{seen}");
    assert_eq!(seen["granted"], serde_json::json!([1]), "{seen}");
    assert_eq!(seen["published"], 3, "{seen}");
    assert_eq!(seen["disconnected"], "Normal disconnection", "{seen}");
}

#[test]
fn sample_connection_string_connects() {
    let emulator = Emulator::start();
    let sample =
        emulator.ready.sample_connection_string.as_ref().expect("it has a group key").expose().to_owned();
    let field = |name: &str| {
        sample.split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    assert_eq!(field("HostName"), emulator.ready.host);
    let key = Key::from_base64(&field("SharedAccessKey")).unwrap();
    let seen = emulator.paho(&field("DeviceId"), &key, &[]);
    assert_eq!((&seen["connack"], &seen["published"]), (&"Success".into(), &3.into()), "{seen}");
}

#[test]
fn paho_device_with_a_wrong_token_is_refused_with_5() {
    let emulator = Emulator::start();
    let own = device_key("meter-1");
    for (why, key, more) in [
        ("wrong key", device_key("meter-2"), [].as_slice()),
        ("expired token", own.clone(), &["--ttl", "-3600"]),
        ("another device's token", device_key("meter-2"), &["--token-for", "meter-2"]),
    ] {
        let seen = emulator.paho("meter-1", &key, more);
        // Paho's name for code 5. Code 4 is "Bad user name or password".
        assert_eq!(seen["connack"], "Not authorized", "{why}: {seen}");
        assert_eq!(seen["published"], 0, "{why}");
    }
    let seen = emulator.paho("meter-1", &own, &[]);
    assert_eq!(seen["connack"], "Success", "{seen}");
}
