//! One table of mistakes that users of other tools make in a scenario, each with the fix in the error message.

use crate::scenario::{Input, no_files};
use std::fmt::Write as _;

/// The tables of a valid scenario, each with its keys.
const HUB: [(&str, &[&str]); 4] = [
    ("", &[]),
    ("[fleet.meter]", &["devices = 10"]),
    ("[[fleet.meter.send]]", &["every = \"1s\"", "payload = \"x\""]),
    ("[[phase]]", &["name = \"steady\"", "duration = \"10s\""]),
];
const TARGET: (&str, &[&str]) = ("[target]", &["kind = \"mqtt\"", "host = \"localhost\""]);

/// Returns the errors of a scenario in which `line` replaces the line for the same key in `table`, or is added there.
fn errors_with(broker: bool, table: &str, line: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let mut text = String::new();
    let mut tables: Vec<(&str, Vec<&str>)> = HUB.map(|(name, lines)| (name, lines.to_vec())).to_vec();
    if broker {
        tables.insert(1, (TARGET.0, TARGET.1.to_vec()));
        tables[3].1.push("topic = \"t\"");
    }
    if !tables.iter().any(|(name, _)| *name == table) {
        tables.push((table, Vec::new()));
    }
    for (name, lines) in &tables {
        let kept = lines.iter().filter(|kept| *name != table || key(kept) != key(line));
        let lines: Vec<&str> = kept.copied().chain((*name == table).then_some(line)).collect();
        let _ = writeln!(text, "{name}\n{}", lines.join("\n"));
    }
    let env = |name: &str| (name == "HUB").then(|| "https://my-hub.azure-devices.net/".to_owned());
    let input = Input { file: "x.toml", text: &text, overrides: &[], env: &env, files: &no_files };
    match crate::plan::load(&input, &mut rand::rng()) {
        Ok(_) => panic!("{line} is valid:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

#[track_caller]
fn check(broker: bool, table: &str, rows: &[(&str, &str)]) {
    for (line, fix) in rows {
        let errors = errors_with(broker, table, line);
        let found = errors.lines().any(|found| found.strip_prefix("    fix:     ") == Some(*fix));
        assert!(found, "{line}\nshould have the fix: {fix}\n{errors}");
    }
}

#[test]
fn quantities_get_the_value_to_write() {
    check(
        false,
        "[[phase]]",
        &[
            ("duration = \"5min\"", "did you mean \"5m\"?"),
            ("duration = \"5 minutes\"", "did you mean \"5m\"?"),
            ("duration = \"30sec\"", "did you mean \"30s\"?"),
            ("duration = \"1hr\"", "did you mean \"1h\"?"),
            ("duration = \"500 ms\"", "did you mean \"500ms\"?"),
            ("duration = \"15000\"", "did you mean \"15s\"? 15000 has no unit: 15000 ms = 15s"),
            ("duration = 15000", "did you mean \"15s\"? 15000 has no unit: 15000 ms = 15s"),
            ("duration = 15", "did you mean \"15s\"?"),
            ("duration = 0.5", "did you mean \"500ms\"?"),
            ("online = \"0.5\"", "did you mean \"50%\"?"),
            ("online = 50", "did you mean \"50%\"?"),
            ("online = 1.0", "did you mean \"100%\"?"),
            ("online = \"0 -> 100\"", "did you mean \"0% -> 100%\"?"),
            ("online = \"0% to 100%\"", "did you mean \"0% -> 100%\"?"),
            ("online = [0, 100]", "did you mean \"0% -> 100%\"?"),
            ("load = 2", "did you mean \"200%\"?"),
            ("load = \"1.5x\"", "did you mean \"150%\"?"),
            ("warmup = \"true\"", "did you mean true, without quotes?"),
        ],
    );
    check(
        false,
        "[[fleet.meter.send]]",
        &[
            ("every = 15", "did you mean \"15s\"?"),
            ("every = \"100/s\"", "write rate = \"100/s\", which is for the whole fleet"),
            ("payload = 256", "write payload = { size = 256 }"),
            ("payload = { size = \"1KB\" }", "did you mean 1024, without quotes?"),
            ("qos = \"1\"", "did you mean 1, without quotes?"),
            ("arrival = \"random\"", "did you mean \"poisson\"?"),
        ],
    );
    for (rate, fix) in [
        ("\"100\"", "did you mean \"100/s\"?"),
        ("100", "did you mean \"100/s\"?"),
        ("\"100/sec\"", "did you mean \"100/s\"?"),
        ("\"100 msg/s\"", "did you mean \"100/s\"?"),
        ("\"1k/s\"", "did you mean \"1000/s\"?"),
        ("\"5s\"", "write every = \"5s\", which is for each device"),
    ] {
        check(
            false,
            "[[drive]]",
            &[(&format!("rate = {rate}\nfleet = \"meter\"\ncall = \"desired\"\npayload = \"{{}}\""), fix)],
        );
    }
    check(
        false,
        "[fleet.meter]",
        &[
            ("devices = \"10k\"", "did you mean 10000, without quotes?"),
            ("devices = 1e3", "did you mean 1000?"),
            ("keep_alive = 240", "did you mean \"4m\"? 240 has no unit: 240 s = 4m"),
            ("auth = { kind = \"sas\", ttl = 3600 }", "did you mean \"1h\"? 3600 has no unit: 3600 s = 1h"),
            ("auth = { kind = \"sas\", renew = 0.85 }", "did you mean \"85%\"?"),
            ("auth = { kind = \"sas\", renew = \"2min\" }", "did you mean \"-2m\"?"),
            ("auth = { kind = \"sas\", jitter = 0.1 }", "did you mean \"10%\"?"),
            ("auth = { kind = \"sas\", clock_skew = \"-3min\" }", "did you mean \"-3m\"?"),
            (
                "auth = { kind = \"sas\", clock_skew = \"3m\" }",
                "write \"+3m\" for clocks that are ahead, or \"-3m\" for clocks that are behind",
            ),
            ("subscribe = \"c2d\"", "write [\"c2d\"]"),
            ("clean_session = 1", "did you mean true, without quotes?"),
        ],
    );
}

#[test]
fn keys_of_other_tools_get_the_key_to_write() {
    let word = |key: &str| format!("did you mean `{key}`?");
    for (table, key, meant) in [
        ("[[fleet.meter.send]]", "interval", "every"),
        ("[[fleet.meter.send]]", "interval_ms", "every"),
        ("[[fleet.meter.send]]", "message", "payload"),
        ("[[fleet.meter.send]]", "body", "payload"),
        ("[[fleet.meter.send]]", "throughput", "rate"),
        ("[[fleet.meter.send]]", "retained", "retain"),
        ("[[fleet.meter.send]]", "headers", "properties"),
        ("[fleet.meter]", "count", "devices"),
        ("[fleet.meter]", "clients", "devices"),
        ("[fleet.meter]", "vus", "devices"),
        ("[fleet.meter]", "client_id", "id"),
        ("[fleet.meter]", "keepalive", "keep_alive"),
        ("[fleet.meter]", "cleanSession", "clean_session"),
        ("[fleet.meter]", "inflight", "in_flight"),
        ("[fleet.meter]", "topics", "subscribe"),
        ("[fleet.meter]", "last_will", "will"),
        ("[fleet.meter]", "backoff", "reconnect"),
        ("[[phase]]", "time", "duration"),
        ("[[phase]]", "length", "duration"),
        ("[[phase]]", "hold_for", "duration"),
    ] {
        check(false, table, &[(&format!("{key} = 1"), &word(meant))]);
    }
    for (key, meant) in
        [("hostname", "host"), ("broker", "host"), ("url", "host"), ("cafile", "ca"), ("ssl", "tls")]
    {
        check(true, "[target]", &[(&format!("{key} = 1"), &word(meant))]);
    }
    check(true, "[target]", &[("insecure = true", "write tls = { verify = false }")]);
    check(
        true,
        "[target]",
        &[(
            "username = \"u\"",
            "credentials belong to a fleet: auth = { kind = \"password\", .. } in [fleet.NAME]",
        )],
    );
    check(
        false,
        "[fleet.meter]",
        &[
            (
                "timeout = \"5s\"",
                "did you mean `ack_timeout` (from sending to the acknowledgment) or `connect_timeout`?",
            ),
            (
                "username = \"u\"",
                "credentials belong to `auth`, such as auth = { kind = \"password\", username = \"${device}\", password = \"${env.PASSWORD}\" }",
            ),
            (
                "interval = \"5s\"",
                "messages belong to [[fleet.meter.send]], with every = \"15s\" and payload = \"..\"",
            ),
            (
                "payload = \"x\"",
                "messages belong to [[fleet.meter.send]], with every = \"15s\" and payload = \"..\"",
            ),
        ],
    );
    check(false, "[[fleet.meter.send]]", &[("size = 256", "write payload = { size = 256 }")]);
    check(
        false,
        "[[phase]]",
        &[
            ("target = 100", "write the share of online devices, such as online = \"0% -> 100%\""),
            (
                "ramp_up = \"10s\"",
                "write online = \"0% -> 100%\", with the time of the ramp as the phase's duration",
            ),
        ],
    );
    check(
        false,
        "",
        &[
            ("stages = []", "write [[phase]] with name = \"steady\" and duration = \"1m\""),
            ("duration = \"1m\"", "write [[phase]] with name = \"steady\" and duration = \"1m\""),
            ("clients = 100", "write [fleet.NAME] with devices = 100"),
            ("host = \"h\"", "write [target] with kind = \"mqtt\" and host = \"broker.example\""),
            ("topic = \"t\"", "messages belong to [[fleet.NAME.send]]"),
        ],
    );
}

#[test]
fn tables_get_the_brackets_to_write() {
    let text = "[fleet.meter]\ndevices = 1\n[fleet.meter.send]\nevery = \"1s\"\n[phase]\nname = \"p\"\n";
    let errors = crate::plan::test_support::load(text).map(|_| ()).unwrap_err();
    for fix in ["write [[fleet.meter.send]], with two brackets", "write [[phase]], with two brackets"] {
        assert!(errors.contains(fix), "{fix}: {errors}");
    }
}

#[test]
fn hosts_get_the_host_to_write() {
    check(
        true,
        "[target]",
        &[
            ("host = \"https://my-hub.azure-devices.net\"", "write host = \"my-hub.azure-devices.net\""),
            ("host = \"mqtts://host:8883\"", "write host = \"host\" with port = 8883"),
            ("host = \"mqtt://host\"", "write host = \"host\""),
            ("host = \"host/\"", "write host = \"host\""),
            ("host = \"host:8883\"", "write host = \"host\" with port = 8883"),
            (
                "host = \"HostName=my-hub.net;DeviceId=d;SharedAccessKey=AAECAw==\"",
                "write host = \"my-hub.net\"",
            ),
            ("host = \"${env.HUB}\"", "export HUB=my-hub.azure-devices.net"),
            ("kind = \"emqx\"", "did you mean \"mqtt\"?"),
            ("kind = \"iothub\"", "did you mean \"iot-hub\"?"),
        ],
    );
}

#[test]
fn placeholders_of_other_tools_get_the_placeholder_to_write() {
    for (placeholder, meant) in [
        ("{i}", "{index}"),
        ("${i}", "{index}"),
        ("{id}", "{index}"),
        ("{n:05}", "{index:05}"),
        ("{index:05d}", "{index:05}"),
        ("{}", "{index}"),
        ("{{index}}", "{index}"),
        ("${__threadNum}", "{index}"),
        ("${__counter(TRUE)}", "{index}"),
    ] {
        check(
            false,
            "[fleet.meter]",
            &[(&format!("id = \"dev-{placeholder}\""), &format!("did you mean {meant}?"))],
        );
    }
    check(
        false,
        "[fleet.meter]",
        &[("id = \"dev-%i\"", "id = \"dev-{index}\""), ("id = \"dev-%05d\"", "id = \"dev-{index:05}\"")],
    );
    for (placeholder, meant) in [
        ("{i}", "{index}"),
        ("{id}", "${device}"),
        ("{device}", "${device}"),
        ("${deviceId}", "${device}"),
        ("${client_id}", "${device}"),
        ("{clientid}", "${device}"),
    ] {
        check(
            true,
            "[[fleet.meter.send]]",
            &[(&format!("topic = \"t/{placeholder}\""), &format!("did you mean {meant}?"))],
        );
    }
    for (placeholder, meant) in [
        ("${i}", "${index}"),
        ("${deviceId}", "${device}"),
        ("${timestamp}", "${now}"),
        ("${__time()}", "${now}"),
        ("${sequence}", "${seq}"),
        ("${random}", "${uniform(min=0, max=100)}"),
    ] {
        check(
            false,
            "[[fleet.meter.send]]",
            &[(&format!("payload = \"{placeholder}\""), &format!("did you mean {meant}?"))],
        );
    }
}

#[test]
fn threshold_on_the_command_line_gets_the_option_to_write() {
    for (text, option) in [
        ("thresholds.telemetry=p99<500", r#"thresholds.telemetry=["p(99) < 500ms"]"#),
        ("thresholds.telemetry=p(99) < 1s", r#"thresholds.telemetry=["p(99) < 1s"]"#),
        ("thresholds.telemetry.p99=500ms", r#"thresholds.telemetry=["p(99) < 500ms"]"#),
        ("thresholds.telemetry.p99=500", r#"thresholds.telemetry=["p(99) < 500ms"]"#),
        ("thresholds.connect.tls.p99.9=1s", r#"thresholds.connect.tls=["p(99.9) < 1s"]"#),
        ("thresholds.publish=p95<200, max<2s", r#"thresholds.telemetry=["p(95) < 200ms", "max<2s"]"#),
        ("thresholds.telemetry{phase:steady}=avg<1s", r#"thresholds.telemetry{phase:steady}=["avg<1s"]"#),
        ("thresholds.telemetry=fast", r#"thresholds.telemetry=["p(99) < 500ms"]"#),
    ] {
        let error = set(text).unwrap_err();
        assert!(
            error.contains("1 error\n") && error.contains(&format!("fix:     write --set '{option}'")),
            "{text}: {error}"
        );
        assert_eq!(set(option), Ok(()), "{option}");
    }
}

/// Loads a scenario with an override.
fn set(text: &str) -> Result<(), String> {
    let file = "[fleet.meter]\ndevices = 1\n[[fleet.meter.send]]\nevery = \"1s\"\npayload = \"x\"\n\
                [[phase]]\nname = \"steady\"\nduration = \"1m\"\n";
    let overrides = [text.to_owned()];
    let input = Input { file: "x.toml", text: file, overrides: &overrides, env: &|_| None, files: &no_files };
    crate::plan::load(&input, &mut rand::rng()).map(drop).map_err(|errors| errors.to_string())
}

#[test]
fn thresholds_of_other_tools_get_the_expression_to_write() {
    for (expression, meant) in [
        ("p99 < 0.5s", "p(99) < 500ms"),
        ("p95<200", "p(95) < 200ms"),
        ("p99.9 < 1s", "p(99.9) < 1s"),
        ("p(0.99) < 1s", "p(99) < 1s"),
        ("avg < 100", "avg < 100ms"),
        ("p(99) =< 1s", "p(99) <= 1s"),
        ("error_rate < 1%", "rate(ok) > 99%"),
        ("rate(ok) > 0.999", "rate(ok) > 99.9%"),
        ("rate<0.01", "rate(ok) > 99%"),
        ("count(losst) == 0", "count(lost) == 0"),
        ("count(failed) == 0", "rate(ok) == 100%"),
        ("count(errors) <= 0", "rate(ok) >= 100%"),
    ] {
        let line = format!("telemetry = [\"{expression}\"]");
        check(false, "[thresholds]", &[(&line, &format!("did you mean \"{meant}\"?"))]);
    }
    for (metric, hub, broker) in [
        ("http_req_duration", "telemetry", "publish"),
        ("latency", "telemetry", "publish"),
        ("connection", "connect", "connect"),
        ("puback", "telemetry", "publish"),
    ] {
        let line = format!("{metric} = [\"p(99) < 1s\"]");
        check(false, "[thresholds]", &[(&line, &format!("did you mean {hub}?"))]);
        check(true, "[thresholds]", &[(&line, &format!("did you mean {broker}?"))]);
    }
    let all_failures = "use rate(ok) > 99.9%, which counts every failure";
    check(
        false,
        "[thresholds]",
        &[
            ("telemetry = \"p(99) < 1s\"", "write \"telemetry\" = [\"p(99) < 1s\"]"),
            (
                "latency = \"p99<500 && error_rate < 1%\"",
                "write \"telemetry\" = [\"p(99) < 500ms\", \"rate(ok) > 99%\"]",
            ),
            ("connect.tls.p99 = \"0.5s\"", "write \"connect.tls\" = [\"p(99) < 500ms\"]"),
            ("connect.tls = [\"max < 1s\"]", "write \"connect.tls\" = [\"max < 1s\"]"),
            ("telemetry = [\"count(failed) < 5\"]", all_failures),
            ("telemetry = [\"count(failed) < 0\"]", all_failures),
            ("telemetry = [\"rate(failed)\"]", all_failures),
            (
                "telemetry = [\"p(99) < 1s && rate(ok) > 99%\"]",
                "write two expressions: [\"p(99) < 1s\", \"rate(ok) > 99%\"]",
            ),
            (
                "telemetry = [\"p99 < 1s and max < 2s, avg < 1s\"]",
                "write separate expressions: [\"p(99) < 1s\", \"max < 2s\", \"avg < 1s\"]",
            ),
            ("\"telemetry{steady}\" = [\"max < 1s\"]", "did you mean phase:steady?"),
            ("\"telemetry{phase=steady}\" = [\"max < 1s\"]", "did you mean phase:steady?"),
            ("\"telemetry{meter}\" = [\"max < 1s\"]", "did you mean fleet:meter?"),
        ],
    );
    let errors = errors_with(false, "[thresholds]", "telemetry = [\"max <= 0ms\"]");
    assert!(errors.contains("the limit must be longer than zero"), "{errors}");
    let errors = errors_with(false, "[thresholds]", "telemetry = [\"p(0.5%) < 1x\"]");
    assert!(!errors.contains("99.99"), "{errors}");
}

#[test]
fn misplaced_tables_and_payloads_say_where_they_belong() {
    check(
        true,
        "[[phase]]",
        &[(
            "stages = [1]",
            "each stage is a phase of its own: write [[phase]] with name = \"ramp\", duration = \"30s\" and online = \"0% -> 100%\"",
        )],
    );
    let file = "put the connection strings of the devices in a file, one on each line: auth = { kind = \"sas\", file = \"devices.txt\" }";
    let hub = "tier and units describe the hub, not the devices: move them to [emulator] or [target]";
    check(
        false,
        "[fleet.meter]",
        &[
            ("connection_string = \"x\"", file),
            ("auth = { kind = \"sas\", connection_string = \"x\" }", file),
            ("tier = \"S1\"", hub),
            ("units = 2", hub),
        ],
    );
    let top = "tier and units describe the hub: move them to [emulator] for the built-in hub, or to [target]";
    check(false, "", &[("tier = \"S1\"", top), ("units = 2", top)]);
    let string = "write a JSON message as a string, such as payload = '{\"temp\":20}', or add size = 256";
    check(false, "[[fleet.meter.send]]", &[("payload = { temp = 20 }", string)]);
    let errors = errors_with(false, "[[fleet.meter.send]]", "payload = { temp = 20 }");
    assert!(errors.contains("or { size = 256 }, or { file = \"messages.txt\" }"), "{errors}");
}

#[test]
fn advice_for_json_is_json() {
    for (text, fix) in [
        (r#"{}"#, r#"add an object "fleet": { "NAME": { "devices": 100 } }"#),
        (r#"{}"#, r#"add "phase": [{ "name": "steady", "duration": "1m" }]"#),
        (r#"{"phase": {"name": "p", "duration": "1s"}}"#, r#"write "phase": [{ .. }]"#),
        (
            r#"{"fleet": {"a": {"devices": 1, "send": {"every": "1s"}}}}"#,
            r#"write "fleet": { "a": { "send": [{ .. }] } }"#,
        ),
        (
            r#"{"fleet": {"a": {"devices": 1, "send": [{"every": "1s", "size": 9}]}}}"#,
            r#"write "payload": { "size": 256 }"#,
        ),
        (r#"{"devices": 9}"#, r#"write "fleet": { "NAME": { "devices": 100 } }"#),
    ] {
        let input = Input { file: "x.json", text, overrides: &[], env: &|_| None, files: &no_files };
        let errors = crate::plan::load(&input, &mut rand::rng()).map(drop).unwrap_err().to_string();
        let found = errors.lines().any(|found| found.strip_prefix("    fix:     ") == Some(fix));
        assert!(found, "{text}\nshould have the fix: {fix}\n{errors}");
        assert!(!errors.contains("table") && !errors.contains(" = "), "{errors}");
    }
}
