//! Warnings and notes about plans.

use super::*;
use rand::SeedableRng;

/// Returns the warnings and notes, one per line.
fn notes_of(text: &str) -> String {
    let phase = if text.contains("[[phase]]") { "" } else { "[[phase]]\nname = \"p\"\nduration = \"1s\"" };
    let plan = plan_of(&format!("{text}\n{phase}\n"));
    found(&plan).into_iter().map(|(weight, text)| format!("{weight:?}: {text}\n")).collect()
}

fn plan_of(text: &str) -> Plan {
    let input = crate::scenario::Input {
        file: "x.toml",
        text,
        overrides: &[],
        env: &|_| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        files: &crate::scenario::no_files,
    };
    crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).unwrap()
}

#[test]
fn advice_about_a_json_scenario_is_json() {
    let toml = "[target]\nkind = \"mqtt\"\nhost = \"b\"\ntls = false\n[fleet.a]\ndevices = 1\n\
                auth = { kind = \"password\", username = \"u\", password = \"${env.P}\" }\n\
                [[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    let json = r#"{"target":{"kind":"mqtt","host":"b","tls":false},"fleet":{"a":{"devices":1,
        "auth":{"kind":"password","username":"u","password":"${env.P}"}}},"phase":[{"name":"p","duration":"1s"}]}"#;
    let layout = Layout::of(crate::report::Width::FILE);
    let shown = |text| {
        let text = collect(&plan_of(text), &[], layout).text;
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(shown(toml).contains("set tls = true in [target]"), "{}", shown(toml));
    assert!(shown(json).contains(r#"set "tls": true in "target": { .. }"#), "{}", shown(json));
}

#[test]
fn recovery_that_cannot_be_reached_is_noted() {
    let storm = |target: &str, storm: &str| {
        notes_of(&format!(
            "{target}[fleet.a]\ndevices = 10\n[[phase]]\nname = \"calm\"\nduration = \"5s\"\n\
             [[phase]]\nname = \"storm\"\nduration = \"10s\"\n{storm}\n\
             [thresholds]\n\"online{{phase:storm}}\" = [\"recovery(99%) < 9s\"]"
        ))
    };
    let broker = "[target]\nkind = \"mqtt\"\nhost = \"b\"\n";
    let over = |over: &str| format!("disconnect = {{ how = \"close\", over = \"{over}\" }}");
    let fault = "[[emulator.fault]]\nkind = \"close\"\nphase = \"storm\"\nat = ";
    let name = "threshold online{phase:storm} recovery(99%) < 9s";
    let no_data = "fails with \"no data\" unless devices lose their connections: nothing in the plan disconnects them there; \
                   add `disconnect` to the phase\n";
    let hold = "after the last disconnect, and devices count as recovered when they were online for 2.00 s;";
    for (target, phase, expected) in [
        ("", over("8s"), String::new()),
        // The last of ten devices disconnects after 9 s.
        (
            "",
            over("10s"),
            format!(
                "Warning: {name} can only fail: in phase storm, the phase ends 1.00 s {hold} lengthen the phase\n"
            ),
        ),
        ("", String::new(), format!("Warning: {name} {no_data}")),
        (broker, String::new(), format!("Note: {name} {no_data}")),
        ("", format!("{fault}\"1s\"\n"), String::new()),
        (
            "",
            format!("{fault}\"1s\"\n{fault}\"2s\"\n"),
            format!(
                "Warning: {name} can only fail: in phase storm, the next disturbance begins 1.00 s {hold} move one of them\n"
            ),
        ),
    ] {
        assert_eq!(storm(target, &phase), expected, "{phase}");
    }
}

#[test]
fn abort_after_the_end_of_the_load_is_noted() {
    let with = |after: &str| {
        notes_of(&format!(
            "[fleet.a]\ndevices = 1\n\
             [thresholds]\n\"connect{{phase:p}}\" = [{{ expr = \"count(lost) == 0\", abort = true, after = \"{after}\" }}]"
        ))
    };
    assert_eq!(with("999ms"), "");
    assert_eq!(
        with("1s"),
        "Warning: threshold connect{phase:p} count(lost) == 0 cannot end the run early: the load ends before its `after` (1.00 s); shorten `after`\n"
    );
}

#[test]
fn hub_without_its_domain_is_noted() {
    for (kind, host, expected) in [
        ("iot-hub", "myhub", "myhub has no domain; did you mean myhub.azure-devices.net?"),
        ("iot-hub", "x.azure-device.net", "did you mean x.azure-devices.net?"),
        ("iot-hub", "x.azure-devices.net", ""),
        ("iot-hub", "localhost", ""),
        ("iot-hub", "::1", ""),
        ("mqtt", "broker", ""),
    ] {
        let notes = notes_of(&format!(
            "[target]\nkind = \"{kind}\"\nhost = \"{host}\"\n[fleet.a]\ndevices = 1\n{}",
            if kind == "mqtt" { "" } else { "auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n" }
        ));
        assert_eq!(notes.contains("did you mean"), !expected.is_empty(), "{host}: {notes}");
        assert!(notes.contains(expected), "{host}: {notes}");
    }
    let both = "[target]\nkind = \"iot-hub\"\nhost = [\"one\", \"two:8884\"]\n[fleet.a]\ndevices = 1\n\
                auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n";
    assert_eq!(notes_of(both).matches("has no domain").count(), 2, "each host is checked");
}

#[test]
fn thin_thresholds_get_a_remedy() {
    let with = |threshold: &str| {
        notes_of(&format!(
            "[fleet.a]\ndevices = 30\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n[thresholds]\n{threshold}"
        ))
    };
    let fails = "it will fail with \"not enough data\"";
    for (threshold, text) in [
        (
            "telemetry = [\"p(99.9) < 1s\"]",
            format!(
                "telemetry p(99.9) < 1s needs 10,000 samples, but the plan produces only about 30; {fails}; run phase p for 5m40s, or use p(50)"
            ),
        ),
        (
            "\"connect{phase:p}\" = [\"p(95) < 1s\"]",
            format!(
                "connect{{phase:p}} p(95) < 1s needs 200 samples, but the plan produces only about 30; {fails}; use 200 devices in fleet a, or use p(50)"
            ),
        ),
    ] {
        assert_eq!(with(threshold), format!("Warning: threshold {text}\n"), "{threshold}");
    }
}

#[test]
fn warnings_are_counted_and_fit_the_terminal() {
    let text = "[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = '{x}'\n[[drive]]\ncall = \"method\"\n\
                name = \"reboot\"\nfleet = \"a\"\nrate = \"1/s\"\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    let input = crate::scenario::Input {
        file: "x.toml",
        text,
        overrides: &[],
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    let plan = crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).unwrap();
    let found = collect(
        &plan,
        &["too few ports; do one of:\n  use fewer devices".to_owned()],
        Layout::of(crate::report::Width::FILE),
    );
    assert_eq!((found.plan, found.machine), (2, 1));
    assert!(found.text.lines().all(|line| line.chars().count() <= 80), "{}", found.text);
    assert!(
        found.text.starts_with("warning: x.toml:5:11: fleet.a.send.0.payload: the payload"),
        "{}",
        found.text
    );
    assert!(
        found.text.ends_with("warning: too few ports; do one of:\n  - use fewer devices\n"),
        "{}",
        found.text
    );
}

#[test]
fn unhandled_calls_are_noted() {
    let with = |fleet: &str, call: &str| {
        notes_of(&format!(
            "[fleet.a]\ndevices = 2\n{fleet}\n[[drive]]\nfleet = \"a\"\nrate = \"1/s\"\n{call}"
        ))
    };
    let reboot = "call = \"method\"\nname = \"reboot\"";
    assert!(with("", reboot).contains("does not subscribe to \"methods\""));
    let subscribed = "subscribe = [\"methods\", \"c2d\"]";
    assert!(with(subscribed, reboot).contains("has no methods.reboot"));
    assert_eq!(with(&format!("{subscribed}\nmethods = {{ reboot = {{}} }}"), reboot), "");
    let hello = "call = \"c2d\"\npayload = \"hello\"";
    assert!(with("", hello).contains("does not subscribe to \"c2d\""));
    assert_eq!(with(subscribed, hello), "");
    assert_eq!(with("", "call = \"desired\"\npayload = '{\"a\":1}'"), "");
}

#[test]
fn untracked_publishers_and_subscribers_are_noted() {
    let between = |topic: &str, filter: &str| {
        notes_of(&format!(
            "[target]\nkind = \"mqtt\"\nhost = \"localhost\"\n[fleet.a]\ndevices = 2\n[[fleet.a.send]]\nrate = \"1/s\"\n\
             topic = \"{topic}\"\npayload = 'x ${{stamp}}'\n[fleet.b]\ndevices = 2\nsubscribe = [\"{filter}\"]"
        ))
    };
    assert_eq!(between("news/all", "news/#"), "");
    let apart = between("newz/all", "news/#");
    assert!(apart.contains("fleet a sends ${stamp} to newz/all"), "{apart}");
    assert!(apart.contains("fleet b subscribes to news/#"), "{apart}");
}

#[test]
fn thresholds_that_can_only_fail_are_noted() {
    let with = |expression: &str| {
        notes_of(&format!("[fleet.a]\ndevices = 1000\n[thresholds]\nconnect = [\"{expression}\"]"))
    };
    for expression in ["rate(ok) > 100%", "rate(lost) < 0%", "count(lost) < 0", "count(ok) < 0"] {
        let text = with(expression);
        assert!(
            text.contains(&format!("Warning: threshold connect {expression} can only fail: a ")),
            "{text}"
        );
    }
    for expression in ["rate(ok) >= 100%", "rate(ok) == 100%", "rate(lost) <= 0%", "count(lost) <= 0"] {
        assert_eq!(with(expression), "", "{expression}");
    }
}

#[test]
fn fleets_that_never_connect_are_noted() {
    let with = |online: &str| {
        notes_of(&format!(
            "[fleet.a]\ndevices = 4\n[fleet.b]\ndevices = 100\n[[phase]]\nname = \"p\"\nduration = \"1s\"\nonline = \"{online}\""
        ))
    };
    assert_eq!(
        with("0%"),
        "Warning: no device connects: `online` is \"0%\" in every phase; set online = \"100%\" in a phase\n"
    );
    assert_eq!(
        with("10%"),
        "Warning: no device of fleet a connects: `online` rounds to 0 of 4 devices in every phase; increase `online` or `devices`\n"
    );
    assert_eq!(with("0% -> 100%"), "");
}
