//! Reads, writes and describes result files. Called by `app` and `report`; `model` defines the contents and `disk` how a file
//! is written.

use super::disk::{self, Watch};
use super::model::{RunResult, SCHEMA};
use crate::measure::Operation;
use crate::measure::hdr::{self, DecodeError};
use crate::text_file::{self, EncodingError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The schema of a result file without its version.
const SCHEMA_STEM: &str = "hubstorm.result.v";
/// Far more than a run of the largest permitted scenario writes.
const FILE_BYTES_MAX: u64 = 512 << 20;

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
    /// No result is that large.
    #[error(
        "{} is larger than any result file, {} MiB; give the .json file that `hubstorm run` wrote",
        path.display(),
        FILE_BYTES_MAX >> 20
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// It has no content.
    #[error("{} is empty; give the .json file that `hubstorm run` wrote", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// An HTML page, such as the one that `run` writes beside the result.
    #[error("{} is a page, not a result: give the .json beside it", path.display())]
    Page {
        /// Which file.
        path: PathBuf,
    },
    /// Its JSON ends in the middle: `run` writes complete files only.
    #[error(
        "{} is cut off: its JSON is incomplete; `hubstorm run` writes complete files, so copy it again from its source",
        path.display()
    )]
    CutOff {
        /// Which file.
        path: PathBuf,
    },
    /// It is not JSON, or lacks what a result must have.
    #[error("{} is not a result file: {source}; give the .json file that `hubstorm run` wrote", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is not UTF-8.
    #[error("{} is not a result file: {source}, or give the .json file that `hubstorm run` wrote", path.display())]
    Encoding {
        /// Which file.
        path: PathBuf,
        /// How it is encoded, or where it is wrong.
        source: EncodingError,
    },
    /// A later version of hubstorm wrote it.
    #[error(
        "{} is a result file of version {version}, and this hubstorm reads version 1; use a newer hubstorm",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The version in its schema.
        version: u32,
    },
    /// It is JSON of another kind.
    #[error(
        "{} is not a result file: its schema is {found}, not {SCHEMA:?}; give the .json file that `hubstorm run` wrote",
        path.display()
    )]
    Schema {
        /// Which file.
        path: PathBuf,
        /// A JSON value, shortened, or `missing`.
        found: String,
    },
    /// A count is larger than that of any run: sums of them would overflow.
    #[error("{} is damaged: {place} is {found}, more than any run counts; copy it again from its source", path.display())]
    Count {
        /// Which file.
        path: PathBuf,
        /// Which field.
        place: String,
        /// What it holds.
        found: u64,
    },
    /// One of its histograms is damaged.
    #[error("{} is damaged: {place}: {source}; copy it again from its source", path.display())]
    Histogram {
        /// Which file.
        path: PathBuf,
        /// Which histogram: operation, phase and fleet, or the time.
        place: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Reads a result file. Fields that this version does not know are ignored.
///
/// # Errors
/// The file cannot be read, or [`parse`] refuses its content.
pub fn read(path: &Path) -> Result<RunResult, FileError> {
    let file = std::fs::File::open(path);
    read_from(path, file.map_err(|source| FileError::Io { doing: "read", path: path.to_owned(), source })?)
}

/// Reads a result from `input`, which errors call `path`.
///
/// # Errors
/// The input cannot be read, or [`parse`] refuses it.
pub fn read_from(path: &Path, input: impl Read) -> Result<RunResult, FileError> {
    let mut bytes = Vec::new();
    // One byte more than is permitted, so that too much is noticed.
    let read = input.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { doing: "read", path: path.to_owned(), source })?;
    parse(path, &bytes)
}

/// The result in `bytes`, which errors call `path`. A byte order mark is skipped.
///
/// # Errors
/// The bytes are not JSON, have another schema, lack a field of version 1, or have a histogram that cannot be decoded.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<RunResult, FileError> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let encoding = |source| FileError::Encoding { path: path.to_owned(), source };
    let bytes = text_file::skip_bom(bytes).map_err(encoding)?;
    if bytes.trim_ascii().is_empty() {
        return Err(FileError::Empty { path: path.to_owned() });
    }
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(FileError::Page { path: path.to_owned() });
    }
    let shape = |source: serde_json::Error| match text_file::decode(bytes) {
        _ if source.is_eof() => FileError::CutOff { path: path.to_owned() },
        Err(error) => encoding(error),
        Ok(_) => FileError::Shape { path: path.to_owned(), source },
    };
    // The head alone: the rest of another version may have any shape. Only an object has one.
    let head = match bytes.trim_ascii_start().starts_with(b"{") {
        true => serde_json::from_slice(bytes).map_err(shape)?,
        false => serde_json::from_slice::<IgnoredAny>(bytes).map(|_| Head::default()).map_err(shape)?,
    };
    check_schema(path, head.schema)?;
    let mut value: Value = serde_json::from_slice(bytes).map_err(shape)?;
    check_histograms(&value, "").map_err(|(place, source)| FileError::Histogram {
        path: path.to_owned(),
        place,
        source,
    })?;
    for part in ["operations", "totals", "errors", "fleets", "health", "phases", "series"] {
        let found = value.get(part).map_or(Ok(()), |value| check_counts(value, part));
        found.map_err(|(place, found)| FileError::Count { path: path.to_owned(), place, found })?;
    }
    match drop_unknown_operations(&mut value) {
        true => serde_json::from_value(value).map_err(shape),
        // From the text, so that an error has its line and column.
        false => serde_json::from_slice(bytes).map_err(shape),
    }
}

/// The part of a file that says what the rest is.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    schema: Option<serde_json::Value>,
}

fn check_schema(path: &Path, schema: Option<serde_json::Value>) -> Result<(), FileError> {
    let Some(schema) = schema else {
        return Err(FileError::Schema { path: path.to_owned(), found: "missing".to_owned() });
    };
    let version = schema.as_str().and_then(|schema| schema.strip_prefix(SCHEMA_STEM));
    match version.and_then(|version| version.parse().ok()) {
        _ if schema == SCHEMA => Ok(()),
        Some(version) if version > 1 => Err(FileError::Newer { path: path.to_owned(), version }),
        _ => {
            let found = schema.to_string().chars().take(60).collect();
            Err(FileError::Schema { path: path.to_owned(), found })
        }
    }
}

/// Decodes every `hdr` field, so that no reader of a result allocates what a damaged one claims; names the first that fails.
fn check_histograms(value: &Value, place: &str) -> Result<(), (String, DecodeError)> {
    match value {
        Value::Object(fields) => {
            if let Some(hdr) = fields.get("hdr").and_then(Value::as_str) {
                hdr::check(hdr).map_err(|error| (place.to_owned(), error))?;
            }
            let named = ["operation", "fleet", "phase"].map(|key| fields.get(key).and_then(Value::as_str));
            let place = match named {
                [Some(operation), Some(fleet), Some(phase)] => {
                    format!("{operation} of fleet {fleet} in phase {phase}")
                }
                _ => place.to_owned(),
            };
            fields.iter().try_for_each(|(key, field)| match field {
                Value::Object(_) | Value::Array(_) => check_histograms(field, &within(&place, key)),
                _ => Ok(()),
            })
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| check_histograms(item, &format!("{place}[{index}]")))
        }
        _ => Ok(()),
    }
}

/// Sums of 2^15 of these cannot overflow.
const COUNT_MAX: u64 = 1 << 48;

/// Refuses numbers that no run counts to. Returns the field and the number.
fn check_counts(value: &Value, place: &str) -> Result<(), (String, u64)> {
    match value {
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, field)| check_counts(field, &within(place, key)))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_counts(item, place)),
        Value::Number(number) => match number.as_u64() {
            Some(found) if found > COUNT_MAX => Err((place.to_owned(), found)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn within(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}, {key}") }
}

/// Leaves out operations that a later version of hubstorm measures: version 1 only grows. True when there were any.
fn drop_unknown_operations(value: &mut Value) -> bool {
    let is_unknown = |name: &str| Operation::from_name(name).is_none();
    let mut dropped = false;
    for list in ["operations", "totals"] {
        if let Some(parts) = value.get_mut(list).and_then(Value::as_array_mut) {
            let before = parts.len();
            parts.retain(|part| !part.get("operation").and_then(Value::as_str).is_some_and(is_unknown));
            dropped |= parts.len() < before;
        }
    }
    let rows = value.pointer_mut("/series/rows").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten() {
        if let Some(response) = row.get_mut("response").and_then(Value::as_object_mut) {
            let before = response.len();
            response.retain(|name, _| !is_unknown(name));
            dropped |= response.len() < before;
        }
    }
    dropped
}

/// A result as the text of its file.
///
/// # Errors
/// None for results that this program makes; serializing to JSON can fail in general.
pub fn to_json(result: &RunResult) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(result).map(|json| json + "\n")
}

/// Writes a result into `folder` under the first free name of `{id}.json`, `{id}-2.json`, and so on; `run.id` becomes that name.
/// Runs that end at the same time never overwrite each other.
///
/// # Errors
/// The folder cannot be created, or the file cannot be written. Nothing is left of it then.
pub fn write_new(folder: &Path, result: &mut RunResult) -> Result<PathBuf, FileError> {
    write_new_watched(folder, result, &mut |_| Ok(()))
}

fn write_new_watched(folder: &Path, result: &mut RunResult, watch: Watch<'_>) -> Result<PathBuf, FileError> {
    let id = result.run.id.clone();
    let mut n = 1_u64;
    loop {
        let path = folder.join(format!("{}.json", result.run.id));
        let written = to_json(result)
            .map_err(std::io::Error::from)
            .and_then(|json| disk::create_watched(&path, json.as_bytes(), watch));
        match written {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                n += 1;
                result.run.id = format!("{id}-{n}");
            }
            Err(source) => {
                // Another folder may have the first name free.
                result.run.id = id;
                return Err(FileError::Io { doing: "write", path, source });
            }
        }
    }
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
    use super::super::testing::result;
    use super::*;
    use proptest::prelude::*;

    /// As a reader of its file sees it: what is not written is as it is by default.
    fn expected() -> RunResult {
        parse(Path::new("x.json"), to_json(&result()).unwrap().as_bytes()).unwrap()
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn results_of_the_same_second_get_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("made/on/demand");
        let mut ids = Vec::new();
        for _ in 0..3 {
            let mut written = result();
            let path = write_new(&out, &mut written).unwrap();
            assert_eq!(read(&path).unwrap().run, written.run);
            assert_eq!(path.file_stem().unwrap().to_str(), Some(written.run.id.as_str()));
            ids.push(written.run.id);
        }
        let id = result().run.id;
        assert_eq!(ids, [id.clone(), format!("{id}-2"), format!("{id}-3")]);
        assert_eq!(files_in(&out).len(), 3, "nothing temporary is left");
    }

    #[test]
    fn every_json_file_is_complete_at_every_step() {
        for fail_at in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            let (mut step, mut failed) = (0, 0);
            for _ in 0..2 {
                let written = write_new_watched(folder.path(), &mut result(), &mut |_| {
                    for name in files_in(folder.path()) {
                        let complete = name.ends_with(".json") && read(&folder.path().join(&name)).is_ok();
                        assert!(complete || name.ends_with(".tmp"), "{name} at step {step}");
                    }
                    step += 1;
                    if step == fail_at { Err(std::io::Error::other("the disk is full")) } else { Ok(()) }
                });
                failed += usize::from(written.is_err());
            }
            assert_eq!(failed, usize::from((1..8).contains(&fail_at)), "failing at {fail_at}");
            assert!(files_in(folder.path()).iter().all(|name| name.ends_with(".json")));
        }
    }

    #[test]
    fn a_failed_write_names_the_file_and_keeps_the_id() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("blocked");
        std::fs::write(&blocked, "a file, not a folder").unwrap();
        let mut written = result();
        let error = write_new(&blocked, &mut written).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains(".json: "), "{error}");
        assert_eq!(written.run.id, result().run.id);
    }

    #[test]
    fn errors_name_the_file_and_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let mut older = serde_json::to_value(result()).unwrap();
        older["schema"] = "hubstorm.compare.v1".into();
        let mut newer = older.clone();
        newer["schema"] = "hubstorm.result.v2".into();
        let mut damaged = serde_json::to_value(result()).unwrap();
        damaged["operations"][2]["response"]["hdr"] = "AAAA".into();
        let mut row = serde_json::to_value(result()).unwrap();
        row["series"]["rows"][2]["response"]["telemetry"]["hdr"] = "%".into();
        let mut lacking = serde_json::to_value(result()).unwrap();
        lacking.as_object_mut().unwrap().remove("verdict");
        let mut absurd = serde_json::to_value(result()).unwrap();
        absurd["operations"][1]["outcomes"]["lost"] = u64::MAX.into();
        for (text, expected) in [
            (
                absurd.to_string(),
                "operations, outcomes, lost is 18446744073709551615, more than any run counts",
            ),
            ("{".to_owned(), "is cut off: its JSON is incomplete"),
            ("\n<!doctype html>".to_owned(), "is a page, not a result: give the .json"),
            ("{]".to_owned(), "is not a result file: "),
            (String::new(), "is empty; give the .json"),
            (" \n".to_owned(), "is empty; give the .json"),
            ("\u{feff}".to_owned(), "is empty; give the .json"),
            ("\u{feff}[]".to_owned(), "its schema is missing, not \"hubstorm.result.v1\""),
            ("null".to_owned(), "its schema is missing"),
            ("{\"schema\": [1]}".to_owned(), "its schema is [1], not"),
            ("{\"schema\": \"hubstorm.result.v0\"}".to_owned(), "its schema is \"hubstorm.result.v0\""),
            (older.to_string(), "its schema is \"hubstorm.compare.v1\""),
            (
                newer.to_string(),
                "is a result file of version 2, and this hubstorm reads version 1; use a newer",
            ),
            (
                damaged.to_string(),
                "damaged: telemetry of fleet meter in phase steady, response: histogram is",
            ),
            (row.to_string(), "damaged: series, rows[2], response, telemetry: histogram is not base64"),
            (lacking.to_string(), "missing field `verdict`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("x.json"), "{error}");
        }
        for (bytes, expected) in [
            (&b"\xff\xfe{\0"[..], "is not a result file: encoded as UTF-16; save the file as UTF-8"),
            (
                b"{\"schema\":\"hubstorm.result.v1\",\n\"a\":\"\xff\"}",
                "is not a result file: not UTF-8 at byte 6 of line 2",
            ),
            (b"{\"a\": \"\xc3", "is cut off"),
        ] {
            let error = parse(&path, bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = read(&folder.path().join("none.json")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let text = format!("\u{feff}{}", to_json(&result()).unwrap());
        assert_eq!(parse(Path::new("x.json"), text.as_bytes()).unwrap(), expected());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(Path::new("x.json"), &bytes).is_err());
        }

        /// A real result with some bytes exchanged: it is refused, or read as a result.
        #[test]
        fn a_damaged_result_never_panics(damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
            let mut bytes = to_json(&result()).unwrap().into_bytes();
            for (place, byte) in damage {
                let place = usize::from(place) % bytes.len();
                bytes[place] = byte;
            }
            let _ = parse(Path::new("x.json"), &bytes);
        }
    }

    #[test]
    fn readers_ignore_what_they_do_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("newer.json");
        let mut newer = serde_json::to_value(result()).unwrap();
        newer["recoveries"] = serde_json::json!([]);
        newer["run"]["shards"] = serde_json::json!([1]);
        let mut unknown = newer["operations"][0].clone();
        unknown["operation"] = "connect.ws".into();
        newer["operations"].as_array_mut().unwrap().push(unknown);
        newer["series"]["rows"][0]["response"]["register"] =
            newer["series"]["rows"][2]["response"]["telemetry"].clone();
        std::fs::write(&path, newer.to_string()).unwrap();
        assert_eq!(read(&path).unwrap(), expected());
    }

    #[test]
    fn what_is_written_is_read() {
        let (before, after) = (result(), expected());
        assert_eq!(serde_json::to_value(&before).unwrap(), serde_json::to_value(&after).unwrap());
        assert_eq!(before.measurement.operations, after.measurement.operations);
        assert_eq!(before.measurement.errors, after.measurement.errors);
        assert_eq!(before.measurement.fleets, after.measurement.fleets);
        assert_eq!(before.measurement.health[0].stalls, after.measurement.health[0].stalls);
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
        assert_eq!(read(&path).unwrap(), expected());
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
            disk::replace(&path, now.as_bytes()).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == now, "reports/schema.json is stale: UPDATE=1 cargo test --lib result::");
    }
}
