//! Overrides: values, paths, suggestions and secrets.

use crate::scenario::{Input, Scenario, Spacing, read};
use std::time::Duration;

const FILE: &str = "[fleet.meter]\ndevices = 1\n[[fleet.meter.send]]\nevery = \"1s\"\npayload = \"x\"\n\
                    [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\n\"connect.tls\" = [\"max < 1s\"]\n";

fn set(overrides: &[&str]) -> (Scenario, String) {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let input = Input {
        file: "x.toml",
        text: FILE,
        overrides: &overrides,
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    let (scenario, errors) = read(&input);
    (scenario, if errors.is_empty() { String::new() } else { errors.to_string() })
}

#[test]
fn overrides_replace_values_and_add_missing_keys() {
    let (scenario, errors) = set(&[
        "fleet.meter.devices=500",
        "phase.steady.duration=10s",
        "phase.0.online=0% -> 50%",
        "fleet.meter.send.0.every=250ms",
        "target.kind=mqtt",
        "target.host=localhost",
        "name=7",
        "thresholds.connect.tls=[\"max < 2s\", \"med < 1s\"]",
    ]);
    assert_eq!(errors, "");
    assert_eq!(scenario.fleets[0].devices, Some(500));
    assert_eq!(scenario.phases[0].duration, Some(Duration::from_secs(10)));
    assert_eq!(scenario.phases[0].course.online, Some([0.0, 0.5]));
    assert_eq!(scenario.fleets[0].sends[0].spacing, Some(Spacing::Every(Duration::from_millis(250))));
    assert_eq!(scenario.target.unwrap().hosts[0].host.value, "localhost");
    assert_eq!(scenario.name.as_deref(), Some("7"));
    assert_eq!(scenario.thresholds.len(), 2);
}

#[test]
fn text_in_place_of_a_list_or_table_gets_the_option() {
    for (text, fix) in [
        ("fleet.meter.subscribe=c2d", r#"write --set 'fleet.meter.subscribe=["c2d"]'"#),
        ("fleet.meter.subscribe=c2d, twin", r#"write --set 'fleet.meter.subscribe=["c2d", "twin"]'"#),
        ("target.source_ips=10.0.0.2", r#"write --set 'target.source_ips=["10.0.0.2"]'"#),
        ("target.source_ips=5", r#"write --set 'target.source_ips=["10.0.0.2", "10.0.0.3"]'"#),
        ("target.tls=yes", "write --set target.tls=true or --set target.tls=false"),
        ("target=broker", "such as --set 'target.host=broker.example'"),
        ("phase=1m", "such as --set 'phase.0.duration=1m'"),
        ("phase.steady=1m", "such as --set 'phase.steady.duration=1m'"),
        ("fleet=5", "such as --set 'fleet.NAME.devices=100'"),
        ("fleet.meter=5", "such as --set 'fleet.meter.devices=100'"),
        ("fleet.meter.send=10/s", "such as --set 'fleet.meter.send.0.every=10s'"),
        ("fleet.meter.send.0=10/s", "such as --set 'fleet.meter.send.0.every=10s'"),
        (
            "fleet.meter.send.0.properties=x",
            r#"write --set 'fleet.meter.send.0.properties={ unit = "kWh" }'"#,
        ),
        ("fleet.meter.report=10s", "such as --set 'fleet.meter.report.0.every=10s'"),
        ("fleet.meter.methods=reboot", "such as --set 'fleet.meter.methods.reboot.status=200'"),
        (
            "fleet.meter.methods.reboot=200",
            r#"write --set 'fleet.meter.methods.reboot={ status = 200, after"#,
        ),
        ("fleet.meter.auth=none", "such as --set 'fleet.meter.auth.file=devices.txt'"),
        ("fleet.meter.reconnect=5s", r#"write --set 'fleet.meter.reconnect={ kind = "exponential", base"#),
        ("fleet.meter.twin=on-connect", r#"write --set 'fleet.meter.twin={ get = "on-connect", every"#),
        ("fleet.meter.will=gone", r#"write --set 'fleet.meter.will={ topic = "gone/${device}", payload"#),
        ("drive=5", "such as --set 'drive.0.rate=1/s'"),
        ("emulator=5m", r#"write --set 'emulator={ expiry_grace = "5m" }'"#),
        ("validity=5", r#"write --set 'validity={ late_share = "0.1%" }'"#),
        ("thresholds=p99<500", r#"such as --set 'thresholds.telemetry=["p(99) < 500ms"]'"#),
    ] {
        let (_, errors) = set(&[text]);
        assert!(errors.contains("wrong type") && errors.contains(fix), "{text}: {errors}");
        let option = fix.split_once("--set '").and_then(|(_, rest)| rest.strip_suffix('\''));
        // A list of tables needs its elements in the file, and NAME is a placeholder.
        if let Some(option) = option
            .filter(|option| !option.contains("NAME") && !option.contains("e.0") && !option.contains("t.0"))
        {
            assert!(!set(&[option]).1.contains("wrong type"), "{option}");
        }
    }
}

#[test]
fn invalid_overrides_are_reported() {
    for (text, expected) in [
        ("fleet.metre.devices=5", "did you mean `meter`?"),
        ("phase.stead.duration=5s", "did you mean `steady`?"),
        ("fleet.meter.send.1.every=5s", "allowed: 0"),
        ("fleet.meter.devices=many", "--set fleet.meter.devices: wrong type"),
        ("fleet.meter.devcies=5", "did you mean `devices`?"),
        ("fleet.meter.devices.x=5", "a whole number has no keys"),
        ("seed", "invalid override"),
        ("target.port=", "--set target.port: the value is missing"),
        (
            "fleet.meter.send.0.rate=10/s",
            "fix:     the file sets every: override every instead, or replace every by rate in the file",
        ),
        ("phase[0].duration=5s", "fix:     did you mean `phase.steady.duration`?"),
        (
            "phase[1].duration=5s",
            "invalid path: an element of phase is selected with its index or its name after a dot",
        ),
        ("phase.duration=5s", "fix:     did you mean `phase.steady.duration`?"),
        ("fleet.meter.send[0].every=1s", "fix:     did you mean `fleet.meter.send.0.every`?"),
        ("fleet.meter.send.every=1s", "fix:     did you mean `fleet.meter.send.0.every`?"),
        ("fleet.devices=5", "fix:     did you mean `fleet.meter.devices`?"),
        ("devices=50", "fix:     did you mean --set fleet.meter.devices=50?"),
        ("vus=50", "fix:     did you mean --set fleet.meter.devices=50?"),
        ("every=1s", "fix:     did you mean --set fleet.meter.send.0.every=1s?"),
        ("fleet.meter.qos=1", "fix:     did you mean --set fleet.meter.send.0.qos=1?"),
        ("duration=1m", "fix:     did you mean --set phase.steady.duration=1m?"),
        ("host=broker", "fix:     did you mean --set target.host?"),
    ] {
        let (_, errors) = set(&[text]);
        assert!(errors.contains(expected), "{text}: {errors}");
    }
}

#[test]
fn possible_secrets_are_shown_only_if_they_are_names() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    for text in [
        format!("{KEY}=1"),
        format!("{KEY}=="),
        KEY.to_owned(),
        format!("fleet.{KEY}.devices=1"),
        format!("fleet.meter.auth.{KEY}=1"),
        format!("phase.{KEY}.duration=1s"),
        format!("fleet.meter.devices.\"{KEY}\"=1"),
    ] {
        let (_, errors) = set(&[&text]);
        assert!(errors.contains("looks like a secret"), "{text}: {errors}");
        assert!(!errors.contains("AwQFBgcICQ"), "{errors}");
    }
    let (scenario, errors) = set(&["name=x"]);
    assert_eq!((scenario.name.as_deref(), errors.as_str()), (Some("x"), ""));
    let file = FILE.replace("meter", "MetersOfTheNorthernPlant");
    let overrides = ["fleet.MetersOfTheNorthernPlant.devices=7".to_owned()];
    let files = &crate::scenario::no_files;
    let input = Input { file: "x.toml", text: &file, overrides: &overrides, env: &|_| None, files };
    let (scenario, errors) = read(&input);
    assert!(errors.is_empty(), "{errors}");
    assert_eq!(scenario.fleets[0].devices, Some(7));
}

#[test]
fn secrets_are_refused_and_hidden() {
    for text in [
        "fleet.meter.auth.group_key=hunter2",
        "fleet.meter.auth={kind=\"sas\", group_key=\"hunter2\"}",
        "fleet.meter.auth={kind=\"sas\", group_key=\"hunter2\"",
        "fleet.meter.auth.password=${env.hunter2}",
    ] {
        let (_, errors) = set(&[text]);
        assert!(errors.contains("not allowed on the command line"), "{text}: {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}
