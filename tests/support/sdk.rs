//! A device on one of Azure's own SDKs, unmodified, as a child process: told what to do, and asked what it saw.

use super::PATIENCE;
use super::hub::LocalHub;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Whose SDK.
#[derive(Clone, Copy, Debug)]
pub enum Sdk {
    Python,
    Node,
}

pub struct SdkDevice {
    child: Child,
    stdin: ChildStdin,
    facts: Receiver<Value>,
    /// What it said and nobody has asked for yet.
    unread: VecDeque<Value>,
}

impl SdkDevice {
    /// Starts one that does nothing yet.
    pub fn start(sdk: Sdk, ca: &Path, connection_string: &str, arguments: &[&str]) -> SdkDevice {
        let mut command = match sdk {
            Sdk::Python => script(python(), "sdk_device.py"),
            Sdk::Node => script(node(), "node/sdk_device.js"),
        };
        command.arg("--ca").arg(ca).args(arguments);
        command.env("DEVICE_CONNECTION_STRING", connection_string);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, facts) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let fact = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(fact).is_err() {
                    return;
                }
            }
        });
        SdkDevice { child, stdin, facts, unread: VecDeque::new() }
    }

    /// Starts one with the hub's own key for `device`, and waits until it is connected.
    pub fn connected(sdk: Sdk, hub: &LocalHub, device: &str, arguments: &[&str]) -> SdkDevice {
        let mut device = SdkDevice::start(sdk, &hub.ca(), &hub.connection_string(device), arguments);
        device.does(json!({"do": "connect"}), "connected");
        device
    }

    /// Gives it a command.
    pub fn tell(&mut self, command: Value) {
        writeln!(self.stdin, "{command}").expect("it reads its commands");
    }

    /// Gives it a command and waits for what shows that it was carried out.
    #[track_caller]
    pub fn does(&mut self, command: Value, fact: &str) -> Value {
        self.tell(command);
        self.sees(fact)
    }

    /// Gives it a command that the SDK cannot carry out; its error.
    #[track_caller]
    pub fn fails(&mut self, command: Value) -> String {
        self.does(command, "failed")["why"].to_string()
    }

    /// Waits for a fact of that name, and takes it. A command that failed is reported at once.
    #[track_caller]
    pub fn sees(&mut self, fact: &str) -> Value {
        if let Some(place) = self.unread.iter().position(|seen| seen["fact"] == fact) {
            return self.unread.remove(place).expect("it was just found");
        }
        loop {
            match self.facts.recv_timeout(PATIENCE) {
                Ok(seen) if seen["fact"] == fact => return seen,
                Ok(seen) if seen["fact"] == "failed" => panic!("waiting for {fact:?}: {seen}"),
                Ok(seen) => self.unread.push_back(seen),
                Err(why) => panic!("never saw {fact:?} ({why}), but {:?}", self.unread),
            }
        }
    }

    /// Ends it, as its user would.
    pub fn leave(mut self) {
        self.does(json!({"do": "disconnect"}), "disconnected");
    }
}

impl Drop for SdkDevice {
    fn drop(&mut self) {
        // It may have ended of itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
