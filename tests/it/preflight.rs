//! The preflight check of `run`: one device of each fleet connects before the load, and the result does not count it.

use crate::support::address::{listen, own_address};
use crate::support::hubstorm::{Finished, WIDE_VALIDITY, Workplace, all_ok};
use crate::support::mosquitto::Mosquitto;
use crate::support::mqtt::{CONNECT, DISCONNECT};
use crate::support::script::{Script, receives, sends};
use std::net::SocketAddr;
use std::path::Path;

/// Returns a scenario with a broker at `address` and these fleets.
fn scenario(address: SocketAddr, ca: Option<&Path>, fleets: &str) -> String {
    let ca = ca.map_or_else(String::new, |ca| format!("ca = {ca:?}\n"));
    format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\n{ca}{fleets}\n\
         [[phase]]\nname = \"only\"\nduration = \"500ms\"\n{WIDE_VALIDITY}",
        address.ip(),
        address.port()
    )
}

const ONE_DEVICE: &str = "[fleet.one]\ndevices = 1\nid = \"one\"";

#[test]
fn preflight_connections_are_not_counted() {
    for (preflight, connections) in [(true, 2), (false, 1)] {
        let script = Script::connections([receives(CONNECT), sends([0x20, 2, 0, 0]), receives(DISCONNECT)]);
        let work = Workplace::new(&scenario(script.address(), None, ONE_DEVICE));
        let work = if preflight { work } else { work.without_preflight() };
        work.run().exits(0);
        assert_eq!(script.finish(), connections);
        let result = work.result();
        assert_eq!((all_ok(&result, "connect"), all_ok(&result, "online")), (1, 1));
        assert_eq!(result.run.target.preflight_passed, preflight);
        assert_eq!((result.fleets[0].connected_peak, result.fleets[0].counts.reconnects), (1, 0));
        // A single CONNACK.
        assert_eq!(result.fleets[0].counts.bytes_received, 4);
    }
}

/// Runs the scenario. It must end with exit code 1, without a result, and stderr must contain these parts.
#[track_caller]
fn fails(work: &Workplace, parts: &[&str]) -> Finished {
    let finished = work.run();
    finished.exits(1);
    for part in parts.iter().chain(&["preflight check failed", "cause: ", "fix: ", "--no-preflight"]) {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(work.outputs("json").is_empty(), "nothing was measured");
    finished
}

#[test]
fn closed_port_ends_the_run_before_the_load() {
    let dead = listen(own_address()).local_addr().expect("it was bound");
    let address = dead.to_string();
    let parts =
        ["device one of fleet one", &address, "the TCP connection was refused", "check the host, the port"];
    fails(&Workplace::new(&scenario(dead, None, ONE_DEVICE)), &parts);
}

#[test]
fn wrong_ca_ends_the_run_before_the_load() {
    let (broker, other) = (Mosquitto::open(), Mosquitto::open());
    let work = Workplace::new(&scenario(broker.tls(), Some(&other.ca()), ONE_DEVICE));
    let finished = fails(&work, &["the server's certificate was not accepted", "into the ca file"]);
    assert!(!finished.stderr.contains("--ca FILE"), "the scenario has a ca file: {}", finished.stderr);
}

/// In TLS 1.3, the alert arrives after the client has finished its handshake.
#[test]
fn required_client_certificate_is_named_with_a_fix() {
    let broker = Mosquitto::open_with("require_certificate true");
    let work = Workplace::new(&scenario(broker.tls(), Some(&broker.ca()), ONE_DEVICE));
    fails(&work, &["the server requires a client certificate", "does not require client certificates"]);
}

#[test]
fn one_device_of_each_fleet_is_tried() {
    let broker = Mosquitto::start(["good".to_owned()], "right");
    let fleet = |name: &str, variable: &str| {
        format!(
            "[fleet.{name}]\ndevices = 2\n\
             auth = {{ kind = \"password\", username = \"good\", password = \"${{env.{variable}}}\" }}\n"
        )
    };
    let fleets = fleet("first", "RIGHT") + &fleet("second", "WRONG");
    let work = Workplace::new(&scenario(broker.plain(), None, &fleets));
    let work = work.env("RIGHT", "right").env("WRONG", "wrong");
    fails(&work, &["device second-00000 of fleet second", "CONNACK return code 5", "user name and password"]);
}
