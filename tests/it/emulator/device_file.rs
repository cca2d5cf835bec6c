//! `hubstorm emulator --devices`: which devices the hub admits, and files that it refuses.

use super::device::{CONNACK, GROUP_KEY, REFUSED, now_unix, open_tls};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::hubstorm;
use hubstorm::iothub::sas::{self, Key};
use hubstorm::iothub::{names, topics};
use std::fs;
use std::net::Ipv4Addr;

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

#[test]
fn hub_admits_only_the_devices_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices");
    for text in [
        format!("deviceId,primaryKey,status\nmeter-1,{KEY},enabled\nmeter-2,{KEY},disabled\n"),
        format!("HostName=my-hub.azure-devices.net;DeviceId=meter-1;SharedAccessKey={KEY}\n"),
        format!(
            "{{\"id\":\"meter-1\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{KEY}\"}}}}}}\n"
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let options = ["--devices", file.to_str().unwrap(), "--stats", "24h"];
        let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &options, &[]);
        assert!(hub.ready().sample_connection_string.is_none(), "the keys are not printed");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let own = Key::from_base64(KEY).unwrap();
        let group = Key::from_base64(GROUP_KEY).unwrap();
        runtime.block_on(async {
            for (id, key, answer) in [
                ("meter-1", &own, CONNACK),
                ("meter-1", &group.derive("meter-1"), REFUSED),
                ("meter-1", &own.derive("meter-1"), REFUSED),
                ("meter-2", &own, REFUSED),
                ("Meter-1", &own, REFUSED),
            ] {
                let token = sas::token(key, &names::resource("localhost", id), now_unix() + 600, None);
                let mut device = open_tls(hub.ready()).await;
                device.connect(id, &token, true).await;
                device.expect(answer).await;
                if answer == CONNACK {
                    device.publish(&topics::telemetry(id), 1).await;
                    device.expect([0x40, 2, 0, 1]).await;
                }
            }
        });
        let stderr = hub.stop();
        assert_eq!(
            stderr.matches("the device does not exist; add it to the file of --devices").count(),
            2,
            "{stderr}"
        );
        assert_eq!(stderr.matches("the token is not signed with the device's key").count(), 2, "{stderr}");
        assert_eq!(
            stderr.matches("skipped identities that cannot connect: 1 disabled").count(),
            usize::from(text.contains("disabled"))
        );
        let total = "hub: total 1 connections, 1 msgs, 1 acks, 0 throttled, 4 refused";
        assert_eq!(stderr.lines().last(), Some(total));
        assert!(!stderr.contains(KEY));
    }
}

#[test]
fn useless_device_files_are_refused_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.csv");
    let path = file.to_str().unwrap();
    for (text, code, part) in [
        ("meter-1\nmeter-2\n", 104, "devices.csv:1: expected 2 fields (id, key), found 1"),
        ("id,key\nmeter-1,\n", 104, "devices.csv:2: the key is missing; add the device's primary key"),
        ("{\"id\":\"meter-1\"}\n", 104, "devices.csv contains identities, but not their keys"),
        ("# nothing\n", 104, "devices.csv contains no devices"),
    ] {
        fs::write(&file, text).unwrap();
        let finished = hubstorm(&["emulator", "--devices", path]);
        assert!(finished.exits(code).stderr.contains(part), "{}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let missing = hubstorm(&["emulator", "--devices", "no/such.csv"]);
    assert!(missing.exits(1).stderr.contains("cannot read no/such.csv"), "{}", missing.stderr);
    hubstorm(&["emulator", "--devices", path, "--group-key", "env:KEY"]).exits(2);
    hubstorm(&["emulator", "--control", "--devices", path]).exits(2);
}
