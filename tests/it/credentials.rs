//! Keys and passwords from files, source addresses and IPv6, against hubs and brokers that verify them.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, totals};
use crate::support::mosquitto::Mosquitto;
use hubstorm::iothub::sas::Key;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const REST: &str = "[[phase]]\nname = \"steady\"\nduration = \"1s\"\n";

fn derived(device: &str) -> String {
    Key::from_base64(GROUP_KEY).expect("a key").derive(device).to_base64().to_string()
}

/// The output of `az iot hub state export --aspects devices`, with a disabled device. The run tells that it skips it.
#[test]
fn built_in_hub_admits_the_devices_of_a_state_export() {
    let scenario = format!(
        "[fleet.meter]\ndevices = 2\nauth = {{ kind = \"sas\", file = \"devices.json\" }}\n{REST}{WIDE_VALIDITY}"
    );
    let device = |id: &str, status: &str| {
        format!(
            "    \"{id}\": {{\n      \"identity\": {{\n        \"authentication\": {{\n          \"symmetricKey\": {{\n            \
             \"primaryKey\": \"{}\",\n            \"secondaryKey\": \"\"\n          }},\n          \"type\": \"sas\"\n        }},\n        \
             \"status\": \"{status}\"\n      }},\n      \"twin\": {{\"properties\": {{\"desired\": {{}}}}}}\n    }}",
            derived(id)
        )
    };
    let devices = [device("off", "disabled"), device("d1", "enabled"), device("d2", "enabled")].join(",\n");
    let work = Workplace::new(&scenario)
        .file("devices.json", &format!("{{\n  \"devices\": {{\n{devices}\n  }}\n}}\n"));
    let finished = work.run();
    finished.exits(0);
    // Lines are wrapped at 80 columns.
    let stderr = finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains("devices.json: skipped identities that cannot connect: 1 disabled"), "{stderr}");
    assert_eq!(all_ok(&work.result(), "connect"), 2);
}

/// One file in all three formats. The built-in hub has the key of each device and refuses any other key.
#[test]
fn built_in_hub_admits_the_devices_of_a_file() {
    let scenario = format!(
        "[fleet.meter]\ndevices = 3\nauth = {{ kind = \"sas\", file = \"devices.txt\" }}\n\
         [[fleet.meter.send]]\nevery = \"500ms\"\npayload = \"x\"\n{REST}{WIDE_VALIDITY}"
    );
    let file = format!(
        "id,key\nd1,{}\nHostName=h.example;DeviceId=d2;SharedAccessKey={}\n\
         {{\"id\":\"d3\",\"status\":\"enabled\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{}\"}},\"type\":\"sas\"}}}}\n",
        derived("d1"),
        derived("d2"),
        derived("another")
    );
    let work = Workplace::new(&scenario).file("devices.txt", &file);
    work.run().exits(0);
    let result = work.result();
    assert_eq!(all_ok(&result, "connect"), 3);
    assert_eq!(all_ok(&result, "telemetry"), 3 * 2);
}

/// The hub has only one of the two keys.
#[test]
fn each_device_of_a_file_signs_with_its_own_key() {
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:K"], &[("K", GROUP_KEY)]);
    let scenario = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"127.0.0.1\"\nport = {}\nca = \"{}\"\n\
         [fleet.meter]\ndevices = 2\nreconnect = {{ kind = \"never\" }}\n\
         auth = {{ kind = \"sas\", file = \"devices.csv\" }}\n{REST}{WIDE_VALIDITY}",
        hub.port(),
        hub.ca()
    );
    let file = format!("d1,{}\nd2,{}\n", derived("d1"), derived("d1"));
    let work = Workplace::new(&scenario).file("devices.csv", &file);
    work.run().exits(0);
    let (due, outcomes) = totals(&work.result(), "connect");
    assert_eq!((due, outcomes["ok"], outcomes["refused"]), (2, 1, 1));
    hub.stop();
}

#[test]
fn each_device_of_a_file_sends_its_own_password() {
    let users = (0..4).map(|n| (format!("user-{n}"), format!("pass, \"{n}\"")));
    let broker = Mosquitto::start_with(users.clone(), "witness's own");
    let scenario = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\nsource_ips = [\"127.0.0.2\", \"127.0.0.3\"]\n\
         [fleet.sensor]\ndevices = 4\nauth = {{ kind = \"password\", file = \"users.csv\" }}\n\
         [[fleet.sensor.send]]\nevery = \"500ms\"\ntopic = \"t/${{device}}\"\npayload = \"x\"\n{REST}{WIDE_VALIDITY}",
        broker.host(),
        broker.plain().port()
    );
    let line = |(n, (user, password)): (usize, (String, String))| {
        format!("dev-{n},{user},\"{}\"\n", password.replace('"', "\"\""))
    };
    let file: String = users.enumerate().map(line).collect();
    let work = Workplace::new(&scenario).file("users.csv", &file);
    work.run().exits(0);
    let result = work.result();
    assert_eq!((all_ok(&result, "connect"), all_ok(&result, "publish")), (4, 4 * 2));
}

/// The key is in a file, relative to the folder of the scenario.
#[test]
fn ipv6_target_from_a_source_address() {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if hubstorm::link::check_source_address(loopback).is_err() {
        eprintln!("skipped: this machine has no ::1");
        return;
    }
    let hub = Emulator::start(loopback, &["--group-key", "env:K"], &[("K", GROUP_KEY)]);
    TcpStream::connect(SocketAddr::new(loopback, hub.port())).expect("it listens on ::1");
    let scenario = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"::1\"\nport = {}\nca = \"{}\"\nsource_ips = [\"::1\"]\n\
         [fleet.meter]\ndevices = 3\nauth = {{ kind = \"sas\", group_key = \"${{file.keys/group}}\" }}\n\
         [[fleet.meter.send]]\nevery = \"500ms\"\npayload = \"x\"\n{REST}{WIDE_VALIDITY}",
        hub.port(),
        hub.ca()
    );
    let work = Workplace::new(&scenario);
    std::fs::create_dir(work.scenario().with_file_name("keys")).expect("a writable folder");
    let work = work.file("keys/group", &format!("{GROUP_KEY}\n"));
    work.run().exits(0);
    let result = work.result();
    assert_eq!((all_ok(&result, "connect"), all_ok(&result, "telemetry")), (3, 3 * 2));
    hub.stop();
}
