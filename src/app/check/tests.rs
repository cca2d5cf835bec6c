//! Tests of the output of `check`.

use super::*;
use crate::scenario::Input;
use rand::SeedableRng;

fn described(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let env = |name: &str| Some(if name.ends_with("HOST") { "host.example" } else { key }.to_owned());
    let input =
        Input { file: "x.toml", text, overrides: &overrides, env: &env, files: &crate::scenario::no_files };
    let plan = crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1));
    describe(&plan.unwrap_or_else(|errors| panic!("{errors}")), 1)
}

#[test]
fn quick_start() {
    insta::assert_snapshot!(described(
        include_str!("../../../scenarios/quickstart.toml"),
        &["fleet.meter.devices=2000"]
    ));
}

#[test]
fn plain_broker() {
    insta::assert_snapshot!(described(include_str!("../../../scenarios/mosquitto.toml"), &[]));
}

#[test]
fn cleartext_password_to_another_machine_gives_a_warning() {
    let warned = |host: &str, more: &[&str]| {
        let host = format!("target.host={host}");
        let text =
            described(include_str!("../../../scenarios/mosquitto.toml"), &[&[host.as_str()], more].concat());
        text.contains("in clear text")
    };
    let plain = ["target.tls=false", "target.port=1883"];
    assert!(warned("broker.example", &plain));
    assert!(!warned("broker.example", &[]), "TLS");
    assert!(!warned("127.0.0.1", &plain) && !warned("localhost", &plain) && !warned("::1", &plain));
    assert!(!warned("broker.example", &[&plain[..], &["fleet.sensor.auth={ kind = \"none\" }"]].concat()));
}

#[test]
fn scenario_keys_override_the_sdk_preset() {
    let quickstart = include_str!("../../../scenarios/quickstart.toml");
    let described = |sdk: &str, more: &[&str]| {
        let sdk = format!("fleet.meter.sdk={sdk}");
        let text = described(quickstart, &[&[sdk.as_str()], more].concat());
        let lines = text.lines().filter(|line| line.contains("SDK preset") || line.contains("credentials"));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let all = ["python", "node", "dotnet", "java", "c"].map(|sdk| described(sdk, &[])).join("\n");
    let explicit = [
        "fleet.meter.keep_alive=20s",
        "fleet.meter.reconnect={ kind = \"never\" }",
        "fleet.meter.auth={ kind = \"sas\", ttl = \"30m\", renew = \"50%\", clock_skew = \"-3m\" }",
    ];
    insta::assert_snapshot!(format!("{all}\n{}", described("node", &explicit)));
}

#[test]
fn early_ends_are_described() {
    let quickstart = include_str!("../../../scenarios/quickstart.toml");
    assert!(!described(quickstart, &[]).contains("the run"));
    let text = described(
        quickstart,
        &[
            "abort_when_unreachable=45s",
            "thresholds.\"telemetry{phase:steady}\"=[\"med < 1s\", { expr = \"max < 2s\", abort = true, after = \"5s\" }]",
            "thresholds.\"connect\"=[{ expr = \"max < 3s\", abort = true }]",
        ],
    );
    for line in [
        "med < 1s  in phase steady\n",
        "max < 2s  in phase steady; a failure ends the run, but not before 5.00 s into phase steady\n",
        "max < 3s; a failure ends the run\n",
        "  the run ends early if all devices that should be online are offline for 45.0 s\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn skipping_while_offline_is_described() {
    let quickstart = include_str!("../../../scenarios/quickstart.toml");
    assert!(!described(quickstart, &[]).contains("skipped"));
    assert!(described(quickstart, &["fleet.meter.offline=skip"]).contains("count as offline"));
}

#[test]
fn service_client_is_described() {
    let quickstart = include_str!("../../../scenarios/quickstart.toml");
    let drive = "drive=[{ call = \"method\", fleet = \"meter\", name = \"reboot\", rate = \"5/s\" }]";
    let text = described(quickstart, &[drive]);
    assert!(
        text.contains("service.method: the method reboot of fleet meter, regular, in turn, 5/s"),
        "{text}"
    );
    assert!(text.contains("  calls         about 275\n"), "{text}");
    assert!(!described(quickstart, &[]).contains("  calls  "));
}

#[test]
fn twins_and_methods_are_described() {
    let quickstart = include_str!("../../../scenarios/quickstart.toml");
    let text = described(
        quickstart,
        &[
            "fleet.meter.subscribe=[\"twin\", \"methods\"]",
            "fleet.meter.twin={ get = \"on-connect\" }",
            "fleet.meter.methods={ reboot = { after = \"2s\", then = \"reconnect\" }, no = { answer = false } }",
        ],
    );
    for line in [
        "twin         read on each connection; requests at QoS 0, timeout 60.0 s",
        "methods      reboot: answers 200, after 2.00 s, then reconnects",
        "methods      no: never answers",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn source_addresses_are_described() {
    let text = described(
        include_str!("../../../scenarios/mosquitto.toml"),
        &["target.host=127.0.0.1", "target.source_ips=[\"127.0.0.2\", \"127.0.0.3\"]"],
    );
    assert!(text.contains("to the target, rotating over 2 source addresses"), "{text}");
}

#[test]
fn description_contains_no_secret() {
    let text = described(
        include_str!("../../../scenarios/real-hub.toml"),
        &["target.host=h", "target.tls={ verify = false }"],
    );
    assert!(!text.contains("AAECAw") && text.contains("NOT verified"), "{text}");
}
