//! A device on one of Azure's own SDKs, unmodified, as a child process: told what to do, and asked what it saw.

use super::hub::LocalHub;
use super::talker::Talker;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Whose SDK.
#[derive(Clone, Copy, Debug)]
pub enum Sdk {
    Python,
    Node,
}

pub struct SdkDevice(Talker);

impl SdkDevice {
    /// Starts one that does nothing yet.
    pub fn start(sdk: Sdk, ca: &Path, connection_string: &str, arguments: &[&str]) -> SdkDevice {
        let mut command = match sdk {
            Sdk::Python => script(python(), "sdk_device.py"),
            Sdk::Node => script(node(), "node/sdk_device.js"),
        };
        command.arg("--ca").arg(ca).args(arguments);
        command.env("DEVICE_CONNECTION_STRING", connection_string);
        SdkDevice(Talker::start(command))
    }

    /// Starts one with the hub's own key for `device`, and waits until it is connected.
    pub fn connected(sdk: Sdk, hub: &LocalHub, device: &str, arguments: &[&str]) -> SdkDevice {
        let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(device), arguments);
        device.does(json!({"do": "connect"}), "connected");
        device
    }

    /// Gives it a command.
    pub fn tell(&mut self, command: Value) {
        self.0.tell(command);
    }

    /// Gives it a command and waits for what shows that it was carried out.
    #[track_caller]
    pub fn does(&mut self, command: Value, fact: &str) -> Value {
        self.0.does(command, fact)
    }

    /// Gives it a command that the SDK cannot carry out; its error.
    #[track_caller]
    pub fn fails(&mut self, command: Value) -> String {
        self.does(command, "failed")["why"].to_string()
    }

    /// Waits for a fact of that name, and takes it. A command that failed is reported at once.
    #[track_caller]
    pub fn sees(&mut self, fact: &str) -> Value {
        self.0.sees(fact)
    }

    /// Ends it, as its user would.
    pub fn leave(mut self) {
        self.does(json!({"do": "disconnect"}), "disconnected");
    }
}

/// Runs a file of a user's own to its end, in the folder where it lies; what it printed.
#[track_caller]
pub fn run_file(sdk: Sdk, folder: &Path, name: &str, connection_string: &str) -> String {
    let interpreter = match sdk {
        Sdk::Python => python(),
        Sdk::Node => {
            // Where Node looks for what a file beside it imports.
            let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/node/node_modules");
            symlink(modules, folder.join("node_modules")).expect("the folder is ours");
            node()
        }
    };
    let mut command = Command::new(interpreter);
    command.arg(name).current_dir(folder).env("DEVICE_CONNECTION_STRING", connection_string);
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// `tests/run` says where they are.
fn python() -> OsString {
    std::env::var_os("HUBSTORM_TEST_SDK_PYTHON").expect(
        "HUBSTORM_TEST_SDK_PYTHON names no Python that has azure-iot-device: run the tests with tests/run, which makes one",
    )
}

pub fn node() -> OsString {
    std::env::var_os("HUBSTORM_TEST_NODE").expect(
        "HUBSTORM_TEST_NODE names no Node.js: run the tests with tests/run, which installs it and what it needs from npm",
    )
}

/// A script of this folder.
pub fn script(interpreter: OsString, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR")));
    command
}
