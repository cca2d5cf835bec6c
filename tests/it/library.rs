//! The shipped scenarios: each one runs in a short form and must do what its comments say (those with a tier in `throttle.rs`). And the root certificates in `certs/`, whose
//! contents must match their names.

use crate::support::hubstorm::{all_ok, command, read_result, totals};
use crate::support::mosquitto::Mosquitto;
use hubstorm::measure::{Cause, Operation, Outcome};
use hubstorm::result::model::RunResult;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

/// Shared machines can be slow, and these tests do not check verdicts.
const WIDE: [&str; 5] = [
    "validity.late_after=30s",
    "validity.late_share=100%",
    "validity.sent_share=0%",
    "validity.busy_share=100%",
    "validity.closed_loop_share=100%",
];

/// Runs a shipped scenario with these overrides and further arguments. The load must be complete.
fn run(name: &str, overrides: &[&str], more: &[&str], env: &[(&str, &str)]) -> RunResult {
    let out = tempfile::tempdir().expect("a temporary folder");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    let mut command = command(["run"]);
    command.arg(scenario).arg("--out").arg(out.path()).args(more).envs(env.iter().copied());
    for text in overrides.iter().chain(&WIDE) {
        command.args(["--set", text]);
    }
    let output = command.output().expect("the program was built");
    let code = output.status.code();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // On a slow machine, a latency threshold may fail. Every other exit code is a bug.
    assert!(code == Some(0) || code == Some(99), "{name} exits {code:?}: {stderr}");
    let mut files =
        fs::read_dir(out.path()).expect("the folder exists").map(|file| file.expect("readable").path());
    let json = files.find(|file| file.extension().is_some_and(|extension| extension == "json"));
    let result = read_result(&json.expect("a result was written"));
    assert!(result.run.complete);
    result
}

#[test]
fn quickstart_acks_all_telemetry() {
    let short = ["phase.ramp.duration=1s", "phase.steady.duration=1s", "phase.peak.duration=1s"];
    let result = run("quickstart.toml", &[&short[..], &["fleet.meter.devices=50"]].concat(), &[], &[]);
    all_ok(&result, "telemetry");
}

#[test]
fn steady_acks_all_telemetry() {
    let short = ["phase.ramp.duration=500ms", "phase.settle.duration=500ms", "phase.steady.duration=1s"];
    let result = run("steady.toml", &[&short[..], &["fleet.sensor.devices=20"]].concat(), &[], &[]);
    all_ok(&result, "telemetry");
}

#[test]
fn ramp_runs_all_its_phases() {
    let phases = ["connect", "x1", "x2", "x4", "x8", "after"];
    let mut short: Vec<String> = phases.iter().map(|phase| format!("phase.{phase}.duration=400ms")).collect();
    short.push("fleet.sensor.devices=20".to_owned());
    let result = run("ramp.toml", &short.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]);
    all_ok(&result, "telemetry");
    assert_eq!(result.phases.iter().map(|phase| phase.name.as_str()).collect::<Vec<_>>(), phases);
}

#[test]
fn soak_acks_all_telemetry() {
    let short = ["phase.ramp.duration=500ms", "phase.soak.duration=1s", "fleet.meter.send.0.every=200ms"];
    let result = run("soak.toml", &[&short[..], &["fleet.meter.devices=10"]].concat(), &[], &[]);
    all_ok(&result, "telemetry");
}

#[test]
fn storm_disconnects_every_device_and_all_return() {
    for how in ["close", "reset", "silent"] {
        let short = ["phase.ramp.duration=500ms", "phase.calm.duration=1500ms", "phase.storm.duration=6s"];
        let small = [
            "fleet.meter.devices=30",
            "fleet.meter.reconnect.base=500ms",
            "phase.storm.disconnect.over=300ms",
        ];
        let how = format!("phase.storm.disconnect.how={how}");
        let result = run("storm.toml", &[&short[..], &small, &[how.as_str()]].concat(), &[], &[]);
        let counts = &result.fleets[0].counts;
        assert_eq!((counts.disconnects, counts.reconnects), (30, 30), "{how}");
        let online = result.sum(|part| part.operation == Operation::Online && part.phase == "storm");
        assert_eq!((online.due, online.outcome(Outcome::Ok)), (30, 30), "{how}: no device is lost");
        assert!(result.errors.is_empty(), "a planned disconnect is no error: {:?}", result.errors);
        let recovery = &result.recoveries[0];
        assert_eq!(
            (recovery.cause, recovery.phase.as_str(), recovery.planned_online),
            (Cause::Disconnect, "storm", 30)
        );
        assert!(recovery.reached_us.nearly_all.is_some(), "{how}: {recovery:?}");
        assert_eq!(
            (recovery.outage.count(), recovery.attempts_per_device.count, recovery.not_back),
            (30, 30, 0)
        );
        let threshold = result
            .thresholds
            .iter()
            .find(|one| one.expression.starts_with("recovery("))
            .expect("it is judged");
        assert!(threshold.passed, "{threshold:?}");
    }
}

#[test]
fn spike_raises_the_load_and_paces_connects() {
    let short = [
        "phase.ramp.duration=1s",
        "phase.usual.duration=500ms",
        "phase.more-devices.duration=1s",
        "phase.spike.duration=2s",
        "phase.after.duration=500ms",
    ];
    let small = ["fleet.meter.devices=20", "fleet.meter.send.0.every=200ms"];
    let result = run("spike.toml", &[&short[..], &small].concat(), &[], &[]);
    all_ok(&result, "telemetry");
    let connects = result.sum(|part| part.operation == Operation::Connect && part.phase == "more-devices");
    assert_eq!(connects.due, 10);
    let due =
        |phase: &str| result.sum(|part| part.operation == Operation::Telemetry && part.phase == phase).due;
    // 20 devices, 5 messages per second, at twice the load on average.
    assert!((380..=420).contains(&due("spike")), "{}", due("spike"));
    assert!(result.recoveries.is_empty(), "nothing disconnects devices");
}

#[test]
fn churn_takes_devices_away_and_brings_them_back() {
    let short = ["phase.ramp.duration=500ms", "phase.calm.duration=500ms", "phase.churn.duration=4s"];
    let fast = ["fleet.vehicle.devices=30", "phase.churn.churn.rate=30%/1s", "phase.churn.churn.away=500ms"];
    let result = run("churn.toml", &[short, fast].concat(), &[], &[]);
    let counts = &result.fleets[0].counts;
    // About 30 devices * 4 s * 0.3/s, less those that are away.
    assert!((10..=60).contains(&counts.disconnects), "{}", counts.disconnects);
    let online = result.sum(|part| part.operation == Operation::Online);
    assert!(online.due > 30 && online.due <= 30 + counts.disconnects, "{} connects", online.due);
    assert_eq!(counts.reconnects, 0, "a device returns as planned");
}

#[test]
fn renewal_keeps_devices_connected() {
    let short =
        ["phase.together.duration=500ms", "phase.renewing.duration=3s", "fleet.meter.send.0.every=200ms"];
    let fast = ["fleet.meter.auth.ttl=2s", "fleet.meter.auth.renew=50%", "fleet.meter.devices=5"];
    let result = run("renewal.toml", &[short, fast].concat(), &[], &[]);
    all_ok(&result, "telemetry");
    assert!(result.fleets[0].counts.renewals >= 5, "{} renewals", result.fleets[0].counts.renewals);
    assert_eq!(result.fleets[0].counts.reconnects, 0);
    let findings: Vec<_> =
        result.findings.iter().filter(|finding| !finding.text.contains("stalled")).collect();
    assert!(findings.is_empty(), "findings that are not about a busy machine: {findings:?}");
}

#[test]
fn token_expiry_closes_only_devices_without_renewal() {
    let short = ["phase.together.duration=500ms", "phase.expiring.duration=6s", "emulator.expiry_grace=0s"];
    let late =
        ["fleet.forgetful.auth.ttl=2s", "fleet.forgetful.devices=5", "fleet.forgetful.send.0.every=200ms"];
    let good = ["fleet.careful.auth.ttl=2s", "fleet.careful.auth.renew=50%", "fleet.careful.devices=5"];
    let more = ["fleet.careful.send.0.every=200ms"];
    let result = run("token-expiry.toml", &[&short[..], &late, &good, &more].concat(), &[], &[]);
    let [careful, forgetful] = &result.fleets[..] else { panic!("two fleets") };
    assert_eq!((careful.name.as_str(), forgetful.name.as_str()), ("careful", "forgetful"));
    assert!(careful.counts.renewals >= 5 && careful.counts.reconnects == 0, "{careful:?}");
    assert!(forgetful.counts.renewals == 0 && forgetful.counts.reconnects >= 5, "{forgetful:?}");
    let (due, outcomes) = totals(&result, "renewal");
    assert!(due >= careful.counts.renewals, "each renewal is one operation: {due}");
    assert_eq!(outcomes.values().sum::<u64>(), due);
    let [error] = &result.errors[..] else { panic!("one class: {:?}", result.errors) };
    assert_eq!((error.class.as_str(), error.culprit.name()), ("closed_after_expiry", "peer"));
    assert!(error.count >= forgetful.counts.reconnects && error.first_us > 0, "{error:?}");
    assert!(
        error.example.contains("forgetful-") && error.example.contains("after its token expired"),
        "{error:?}"
    );
    let texts: Vec<&str> = result.findings.iter().map(|finding| finding.text.as_str()).collect();
    assert!(texts.iter().any(|text| text.contains("after their token expired")), "{texts:?}");
    assert!(
        !texts.iter().any(|text| text.contains("share an id") || text.contains("throttles")),
        "{texts:?}"
    );
}

#[test]
fn twins_gets_an_answer_to_every_request() {
    let short = ["phase.ramp.duration=1s", "phase.steady.duration=3s", "fleet.thermostat.devices=10"];
    let fast = ["fleet.thermostat.twin.every=1s", "fleet.thermostat.report.0.every=1s", "drive.0.rate=20/s"];
    let often = ["fleet.thermostat.send.0.every=1s"];
    let result = run("twins.toml", &[&short[..], &fast, &often].concat(), &[], &[]);
    for operation in ["twin.get", "twin.report", "telemetry", "service.desired"] {
        assert!(all_ok(&result, operation) > 0, "{operation}");
    }
    let hub = result.fleets[0].counts.from_hub;
    assert!(hub.desired > 0);
    assert_eq!((hub.desired_missed, hub.late_answers, hub.unknown_answers, hub.unreadable), (0, 0, 0, 0));
}

#[test]
fn methods_answers_calls_between_reboots() {
    let short = ["phase.ramp.duration=500ms", "phase.calls.duration=4s", "fleet.pump.devices=10"];
    let fast = [
        "drive.0.rate=10/s",
        "drive.1.rate=1/s",
        "drive.1.connect_timeout=20s",
        "fleet.pump.send.0.every=1s",
    ];
    let result = run("methods.toml", &[&short[..], &fast].concat(), &[], &[]);
    for operation in ["method", "telemetry"] {
        assert!(all_ok(&result, operation) > 0, "{operation}");
    }
    // The last call may arrive after its device has disconnected.
    let (due, outcomes) = totals(&result, "service.method");
    assert!(due > 30 && due - outcomes["ok"] <= 2, "{outcomes:?}");
    let fleet = &result.fleets[0];
    assert!(fleet.counts.reconnects > 0, "reboots");
    assert!(fleet.counts.from_hub.is_empty(), "{:?}", fleet.counts.from_hub);
}

#[test]
fn commands_delivers_every_message() {
    let short = ["phase.ramp.duration=500ms", "phase.commands.duration=3s", "fleet.lock.devices=10"];
    let fast = ["drive.0.rate=20/s", "fleet.lock.send.0.every=1s"];
    let result = run("commands.toml", &[&short[..], &fast].concat(), &[], &[]);
    for operation in ["c2d", "service.c2d", "telemetry"] {
        assert!(all_ok(&result, operation) > 0, "{operation}");
    }
    let hub = result.fleets[0].counts.from_hub;
    assert!(hub.c2d > 0);
    assert_eq!((hub.c2d_unstamped, hub.c2d_duplicates, hub.c2d_skipped, hub.unreadable), (0, 0, 0, 0));
}

#[test]
fn mosquitto_verifies_the_brokers_certificate() {
    let broker = Mosquitto::start((0..5).map(|index| format!("sensor-{index:04}")), "the library's");
    let short = ["phase.ramp.duration=500ms", "phase.steady.duration=1s", "fleet.sensor.devices=5"];
    let port = format!("target.port={}", broker.tls().port());
    let (host, ca) = (broker.host().to_string(), broker.ca().display().to_string());
    let env = [("BROKER_HOST", host.as_str()), ("BROKER_PASSWORD", "the library's")];
    let result = run("mosquitto.toml", &[&short[..], &[&port]].concat(), &["--ca", &ca], &env);
    all_ok(&result, "publish");
    assert!(result.run.target.tls.is_some_and(|tls| tls.verified));
}

#[test]
fn qos2_completes_every_message() {
    let broker = Mosquitto::open();
    let port = format!("target.port={}", broker.plain().port());
    let host = format!("target.host={}", broker.host());
    let short = ["phase.ramp.duration=500ms", "phase.steady.duration=2s", "fleet.pump.devices=5"];
    let result = run("qos2.toml", &[&short[..], &[&port, &host]].concat(), &[], &[]);
    assert!(all_ok(&result, "publish") > 0);
}

#[test]
fn fan_out_delivers_to_every_subscriber() {
    let broker = Mosquitto::open();
    let port = format!("target.port={}", broker.plain().port());
    let host = format!("target.host={}", broker.host());
    let few = ["fleet.display.devices=20", "fleet.sensor.devices=20"];
    let short = ["phase.ramp.duration=1s", "phase.steady.duration=3s"];
    let result = run("fan-out.toml", &[&short[..], &few, &[&port, &host]].concat(), &[], &[]);
    let steady = |fleet: &str| {
        let mut rows =
            result.operations.iter().filter(|row| row.phase == "steady" && row.operation.name() == "deliver");
        let row = rows.find(|row| row.fleet == fleet).expect("it was due");
        assert_eq!(row.ok(), row.due, "{fleet}");
        row.due
    };
    // Each display receives 15 announcements, and one collector receives 60 readings.
    assert!((14 * 20..=16 * 20).contains(&steady("display")), "{}", steady("display"));
    assert!((40..=80).contains(&steady("collector")), "{}", steady("collector"));
}

/// A process that is killed at the end of its test.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The emulator runs as a separate process, so `run` treats it like a hub in Azure.
#[test]
fn real_hub_runs_against_an_external_hub() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem").display().to_string();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let arguments = ["emulator", "--listen", "127.0.0.1:0", "--group-key", "env:KEY", "--ca-out", &ca];
    let hub =
        command(arguments).env("KEY", key).stdout(Stdio::piped()).spawn().expect("the program was built");
    let mut hub = KilledOnDrop(hub);
    let mut ready = String::new();
    BufReader::new(hub.0.stdout.take().expect("piped")).read_line(&mut ready).expect("it prints its address");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("a JSON object");
    let (_, port) = ready["mqtt"].as_str().expect("an address").rsplit_once(':').expect("with a port");
    let port = format!("target.port={port}");
    let short = ["phase.ramp.duration=500ms", "phase.steady.duration=1s", "phase.evening.duration=500ms"];
    let small = ["fleet.meter.devices=5", "fleet.meter.send.0.every=200ms", &port];
    let env = [("IOTHUB_HOST", "localhost"), ("IOTHUB_GROUP_KEY", key)];
    let result = run("real-hub.toml", &[short, small].concat(), &["--ca", &ca], &env);
    all_ok(&result, "telemetry");
    assert!(!result.run.target.embedded);
}

#[test]
fn replay_sends_every_row() {
    let recording = include_str!("../../scenarios/replay.csv");
    let rows = recording.lines().count() as u64 - 1;
    let result = run(
        "replay.toml",
        &["fleet.truck.send.0.speed=8x", "phase.ramp.duration=1s", "phase.replay.duration=6s"],
        &[],
        &[],
    );
    assert_eq!(all_ok(&result, "telemetry"), rows);
}

#[test]
fn every_shipped_scenario_is_run_here() {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).expect("it is there");
    let files: BTreeSet<String> =
        files.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    let source = [
        include_str!("library.rs"),
        include_str!("throttle.rs"),
        include_str!("faults.rs"),
        include_str!("targets.rs"),
    ]
    .concat();
    // A call may be broken into lines.
    let source: String = source.split_whitespace().collect();
    // The other files are read by a scenario.
    for file in files.iter().filter(|file| file.ends_with(".toml")) {
        let run = [format!("run(\"{file}\""), format!("scenarios/{file}\"")];
        assert!(run.iter().any(|run| source.contains(run)), "{file} is not run");
    }
}

#[test]
fn root_certificates_match_their_names() {
    const G1: &str = "4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161";
    const G2: &str = "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f";
    const MICROSOFT_RSA: &str = "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0";
    for (file, expected) in [("azure-global.pem", [G2, MICROSOFT_RSA]), ("azure-china.pem", [G1, G2])] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(file);
        let roots = CertificateDer::pem_file_iter(&path).expect("it is there").map(|root| root.expect("PEM"));
        let fingerprints: Vec<String> = roots
            .map(|root| Sha256::digest(&root).iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        assert_eq!(fingerprints, expected, "{file}");
        let options = hubstorm::link::tls::ClientOptions { ca: Some(path), ..Default::default() };
        assert!(hubstorm::link::tls::client(&options).is_ok(), "{file} can be trusted");
    }
}
