//! The pipelines that plan and search for capacity. The search itself runs once for each CI system; later runs keep its result.

use super::machine::{CAPACITY, Machine, Pipeline, SYSTEMS, System};
use crate::support::hubstorm::WIDE_VALIDITY;
use crate::worked_example;
use hubstorm::capacity::measured::CapacityResult;
use std::fs;
use std::path::Path;
use std::process::Command;

/// 20 messages per second, which a hub of one S1 unit accepts. However slow the machine is, the threshold passes.
fn scenario() -> String {
    format!(
        "[emulator]\ntier = \"S1\"\nunits = 1\n[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\ntelemetry = [\"count(ok) > 0\"]\n{WIDE_VALIDITY}"
    )
}

/// A search with a single short trial, and assertions for the scenario.
const SHORT: [(&str, &str); 3] = [
    ("SEARCH_OPTIONS", "--from 100% --to 100% --hold 3s --confirm 1"),
    ("PLAN_ASSERTION", "units(S2) <= 1"),
    ("CAPACITY_ASSERTION", "capacity >= 10/s"),
];

fn read(file: &Path) -> CapacityResult {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Asserts that the pipeline publishes exactly these summaries in Azure.
#[track_caller]
fn publishes(output: &str, summaries: &[&str]) {
    let found = output.lines().filter_map(|line| line.strip_prefix("##vso[task.uploadsummary]"));
    let found: Vec<_> = found.map(|file| file.rsplit('/').next().unwrap()).collect();
    assert_eq!(found, summaries, "{output}");
    assert!(output.contains("##vso[artifact.upload artifactname=capacity-1]"), "{output}");
}

fn check_system(system: System) {
    let machine = Machine::new(system, CAPACITY, true);
    let out = |name: &str| machine.path("checkout/out").join(name);
    let run = || machine.run(&scenario(), &SHORT);
    let first = run();
    first.ends_with(0);
    for ending in
        ["plan.json", "plan.html", "plan.md", "capacity.json", "capacity.html", "capacity.md", "junit.xml"]
    {
        assert!(out(ending).is_file(), "{system:?}: {ending}");
    }
    assert!(!out("compare.md").exists(), "there was no earlier search");
    assert_eq!(machine.baseline(), 1);
    if system == System::GitHub {
        let summary = fs::read_to_string(machine.path("GITHUB_STEP_SUMMARY")).unwrap();
        let parts = ["plan.md", "capacity.md"].map(|name| fs::read_to_string(out(name)).unwrap());
        assert!(parts.iter().all(|part| summary.contains(part.trim())), "{summary}");
    }

    // The result of the search above is still there.
    machine.skip("capacity", 0);
    run().ends_with(0);
    assert!(out("compare.md").is_file());

    // The new capacity is below 20/s, and the earlier one at least 1,000/s.
    let earlier = machine.path(if system == System::Azure { "baseline" } else { "checkout/baseline" });
    let earlier = earlier.join("capacity.json");
    let (mut base, mut new) = (read(&earlier), read(&out("capacity.json")));
    base.answer.lower.as_mut().unwrap().per_s = 1000.0;
    new.answer.upper = new.answer.lower.take();
    fs::write(&earlier, serde_json::to_string_pretty(&base).unwrap()).unwrap();
    fs::write(out("capacity.json"), serde_json::to_string_pretty(&new).unwrap()).unwrap();
    let worse = run();
    worse.ends_with(121);
    assert_eq!(read(&earlier), base, "a result that is worse does not replace the earlier one");

    machine.skip("capacity", 99);
    let failed = run();
    failed.ends_with(99);
    assert_eq!(read(&earlier), base);
    if system == System::Azure {
        publishes(&first.output, &["plan.md", "capacity.md"]);
        publishes(&worse.output, &["plan.md", "capacity.md", "compare.md"]);
        publishes(&failed.output, &["plan.md", "capacity.md", "compare.md"]);
    }
}

#[test]
fn searches_are_published_and_compared() {
    // A search puts little load on this machine, so they run at the same time.
    std::thread::scope(|scope| {
        for system in SYSTEMS {
            scope.spawn(move || check_system(system));
        }
    });
}

#[test]
fn plan_is_published_if_its_assertion_fails() {
    for system in SYSTEMS {
        let machine = Machine::new(system, CAPACITY, true);
        let ran = machine.run(&scenario(), &[("PLAN_ASSERTION", "units(S1) <= 1")]);
        ran.ends_with(99);
        let out = machine.path("checkout/out");
        assert!(out.join("plan.html").is_file() && !out.join("capacity.json").exists());
        if system == System::Azure {
            publishes(&ran.output, &["plan.md"]);
        }
    }
}

/// The variables in the files belong to the scenario of docs/capacity.md.
#[test]
fn variables_fit_the_worked_example() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("capacity.toml"), worked_example::file("meters.toml")).unwrap();
    let names = ["PLAN_OPTIONS", "PLAN_ASSERTION", "SEARCH_OPTIONS", "CAPACITY_ASSERTION"];
    let of = |system| {
        let (_, variables) = Pipeline { system, purpose: CAPACITY }.job();
        names.map(|name| variables[name].as_str().unwrap().to_owned())
    };
    let values = of(System::GitHub);
    assert!(SYSTEMS.into_iter().all(|system| of(system) == values));
    let run = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(folder.path()).envs(names.iter().zip(&values));
        let output = shell.env("HUBSTORM", env!("CARGO_BIN_EXE_hubstorm")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let plan =
        run("\"$HUBSTORM\" plan capacity.toml $PLAN_OPTIONS --assert \"$PLAN_ASSERTION\" --no-step-summary");
    assert_eq!(plan.0, Some(0), "{}", plan.1);
    // Exports are checked after everything else, and before the load.
    let search = "\"$HUBSTORM\" capacity capacity.toml $SEARCH_OPTIONS --assert \"$CAPACITY_ASSERTION\" --export csv=x";
    let (code, error) = run(search);
    assert!(code == Some(2) && error.contains("has no format csv"), "{error}");
}
