//! A device with one of Azure's SDKs, unmodified, in a child process. It reads commands and prints facts. Used by `sdk` and `sdk_habits`.

use super::hub::LocalHub;
use super::talker::Talker;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// An SDK.
#[derive(Clone, Copy, Debug)]
pub enum Sdk {
    Python,
    Node,
}

pub struct SdkDevice(Talker);

impl SdkDevice {
    /// Starts a device that waits for commands.
    pub fn start(sdk: Sdk, ca: &Path, connection_string: &str, arguments: &[&str]) -> SdkDevice {
        let mut command = match sdk {
            Sdk::Python => script(python(), "sdk_device.py"),
            Sdk::Node => script(node(), "node/sdk_device.js"),
        };
        command.arg("--ca").arg(ca).args(arguments);
        command.env("DEVICE_CONNECTION_STRING", connection_string);
        SdkDevice(Talker::start(command))
    }

    /// Starts a device with a key of the hub, and waits until it is connected.
    pub fn connected(sdk: Sdk, hub: &LocalHub, device: &str, arguments: &[&str]) -> SdkDevice {
        let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(device), arguments);
        device.execute(json!({"do": "connect"}), "connected");
        device
    }

    /// Sends a command.
    pub fn send(&mut self, command: Value) {
        self.0.send(command);
    }

    /// Sends a command and waits for the fact that confirms it.
    #[track_caller]
    pub fn execute(&mut self, command: Value, fact: &str) -> Value {
        self.0.execute(command, fact)
    }

    /// Sends a command that must fail, and returns the error.
    #[track_caller]
    pub fn fails(&mut self, command: Value) -> String {
        self.execute(command, "failed")["why"].to_string()
    }

    /// Tries to connect. Returns whether the hub accepted it.
    #[track_caller]
    pub fn connects(&mut self) -> bool {
        self.0.succeeds(json!({"do": "connect"}), "connected")
    }

    /// Connects after a refused CONNECT, and returns the number of attempts. The Python SDK handles the end of the refused connection
    /// late: if it does so during the next attempt, it drops the new connection and reports that the attempt failed.
    #[track_caller]
    pub fn connect_after_refusal(&mut self) -> u64 {
        const ATTEMPTS_MAX: u64 = 10;
        (1..=ATTEMPTS_MAX).find(|_| self.connects()).expect("the hub admits the device")
    }

    /// Waits for a fact with this name and removes it. Panics at once if a command fails.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str) -> Value {
        self.0.wait_for(fact)
    }

    /// Disconnects the device and ends the process.
    pub fn leave(mut self) {
        self.execute(json!({"do": "disconnect"}), "disconnected");
    }
}

/// Runs a user's file in its folder, and returns its output.
#[track_caller]
pub fn run_file(sdk: Sdk, folder: &Path, name: &str, connection_string: &str) -> String {
    let interpreter = match sdk {
        Sdk::Python => python(),
        Sdk::Node => {
            // Node looks for imported packages in this folder.
            let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/node/node_modules");
            symlink(modules, folder.join("node_modules")).expect("the folder is writable");
            node()
        }
    };
    let mut command = Command::new(interpreter);
    command.arg(name).current_dir(folder).env("DEVICE_CONNECTION_STRING", connection_string);
    let output = command.output().expect("the interpreter is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Returns the Python that `tests/run` names.
fn python() -> OsString {
    std::env::var_os("HUBSTORM_TEST_SDK_PYTHON").expect(
        "HUBSTORM_TEST_SDK_PYTHON must name a Python with azure-iot-device: run the tests with tests/run, which installs it",
    )
}

pub fn node() -> OsString {
    std::env::var_os("HUBSTORM_TEST_NODE").expect(
        "HUBSTORM_TEST_NODE must name Node.js: run the tests with tests/run, which installs it and its npm packages",
    )
}

/// Returns a command for a script of this folder.
pub fn script(interpreter: OsString, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR")));
    command
}
