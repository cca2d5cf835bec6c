//! From what was typed to a plan: read the file or stdin, apply overrides, resolve. Used by `run` and `check`.

use super::{AppError, Env};
use crate::cli::ScenarioArgs;
use crate::plan::{self, Plan};
use crate::result::model::SCHEMA;
use crate::scenario::{FileText, Input, check_host};
use crate::text_file;
use std::cell::RefCell;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads and resolves a scenario.
pub(super) async fn plan(args: &ScenarioArgs, env: &Env) -> Result<Plan, AppError> {
    let (file, bytes) = match is_stdin(&args.scenario) {
        true => ("stdin".to_owned(), stdin().await),
        false => (args.scenario.display().to_string(), std::fs::read(&args.scenario)),
    };
    let bytes =
        bytes.map_err(|error| AppError::Scenario(format!("cannot read the scenario {file}: {error}")))?;
    let text = text(&file, &bytes)?;
    let overrides = overrides(args)?;
    let files = RefCell::new(vec![args.scenario.clone()]);
    let read = |path: &Path| {
        files.borrow_mut().push(path.to_owned());
        read(path)
    };
    let input =
        Input { file: &file, text: &text, overrides: &overrides, env: &|name| (env.var)(name), files: &read };
    let mut plan = plan::load(&input, &mut rand::rng()).map_err(|errors| {
        AppError::Scenario(format!("the scenario is invalid; nothing was started\n{errors}"))
    })?;
    plan.source.files = files.into_inner();
    plan.source.files.extend(plan.target.tls.iter().filter_map(|tls| tls.ca.clone()));
    Ok(plan)
}

/// `-`, as in other programs.
pub(super) fn is_stdin(scenario: &Path) -> bool {
    scenario.as_os_str() == "-"
}

/// On a thread of its own: Ctrl-C must be heard while nobody types.
async fn stdin() -> io::Result<Vec<u8>> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    });
    reading.await.map_err(io::Error::other)?
}

/// The text of a scenario. Files of other kinds are told apart here: read as a scenario they would only give thousands of
/// errors.
fn text(file: &str, bytes: &[u8]) -> Result<String, AppError> {
    let wrong = |what: &str| Err(AppError::Scenario(format!("{file}: {what}")));
    let text = match text_file::decode(bytes) {
        Ok(text) => text,
        Err(error) => return wrong(&error.to_string()),
    };
    if text.trim_start().starts_with('<') {
        return wrong("this is a page, not a scenario: give a TOML or JSON file");
    }
    #[derive(serde::Deserialize)]
    struct Head {
        schema: String,
    }
    match serde_json::from_str::<Head>(text) {
        Ok(head) if head.schema == SCHEMA => {
            wrong(&format!("this is a result, not a scenario: hubstorm report {file} renders it"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A file that the scenario names. It may hold secrets.
fn read(path: &Path) -> io::Result<FileText> {
    std::fs::read(path).map(FileText::new)
}

/// Options that mean a scenario key are overrides like any other.
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

/// `host`, `host:port`, `::1` or `[::1]:port` (RFC 3986 §3.2.2).
pub(super) fn host_and_port(target: &str) -> Result<(&str, Option<u16>), AppError> {
    // Nothing of it is repeated: it may be a connection string.
    let wrong =
        |what: &str| AppError::Usage(format!("--target: {what}; write HOST, HOST:PORT or [IPV6]:PORT"));
    if target.contains('/') {
        check_host(target).map_err(wrong)?;
    }
    let (host, port) = match target.strip_prefix('[') {
        Some(rest) => {
            match rest.split_once(']').map(|(host, after)| (host, after.strip_prefix(':'), after)) {
                Some((host, Some(port), _)) => (host, Some(port)),
                Some((host, None, "")) => (host, None),
                Some((_, None, _)) => {
                    return Err(wrong("what follows the bracket is not a port with its colon"));
                }
                None => return Err(wrong("a bracket is not closed")),
            }
        }
        None => match target.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (target, None),
        },
    };
    check_host(host).map_err(wrong)?;
    let port = port.map(|port| port.parse().map_err(|_| wrong("what follows the colon is not a port")));
    Ok((host, port.transpose()?))
}

/// Refuses what is no host, given with this option.
pub(super) fn host(option: &str, host: &str) -> Result<(), AppError> {
    check_host(host).map_err(|what| AppError::Usage(format!("{option}: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_scenario_is_told_by_what_it_is() {
        let refused = |bytes: &[u8]| text("x.toml", bytes).unwrap_err().to_string();
        assert_eq!(text("x.toml", b"\xef\xbb\xbfseed = 1").unwrap(), "seed = 1");
        assert_eq!(text("x.json", b"{\"schema\":1}").unwrap(), "{\"schema\":1}");
        let result = refused(br#"{"verdict": {}, "schema": "hubstorm.result.v1"}"#);
        assert_eq!(result, "x.toml: this is a result, not a scenario: hubstorm report x.toml renders it");
        assert!(refused(b"\n<!doctype html>").contains("this is a page"));
        let latin = refused(b"seed = 1\nname = \"K\xfcche\"\n");
        assert!(latin.contains("not UTF-8 at byte 10 of line 2; save"), "{latin}");
        assert!(refused(b"\xff\xfen").contains("encoded as UTF-16; save"));
    }

    #[test]
    fn targets_are_split_into_host_and_port() {
        for (target, expected) in [
            ("hub.example", ("hub.example", None)),
            ("hub.example:8883", ("hub.example", Some(8883))),
            ("127.0.0.1:1883", ("127.0.0.1", Some(1883))),
            ("::1", ("::1", None)),
            ("[::1]", ("::1", None)),
            ("[::1]:8883", ("::1", Some(8883))),
        ] {
            assert_eq!(host_and_port(target).unwrap(), expected, "{target}");
        }
        for wrong in
            ["", ":8883", "hub:", "hub:mqtt", "hub:70000", "[::1", "[::1]:", "[::1]8883", "HostName=h", "h;p"]
        {
            let error = host_and_port(wrong).unwrap_err();
            assert!(matches!(&error, AppError::Usage(text) if !text.contains("8883")), "{wrong}: {error}");
        }
        let url = host_and_port("https://hub.example/").unwrap_err().to_string();
        assert!(url.contains("remove the scheme and the path"), "{url}");
    }
}
