//! Defaults and errors of the settings of a search.

use super::*;
use crate::cli::{Cli, Command};
use crate::scenario::Input;
use clap::Parser as _;

/// A machine with two cores.
const MACHINE: Machine = Machine { workers: 2, memory_bytes: 4 << 30, descriptors: 50_000 };

const THRESHOLDS: &str =
    "[thresholds]\n\"publish\" = [\"p(99) < 500ms\", \"rate(ok) > 99%\"]\n\"connect\" = [\"p(95) < 2s\"]\n";
const PHASES: &str = "[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\n[[phase]]\nname = \"steady\"\nduration = \"1m\"\n\
                      [[phase]]\nname = \"storm\"\nduration = \"1m\"\ndisconnect = { how = \"close\" }\nload = \"50%\"\n";

fn plan_of(target: &str, every: &str, rest: &str) -> Plan {
    let topic = if target.contains("mqtt") { "topic = \"t\"\n" } else { "" };
    let text = format!(
        "{target}[fleet.a]\ndevices = 1000\n[[fleet.a.send]]\n{every}\n{topic}payload = \"x\"\n{PHASES}{rest}"
    );
    let input = Input {
        file: "s.toml",
        text: &text,
        overrides: &[],
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// A broker, and 1,000 messages per second at the phase's load.
fn plan(rest: &str) -> Plan {
    plan_of("[target]\nkind = \"mqtt\"\nhost = \"broker.invalid\"\n", "every = \"1s\"", rest)
}

fn resolved(plan: &Plan, options: &[&str]) -> Result<Setup, AppError> {
    let arguments = ["hubstorm", "capacity", "s.toml"].iter().chain(options);
    let Command::Capacity(args) = Cli::try_parse_from(arguments).unwrap().command else {
        unreachable!("capacity")
    };
    resolve(&args, plan, &MACHINE)
}

#[test]
fn defaults_depend_on_the_target_and_the_thresholds() {
    let setup = resolved(&plan(THRESHOLDS), &[]).unwrap();
    assert_eq!((setup.phase, setup.settings.phase.as_str()), (1, "steady"));
    assert_eq!(setup.settings.from.level, 100_000, "10% of the load");
    assert!((setup.settings.to.per_s - 175_000.0).abs() < 1.0, "70% of two cores: {:?}", setup.settings.to);
    assert_eq!((setup.slots.settle.as_secs(), setup.slots.judged.as_secs(), setup.slots.count), (5, 30, 40));
    assert_eq!((setup.rules.confirm, setup.rules.width), (3, 0.05));
    assert_eq!(setup.settings.thresholds, ["publish p(99) < 500ms", "publish rate(ok) > 99%"]);
    assert_eq!(setup.notes.len(), 1, "connections stay open: {:?}", setup.notes);

    let few = plan_of("[target]\nkind = \"mqtt\"\nhost = \"h\"\n", "rate = \"100/s\"", THRESHOLDS);
    let from = resolved(&few, &[]).unwrap().settings.from;
    assert!((from.per_s - 35.0).abs() < 0.1, "1,000 samples in 30 s, and 5% more: {from:?}");

    let tier = "[emulator]\ntier = \"S1\"\nunits = 2\n";
    let hub = plan_of(tier, "rate = \"100/s\"", &THRESHOLDS.replace("publish", "telemetry"));
    let setup = resolved(&hub, &[]).unwrap();
    assert_eq!((setup.slots.settle.as_secs(), setup.slots.judged.as_secs()), (120, 60));
    assert!((setup.settings.to.per_s - 200.0).abs() < 0.1, "twice the throttle: {:?}", setup.settings.to);
}

#[test]
fn levels_are_shares_or_rates() {
    let of = |options: &[&str]| {
        let settings = resolved(&plan(THRESHOLDS), options).unwrap().settings;
        (settings.from.level, settings.to.level)
    };
    assert_eq!(of(&["--from", "20%", "--to", "400%"]), (200_000, 4_000_000));
    assert_eq!(of(&["--from", "200/s", "--to", "4000/s"]), (200_000, 4_000_000));
    assert_eq!(of(&["--to", "50%"]), (50_000, 500_000), "a tenth of the highest level");
    assert_eq!(resolved(&plan(THRESHOLDS), &["--max-time", "10m"]).unwrap().slots.count, 15);
}

#[test]
fn bad_input_is_refused_with_the_fix() {
    let closed = "[target]\nkind = \"mqtt\"\nhost = \"h\"\n";
    let closed = plan_of(closed, "arrival = \"closed\"\nthink_time = \"1s\"", THRESHOLDS);
    let only_connect = "[thresholds]\n\"connect\" = [\"p(95) < 2s\"]\n";
    for (plan, options, code, parts) in [
        (plan(""), &[][..], 104, &["no threshold covers phase steady", "add one to [thresholds]"][..]),
        (plan(only_connect), &[], 104, &["besides those on connections, which no trial judges"]),
        (
            plan(only_connect),
            &["--vary", "devices"],
            104,
            &["besides those on connections, which no trial judges"],
        ),
        (
            plan(THRESHOLDS),
            &["--phase", "stedy"],
            2,
            &["--phase stedy: the scenario has no such phase; its phases are ramp, steady"],
        ),
        (plan(THRESHOLDS), &["--phase", "storm"], 104, &["phase storm disconnects devices"]),
        (closed, &[], 104, &["a closed loop", "use arrival = \"regular\""]),
        (plan(THRESHOLDS), &["--from", "50%", "--to", "40%"], 2, &["--from (500/s) is above --to (400/s)"]),
        (
            plan(THRESHOLDS),
            &["--from", "1%"],
            104,
            &[
                "the lowest level, 10.0/s, does not give",
                "p(99) < 500ms needs 1,000 samples",
                "use --from 3.5%",
            ],
        ),
        (
            plan(THRESHOLDS),
            &["--to", "2%"],
            104,
            &["no level gives the thresholds of phase steady enough samples", "higher --to"],
        ),
        (plan(THRESHOLDS), &["--from", "many"], 2, &["--from \"many\" is not a level; write a share"]),
        (
            plan_of(
                "[emulator]\ntier = \"S1\"\nunits = 2\n",
                "rate = \"100/s\"",
                &THRESHOLDS.replace("publish", "telemetry"),
            ),
            &["--from", "120%", "--to", "200%"],
            2,
            &["the lowest level, 120/s, is above the D2C limit of S1 x 2, 100/s", "use a lower --from"],
        ),
        (plan(THRESHOLDS), &["--width", "90%"], 2, &["--width \"90%\" is not valid"]),
        (plan(THRESHOLDS), &["--hold", "1s"], 2, &["--hold 1s: use 3s to 1h"]),
        (
            plan(THRESHOLDS),
            &["--max-time", "30s"],
            2,
            &["--max-time 30s is too short for one trial, which takes 40.0 s"],
        ),
        (
            plan(THRESHOLDS),
            &["--max-messages", "10"],
            2,
            &[
                "--max-messages 10 is too few for one trial of the lowest level",
                "allow more, or use a shorter --hold",
            ],
        ),
        (
            plan(THRESHOLDS),
            &["--from", "10"],
            2,
            &["--from \"10\" is not a level; write a share of the phase's load"],
        ),
        (
            plan(THRESHOLDS),
            &["--to", "400 devices"],
            2,
            &["--to \"400 devices\" is a number of devices; add --vary devices"],
        ),
        (plan(THRESHOLDS), &["--assert", "units(S1) >= 4"], 2, &["unknown metric \"units(S1)\""]),
    ] {
        let error = resolved(&plan, options).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.exit_code(), code, "{options:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{options:?}: {text}");
        }
    }
}

fn devices(options: &[&str]) -> Vec<String> {
    ["--vary", "devices"].iter().chain(options).map(|option| (*option).to_owned()).collect()
}

fn resolved_devices(plan: &Plan, options: &[&str]) -> Result<Setup, AppError> {
    let options = devices(options);
    resolved(plan, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn levels_are_devices_if_they_vary() {
    let of = |options: &[&str]| {
        let settings = resolved_devices(&plan(THRESHOLDS), options).unwrap().settings;
        (settings.from.level, settings.to.level)
    };
    assert_eq!(of(&["--to", "12000"]), (100, 12_000), "10% of the devices of the scenario");
    assert_eq!(of(&["--from", "200 devices", "--to", "12,000 devices"]), (200, 12_000));
    assert_eq!(of(&["--from", "5%", "--to", "300%"]), (50, 3_000));
    assert_eq!(of(&[]).1, 14_000, "one source address");
    let Setup { settings, devices, slots, notes, .. } =
        resolved_devices(&plan(THRESHOLDS), &["--to", "3000"]).unwrap();
    assert_eq!((settings.from.per_s, settings.to.per_s, settings.to.devices), (100.0, 3_000.0, 3_000));
    assert_eq!(settings.whole.unwrap().devices, 1_000);
    assert_eq!(
        notes,
        ["The threshold connect p(95) < 2s is left out: devices connect before the judged part of a trial"]
    );
    let varied = devices.unwrap();
    assert_eq!(
        (varied.over_s(1_000, 1_000), varied.over_s(1_000, 1_001), varied.over_s(3_000, 1_000)),
        (0, 1, 10)
    );
    assert_eq!(slots.idle.as_secs(), 5 + 2 + 2, "a tenth of the devices connects at 200/s");
    assert_eq!(*varied.online(1_500), [1_500]);
}

#[test]
fn hub_and_pace_limit_how_fast_devices_connect() {
    let thresholds = THRESHOLDS.replace("publish", "telemetry");
    let hub = plan_of("[emulator]\ntier = \"S1\"\nunits = 2\n", "rate = \"100/s\"", &thresholds);
    let setup = resolved_devices(&hub, &["--hold", "10m"]).unwrap();
    assert_eq!(setup.settings.to.devices, 2_000, "twice the throttle for telemetry: 200 messages per second");
    assert_eq!(setup.devices.unwrap().over_s(0, 1_000), 10, "100 connections per second");
    let paced = THRESHOLDS.to_owned()
        + "[[phase]]\nname = \"paced\"\nduration = \"2m\"\nconnect_rate = \"10/s\"\nload = \"200%\"\n";
    let setup = resolved_devices(&plan(&paced), &["--to", "2000"]).unwrap();
    assert_eq!(setup.settings.phase, "paced");
    assert_eq!(setup.devices.unwrap().over_s(0, 1_000), 100);
    let many = resolved_devices(&plan(THRESHOLDS), &["--to", "60000"]).unwrap();
    assert_eq!(many.devices.unwrap().over_s(0, 60_000), 60, "a minute at most");
}

#[test]
fn bad_numbers_of_devices_are_refused_with_the_fix() {
    for (options, code, part) in [
        (
            &["--to", "5000/s"][..],
            2,
            "--to \"5000/s\" is not a number of devices; write a number, such as 400",
        ),
        (&["--to", "5000/s"], 2, "only --vary load has levels in messages per second"),
        (&["--from", "0"], 2, "--from \"0\" is not a number of devices"),
        (&["--from", "1.5 devices"], 2, "is not a number of devices"),
        (&["--from", "ten"], 2, "--from \"ten\" is not a number of devices"),
        (&["--from", "2000", "--to", "1000"], 2, "--from (2,000 devices) is above --to (1,000 devices)"),
        (
            &["--from", "10", "--to", "1000"],
            104,
            "the lowest level, 10 devices, does not give the thresholds of phase steady enough samples",
        ),
        (&["--from", "10", "--to", "1000"], 104, "use --from 35, or a longer --hold"),
        (&["--to", "20"], 104, "no level gives the thresholds of phase steady enough samples"),
        (
            &["--to", "2000000"],
            2,
            "fleet a has 2,000,000, but a fleet has at most 1,000,000; use --to 1000000",
        ),
    ] {
        let error = resolved_devices(&plan(THRESHOLDS), options).unwrap_err();
        assert_eq!(error.exit_code(), code, "{options:?}: {error}");
        assert!(error.to_string().contains(part), "{options:?}: {error}");
    }
}
