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
    assert_eq!(scenario.target.unwrap().host.unwrap().value, "localhost");
    assert_eq!(scenario.name.as_deref(), Some("7"));
    assert_eq!(scenario.thresholds.len(), 2);
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
