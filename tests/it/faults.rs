//! Faults of the built-in hub and of fleets, with the program: the shipped scenarios, control lines, a broker that finds dead connections,
//! and the messages of `check`. Counts and codes, never times. The unit tests of `emulator::faults` and `link::shaped` cover each kind.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, command, finish, hubstorm, is_judged_alike};
use crate::support::mosquitto::Mosquitto;
use crate::support::mqtt::Client;
use hubstorm::measure::{Cause, Operation};
use hubstorm::result::model::{Fault, FaultSide, RunResult};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a scenario. A busy machine may start messages late, so the verdict ignores that.
fn run(scenario: &str, code: i32) -> (RunResult, String) {
    let work = Workplace::new(&format!("{scenario}{WIDE_VALIDITY}"));
    let finished = finish(work.run_command());
    finished.exits(code);
    (work.result(), finished.stdout + &finished.stderr)
}

fn fault<'r>(result: &'r RunResult, kind: &str) -> &'r Fault {
    result.faults.iter().find(|fault| fault.kind == kind).unwrap_or_else(|| panic!("{:?}", result.faults))
}

#[test]
fn hub_faults_scenario_shows_each_fault() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/hub-faults.toml");
    let (result, output) = run(&std::fs::read_to_string(path).unwrap(), 0);
    let kinds: Vec<&str> = result.faults.iter().map(|fault| fault.kind.as_str()).collect();
    assert_eq!(kinds, ["hold-acks", "close", "refuse", "reset", "certificate-change", "delay"]);
    for (kind, devices, window_s) in
        [("hold-acks", 10, [4, 6]), ("close", 25, [7, 7]), ("refuse", 50, [9, 11])]
    {
        let fault = fault(&result, kind);
        let window = [fault.from_us / 1_000_000, fault.to_us / 1_000_000];
        assert_eq!((fault.devices, window), (devices, window_s), "{fault:?}");
        assert!(fault.applied > Some(0), "{fault:?}");
    }
    // A device that is offline for another reason has no connection to close.
    assert!((1..=25).contains(&fault(&result, "close").applied.unwrap()), "{:?}", result.faults);
    assert_eq!(fault(&result, "refuse").code, Some(3));
    assert!(result.measurement.errors.iter().any(|error| error.class == "connack_3"));
    let connects = result.measurement.of(Operation::Connect);
    assert!(connects.due > 50 + 25, "devices reconnected: {}", connects.due);
    // The hub counted the faults, not violations of the protocol.
    assert_eq!(result.emulator.as_ref().unwrap().protocol_errors, 0);
    assert!(
        output.contains("Faults") && output.contains("hold-acks, 20% of the devices (10 devices)"),
        "{output}"
    );
}

#[test]
fn page_marks_the_faults() {
    let scenario = "[fleet.m]\ndevices = 4\n[[fleet.m.send]]\nevery = \"200ms\"\npayload = \"x\"\n\
                    [[emulator.fault]]\nkind = \"close\"\nat = \"1s\"\n\
                    [[phase]]\nname = \"p\"\nduration = \"3s\"\n";
    let work = Workplace::new(&format!("{scenario}{WIDE_VALIDITY}"));
    finish(work.run_command()).exits(0);
    let result = work.result();
    assert_eq!(result.faults[0].applied, Some(4), "{:?}", result.faults);
    let page = std::fs::read_to_string(&work.outputs("html")[0]).unwrap();
    assert!(page.contains("<td>close</td><td>all devices (4)</td><td>4 connections closed</td>"));
    assert!(page.contains(">close, all</text>"), "the chart names it");
}

#[test]
fn check_names_the_place_and_the_fix_of_a_wrong_fault() {
    let scenario = "[fleet.m]\ndevices = 4\n[[emulator.fault]]\nkind = \"refuse\"\ncode = 4\nat = \"1s\"\nfor = \"5s\"\n\
                    [[emulator.fault]]\nkind = \"hold-acks\"\nat = \"1s\"\nfor = \"5s\"\nfleet = \"n\"\n\
                    [[phase]]\nname = \"p\"\nduration = \"3s\"\n";
    let work = Workplace::new(scenario);
    let finished = hubstorm(&["check", work.scenario().to_str().unwrap()]);
    finished.exits(104);
    for text in [
        ":5:8: emulator.fault.0.code: not a code with which IoT Hub refuses devices",
        "allowed: 3 (server unavailable), 5 (not authorized)",
        "emulator.fault.1.fleet: unknown fleet",
        "did you mean m?",
    ] {
        assert!(finished.stderr.contains(text), "{text}: {}", finished.stderr);
    }
}

#[test]
fn control_lines_cause_faults_and_refuse_wrong_ones() {
    let mut child =
        command(["emulator", "--control"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let config = r#"{"config":{"shards":1,"seed":7,"faults":[{"kind":"close","at":"1s"}]}}"#;
    writeln!(stdin, "{config}").unwrap();
    assert!(lines.next().unwrap().contains("\"mqtt\""));
    for (line, answer) in [
        (r#"{"fault":{"kind":"hold-acks","for":"10s","share":"20%"}}"#, r#"{"fault":{"number":0}}"#),
        (r#"{"start":{"unix_us":0}}"#, ""),
        (r#"{"fault":{"kind":"close"}}"#, r#"{"fault":{"number":2}}"#),
        (r#"{"fault":{"kind":"hold-acks"}}"#, "hold-acks needs for"),
        (r#"{"fault":{"kind":"burn"}}"#, "unknown kind of fault"),
        (r#"{"fault":{"knid":"close"}}"#, "did you mean `kind`?"),
        (r#""stats""#, r#""faults":[{"kind":"hold-acks","applied":0},{"kind":"close","applied":0},"#),
    ] {
        writeln!(stdin, "{line}").unwrap();
        if !answer.is_empty() {
            let found = lines.next().unwrap();
            assert!(found.contains(answer), "{line}: {found}");
        }
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn flaky_network_scenario_shows_each_fault_and_its_operations() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/flaky-network.toml");
    let (result, output) = run(&std::fs::read_to_string(path).unwrap(), 0);
    let faults: Vec<_> = result.faults.iter().map(|it| (it.kind.as_str(), it.devices, it.side)).collect();
    let fleet = FaultSide::Fleet;
    let expected = [("profile", 20), ("stall", 10), ("reset", 10), ("close-mid-frame", 5), ("half-open", 5)];
    assert_eq!(faults, expected.map(|(kind, devices)| (kind, devices, fleet)));
    for (kind, most) in expected {
        let applied = fault(&result, kind).applied.unwrap();
        // Devices with a slow network reconnect, and count again. A device that is offline at the time has no connection.
        let most = if kind == "profile" { 3 * most } else { most };
        assert!((1..=most).contains(&applied), "{kind}: {applied}");
    }
    let measurement = &result.measurement;
    let telemetry = measurement.of(Operation::Telemetry);
    let rest = measurement.sum_without_faults(|part| part.operation == Operation::Telemetry);
    assert!(rest.due > 0 && rest.due < telemetry.due, "{} of {}", rest.due, telemetry.due);
    assert_eq!((rest.due, rest.ok()), (rest.ended(), rest.due), "devices on good networks lose nothing");
    // Each reset, cut and half-open connection is an error of the class of faults, and of no other.
    let classes: Vec<&str> = measurement.errors.iter().map(|error| error.class.as_str()).collect();
    assert_eq!(classes, ["fault"], "{:?}", measurement.errors);
    let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
    // Devices find out about a half-open connection seconds later, and that loss is a part of the fault.
    let last = result.recoveries.last().unwrap();
    assert_eq!((last.cause, last.start_us, last.not_disturbed), (Cause::Fault, 16_000_000, false));
    assert!(output.contains("under a fault of a fleet:"), "{output}");
    assert!(
        output.contains(
            "3g, round trip 150 ms ± 50.0 ms, 750 kbit/s up, 1,600 kbit/s down, 40% of fleet meter"
        ),
        "{output}"
    );
}

#[test]
fn page_marks_the_faults_of_fleets() {
    let scenario = "[fleet.m]\ndevices = 4\n[[fleet.m.send]]\nevery = \"200ms\"\npayload = \"x\"\n\
                    [[fleet.m.fault]]\nkind = \"reset\"\nat = \"1s\"\nshare = \"50%\"\n\
                    [[phase]]\nname = \"p\"\nduration = \"3s\"\n\
                    [thresholds]\n\"telemetry{fault:none}\" = [\"count(lost) == 0\"]\n";
    let work = Workplace::new(&format!("{scenario}{WIDE_VALIDITY}"));
    finish(work.run_command()).exits(0);
    let result = work.result();
    assert_eq!(result.faults[0].applied, Some(2), "{:?}", result.faults);
    assert!(result.thresholds[0].without_faults);
    is_judged_alike(&result);
    let page = std::fs::read_to_string(&work.outputs("html")[0]).unwrap();
    assert!(page.contains("<td>reset</td><td>50% of fleet m (2 devices)</td><td>2 connections reset</td>"));
    assert!(page.contains(">reset, 50% of m</text>"), "the chart names it");
    assert!(page.contains("telemetry{fault:none}"), "the threshold keeps its selector");
}

#[test]
fn broker_finds_half_open_devices_by_its_keep_alive() {
    // The first fleet vanishes 8 s before the second. Both have a keep-alive of 2 s, and never come back.
    let broker = Mosquitto::open();
    let fleet = |name: &str, at: &str| {
        format!(
            "[fleet.{name}]\ndevices = 3\nid = \"{name}-{{index}}\"\nkeep_alive = \"2s\"\nreconnect = {{ kind = \"never\" }}\n\
             will = {{ topic = \"gone/${{device}}\", payload = \"gone\", qos = 1 }}\n\
             [[fleet.{name}.send]]\nevery = \"500ms\"\ntopic = \"t\"\npayload = \"x\"\n\
             [[fleet.{name}.fault]]\nkind = \"half-open\"\nat = \"{at}\"\n"
        )
    };
    let scenario = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\n{}{}[fleet.good]\ndevices = 2\nid = \"good-{{index}}\"\n\
         [[phase]]\nname = \"p\"\nduration = \"60s\"\n",
        broker.host(),
        broker.plain().port(),
        fleet("early", "1s"),
        fleet("late", "9s"),
    );
    let mut watcher = Client::connect(broker.plain(), "watcher", "", "");
    watcher.subscribe(&["gone/#"]);
    let work = Workplace::new(&format!("{scenario}{WIDE_VALIDITY}"));
    let running = work.start();
    // A broker publishes the will when the keep-alive is over, in the order in which it finds out.
    let gone: Vec<String> = (0..6).map(|_| watcher.read().publish().0).collect();
    let fleets: Vec<&str> =
        gone.iter().map(|topic| topic.trim_start_matches("gone/").split('-').next().unwrap()).collect();
    assert_eq!(fleets, ["early", "early", "early", "late", "late", "late"], "{gone:?}");
    // The run is not over, so the broker did not learn it from the end of the process.
    running.interrupt();
    running.wait().exits(105);
    let result = work.result();
    let applied: Vec<_> = result.faults.iter().map(|it| (it.fleet.as_deref(), it.applied)).collect();
    assert_eq!(applied, [(Some("early"), Some(3)), (Some("late"), Some(3))]);
    assert_eq!(result.measurement.of(Operation::Connect).ok(), 8, "no device connected again");
}

/// Returns the certificate that the hub presents, which OpenSSL has verified.
fn presented(port: u64, ca: &Path, offer: &[&str]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"]);
    openssl.args(["-verify_hostname", "localhost", "-verify_return_error", "-CAfile"]).arg(ca).args(offer);
    let output = openssl.stdin(Stdio::null()).output().expect("tests/run installs openssl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("Verify return code: 0 (ok)"), "{offer:?}: {output:?}");
    let pem = text.split_once("-----BEGIN CERTIFICATE-----").expect("the server has a certificate").1;
    pem.split_once("-----END CERTIFICATE-----").expect("PEM has an end").0.to_owned()
}

#[test]
fn certificate_change_presents_another_certificate() {
    let mut child =
        command(["emulator", "--control"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut answer = |line: &str| -> serde_json::Value {
        writeln!(stdin, "{line}").unwrap();
        serde_json::from_str(&lines.next().unwrap()).unwrap()
    };
    let ready = answer(r#"{"config":{"shards":1}}"#);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, ready["ca_pem"].as_str().unwrap()).unwrap();
    let port = ready["port"].as_u64().unwrap();
    let rsa = ["-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"];
    let both = || [presented(port, &ca, &[]), presented(port, &ca, &rsa)];
    let before = both();
    assert_ne!(before[0], before[1], "a device without ECDSA gets the RSA certificate");
    let change = r#"{"fault":{"kind":"certificate-change"}}"#;
    answer(change);
    let after = both();
    assert!(before.iter().all(|certificate| !after.contains(certificate)), "{before:?} {after:?}");
    answer(change);
    assert_eq!(both(), before, "the second change returns to the first certificate");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
