//! `run --once` and `doctor --scenario`: one device of each fleet, against the built-in hub, an external hub, mosquitto and scripted brokers.

use crate::support::address::{listen, own_address};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{Finished, Workplace, command, finish, hubstorm};
use crate::support::mosquitto::Mosquitto;
use crate::support::mqtt::{CONNECT, PUBLISH};
use crate::support::script::{Script, Step, receives, sends};
use std::net::SocketAddr;
use std::path::Path;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const PASSWORD: &str = "correct horse";
const PHASE: &str = "[[phase]]\nname = \"only\"\nduration = \"10m\"\n";

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).display().to_string()
}

/// Runs `run --once` on a scenario.
fn once(work: &Workplace, arguments: &[&str]) -> Finished {
    let scenario = work.scenario().display().to_string();
    let mut command = command([&["run", "--once", &scenario], arguments].concat());
    command.env("KEY", KEY).env("OTHER_KEY", OTHER_KEY).env("HUB_KEY", KEY);
    finish(command)
}

/// Asserts that stdout contains these parts, in this order.
#[track_caller]
fn shows(finished: &Finished, parts: &[&str]) {
    // Lines are wrapped at the width of the terminal.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = words(&finished.stdout);
    let mut rest = &*text;
    for part in parts {
        let part = words(part);
        let at = rest.find(&part);
        let Some(at) = at else { panic!("{part} is missing in:\n{}\n{}", finished.stdout, finished.stderr) };
        rest = &rest[at + part.len()..];
    }
}

/// Returns the lines of a checklist that start with this state.
fn lines<'a>(finished: &'a Finished, state: &str) -> Vec<&'a str> {
    finished.stdout.lines().filter_map(|line| line.trim_start().strip_prefix(state)).collect()
}

#[test]
fn shipped_scenarios_for_the_built_in_hub_work_once() {
    let scenarios = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"));
    let mut tried = 0;
    for file in scenarios.expect("the folder exists") {
        let path = file.expect("readable").path();
        let is_scenario = path.extension().is_some_and(|extension| extension == "toml");
        if !is_scenario || std::fs::read_to_string(&path).expect("readable").contains("\n[target]") {
            continue;
        }
        let finished = hubstorm(&["run", "--once", &path.display().to_string()]);
        finished.exits(0);
        assert!(finished.stdout.ends_with(": all ok\n"), "{}: {}", path.display(), finished.stdout);
        assert!(finished.stderr.contains("every operation once"), "{}", finished.stderr);
        assert!(lines(&finished, "ok ").len() >= 2, "{}", finished.stdout);
        tried += 1;
    }
    assert!(tried >= 8, "{tried}");
}

#[test]
fn calls_arrive_at_the_device() {
    let finished = hubstorm(&["run", "--once", "--quiet", &shipped("methods.toml")]);
    shows(
        finished.exits(0),
        &[
            "ok       service.method read: the device answered with status 200\n",
            "ok       service.method restart: the device answered with status 202\n",
            "ok       reconnect after restart\n",
        ],
    );
    assert_eq!(finished.stderr, "", "--quiet prints only the checklist");
    let finished = hubstorm(&["run", "--once", &shipped("commands.toml")]);
    shows(finished.exits(0), &["ok       service.c2d: the hub accepted it\n", "ok       c2d: received\n"]);
    let finished = hubstorm(&["run", "--once", &shipped("twins.toml")]);
    shows(
        finished.exits(0),
        &[
            "ok       twin.get: answered\n",
            "ok       twin.report: answered\n",
            "ok       desired properties: received\n",
        ],
    );
}

#[test]
fn methods_that_are_missing_or_never_answered_are_told_apart() {
    let work = Workplace::new(&format!(
        "[fleet.a]\ndevices = 9\nsubscribe = [\"methods\"]\nmethods.never = {{ answer = false }}\n[fleet.b]\ndevices = 9\n\
         [[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"absent\"\nrate = \"1/s\"\n\
         [[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"never\"\nrate = \"1/s\"\n\
         [[drive]]\ncall = \"method\"\nfleet = \"b\"\nname = \"any\"\nrate = \"1/s\"\n{PHASE}"
    ));
    let finished = once(&work, &[]);
    shows(
        finished.exits(99),
        &[
            "failed   service.method absent: the device answered with status 501: its fleet does not define this method\n",
            "           fix: add the method to the fleet's `methods`\n",
            "skipped  service.method never: the scenario says that the device never answers this method\n",
            "failed   service.method any: 404103 the device is not online (call_device_not_online)\n",
            "           fix: add \"methods\" to the fleet's `subscribe`\n",
            "6 operations: 3 ok, 2 failed, 1 skipped\n",
        ],
    );
}

#[test]
fn wrong_key_fails_the_connection_and_skips_the_rest() {
    let emulator = Emulator::start(own_address(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", OTHER_KEY)]);
    let send = "[[fleet.meter.send]]\nevery = \"1s\"\npayload = \"x\"\n";
    let address = emulator.meters().replace("\"localhost\"", &format!("\"{}\"", own_address()));
    let work = Workplace::new(&format!("{address}\n{send}{PHASE}"));
    let finished = once(&work, &[]);
    shows(
        finished.exits(99),
        &[
            "failed   connect: CONNACK return code 5 (not authorized) (connack_5)\n",
            "fix: the hub does not send a reason; check that the device exists",
            "skipped  telemetry devices/meter-00000/messages/events/: the device could not connect\n",
            "2 operations: 0 ok, 1 failed, 1 skipped\n",
        ],
    );
    assert!(work.outputs("json").is_empty(), "there is no result file");
    // The same hub with the right key. It cannot be called yet.
    let drive = "[[drive]]\ncall = \"method\"\nfleet = \"meter\"\nname = \"read\"\nrate = \"1/s\"\n";
    let work =
        Workplace::new(&format!("{}\n{send}{drive}{PHASE}", address.replace("env.HUB_KEY", "env.OTHER_KEY")));
    let finished = once(&work, &[]);
    shows(
        finished.exits(0),
        &[
            "ok       telemetry",
            "skipped  service.method read to fleet meter: hubstorm cannot call devices",
            "1 skipped\n",
        ],
    );
    emulator.stop();
}

fn broker(address: SocketAddr, fleets: &str) -> String {
    format!(
        "drain = \"1s\"\n[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\n{fleets}{PHASE}",
        address.ip(),
        address.port()
    )
}

const PUBLISHER: &str = "[fleet.one]\ndevices = 1\nid = \"one\"\nack_timeout = \"1s\"\n\
    [[fleet.one.send]]\nevery = \"1s\"\ntopic = \"a/b\"\npayload = \"x\"\n\
    [[fleet.one.send]]\nevery = \"1s\"\ntopic = \"c\"\nqos = 0\npayload = \"x\"\n";

/// A broker that accepts the device and one message, and then does this.
fn after_publish(step: Step) -> Script {
    Script::connection([receives(CONNECT), sends([0x20, 2, 0, 0]), receives(PUBLISH), step])
}

#[test]
fn broker_that_never_acknowledges_fails_the_message() {
    let script = after_publish(Step::Holds);
    let finished = once(&Workplace::new(&broker(script.address(), PUBLISHER)), &[]);
    script.finish();
    shows(
        finished.exits(99),
        &[
            "ok       connect\n",
            "failed   publish a/b: no acknowledgment within 1.00 s (ack_timeout)\n           fix: ",
            "ok       publish.qos0 c: sent, no acknowledgment (QoS 0)\n",
            "3 operations: 2 ok, 1 failed\n",
        ],
    );
}

#[test]
fn broker_that_closes_the_connection_fails_the_message() {
    let script = after_publish(Step::Ends);
    let finished = once(&Workplace::new(&broker(script.address(), PUBLISHER)), &[]);
    script.finish();
    shows(
        finished.exits(99),
        &["failed   publish a/b: the server closed the connection", "(closed_by_peer)"],
    );
}

#[test]
fn closed_port_fails_the_connection() {
    let dead = listen(own_address()).local_addr().expect("it was bound");
    let finished = once(&Workplace::new(&broker(dead, PUBLISHER)), &[]);
    shows(
        finished.exits(99),
        &[
            "failed   connect: the TCP connection was refused",
            "(tcp_refused)",
            "fix: check the host",
            "skipped  publish",
        ],
    );
}

#[test]
fn ctrl_c_prints_the_checklist_so_far() {
    let script = after_publish(Step::Holds);
    let fleets = PUBLISHER.replace("ack_timeout = \"1s\"", "ack_timeout = \"30m\"");
    let work = Workplace::new(&broker(script.address(), &fleets));
    // `--trace` tells when the message was sent.
    let scenario = work.scenario().display().to_string();
    let mut running = work.start_command(command(["run", "--once", "--trace", "one", &scenario]));
    running.says("-> PUBLISH");
    running.interrupt();
    let finished = running.wait();
    script.finish();
    shows(finished.exits(105), &["ok       connect\n", "skipped  publish a/b: interrupted\n"]);
}

#[test]
fn ctrl_c_during_a_call_does_not_fail_the_call() {
    let work = Workplace::new(&format!(
        "[fleet.a]\ndevices = 9\nid = \"a-{{index}}\"\nsubscribe = [\"methods\"]\nmethods.slow = {{ after = \"29s\" }}\n\
         [[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"slow\"\nrate = \"1/s\"\n{PHASE}"
    ));
    let scenario = work.scenario().display().to_string();
    let mut running = work.start_command(command(["run", "--once", "--trace", "a-0", &scenario]));
    running.says("$iothub/methods/POST/slow/");
    running.interrupt();
    let finished = running.wait();
    shows(
        finished.exits(105),
        &["ok       connect\n", "skipped  service.method slow: interrupted\n", "1 skipped\n"],
    );
    let unknown = once(&work, &["--trace", "a-5"]);
    unknown.exits(2);
    assert!(
        unknown.stderr.contains("only the first device of each fleet connects; use one of: a-0"),
        "{unknown:?}"
    );
}

#[test]
fn subscriber_receives_the_message_of_a_publisher() {
    let mosquitto = Mosquitto::open();
    let fleets = "[fleet.station]\ndevices = 3\nid = \"station-{index}\"\n\
        [[fleet.station.send]]\nevery = \"1s\"\ntopic = \"all\"\npayload = { size = 64 }\n\
        [[fleet.station.send]]\nevery = \"1s\"\ntopic = \"display/2\"\npayload = { size = 64 }\n\
        [fleet.display]\ndevices = 3\nid = \"display-{index}\"\nunsubscribe = true\n\
        subscribe = [{ filter = \"all\", qos = 2 }, { filter = \"display/${index}\", qos = 0 }]\n";
    let finished = once(&Workplace::new(&broker(mosquitto.plain(), fleets)), &[]);
    shows(
        finished.exits(0),
        &[
            "fleet station, device station-0\n",
            "ok       publish all: acknowledged (PUBACK)\n",
            "skipped  deliver display/2: no device of this check subscribes to this topic",
            "fleet display, device display-0\n",
            "ok       subscribe all\n",
            "ok       deliver all from station-0: received\n",
            "ok       unsubscribe\n",
        ],
    );
}

#[test]
fn shipped_scenarios_for_brokers_work_once() {
    let mosquitto = Mosquitto::start(["sensor-0000".to_owned()], PASSWORD);
    let port = format!("target.port={}", mosquitto.tls().port());
    let ca = format!("target.ca={}", mosquitto.ca().display());
    let mut tls = command(["run", "--once", &shipped("mosquitto.toml"), "--set", &port, "--set", &ca]);
    tls.env("BROKER_HOST", mosquitto.host().to_string());
    let mut wrong = command(tls.get_args());
    wrong.env("BROKER_HOST", mosquitto.host().to_string()).env("BROKER_PASSWORD", "wrong horse");
    tls.env("BROKER_PASSWORD", PASSWORD);
    let finished = finish(tls);
    shows(
        finished.exits(0),
        &[
            "ok       publish bench/sensor-0000/reading: ack",
            "ok       publish.qos0 bench/sensor-0000/blob: sent",
            "all ok\n",
        ],
    );
    let finished = finish(wrong);
    shows(
        finished.exits(99),
        &["failed   connect: CONNACK return code 5", "check the user name and password"],
    );
    assert!(!(finished.stdout + &finished.stderr).contains("wrong horse"));

    let open = Mosquitto::open();
    for (name, part) in [("fan-out.toml", ": received\n"), ("qos2.toml", "stroke: acknowledged (PUBCOMP)\n")]
    {
        let target = open.plain().to_string();
        let finished = hubstorm(&["run", "--once", &shipped(name), "--target", &target]);
        shows(finished.exits(0), &[part, "all ok\n"]);
        assert!(
            lines(&finished, "failed").is_empty() && lines(&finished, "skipped").is_empty(),
            "{finished:?}"
        );
    }
}

#[test]
fn options_of_a_load_conflict_with_once() {
    for option in [
        &["--out", "x"][..],
        &["--export", "x.json"],
        &["--workers", "2"],
        &["--no-preflight"],
        &["--duration", "9s"],
    ] {
        let finished = hubstorm(&[&["run", "--once", &shipped("quickstart.toml")], option].concat());
        finished.exits(2);
        let text = format!("cannot be used with '{}", option[0]);
        assert!(finished.stderr.contains("--once") && finished.stderr.contains(&text), "{}", finished.stderr);
    }
}

#[test]
fn billed_messages_are_told_without_a_question() {
    // No Azure hub answers at an address for documentation (RFC 5737): the connection fails.
    let fleets = "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.meter]\ndevices = 100000\n\
        auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\nsubscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }\n\
        [[fleet.meter.send]]\nevery = \"1s\"\npayload = { size = 5000 }\n";
    let finished = once(&Workplace::new(&format!("{fleets}{PHASE}")), &[]);
    finished.exits(99);
    assert!(finished.stderr.contains("\nsends up to 3 billed messages\n"), "{}", finished.stderr);
    assert!(finished.stdout.contains("(dns)"), "{}", finished.stdout);
}

/// Runs `doctor --scenario`.
fn doctor(scenario: &str, arguments: &[&str]) -> Finished {
    hubstorm(&[&["doctor", "--scenario", scenario], arguments].concat())
}

#[test]
fn doctor_times_each_step_of_a_scenario() {
    let finished = doctor(&shipped("quickstart.toml"), &[]);
    shows(
        finished.exits(0),
        &[
            "this machine\n",
            "the built-in hub on port ",
            "fleet meter, device meter-0000\n",
            "\n  TCP ",
            "\n  TLS ",
            "TLS 1.3",
            "\n  CONNACK ",
            "\n  subscribe ",
            "\n  telemetry ",
            "acknowledged (PUBACK)\n",
        ],
    );
    // Warnings about this machine are not errors.
    assert!(finished.stdout.ends_with("no problems found\n") || finished.stdout.contains("warning: "));
    let without = doctor(&shipped("quickstart.toml"), &["--set", "fleet.meter.send.0.qos=0"]);
    shows(
        without.exits(0),
        &["subscribe", "message      skipped: this fleet sends no message that the target acknowledges\n"],
    );
}

#[test]
fn doctor_never_concludes_beside_an_error() {
    let emulator = Emulator::start(own_address(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", KEY)]);
    let scenario = |key: &str, ca: &str| {
        let meters = emulator.meters().replace("\"localhost\"", &format!("\"{}\"", own_address()));
        let send = "[[fleet.meter.send]]\nevery = \"1s\"\npayload = \"x\"\n";
        let meters = meters.replace("env.HUB_KEY", key).replace(emulator.ca(), ca);
        Workplace::new(&format!("{meters}\n{send}{PHASE}"))
    };
    let other = Emulator::start(own_address(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", KEY)]);
    for (key, ca, code, parts) in [
        ("env.KEY", emulator.ca(), 0, &["telemetry", "acknowledged"][..]),
        (
            "env.OTHER_KEY",
            emulator.ca(),
            1,
            &["connect      failed: CONNACK return code 5", "fix: ", "telemetry    skipped: "],
        ),
        (
            "env.KEY",
            other.ca(),
            1,
            &["TCP", "connect      failed: the server's certificate was not accepted", "(tls_certificate)"],
        ),
    ] {
        let work = scenario(key, ca);
        let path = work.scenario().display().to_string();
        let mut command = command(["doctor", "--scenario", &path]);
        command.env("KEY", KEY).env("OTHER_KEY", OTHER_KEY);
        let finished = finish(command);
        shows(finished.exits(code), parts);
        if code != 0 {
            assert!(
                !finished.stdout.contains("no problems") && !finished.stdout.contains("no errors"),
                "{finished:?}"
            );
            assert!(finished.stderr.starts_with("error: "), "{finished:?}");
            assert!(finished.stderr.contains("1 of 1 fleet of the scenario failed: meter"), "{finished:?}");
        }
    }
    let dead = listen(own_address()).local_addr().expect("it was bound").to_string();
    let finished = hubstorm(&["doctor", "--target", &dead, "--plain"]);
    assert!(!finished.exits(1).stdout.contains("no problems"), "{finished:?}");
}
