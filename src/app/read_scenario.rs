//! Reads a scenario from a file or stdin, applies the overrides from the command line, and resolves it to a plan. Used by `run` and `check`;
//! other commands use the host parsers.

use super::{AppError, Env, other_file, paths};
use crate::cli::ScenarioArgs;
use crate::plan::{self, Part, Plan};
use crate::scenario::{
    self, DriveSpec, FileText, Input, MeantHost, Scenario, TargetKind, TargetSpec, check_host, meant_host,
    resolve_path,
};
use crate::text_file;
use std::cell::RefCell;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Reads and resolves a scenario.
pub(super) async fn plan(args: &ScenarioArgs, env: &Env) -> Result<Plan, AppError> {
    resolve(args, env, |_| {}).await
}

/// Reads and resolves a scenario for `run --once` and `doctor --scenario`. Ignores its thresholds. Calls through a hub in Azure are not
/// supported yet: instead of an error, omits them from the plan and returns their names.
pub(super) async fn once(args: &ScenarioArgs, env: &Env) -> Result<(Plan, Vec<String>), AppError> {
    let mut left_out = Vec::new();
    let plan = resolve(args, env, |scenario| {
        let kind = scenario.target.as_ref().and_then(|target| target.kind);
        if kind == Some(TargetKind::IotHub) && !scenario.drives.is_empty() {
            left_out = std::mem::take(&mut scenario.drives).iter().map(DriveSpec::description).collect();
        }
        scenario.thresholds.clear();
    });
    let plan = plan.await?;
    Ok((plan, left_out))
}

/// Reads and resolves a scenario for `plan`, which starts nothing. Calls through a hub in Azure, which a run does not support yet, count like
/// calls through the built-in hub.
pub(super) async fn on_paper(args: &ScenarioArgs, env: &Env) -> Result<Plan, AppError> {
    let plan = resolve(args, env, |scenario| {
        let is_hub = |target: &TargetSpec| target.kind == Some(TargetKind::IotHub);
        if !scenario.drives.is_empty()
            && let Some(target) = scenario.target.take_if(|target| is_hub(target))
        {
            scenario.emulator.size = target.size;
        }
    });
    plan.await
}

/// A scenario that has been read, so that it can be resolved more than once. It may come from stdin.
pub(super) struct ScenarioText {
    file: String,
    text: String,
}

impl ScenarioText {
    /// Reads the text of a scenario.
    pub(super) async fn read(args: &ScenarioArgs) -> Result<ScenarioText, AppError> {
        read_text(&args.scenario).await.map(|(file, text)| ScenarioText { file, text })
    }

    /// Lets `change` change the scenario, and resolves it.
    pub(super) fn resolve(
        &self,
        args: &ScenarioArgs,
        env: &Env,
        change: impl FnOnce(&mut Scenario),
    ) -> Result<Plan, AppError> {
        let overrides = overrides(args)?;
        let files = RefCell::new(vec![args.scenario.clone()]);
        let read = |path: &Path| {
            files.borrow_mut().push(path.to_owned());
            read(path)
        };
        let ScenarioText { file, text } = self;
        let input = Input { file, text, overrides: &overrides, env: &|name| (env.var)(name), files: &read };
        let (mut scenario, errors) = scenario::read(&input);
        if errors.is_empty() {
            let part = Part { fleets: &args.fleet, duration: args.duration.as_deref() };
            part.restrict(&mut scenario).map_err(|error| AppError::Usage(error.to_string()))?;
        }
        change(&mut scenario);
        let mut plan = plan::resolve(&scenario, errors, input.files, &mut rand::rng()).map_err(|errors| {
            AppError::Scenario(format!("the scenario is invalid; nothing was started\n{errors}"))
        })?;
        plan.source.files = files.into_inner();
        plan.source.files.extend(recordings(&scenario));
        plan.source.files.extend(plan.target.tls.iter().filter_map(|tls| tls.ca.clone()));
        Ok(plan)
    }
}

/// Reads a scenario, lets `change` change it, and resolves it.
async fn resolve(
    args: &ScenarioArgs,
    env: &Env,
    change: impl FnOnce(&mut Scenario),
) -> Result<Plan, AppError> {
    ScenarioText::read(args).await?.resolve(args, env, change)
}

/// Returns the paths of the recordings that a scenario replays.
fn recordings(scenario: &Scenario) -> impl Iterator<Item = PathBuf> {
    let replays =
        scenario.fleets.iter().flat_map(|fleet| &fleet.sends).filter_map(|send| send.replay.as_ref());
    let files = replays.filter_map(|replay| replay.file.as_ref());
    files.map(|file| resolve_path(&scenario.file, &file.place, &file.value))
}

/// Reads the text of a scenario. Returns it after the name of the file for messages.
pub(super) async fn read_text(path: &Path) -> Result<(String, String), AppError> {
    let (file, bytes) = match is_stdin(path) {
        true => ("stdin".to_owned(), stdin().await),
        false => (path.display().to_string(), std::fs::read(path)),
    };
    let unreadable =
        |error| paths::unreadable("scenario", Path::new(&file), &error, &["toml", "json", "jsonc"]);
    let bytes = bytes.map_err(|error| AppError::Scenario(unreadable(error)))?;
    let text = text(&file, &bytes)?;
    Ok((file, text))
}

/// Returns true for `-`, which means stdin.
pub(super) fn is_stdin(scenario: &Path) -> bool {
    scenario.as_os_str() == "-"
}

/// Reads stdin on a blocking thread, so that Ctrl-C works in the meantime.
async fn stdin() -> io::Result<Vec<u8>> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    });
    reading.await.map_err(io::Error::other)?
}

/// Decodes the text of a scenario. Recognizes other files, which would produce many errors when parsed as a scenario.
fn text(file: &str, bytes: &[u8]) -> Result<String, AppError> {
    let other = other_file::compressed(file, bytes).or_else(|| other_file::journal(file, bytes));
    if let Some(problem) = other {
        return Err(AppError::Scenario(problem));
    }
    let text = text_file::decode(bytes).map_err(|error| AppError::Scenario(format!("{file}: {error}")))?;
    match other_file::other_text(file, text) {
        Some(problem) => Err(AppError::Scenario(problem)),
        None => Ok(text.to_owned()),
    }
}

/// Reads a file that the scenario names. It may contain secrets.
fn read(path: &Path) -> io::Result<FileText> {
    std::fs::read(path).map(FileText::new)
}

/// Returns the overrides from `--set`, followed by those from the other options that override scenario keys.
fn overrides(args: &ScenarioArgs) -> Result<Vec<String>, AppError> {
    let mut overrides = args.set.clone();
    if let Some(seed) = args.seed {
        overrides.push(format!("seed={seed}"));
    }
    if let Some(target) = &args.target {
        let (host, port) = host_and_port(target)?;
        overrides.push(format!("target.host={host}"));
        overrides.extend(port.map(|port| format!("target.port={port}")));
    }
    if let Some(ca) = &args.ca {
        overrides.push(format!("target.ca={}", ca.display()));
    }
    Ok(overrides)
}

/// Splits `host`, `host:port`, `::1` or `[::1]:port` (RFC 3986 §3.2.2) into host and port.
pub(super) fn host_and_port(target: &str) -> Result<(&str, Option<u16>), AppError> {
    // Errors do not quote the argument, because it may be a connection string.
    let invalid =
        |problem: &str| AppError::Usage(format!("--target: {problem}; use HOST, HOST:PORT or [IPV6]:PORT"));
    if let (Err(problem), true) = (check_host(target), target.contains('/')) {
        // The host alone cannot be a secret.
        let example = meant_host(target).map_or_else(String::new, |meant| {
            let host = if meant.host.contains(':') { format!("[{}]", meant.host) } else { meant.host };
            let port = meant.port.map_or_else(String::new, |port| format!(":{port}"));
            format!("; did you mean {host}{port}?")
        });
        return Err(AppError::Usage(format!("{}{example}", invalid(problem))));
    }
    let (host, port) = match target.strip_prefix('[') {
        Some(rest) => {
            match rest.split_once(']').map(|(host, after)| (host, after.strip_prefix(':'), after)) {
                Some((host, Some(port), _)) => (host, Some(port)),
                Some((host, None, "")) => (host, None),
                Some((_, None, _)) => {
                    return Err(invalid("the text after the closing bracket is not a colon and a port"));
                }
                None => return Err(invalid("the bracket is not closed")),
            }
        }
        None => match target.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (target, None),
        },
    };
    check_host(host).map_err(invalid)?;
    if let Some((address, port)) = host.rsplit_once(':')
        && !target.starts_with('[')
        && matches!(port, "1883" | "8883")
        && check_host(address).is_ok()
    {
        let text = format!("did you mean [{address}]:{port}? If {host} is the address, write [{host}]");
        return Err(AppError::Usage(format!("--target {host}: {text}")));
    }
    let port = port.map(|port| port.parse().map_err(|_| invalid("the text after the colon is not a port")));
    Ok((host, port.transpose()?))
}

/// Checks a host name or an address passed to an option.
pub(super) fn host(option: &str, host: &str) -> Result<(), AppError> {
    let invalid = |problem: &str| Err(AppError::Usage(format!("{option}: {problem}")));
    if let Err(problem) = check_host(host) {
        // The host alone cannot be a secret.
        return match meant_host(host) {
            Some(MeantHost { host: name, port: Some(port), .. }) if host == format!("{name}:{port}") => {
                invalid(&format!("\"{host}\" is not a host name: remove the port"))
            }
            _ => invalid(problem),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_file_types_are_recognized() {
        let refused = |bytes: &[u8]| text("x.toml", bytes).unwrap_err().to_string();
        assert_eq!(text("x.toml", b"\xef\xbb\xbfseed = 1").unwrap(), "seed = 1");
        assert_eq!(text("x.json", b"{\"schema\":1}").unwrap(), "{\"schema\":1}");
        let result = refused(br#"{"verdict": {}, "schema": "hubstorm.result.v1"}"#);
        assert_eq!(result, "x.toml is a result file, not a scenario. To render it:  hubstorm report x.toml");
        assert!(refused(b"\n<!doctype html>").contains("x.toml is an HTML page"));
        assert!(refused(b"PK\x03\x04").contains("x.toml is compressed (ZIP)"));
        let latin = refused(b"seed = 1\nname = \"K\xfcche\"\n");
        assert!(latin.contains("not UTF-8 at byte 10 of line 2; save"), "{latin}");
        assert!(refused(b"\xff\xfen").contains("encoded as UTF-16; save"));
    }

    #[test]
    fn host_options_take_a_name_or_an_address() {
        for valid in ["hub", "hub.example.", "1.example", "127.0.0.1", "::1", "a1"] {
            host("--name", valid).unwrap();
        }
        for (wrong, expected) in [
            ("a:8883", "--name: \"a:8883\" is not a host name: remove the port"),
            ("127.0.0.256", "--name: not a valid IPv4 address: write four numbers from 0 to 255"),
            ("1.2.3", "--name: not a valid IPv4 address: write four numbers from 0 to 255"),
            ("a b", "--name: not a host name"),
        ] {
            assert_eq!(host("--name", wrong).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn target_is_split_into_host_and_port() {
        for (target, expected) in [
            ("hub.example", ("hub.example", None)),
            ("hub.example:8883", ("hub.example", Some(8883))),
            ("127.0.0.1:1883", ("127.0.0.1", Some(1883))),
            ("::1", ("::1", None)),
            ("[::1]", ("::1", None)),
            ("[::1]:8883", ("::1", Some(8883))),
            ("[::1:8883]", ("::1:8883", None)),
            ("::1:8884", ("::1:8884", None)),
            ("1:2:3:4:5:6:7:8883", ("1:2:3:4:5:6:7:8883", None)),
        ] {
            assert_eq!(host_and_port(target).unwrap(), expected, "{target}");
        }
        for wrong in
            ["", ":8883", "hub:", "hub:mqtt", "hub:70000", "[::1", "[::1]:", "[::1]8883", "HostName=h", "h;p"]
        {
            let error = host_and_port(wrong).unwrap_err();
            assert!(matches!(&error, AppError::Usage(text) if !text.contains("8883")), "{wrong}: {error}");
        }
        for port in [1883, 8883] {
            let error = host_and_port(&format!("::1:{port}")).unwrap_err().to_string();
            let expected =
                format!("--target ::1:{port}: did you mean [::1]:{port}? If ::1:{port} is the address");
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = host_and_port("127.0.0.256:1883").unwrap_err().to_string();
        let expected = "--target: not a valid IPv4 address: write four numbers from 0 to 255; use HOST, HOST:PORT or [IPV6]:PORT";
        assert_eq!(error, expected);
        let url = host_and_port("https://hub.example/").unwrap_err().to_string();
        assert!(
            url.contains("remove the scheme and the path") && url.ends_with("did you mean hub.example?"),
            "{url}"
        );
    }
}
