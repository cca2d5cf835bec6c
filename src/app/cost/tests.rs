//! Costs of plans: blocks of 4 KB, days, twins, methods and cloud-to-device messages.

use super::*;
use crate::scenario::Input;

#[test]
fn blocks_of_4_kb_are_billed() {
    let text = r#"
        name = "cost"
        [fleet.a]
        devices = 100
        [[fleet.a.send]]
        every = "1s"
        payload = { size = 5000 }
        [[phase]]
        name = "ramp"
        duration = "10s"
        online = "0% -> 100%"
        [[phase]]
        name = "steady"
        duration = "10s"
        load = "100% -> 300%"
    "#;
    let load = |overrides: &[String]| {
        let input =
            Input { file: "cost.toml", text, overrides, env: &|_| None, files: &crate::scenario::no_files };
        crate::plan::load(&input, &mut rand::rng()).unwrap()
    };
    let plan = load(&[]);
    // 100 devices x (5 s in the ramp + 20 s of load in the second phase); each message is two blocks of 4 KB.
    assert!((billed(&plan) - 5_000.0).abs() < 1.0, "{}", billed(&plan));
    // 8,192 bytes fill two blocks; a property makes them three.
    let full = "fleet.a.send.0.payload.size=8192".to_owned();
    assert!((billed(&load(std::slice::from_ref(&full))) - 5_000.0).abs() < 1.0);
    let property = "fleet.a.send.0.properties={ a = \"b\" }".to_owned();
    assert!((billed(&load(&[full, property])) - 7_500.0).abs() < 1.0);
    let line = cost(&plan).line();
    assert!(line.starts_with("sends about 5,000 billed messages, 1.2% of"), "{line}");
    let much = cost(&load(&["fleet.a.devices=100000".to_owned()])).line();
    assert!(much.starts_with("sends about 5,000,000 billed messages, 1,250% of"), "{much}");
}

#[test]
fn cost_of_a_day_is_at_the_average_rate_of_the_run() {
    let text = "[fleet.a]\ndevices = 10\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
                [[phase]]\nname = \"p\"\nduration = \"60s\"\n";
    let plan_for = |duration: &str, devices: u32| {
        let overrides = [format!("fleet.a.devices={devices}"), format!("phase.p.duration={duration}")];
        let input = Input {
            file: "cost.toml",
            text,
            overrides: &overrides,
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        crate::plan::load(&input, &mut rand::rng()).unwrap()
    };
    let plan = |devices| plan_for("60s", devices);
    assert_eq!(
        cost(&plan(10)).description(),
        [
            "about 600 messages in the run: 0.1% of the 400,000 a day of one S1 unit",
            "about 864,000 if the run's average rate continues for 24 hours: 216% of one S1 unit, or 3 S1 units"
        ]
    );
    for (devices, expected) in [
        (1_000, "or 15 S2 units or one S3 unit (a hub can have at most 200 S1 units)"),
        (20_000, "or 6 S3 units (a hub can have at most 200 S1 units)"),
        (100_000, "or 3 hubs with 10 S3 units each (a hub can have at most 200 S1 units)"),
    ] {
        let [_, day] = cost(&plan(devices)).description();
        assert!(day.ends_with(expected), "{day}");
    }
    let month = cost(&plan_for("30d", 10));
    assert_eq!(
        month.description()[0],
        "about 25,920,000 messages in the run: 216% of the 400,000 a day of one S1 unit, on each day"
    );
    assert!(
        month.line().ends_with("216% of the daily messages of one S1 unit, on each day\n"),
        "{}",
        month.line()
    );
    let [run, day] = cost(&plan(1)).description();
    assert!(run.contains("in the run: less than 0.1% of"), "{run}");
    assert!(day.ends_with("24 hours: 21.6% of one S1 unit"), "{day}");
}

#[test]
fn twins_methods_and_c2d_messages_are_billed() {
    let text = r#"
        [fleet.a]
        devices = 10
        subscribe = ["twin", "methods", "c2d"]
        twin = { get = "on-connect", every = "10s" }
        [[fleet.a.report]]
        every = "10s"
        payload = '{"n":${seq}}'
        [fleet.a.methods.read]
        payload = { size = 5000 }
        [fleet.a.methods.never]
        answer = false
        [[drive]]
        call = "method"
        fleet = "a"
        name = "read"
        rate = "1/s"
        [[phase]]
        name = "p"
        duration = "100s"
    "#;
    let of = |call: &str| {
        let text = text.replace("call = \"method\"\n        fleet = \"a\"\n        name = \"read\"", call);
        let input = Input {
            file: "cost.toml",
            text: &text,
            overrides: &[],
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
        billed(&plan).round()
    };
    // Ten reads on connect, then ten reads and ten reports per device.
    let twins = 10.0 + 100.0 + 100.0;
    let call = |more: &str| format!("fleet = \"a\"\n{more}");
    for (call, blocks) in [
        (call("call = \"method\"\nname = \"read\""), 3.0),
        (call("call = \"method\"\nname = \"never\""), 1.0),
        (call("call = \"method\"\nname = \"other\""), 2.0),
        (call("call = \"desired\"\npayload = '{}'"), 2.0),
        (call("call = \"c2d\"\npayload = { size = 5000 }"), 2.0),
    ] {
        assert!((of(&call) - twins - 100.0 * blocks).abs() < 0.5, "{call}: {}", of(&call));
    }
}

#[test]
fn the_cost_is_a_share_of_the_hub_in_the_target() {
    let text = "[target]\nkind = \"iot-hub\"\nhost = \"h.example\"\ntier = \"S1\"\n\
                [fleet.a]\ndevices = 10\nauth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n\
                [[fleet.a.send]]\nevery = \"1s\"\npayload = { size = 1000 }\n[[phase]]\nname = \"p\"\nduration = \"60s\"\n";
    let key = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    let description = |size: &[&str]| {
        let overrides: Vec<String> = size.iter().map(|change| format!("target.{change}")).collect();
        let files = &crate::scenario::no_files;
        let input = Input { file: "cost.toml", text, overrides: &overrides, env: &key, files };
        cost(&crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}")))
            .description()
    };
    let day = "if the run's average rate continues for 24 hours:";
    assert_eq!(
        description(&["tier=F1"]),
        [
            "about 1,200 messages in the run: 15.0% of the 8,000 a day of one F1 unit".to_owned(),
            format!(
                "about 1,730,000 {day} 21,600% of one F1 unit, or 5 S1 units or one S2 unit or one S3 unit (a hub can have at most one F1 unit)"
            )
        ]
    );
    assert_eq!(
        description(&["units=2"]),
        [
            "about 600 messages in the run: less than 0.1% of the 800,000 a day of 2 S1 units".to_owned(),
            format!("about 864,000 {day} 108% of 2 S1 units, or 3 S1 units")
        ]
    );
    assert!(description(&["tier=S2"])[1].ends_with("14.4% of one S2 unit"));
}
