//! Reading, writing and describing result files. Called by `app`; what is in them is `model`'s business.

use super::model::{RunResult, SCHEMA};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A result file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The page that stands beside it.
    #[error("{} is a page, not a result: give the .json beside it", path.display())]
    Page {
        /// Which file.
        path: PathBuf,
    },
    /// Its JSON ends in the middle: `run` writes whole files only.
    #[error(
        "{} is cut off: its JSON is incomplete; `hubstorm run` writes whole files, so copy it once more from where it came",
        path.display()
    )]
    CutOff {
        /// Which file.
        path: PathBuf,
    },
    /// It is not JSON, or not of the shape of a result.
    #[error("{} is not a result file: {source}", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is JSON of another kind or version.
    #[error("{} has schema {found}, and this program reads {SCHEMA:?}", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What it says: a JSON value, or `none`.
        found: String,
    },
}

/// Reads a result file. Fields that this version does not know are ignored.
///
/// # Errors
/// The file cannot be read, is not JSON, has another schema, or lacks what version 1 must have.
pub fn read(path: &Path) -> Result<RunResult, FileError> {
    let bytes = std::fs::read(path).map_err(|source| FileError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(FileError::Page { path: path.to_owned() });
    }
    let shape = |source: serde_json::Error| match source.is_eof() {
        true => FileError::CutOff { path: path.to_owned() },
        false => FileError::Shape { path: path.to_owned(), source },
    };
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(shape)?;
    let schema = json.get("schema");
    if schema.and_then(|schema| schema.as_str()) != Some(SCHEMA) {
        let found = schema.map_or_else(|| "none".to_owned(), ToString::to_string);
        return Err(FileError::Schema { path: path.to_owned(), found });
    }
    // Once more from the text, so that an error has its line and column.
    serde_json::from_slice(&bytes).map_err(shape)
}

/// Writes a result file: whole or not at all. It goes to a temporary neighbour first, which is then renamed.
///
/// # Errors
/// The folder cannot be made, or the file not be written.
pub fn write(path: &Path, result: &RunResult) -> Result<(), FileError> {
    let written = serde_json::to_vec_pretty(result).map_err(std::io::Error::from).and_then(|mut json| {
        json.push(b'\n');
        replace(path, &json)
    });
    written.map_err(|source| FileError::Io { doing: "write", path: path.to_owned(), source })
}

/// Puts `bytes` in the place of `path`, whole or not at all, and atomically where the file system can.
///
/// # Errors
/// The folder cannot be made, or the file not be written; nothing is left of it then.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidFilename)?;
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The write's own error is what the caller needs; a left-over is only untidy.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// The JSON Schema of a result file, as `hubstorm schema result` prints it.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(RunResult);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, tests as fixture};
    use super::super::model::*;
    use super::*;

    fn result() -> RunResult {
        let (measurement, names) = (fixture::measurement(), fixture::names());
        let (heartbeat, lag, late) = build::meters(&measurement);
        RunResult {
            schema: SCHEMA.to_owned(),
            tool: Tool { name: "hubstorm".to_owned(), version: "0.1.0".to_owned(), git: None },
            run: Run {
                id: "test-20261122T000000Z".to_owned(),
                argv: vec!["hubstorm".to_owned(), "run".to_owned()],
                scenario: Scenario {
                    name: "test".to_owned(),
                    file: "test.toml".to_owned(),
                    sha256: "00".repeat(32),
                    text: String::new(),
                },
                overrides: Vec::new(),
                seed: u64::MAX,
                started: "2026-11-22T00:00:00Z".to_owned(),
                duration_us: 3_000_000,
                complete: true,
                target: Target {
                    kind: "iot-hub".to_owned(),
                    host: "localhost".to_owned(),
                    port: 8883,
                    embedded: true,
                    tls_wanted: false,
                    tls: None,
                },
                host: Host { os: "linux x86_64".to_owned(), cpu: "a processor".to_owned(), cores: 2 },
            },
            verdict: Verdict { status: Status::Pass, exit_code: 0, reasons: vec!["fine".to_owned()] },
            thresholds: vec![ThresholdResult {
                metric: "telemetry".to_owned(),
                expression: "p(99) < 500ms".to_owned(),
                phase: None,
                fleet: None,
                limit: 500_000.0,
                unit: "us".to_owned(),
                observed: None,
                observed_text: "> 500 ms".to_owned(),
                margin: None,
                samples: 3,
                passed: false,
            }],
            generator: Generator {
                workers: 1,
                cpu_us: 1,
                cpu_peak_percent: 75.0,
                rss_peak_bytes: 1,
                fd_peak: 1,
                heartbeat,
                lag,
                late,
            },
            emulator: Some(Emulator { accepted: 1, ..Emulator::default() }),
            fleets: build::fleets(&measurement, &names, &[1]),
            phases: vec![Phase {
                name: "ramp".to_owned(),
                warmup: true,
                start_us: 0,
                end_us: 1_000_000,
                planned_online: [0.0, 1.0],
                planned_load: [1.0, 1.0],
            }],
            operations: build::operations(&measurement, &names),
            streams: Vec::new(),
            series: build::series(&measurement),
            errors: build::errors(&measurement),
            findings: vec![Finding {
                severity: Severity::Note,
                text: "a thing".to_owned(),
                evidence: "1".to_owned(),
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/demand.json");
        write(&path, &result()).unwrap();
        write(&path, &result()).unwrap();
        assert_eq!(read(&path).unwrap(), result());
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing temporary stays: {left:?}");
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = write(&taken, &result()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("taken"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_file_and_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let mut older = serde_json::to_value(result()).unwrap();
        older["schema"] = "hubstorm.compare.v1".into();
        let mut lacking = serde_json::to_value(result()).unwrap();
        lacking.as_object_mut().unwrap().remove("verdict");
        for (text, expected) in [
            ("{".to_owned(), "is cut off: its JSON is incomplete"),
            ("\n<!doctype html>".to_owned(), "is a page, not a result: give the .json"),
            ("{]".to_owned(), "is not a result file: "),
            ("[]".to_owned(), "has schema none"),
            (older.to_string(), "has schema \"hubstorm.compare.v1\""),
            (lacking.to_string(), "missing field `verdict`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("x.json"), "{error}");
        }
        let error = read(&folder.path().join("none.json")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }

    #[test]
    fn readers_ignore_what_they_do_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("newer.json");
        let mut newer = serde_json::to_value(result()).unwrap();
        newer["recoveries"] = serde_json::json!([]);
        newer["run"]["shards"] = serde_json::json!([1]);
        std::fs::write(&path, newer.to_string()).unwrap();
        assert_eq!(read(&path).unwrap(), result());
    }

    /// Version 1 only grows: what it had not from the start may be missing.
    #[test]
    fn files_of_before_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("older.json");
        let mut older = serde_json::to_value(result()).unwrap();
        let emulator = older["emulator"].as_object_mut().unwrap();
        emulator.retain(|name, _| {
            ["cpu_us", "rss_peak_bytes", "accepted", "refused", "telemetry"].contains(&name.as_str())
        });
        assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&older));
        std::fs::write(&path, older.to_string()).unwrap();
        assert_eq!(read(&path).unwrap(), result());
    }

    #[test]
    fn real_output_obeys_the_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let real = serde_json::to_value(result()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&real).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        for (pointer, wrong) in [
            ("/verdict/status", serde_json::json!("maybe")),
            ("/operations/0/due", serde_json::json!(-1)),
            ("/series/rows/0/t_us", serde_json::json!("0")),
            ("/run", serde_json::json!({})),
        ] {
            let mut broken = real.clone();
            *broken.pointer_mut(pointer).unwrap() = wrong;
            assert!(!validator.is_valid(&broken), "{pointer}");
        }
    }

    /// `UPDATE=1 cargo test --lib result::` writes it anew.
    #[test]
    fn the_published_schema_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema.json");
        let now = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE").is_some() {
            replace(&path, now.as_bytes()).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == now, "reports/schema.json is stale: UPDATE=1 cargo test --lib result::");
    }
}
