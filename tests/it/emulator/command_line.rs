//! `hubstorm emulator` with options: lenient property bags, and the CA file.

use super::device::{GROUP_KEY, online};
use crate::support::emulator::Emulator;
use hubstorm::emulator::control::Ready;
use hubstorm::iothub::topics;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

#[test]
fn lenient_properties_accepts_unescaped_bags() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (flags, accepted) in [(&[][..], false), (&["--lenient-properties"], true)] {
        let arguments = [&["--group-key", "env:HUB_KEY", "--shards", "1"], flags].concat();
        let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &arguments, &[("HUB_KEY", GROUP_KEY)]);
        let mut ready: Ready = serde_json::from_str(&hub.ready_line).unwrap();
        ready.ca_pem = Some(std::fs::read_to_string(hub.ca()).unwrap());
        runtime.block_on(async {
            let mut device = online(ready).await;
            let topic = format!("{}at=a/b+c", topics::telemetry("meter-1"));
            device.publish(&topic, 1).await;
            match accepted {
                true => device.expect([0x40, 2, 0, 1]).await,
                false => device.expect_end().await,
            }
        });
        hub.stop();
    }
}

#[test]
fn next_emulator_removes_the_ca_file_of_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Ready = serde_json::from_str(&line).unwrap();
        (child, std::path::PathBuf::from(ready.ca_file.unwrap()))
    };
    let left =
        || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (mut killed, stale) = start();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(left(), [stale], "a killed emulator cannot remove it");
    let (mut first, live) = start();
    assert_eq!(left(), std::slice::from_ref(&live));
    let (mut second, other) = start();
    let mut both = left();
    both.sort();
    let mut expected = vec![live, other];
    expected.sort();
    assert_eq!(both, expected, "the file of a live emulator stays");
    for child in [&mut first, &mut second] {
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success());
    }
    assert!(left().is_empty());
}
