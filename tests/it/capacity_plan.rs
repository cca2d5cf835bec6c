//! `hubstorm plan`: the binary against an independent computation in Python, its formats, its exit codes, and invalid input.

use crate::support::hubstorm::{Finished, Workplace, command, finish, hubstorm};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// 40,000 meters that send 300 bytes every 15 s.
const METERS: [&str; 7] = ["plan", "--devices", "40000", "--every", "15s", "--size", "300"];

/// Runs `plan` for the 40,000 meters with more arguments.
fn meters(more: &[&str]) -> Finished {
    hubstorm(&[&METERS[..], more].concat())
}

fn parsed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

fn option<'p>(plan: &'p Value, tier: &str) -> &'p Value {
    let options = plan["options"].as_array().expect("a list");
    options.iter().find(|option| option["tier"] == tier).unwrap_or_else(|| panic!("{tier}: {plan}"))
}

/// Each case for the oracle: fleets, phases, and the settings of the plan.
fn cases() -> Vec<Value> {
    let steady = || json!([{ "name": "steady" }]);
    let fleet =
        |devices: u64, streams: Value| json!({ "devices": devices, "streams": streams, "renew_s": "2907" });
    let telemetry =
        |every_s: &str, bytes: u64| json!([{ "operation": "d2c", "every_s": every_s, "bytes": bytes }]);
    let twins = json!([
        { "operation": "d2c", "every_s": "60", "bytes": 900 },
        { "operation": "twin_read", "every_s": "21600" },
        { "operation": "report", "every_s": "600", "bytes": 3000 },
    ]);
    let reading = json!([{ "devices": 20_000, "renew_s": "2907", "reads_twin_on_connect": true,
        "streams": [{ "operation": "d2c", "every_s": "300", "bytes": 4097 }] }]);
    let calls = json!([
        { "operation": "d2c", "every_s": "60", "bytes": 1024 },
        { "operation": "method", "every_s": "600", "bytes": 4097, "answer_bytes": 0 },
        { "operation": "c2d", "every_s": "3600", "bytes": 100 },
        { "operation": "desired", "every_s": "7200", "bytes": 20 },
    ]);
    let day = json!([{ "phase": "steady", "hours": 20 }, { "phase": "evening", "hours": 4 }]);
    let evening = json!([{ "name": "steady" }, { "name": "evening", "load": "4" }]);
    vec![
        json!({ "fleets": [fleet(40_000, telemetry("15", 300))], "phases": steady() }),
        json!({ "fleets": [fleet(40_000, telemetry("15", 300))], "phases": steady(), "headroom": "0.75" }),
        json!({ "fleets": [fleet(1, telemetry("3600", 100 * 1024))], "phases": steady() }),
        json!({ "fleets": [fleet(10_000, twins)], "phases": steady() }),
        json!({ "fleets": reading.clone(), "phases": steady(), "reconnect_within_s": 120 }),
        json!({ "fleets": [fleet(5_000, calls.clone())], "phases": steady() }),
        json!({ "fleets": [fleet(1_800, telemetry("18", 10))], "phases": steady() }),
        json!({ "fleets": [fleet(12_000, telemetry("60", 4096))], "phases": evening, "day": day }),
        json!({ "fleets": [fleet(100_000, telemetry("86400", 10)), fleet(60_000, telemetry("43200", 600))],
            "phases": steady() }),
        json!({ "fleets": [fleet(400, telemetry("86400", 600))], "phases": steady() }),
        json!({ "fleets": reading, "phases": [{ "name": "steady" }, { "name": "storm", "reconnects": true }],
            "day": [{ "phase": "steady", "hours": 23.5 }, { "phase": "storm", "hours": 0.5 }] }),
        json!({ "fleets": [fleet(3_000, calls), fleet(7_000, telemetry("30", 513))],
            "phases": [{ "name": "night", "online": "0.5" }, { "name": "steady", "load": "1.5" }], "headroom": "0.8" }),
    ]
}

/// Writes a case as a scenario. The devices connect in a warm-up.
fn scenario(case: &Value) -> String {
    let mut text = String::new();
    for (number, fleet) in case["fleets"].as_array().expect("a list").iter().enumerate() {
        let mut sends = String::new();
        let mut fleet_keys = format!("[fleet.f{number}]\ndevices = {}\n", fleet["devices"]);
        let (mut twin, mut drives) = (String::new(), String::new());
        for stream in fleet["streams"].as_array().expect("a list") {
            let (every, bytes) = (stream["every_s"].as_str().expect("text"), &stream["bytes"]);
            let drive = |call: &str, more: &str| {
                format!("[[drive]]\ncall = \"{call}\"\nfleet = \"f{number}\"\nevery = \"{every}s\"\n{more}\n")
            };
            let filled = |bytes: &Value| {
                format!(
                    "payload = '{{\"x\":\"{}\"}}'",
                    "x".repeat(usize::try_from(bytes.as_u64().expect("a size")).expect("it fits") - 8)
                )
            };
            match stream["operation"].as_str().expect("text") {
                "d2c" => {
                    let _ = writeln!(
                        sends,
                        "[[fleet.f{number}.send]]\nevery = \"{every}s\"\npayload = {{ size = {bytes} }}"
                    );
                }
                "report" => {
                    let _ = writeln!(
                        sends,
                        "[[fleet.f{number}.report]]\nevery = \"{every}s\"\n{}",
                        filled(bytes)
                    );
                }
                "twin_read" => twin = format!("every = \"{every}s\""),
                "method" => {
                    drives += &drive("method", &format!("name = \"m\"\n{}", filled(bytes)));
                    let _ = writeln!(sends, "[fleet.f{number}.methods.m]\nstatus = 200");
                }
                "c2d" => drives += &drive("c2d", "payload = { size = 10 }"),
                _ => drives += &drive("desired", &filled(bytes)),
            }
        }
        if fleet["reads_twin_on_connect"] == true {
            twin = "get = \"on-connect\"".to_owned();
        }
        if !twin.is_empty() {
            let _ = writeln!(fleet_keys, "twin = {{ {twin} }}");
        }
        if !twin.is_empty() || sends.contains(".report]]") || !drives.is_empty() {
            fleet_keys += "subscribe = [\"twin\", \"methods\", \"c2d\"]\n";
        }
        text += &(fleet_keys + &sends + &drives);
    }
    text += "[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"10m\"\nonline = \"0% -> 100%\"\n";
    for phase in case["phases"].as_array().expect("a list") {
        let share = |key: &str| {
            phase[key].as_str().map_or(100.0, |share| share.parse::<f64>().expect("a number") * 100.0)
        };
        let (load, online) = (share("load"), share("online"));
        let _ = writeln!(
            text,
            "[[phase]]\nname = {}\nduration = \"1m\"\nload = \"{load}%\"\nonline = \"{online}%\"",
            phase["name"]
        );
        if phase["reconnects"] == true {
            text += "disconnect = { share = \"100%\", how = \"reset\", over = \"1s\" }\n";
        }
    }
    for part in case["day"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "[[day.part]]\nphase = {}\nhours = {}", part["phase"], part["hours"]);
    }
    text
}

fn oracle(cases: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/capacity_oracle.py");
    let python = std::env::var_os("HUBSTORM_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python is installed");
    child.stdin.take().expect("piped").write_all(json!(cases).to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn close(one: &Value, two: &Value) -> bool {
    match (one.as_f64(), two.as_f64()) {
        (Some(one), Some(two)) => (one - two).abs() <= 1e-9 * two.abs().max(1.0),
        (one, two) => one.is_none() && two.is_none(),
    }
}

#[test]
fn an_independent_script_finds_the_same_units() {
    let cases = cases();
    let mut compared = 0;
    for (case, expected) in cases.iter().zip(oracle(&cases)) {
        let work = Workplace::new(&scenario(case));
        let file = work.scenario();
        let mut arguments = vec![
            "plan".to_owned(),
            file.to_str().expect("UTF-8").to_owned(),
            "--format".to_owned(),
            "json".to_owned(),
        ];
        if let Some(headroom) = case["headroom"].as_str() {
            arguments.push(format!("--headroom={}%", headroom.parse::<f64>().expect("a number") * 100.0));
        }
        if let Some(within) = case["reconnect_within_s"].as_u64() {
            arguments.push(format!("--reconnect-within={within}s"));
        }
        let finished = finish(command(&arguments));
        finished.exits(0);
        let plan = parsed(&finished);
        for (tier, expected) in expected.as_object().expect("an object") {
            let found = option(&plan, tier);
            assert_eq!(found["fits"], expected["fits"], "{tier}: {case}\n{found}");
            if expected["fits"] != true {
                continue;
            }
            assert_eq!(
                (&found["units"], &found["hubs"]),
                (&expected["units"], &expected["hubs"]),
                "{tier}: {case}\n{found}"
            );
            let messages =
                if tier == "F1" { &plan["day"]["messages_free"] } else { &plan["day"]["messages"] };
            assert_eq!(messages, &expected["messages"], "{tier}: {case}");
            for (found, key) in [
                (&found["price"]["amount"], "price"),
                (&found["online_seconds"], "online_seconds"),
                (&found["reconnect"]["seconds"], "online_seconds"),
                (&found["quota_hours"], "quota_hours"),
            ] {
                assert!(close(found, &expected[key]), "{tier} {key}: {found} {expected}: {case}");
            }
            for limit in
                found["limits"].as_array().expect("a list").iter().filter(|limit| limit["class"] != "devices")
            {
                let share = &expected["shares"][limit["class"].as_str().expect("text")];
                assert!(close(&limit["share"], share), "{tier}: {limit} {expected}: {case}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 40, "{compared} options");
}

#[test]
fn forty_thousand_meters_are_equal_to_the_message() {
    let finished = meters(&["--format", "json"]);
    let plan = parsed(finished.exits(0));
    assert_eq!(plan["schema"], "hubstorm.plan.v1");
    assert_eq!(plan["day"]["messages"], 230_400_000);
    let d2c = plan["demand"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["class"] == "d2c" && row["phase"] == "steady");
    assert!((d2c.unwrap()["peak"].as_f64().unwrap() - 40_000.0 / 15.0).abs() < 1e-6, "{d2c:?}");
    for (tier, units, hubs) in [("S1", 576, 3), ("S2", 39, 1), ("S3", 1, 1)] {
        let option = option(&plan, tier);
        assert_eq!((&option["units"], &option["hubs"]), (&json!(units), &json!(hubs)), "{tier}");
        assert_eq!(
            (&option["bound_by"], &option["fits"]),
            (&json!("messages_per_day"), &json!(true)),
            "{tier}"
        );
    }
    let schema = parsed(hubstorm(&["schema", "plan"]).exits(0));
    assert_eq!(schema["title"], "hubstorm.plan.v1");
    jsonschema::validator_for(&schema).expect("a schema").validate(&plan).expect("a valid plan");
    let amounts: Vec<f64> = plan["options"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|option| option["price"]["amount"].as_f64())
        .collect();
    assert!(amounts[..6].is_sorted() && amounts.len() == 7, "cheapest first; F1 does not fit: {amounts:?}");
}

#[test]
fn every_format_says_that_built_in_prices_are_unverified() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let files = ["plan.json", "plan.html", "plan.txt", "plan.md"].map(path);
    let exports: Vec<String> = files.iter().map(|file| format!("--export={file}")).collect();
    let exports: Vec<&str> = exports.iter().map(String::as_str).collect();
    let finished = meters(&exports);
    finished.exits(0);
    assert!(finished.stdout.lines().all(|line| line.chars().count() <= 80), "{}", finished.stdout);
    let mut texts = vec![finished.stdout.clone()];
    texts.extend(files.iter().map(|file| fs::read_to_string(file).expect("it was written")));
    for text in &texts {
        assert!(text.contains("unverified") && text.contains("2026-"), "{text}");
        assert!(text.contains("B3") && text.contains("230"), "{text}");
    }
    assert!(texts[2].contains("data-chart=\"limits\""), "the page has a chart");
    let list = path("prices.toml");
    fs::write(
        &list,
        "currency = \"EUR\"\nas_of = \"2026-11-01\"\n[tier.S1]\nprice = 20\n[tier.S2]\nprice = 200.5\n",
    )
    .unwrap();
    let finished = meters(&["--prices", &list]);
    let text = &finished.exits(0).stdout;
    assert!(!text.contains("unverified") && text.contains("7,819.50 EUR"), "{text}");
    assert!(text.contains("✓ S2 x 39"), "{text}");
}

#[test]
fn assertions_decide_the_exit_code() {
    for (assertions, code, part) in [
        (&["units(S2) <= 40"][..], 0, "✓ units(S2) <= 40: it is 39."),
        (&["units(S2) <= 38"], 99, "✗ units(S2) <= 38: it is 39."),
        (&["hubs(S1) == 3", "hubs <= 1"], 0, "✓ hubs <= 1: it is 1."),
        (&["price(S3) < 2500"], 99, "it is 2,500."),
        (&["share(messages_per_day, S2) < 100%", "share(d2c) < 50%"], 0, "it is 98.5%."),
        (&["share(d2c) < 10%"], 99, "✗ share(d2c) < 10%"),
        (&["units(F1) <= 1"], 99, "there is no value"),
        (&["share(c2d) == 0%"], 0, "it is 0.0%."),
    ] {
        let arguments: Vec<&str> = assertions.iter().flat_map(|assertion| ["--assert", *assertion]).collect();
        let finished = meters(&arguments);
        finished.exits(code);
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
        assert_eq!(finished.stderr.contains("assertion failed: "), code == 99, "{}", finished.stderr);
    }
    let finished = meters(&["--assert", "latency(S2) <= 40"]);
    assert!(
        finished.exits(2).stderr.contains("unknown metric; known metrics: units(TIER), hubs(TIER)"),
        "{finished:?}"
    );
    assert_eq!(finished.stdout, "");
}

#[test]
fn wrong_usage_exits_2() {
    for (arguments, part) in [
        (&["plan"][..], "name a scenario file, or describe a fleet with --devices"),
        (&["plan", "--devices", "10"], "--every"),
        (&["plan", "--devices", "0", "--every", "1s", "--size", "1"], "0 is not in"),
        (&["plan", "--devices", "10", "--every", "0s", "--size", "1"], "--every: must be longer than zero"),
        (&["plan", "--devices", "10", "--every", "15", "--size", "1"], "--every: \"15\" is not a duration"),
        (
            &["plan", "--devices", "10", "--every", "1s", "--size", "1", "--headroom", "0%"],
            "--headroom \"0%\" is not valid",
        ),
        (&["plan", "--devices", "10", "--every", "1s", "--size", "1", "--sdk", "rust"], "python"),
        (
            &["plan", "--devices", "10", "--every", "1s", "--size", "1", "--twin-reads", "4"],
            "for a day: 4/1d",
        ),
        (
            &["plan", "--devices", "10", "--every", "1s", "--size", "1", "--twin-reads", "0/1d"],
            "--twin-reads: must be above zero; leave it out if the devices do not read their twins",
        ),
        (&["plan", "x.toml", "--devices", "10", "--every", "1s", "--size", "1"], "cannot be used with"),
        (
            &["plan", "--devices", "10", "--every", "1s", "--size", "1", "--export", "x.xml"],
            "no format junit",
        ),
    ] {
        let finished = hubstorm(arguments);
        assert!(finished.exits(2).stderr.contains(part), "{part}: {finished:?}");
    }
}

#[test]
fn invalid_input_exits_104_with_place_and_fix() {
    const PHASE: &str = "[[phase]]\nname = \"steady\"\nduration = \"1m\"\n";
    let fleet = "[fleet.a]\ndevices = 10\n";
    let broker = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n";
    for (text, parts) in [
        (
            format!("{fleet}{PHASE}[[day.part]]\nphase = \"steady\"\nhours = 20\n"),
            &[
                "scenario.toml:6:",
                "day.part: the parts of the day do not total 24 hours",
                "20 hours",
                "the other 4 hours",
            ][..],
        ),
        (
            format!("{fleet}{PHASE}[[day.part]]\nphase = \"night\"\nhours = 24\n"),
            &["scenario.toml:7:9", "unknown phase", "steady"],
        ),
        (
            format!("{broker}{fleet}{PHASE}"),
            &["scenario.toml: the target is an MQTT broker", "needs a scenario for an IoT hub"],
        ),
        ("[fleet.a]\ndevices = 0\n".to_owned(), &["scenario.toml:2:"]),
    ] {
        let work = Workplace::new(&text);
        let finished = finish(command(["plan".as_ref(), work.scenario().as_os_str()]));
        finished.exits(104);
        assert!(parts.iter().all(|part| finished.stderr.contains(part)), "{parts:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let folder = TempDir::new().expect("a folder");
    let list = folder.path().join("prices.toml");
    fs::write(&list, "as_of = \"2026-11-01\"\n[tier.S1]\nprice = 25\n").unwrap();
    let finished = meters(&["--prices", list.to_str().expect("UTF-8")]);
    assert!(
        finished.exits(104).stderr.contains("prices.toml:1:1: currency: missing; write the currency"),
        "{finished:?}"
    );
    let missing = meters(&["--prices", "no-such-file.toml"]);
    assert!(missing.exits(104).stderr.contains("no-such-file.toml"), "{missing:?}");
}

#[test]
fn an_export_that_cannot_be_written_exits_1() {
    let finished = meters(&["--export", "no-such-folder/plan.json"]);
    assert!(finished.exits(1).stderr.contains("no-such-folder does not exist"), "{finished:?}");
}

#[test]
fn the_hub_of_the_scenario_is_compared_as_it_is() {
    let text = |tier: &str| {
        format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"h.azure-devices.net\"\n{tier}\n[fleet.a]\ndevices = 100\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\" }}\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nevery = \"1h\"\npayload = \"x\"\n[[phase]]\nname = \"p\"\nduration = \"1m\"\n"
        )
    };
    let plan = |tier: &str| {
        let work = Workplace::new(&text(tier));
        let file = work.scenario();
        let mut command = command(["plan".as_ref(), file.as_os_str(), "--format".as_ref(), "json".as_ref()]);
        command.env("KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        parsed(finish(command).exits(0))
    };
    assert!(plan("")["current"].is_null());
    let current = plan("tier = \"S1\"\nunits = 1")["current"].clone();
    assert_eq!((&current["fits"], &current["bound_by"]), (&json!(false), &json!("messages_per_day")));
    // 100 messages per second use up 400,000 in 67 minutes. 2.4 calls a day per device do not matter.
    let hours = current["quota_hours"].as_f64().unwrap();
    assert!((hours * 60.0 - 66.65).abs() < 0.02, "{hours}");
    assert_eq!(plan("tier = \"S2\"\nunits = 2")["current"]["fits"], true);
}
