//! Tests of the output of `check`.

use super::*;
use crate::cli::ScenarioArgs;
use crate::scenario::Input;
use rand::SeedableRng;

fn layout(columns: u16) -> Layout {
    Layout::of(crate::report::Width::of(None, Some(columns)))
}

fn described(text: &str, overrides: &[&str]) -> String {
    describe(&plan(text, overrides), 1, layout(80))
}

fn plan(text: &str, overrides: &[&str]) -> Plan {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let env = |name: &str| Some(if name.ends_with("HOST") { "host.example" } else { key }.to_owned());
    let input =
        Input { file: "x.toml", text, overrides: &overrides, env: &env, files: &crate::scenario::no_files };
    let plan = crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1));
    plan.unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn options_turn_warnings_into_errors() {
    for (strict, machine, [of_plan, of_machine], code) in [
        (false, false, [1, 1], exit::PASSED),
        (true, false, [0, 0], exit::PASSED),
        (true, false, [1, 0], exit::CONFIGURATION),
        (true, false, [0, 1], exit::CONFIGURATION),
        (false, true, [1, 0], exit::PASSED),
        (false, true, [0, 1], exit::ENVIRONMENT),
        (true, true, [0, 1], exit::CONFIGURATION),
        (true, true, [1, 1], exit::CONFIGURATION),
        (true, true, [0, 0], exit::PASSED),
    ] {
        let warnings = Warnings { text: String::new(), plan: of_plan, machine: of_machine };
        let scenario = ScenarioArgs::of("x.toml".into());
        let args = CheckArgs { scenario, workers: None, strict, machine };
        let found = verdict(&args, &warnings).map_or_else(|error| error.exit_code(), |()| exit::PASSED);
        assert_eq!(found, code, "strict {strict}, machine {machine}, {of_plan} and {of_machine} warnings");
    }
}

/// Ten fleets and twelve phases with names of up to 60 characters.
fn long_names() -> String {
    let mut text = "name = \"Ten fleets\"\nabort_when_unreachable = \"45s\"\n".to_owned();
    for n in 0..10 {
        let fleet = format!("fleet-{n}-{}", "meters-in-the-northern-region-".repeat(n / 5 + 1));
        text += &format!(
            "[fleet.{fleet}]\ndevices = 100\nsdk = \"python\"\nsubscribe = [\"c2d\", \"twin\", \"methods\"]\noffline = \"skip\"\n\
             [[fleet.{fleet}.send]]\nrate = \"333.333/s\"\nburst = 10\npayload = {{ size = 100000 }}\n\
             [fleet.{fleet}.methods.reboot-the-device-and-report-its-state]\nafter = \"2s\"\nthen = \"reconnect\"\n\
             [[drive]]\ncall = \"method\"\nname = \"reboot-the-device-and-report-its-state\"\nfleet = \"{fleet}\"\nrate = \"1/s\"\n"
        );
    }
    let mut thresholds = "[thresholds]\n".to_owned();
    for n in 0..12 {
        let phase = format!("phase-{n}-{}", "with-a-long-name-".repeat(n / 4 + 1));
        text += &format!(
            "[[phase]]\nname = \"{phase}\"\nduration = \"90s\"\nwarmup = true\nonline = \"33.3333% -> 66.6667%\"\nload = \"1% -> 66.6667%\"\n"
        );
        thresholds += &format!(
            "\"telemetry{{phase:{phase},fleet:fleet-0-meters-in-the-northern-region-}}\" = [{{ expr = \"p(99.99) < 1s\", abort = true, after = \"100s\" }}]\n"
        );
    }
    text + &thresholds
}

#[test]
fn every_line_fits_the_terminal() {
    let scenarios = std::fs::read_dir("scenarios").unwrap().map(|entry| entry.unwrap().path());
    let scenarios = scenarios.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    // Recordings are found in the folder of the scenario.
    let here = |text: String| text.replace("file = \"replay.csv\"", "file = \"scenarios/replay.csv\"");
    let mut texts: Vec<String> = scenarios.map(|path| here(std::fs::read_to_string(path).unwrap())).collect();
    assert!(texts.len() > 10);
    let shipped = texts.len();
    texts.push(long_names());
    for (number, text) in texts.iter().enumerate() {
        let plan = plan(text, &[]);
        for columns in [60, 80, 200] {
            let layout = layout(columns);
            let warnings = plan_warnings::collect(&plan, &[], layout);
            let text = &warnings.text;
            assert_eq!(warnings.plan > 0, number == shipped, "a shipped scenario has no warnings: {text}");
            let printed = describe(&plan, 1, layout) + text;
            for line in printed.lines() {
                // Only a name that is longer than a line does not fit.
                let most = usize::from(columns.min(80));
                assert!(line.chars().count() <= most || !line.trim().contains(' '), "{line}");
            }
        }
    }
}

#[test]
fn long_phase_names_do_not_touch_their_columns() {
    let text = described(&long_names(), &[]);
    for phase in plan(&long_names(), &[]).schedule.phases() {
        let beside = format!("  {}  ", phase.name);
        let alone = format!("  {}\n", phase.name);
        assert!(text.contains(&beside) || text.contains(&alone), "{text}");
    }
}

#[test]
fn quick_start() {
    insta::assert_snapshot!(described(
        include_str!("../../../scenarios/quickstart.toml"),
        &["fleet.meter.devices=2000"]
    ));
}

#[test]
fn limits_of_the_built_in_hub_are_described() {
    let quick_start = include_str!("../../../scenarios/quickstart.toml");
    let text = described(quick_start, &["emulator.tier=S1"]);
    assert!(text.contains("(limits of S1 x 1)"), "{text}");
}

#[test]
fn plain_broker() {
    insta::assert_snapshot!(described(include_str!("../../../scenarios/mosquitto.toml"), &[]));
}

#[test]
fn cleartext_password_to_another_machine_gives_a_warning() {
    let warned = |host: &str, more: &[&str]| {
        let host = format!("target.host={host}");
        let overrides = [&[host.as_str()], more].concat();
        let plan = plan(include_str!("../../../scenarios/mosquitto.toml"), &overrides);
        plan_warnings::collect(&plan, &[], layout(80)).text.contains("in clear text")
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
        let start = text.find("    credentials").expect("the fleet has credentials");
        let end = text.find("    subscribes").expect("the fleet has subscriptions");
        text[start..end].to_owned()
    };
    let all = crate::plan::Sdk::ALL.map(crate::plan::Sdk::name).map(|sdk| described(sdk, &[])).join("\n");
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
    assert!(!described(quickstart, &[]).contains("ends the run"));
    let text = described(
        quickstart,
        &[
            "abort_when_unreachable=45s",
            "thresholds.\"telemetry{phase:steady}\"=[\"med < 1s\", { expr = \"max < 2s\", abort = true, after = \"5s\" }]",
            "thresholds.\"connect\"=[{ expr = \"max < 3s\", abort = true }]",
        ],
    );
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "med < 1s in phase steady telemetry",
        "max < 2s in phase steady; a failure ends the run, but not before 5.00 s into phase steady",
        "max < 3s; a failure ends the run every",
        "the run ends early if all devices that should be online are offline for 45.0 s",
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
        text.contains("service.method: the method reboot of fleet meter, regular, in turn, 5/s in"),
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
fn several_hosts_are_described() {
    let text = described(include_str!("../../../scenarios/failover.toml"), &["fleet.meter.devices=101"]);
    for line in [
        "  IoT hub localhost:8883, localhost:8884 over TLS, trusting the system's root\n    certificates\n",
        "  devices use the 2 hosts in turn, 50 or 51 devices each\n",
        "  failover: a device tries the next host after it could not connect or lost its\n    connection\n",
    ] {
        assert!(text.contains(line), "{line:?}: {text}");
    }
}

#[test]
fn source_addresses_are_described() {
    let text = described(
        include_str!("../../../scenarios/mosquitto.toml"),
        &["target.host=127.0.0.1", "target.source_ips=[\"127.0.0.2\", \"127.0.0.3\"]"],
    );
    assert!(text.contains("to the target, rotating over 2 source\n                addresses\n"), "{text}");
}

#[test]
fn description_contains_no_secret() {
    let text = described(
        include_str!("../../../scenarios/real-hub.toml"),
        &["target.host=h", "target.tls={ verify = false }"],
    );
    assert!(!text.contains("AAECAw") && text.contains("NOT verified"), "{text}");
}
