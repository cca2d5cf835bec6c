//! The image in `deploy/container`, without a container engine: a linter and a schema check the files, and the instructions run in a clean
//! folder. Stand-ins replace what needs the network or root: the base images, the compiler (a script copies the program that the tests use)
//! and the user of the image. The examples in `docs/emulator.md` are checked for syntax only, because they need an engine.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::support::http;
use hubstorm::emulator::control::Ready;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOCS: &str = include_str!("../../docs/emulator.md");

fn python() -> OsString {
    std::env::var_os("HUBSTORM_TEST_PYTHON").expect("tests/run sets it")
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join("deploy/container").join(name)
}

#[track_caller]
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
    output
}

/// Returns the instructions of the Containerfile: name and arguments.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(path("Containerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    lines.map(|line| split(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// Returns the arguments of the last instruction with this name.
fn last(name: &str) -> String {
    let found = instructions().into_iter().rfind(|(instruction, _)| instruction == name);
    found.unwrap_or_else(|| panic!("{name}")).1
}

/// Parses the JSON list of an instruction such as CMD.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(&list[list.find('[').unwrap()..]).unwrap()
}

/// The file systems of the two stages.
struct Image {
    folder: TempDir,
}

impl Image {
    /// Executes the instructions that change a file system.
    fn build() -> Image {
        let image = Image { folder: tempfile::tempdir().unwrap() };
        // What the test takes from the base image.
        let certificates = image.inside("build", "/etc/ssl/certs/ca-certificates.crt");
        fs::create_dir_all(certificates.parent().unwrap()).unwrap();
        fs::write(certificates, "").unwrap();
        let (mut stage, mut folder) = ("", String::new());
        for (name, arguments) in instructions() {
            match name.as_str() {
                "FROM" => {
                    (stage, folder) = (if stage.is_empty() { "build" } else { "final" }, "/".to_owned())
                }
                "WORKDIR" => {
                    folder = arguments;
                    fs::create_dir_all(image.inside(stage, &folder)).unwrap();
                }
                "COPY" => image.copy(stage, &folder, &arguments),
                "RUN" => image.run(stage, &folder, &arguments),
                _ => {}
            }
        }
        image
    }

    fn inside(&self, stage: &str, path: &str) -> PathBuf {
        self.folder.path().join(stage).join(path.trim_start_matches('/'))
    }

    fn copy(&self, stage: &str, folder: &str, arguments: &str) {
        let (options, paths): (Vec<&str>, Vec<&str>) =
            arguments.split(' ').partition(|word| word.starts_with("--"));
        let from = options.iter().find_map(|option| option.strip_prefix("--from="));
        let (to, sources) = paths.split_last().unwrap();
        let to = if to.starts_with('/') { (*to).to_owned() } else { format!("{folder}/{to}") };
        let to = self.inside(stage, &to);
        fs::create_dir_all(&to).unwrap();
        for source in sources {
            let source = match from {
                Some(from) => self.inside(from, source),
                None => Path::new(ROOT).join(source),
            };
            // Of a folder, COPY copies the contents.
            let source = if source.is_dir() { source.join(".") } else { source };
            succeeds(Command::new("cp").arg("-a").arg(source).arg(&to));
        }
    }

    fn run(&self, stage: &str, folder: &str, script: &str) {
        assert!(!script.contains(" /"), "the test runs outside a container: {script}");
        let bin = self.folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        // The real cargo checks that the folder contains a package whose lock file is up to date.
        let cargo = format!(
            "#!/bin/sh -eu\n[ \"$*\" = 'build --locked --release --bin hubstorm' ]\n\
             PATH='{}':$PATH cargo metadata --locked --offline --format-version 1 >/dev/null\n\
             mkdir -p target/release\ncp '{}' target/release/hubstorm\n",
            Path::new(env!("CARGO")).parent().unwrap().display(),
            env!("CARGO_BIN_EXE_hubstorm")
        );
        fs::write(bin.join("cargo"), cargo).unwrap();
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        let search = format!("{}:/usr/bin:/bin", bin.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(self.inside(stage, folder));
        succeeds(shell.env("PATH", search).env("HUBSTORM_GIT", ""));
    }

    /// Returns a command of the image, with its paths and ports outside a container.
    fn command(&self, words: &[String], health: &str) -> Command {
        let hub = self.inside("final", "/hub/");
        let outside = |word: &String| {
            let ports = word.replace("0.0.0.0:8883", "127.0.0.1:0").replace("0.0.0.0:8080", "127.0.0.1:0");
            ports.replace("127.0.0.1:8080", health).replace("/hub/", hub.to_str().unwrap())
        };
        let mut command = Command::new(self.inside("final", "/usr/local/bin").join(&words[0]));
        command.args(words[1..].iter().map(outside)).env_clear().current_dir(hub).stdin(Stdio::null());
        command
    }

    /// Starts the emulator with these arguments, checks its health as the engine does, and stops it.
    fn serves(&self, arguments: &[String]) {
        let health_check = words(&last("HEALTHCHECK"));
        let program = words(&last("ENTRYPOINT"));
        let key = ("GROUP_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let mut command = self.command(&[program, arguments.to_vec()].concat(), "");
        let mut child =
            command.env(key.0, key.1).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Ready = serde_json::from_str(&line).unwrap();
        let health = ready.health.unwrap();
        succeeds(&mut self.command(&health_check, &health));
        assert_eq!(http::get(health.parse().unwrap(), "/readyz").0, 200);
        let hub = self.inside("final", "/hub");
        assert_eq!(fs::read_to_string(hub.join("ready.json")).unwrap(), line);
        assert!(fs::read_to_string(hub.join("ca.pem")).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        let signal: Signal = last("STOPSIGNAL").parse().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(stderr.contains("hub: total 0 connections"), "{stderr}");
        assert_eq!(self.command(&health_check, &health).output().unwrap().status.code(), Some(1));
        assert!(!hub.join("ready.json").exists());
    }
}

#[test]
fn containerfile_has_no_lint() {
    let installed = Path::new(&python()).with_file_name("hadolint");
    let hadolint = if installed.exists() { installed } else { PathBuf::from("hadolint") };
    succeeds(Command::new(hadolint).arg("--failure-threshold=style").arg(path("Containerfile")));
}

#[test]
fn compose_file_follows_its_schema() {
    let mut check = Command::new(python());
    succeeds(
        check
            .args(["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"])
            .arg(path("compose.yaml")),
    );
}

#[test]
fn image_is_small_pinned_and_not_root() {
    let all = instructions();
    let of = |name: &str| {
        all.iter().filter(|(it, _)| it == name).map(|(_, arguments)| arguments.as_str()).collect::<Vec<_>>()
    };
    let [build, last_stage] = of("FROM")[..] else { panic!("two stages") };
    assert!(build.ends_with(" AS build") && last_stage.contains("-slim") && !last_stage.contains(" AS "));
    for base in [build, last_stage] {
        let (_, tag) = base.trim_end_matches(" AS build").rsplit_once(':').expect("a tag");
        assert!(tag != "latest", "{base}");
    }
    let toolchain = env!("CARGO_PKG_RUST_VERSION");
    assert!(build.contains(&format!("/rust:{toolchain}-")), "{build}: the toolchain is {toolchain}");
    let [user] = of("USER")[..] else { panic!("one user") };
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{user}");
    // Nothing that a build may find in the folder of a developer.
    assert!(of("COPY").iter().all(|it| !it.starts_with(". ") && !it.contains("certs ")), "{all:?}");
}

#[test]
fn instructions_of_the_image_work_in_a_clean_folder() {
    let image = Image::build();
    image.serves(&words(&last("CMD")));
    let compose = crate::support::readers::python("yaml", &fs::read_to_string(path("compose.yaml")).unwrap());
    let hub = &compose["services"]["hub"];
    let file = path("")
        .join(hub["build"]["context"].as_str().unwrap())
        .join(hub["build"]["dockerfile"].as_str().unwrap());
    assert_eq!(file.canonicalize().unwrap(), path("Containerfile"));
    let command = hub["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
    image.serves(&command.collect::<Vec<_>>());
    let secrets = hub["environment"].as_object().unwrap().values().filter_map(Value::as_str);
    assert!(secrets.into_iter().all(|value| value.starts_with("${")), "no secrets");
}

/// Returns the programs of a language in the section about containers.
fn examples(fence: &str) -> Vec<&'static str> {
    let (_, section) = DOCS.split_once("\n## In a container\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    section.split(fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[test]
fn examples_for_testcontainers_are_programs() {
    let folder = tempfile::tempdir().unwrap();
    let python_file = folder.path().join("example.py");
    let node_file = folder.path().join("example.mjs");
    let ([for_python], [for_node]) = (&examples("```python\n")[..], &examples("```js\n")[..]) else {
        panic!("one example each")
    };
    fs::write(&python_file, for_python).unwrap();
    fs::write(&node_file, for_node).unwrap();
    succeeds(Command::new(python()).args(["-m", "py_compile"]).arg(python_file));
    let node = std::env::var_os("HUBSTORM_TEST_NODE").expect("tests/run sets it");
    succeeds(Command::new(node).arg("--check").arg(node_file));
    for example in [for_python, for_node] {
        assert!(example.contains("hubstorm:local") && example.contains("/hub/ca.pem"), "{example}");
    }
}
