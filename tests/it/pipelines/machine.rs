//! The pipelines in `deploy/ci`, and machines of CI systems that run their scripts: in a clean folder, in the order and under the conditions of
//! the CI system. In place of cargo, a script installs the program that the tests use.

use crate::support::readers;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/ci");
/// The URL and the commit in the pipelines. `cargo` must get both.
pub const PLACEHOLDERS: [&str; 2] = ["URL_OF_HUBSTORM", "COMMIT_OF_HUBSTORM"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    GitHub,
    Azure,
    GitLab,
}

pub const SYSTEMS: [System; 3] = [System::GitHub, System::Azure, System::GitLab];

/// What a pipeline is for: the ending of its file's name, the name of its job, and the file with its scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    ending: &'static str,
    job: &'static str,
    scenario: &'static str,
}

pub const LOAD_TEST: Purpose = Purpose { ending: "", job: "load-test", scenario: "load-test.toml" };
pub const CAPACITY: Purpose = Purpose { ending: "-capacity", job: "capacity", scenario: "capacity.toml" };

/// A file in `deploy/ci`.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    pub system: System,
    pub purpose: Purpose,
}

/// A script of a pipeline.
pub struct Step {
    pub script: String,
    environment: Value,
    /// Runs also after a step that failed.
    always: bool,
}

impl Pipeline {
    pub fn all() -> impl Iterator<Item = Pipeline> {
        let of = |purpose| SYSTEMS.map(|system| Pipeline { system, purpose });
        [LOAD_TEST, CAPACITY].into_iter().flat_map(of)
    }

    /// The file, and its schema in check-jsonschema.
    pub fn file(self) -> (PathBuf, &'static str) {
        let (name, schema) = match self.system {
            System::GitHub => ("github-actions", "vendor.github-workflows"),
            System::Azure => ("azure-pipelines", "vendor.azure-pipelines"),
            System::GitLab => ("gitlab-ci", "vendor.gitlab-ci"),
        };
        (Path::new(FOLDER).join(format!("{name}{}.yml", self.purpose.ending)), schema)
    }

    /// Returns the job and its variables.
    pub fn job(self) -> (Value, Value) {
        let file = readers::python("yaml", &fs::read_to_string(self.file().0).unwrap());
        let job = self.purpose.job;
        match self.system {
            System::GitHub => (file["jobs"][job].clone(), file["jobs"][job]["env"].clone()),
            System::Azure => (file["jobs"][0].clone(), file["variables"].clone()),
            System::GitLab => (file[job].clone(), file[job]["variables"].clone()),
        }
    }

    /// Returns the scripts, in their order.
    pub fn steps(self) -> Vec<Step> {
        let (job, _) = self.job();
        let lines =
            |key: &str| job[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let (script, condition, always) = match self.system {
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
}

/// A machine of a CI system, with a checkout.
pub struct Machine {
    folder: TempDir,
    pipeline: Pipeline,
}

/// How the scripts of a pipeline ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit codes of the steps. `None`: skipped after a failure.
    codes: Vec<Option<i32>>,
    pub output: String,
}

impl Machine {
    /// `installs`: whether `cargo install` succeeds.
    pub fn new(system: System, purpose: Purpose, installs: bool) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home", "checkout"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let machine = Machine { folder, pipeline: Pipeline { system, purpose } };
        let [url, commit] = PLACEHOLDERS;
        let program = env!("CARGO_BIN_EXE_hubstorm");
        let cargo = format!(
            "#!/bin/sh -eu\n[ \"$*\" = \"install --locked --git {url} --rev {commit} --root $8 hubstorm\" ] && {installs} || exit 101\n\
             mkdir -p \"$8/bin\"\nln -s {program} \"$8/bin/hubstorm\"\n"
        );
        machine.script("bin/cargo", &cargo);
        machine.script("bin/rustup", "#!/bin/sh\n[ \"$*\" = \"update stable\" ]\n");
        machine
    }

    /// Writes a program.
    fn script(&self, name: &str, text: &str) {
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Replaces the installed program by a script that starts the program, except for one subcommand, which only exits with a code.
    pub fn skip(&self, subcommand: &str, code: i32) {
        let name = match self.pipeline.system {
            System::GitHub => "home/hubstorm/bin/hubstorm",
            System::Azure => "hubstorm/bin/hubstorm",
            System::GitLab => "checkout/.hubstorm/bin/hubstorm",
        };
        fs::remove_file(self.path(name)).unwrap();
        let program = env!("CARGO_BIN_EXE_hubstorm");
        self.script(
            name,
            &format!("#!/bin/sh\n[ \"$1\" = {subcommand} ] && exit {code}\nexec {program} \"$@\"\n"),
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the number of files that the pipeline keeps for later runs.
    pub fn baseline(&self) -> usize {
        let folder = if self.pipeline.system == System::Azure { "baseline" } else { "checkout/baseline" };
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

    /// Runs the pipeline with a scenario. `changed` contains variables of the pipeline with other values.
    pub fn run(&self, scenario: &str, changed: &[(&str, &str)]) -> Ran {
        fs::write(self.path("checkout").join(self.pipeline.purpose.scenario), scenario).unwrap();
        let system = self.pipeline.system;
        let (_, variables) = self.pipeline.job();
        let mut ran = Ran { codes: Vec::new(), output: String::new() };
        for step in self.pipeline.steps() {
            let failed = ran.codes.iter().flatten().any(|code| *code != 0);
            if failed && !step.always {
                ran.codes.push(None);
                continue;
            }
            let file = self.path("step.sh");
            fs::write(&file, &step.script).unwrap();
            let mut shell = Command::new("bash");
            match system {
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
            for (name, value) in changed {
                assert!(variables[*name].is_string(), "{name}");
                shell.env(name, value);
            }
            match system {
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
    pub fn ends_with(&self, code: i32) {
        let first = self.codes.iter().flatten().copied().find(|code| *code != 0).unwrap_or(0);
        assert_eq!(first, code, "{:?}\n{}", self.codes, self.output);
        let failures = self.codes.iter().flatten().filter(|code| **code != 0).count();
        assert_eq!(
            failures,
            usize::from(code != 0),
            "steps after the failure passed: {:?}\n{}",
            self.codes,
            self.output
        );
    }
}
