//! Defaults and errors of the settings of a search.

use super::*;
use crate::cli::{Cli, Command};
use crate::scenario::Input;
use clap::Parser as _;

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
    resolve(&args, plan, 2)
}

#[test]
fn defaults_depend_on_the_target_and_the_thresholds() {
    let setup = resolved(&plan(THRESHOLDS), &[]).unwrap();
    assert_eq!((setup.phase, setup.settings.phase.as_str()), (1, "steady"));
    assert_eq!(setup.settings.from.level, 100_000, "10% of the load");
    assert!((setup.settings.to.per_s - 160_000.0).abs() < 1.0, "two workers: {:?}", setup.settings.to);
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
        (plan(only_connect), &[], 104, &["besides those on connections, which stay open"]),
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
                "the lowest level, 10.0/s, cannot feed",
                "p(99) < 500ms needs 1,000 samples",
                "use --from 3.5%",
            ],
        ),
        (
            plan(THRESHOLDS),
            &["--to", "2%"],
            104,
            &["no level can feed the thresholds of phase steady", "higher --to"],
        ),
        (plan(THRESHOLDS), &["--from", "many"], 2, &["--from \"many\" is not a level; write a share"]),
        (plan(THRESHOLDS), &["--width", "90%"], 2, &["--width \"90%\" is not valid"]),
        (plan(THRESHOLDS), &["--hold", "1s"], 2, &["--hold 1s: use 3s to 1h"]),
        (
            plan(THRESHOLDS),
            &["--max-time", "30s"],
            2,
            &["--max-time 30s is too short for one trial, which takes 40.0 s"],
        ),
        (plan(THRESHOLDS), &["--vary", "devices"], 2, &["--vary devices is not available in this version"]),
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
