//! Reads and writes result files, and generates their JSON Schema. Used by `app` and `report`. `model` defines the
//! contents, and `disk` writes files atomically.

use super::checks::{self, check_counts, check_histograms, drop_unknown_operations};
use super::disk::{self, Watch};
use super::file_error::{FILE_BYTES_MAX, FileError};
use super::journal_head::is_journal;
use super::json_layout;
use super::model::{RunResult, SCHEMA};
use crate::text_file;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The schema of a result file, without its version.
const SCHEMA_STEM: &str = "hubstorm.result.v";

/// Reads a result file. Unknown fields are ignored.
///
/// # Errors
/// The file cannot be read, or [`parse`] refuses its content.
pub fn read(path: &Path) -> Result<RunResult, FileError> {
    let file = std::fs::File::open(path);
    read_from(path, file.map_err(|source| FileError::Io { doing: "read", path: path.to_owned(), source })?)
}

/// Reads a result from `input`. Errors refer to the input as `path`.
///
/// # Errors
/// The input cannot be read, or [`parse`] refuses it.
pub fn read_from(path: &Path, input: impl Read) -> Result<RunResult, FileError> {
    parse(path, &read_bytes(path, input)?)
}

/// Reads the bytes of a result, or of another file in its place, up to a size that [`parse`] refuses.
///
/// # Errors
/// The input cannot be read.
pub fn read_bytes(path: &Path, input: impl Read) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // Read one byte more than is permitted, to detect files that are too large.
    let read = input.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { doing: "read", path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Parses a result. Errors refer to the result as `path`. A byte order mark is skipped.
///
/// # Errors
/// The bytes are not JSON, have another schema, lack a field of version 1, or have a damaged histogram or count.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<RunResult, FileError> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    if let Some(compression) = text_file::compression(bytes) {
        return Err(FileError::Compressed { path: path.to_owned(), compression });
    }
    if is_journal(bytes) {
        return Err(FileError::Journal { path: path.to_owned() });
    }
    let encoding = |source| FileError::Encoding { path: path.to_owned(), source };
    let bytes = text_file::skip_bom(bytes).map_err(encoding)?;
    if bytes.trim_ascii().is_empty() {
        return Err(FileError::Empty { path: path.to_owned() });
    }
    if bytes.trim_ascii_start().starts_with(b"<") {
        let path = path.to_owned();
        // Only the start decides, so a file that is not UTF-8 is recognized too.
        let is_html = text_file::is_html(&String::from_utf8_lossy(bytes));
        return Err(if is_html { FileError::Page { path } } else { FileError::Xml { path } });
    }
    let shape = |source: serde_json::Error| match text_file::decode(bytes) {
        _ if source.is_eof() => FileError::CutOff { path: path.to_owned() },
        Err(error) => encoding(error),
        // serde_json has no category for this error.
        Ok(_) if source.to_string().starts_with("trailing characters") => {
            FileError::Joined { path: path.to_owned(), line: source.line(), column: source.column() }
        }
        Ok(_) => FileError::Shape { path: path.to_owned(), source },
    };
    // Parse only the head, because a file of another version may have any structure. Only an object has a head.
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
    let result: RunResult = match drop_unknown_operations(&mut value) {
        true => serde_json::from_value(value).map_err(shape),
        // Parse the bytes again, so that an error has a line and a column.
        false => serde_json::from_slice(bytes).map_err(shape),
    }?;
    let mut parts = result.operations.iter();
    match parts.find(|part| !part.batches.is_empty() && !part.batches.add_up_to(&part.totals)) {
        None => Ok(result),
        Some(part) => {
            let place = format!("{} of fleet {} in phase {}", part.operation, part.fleet, part.phase);
            Err(FileError::Batches { path: path.to_owned(), place })
        }
    }
}

/// The field that identifies the format.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    schema: Option<serde_json::Value>,
}

fn check_schema(path: &Path, schema: Option<serde_json::Value>) -> Result<(), FileError> {
    let Some(schema) = schema else {
        return Err(FileError::NoSchema { path: path.to_owned() });
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

/// Serializes a result as the text of its file.
///
/// # Errors
/// Serialization to JSON can fail in general, but never for results from this program.
pub fn to_json(result: &RunResult) -> Result<String, serde_json::Error> {
    json_layout::to_string(result).map(|json| json + "\n")
}

/// Serializes a result like [`to_json`], but leaves out empty histograms. [`parse`] returns the same result. The fields are in
/// alphabetical order.
///
/// # Errors
/// As for [`to_json`].
pub fn to_compact_json(result: &RunResult) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(result)?;
    checks::remove_empty_histograms(&mut value);
    json_layout::to_string(&value).map(|json| json + "\n")
}

/// Writes a result into `folder` under the first free name of `{id}.json`, `{id}-2.json`, and so on, and stores that
/// name in `run.id`. If `compact` is set, empty histograms are left out. Runs that end at the same time never overwrite each other's results.
///
/// # Errors
/// The folder cannot be created, or the file cannot be written. No file is left behind.
pub fn write_new(folder: &Path, result: &mut RunResult, compact: bool) -> Result<PathBuf, FileError> {
    write_new_watched(folder, result, compact, &mut |_| Ok(()))
}

fn write_new_watched(
    folder: &Path,
    result: &mut RunResult,
    compact: bool,
    watch: Watch<'_>,
) -> Result<PathBuf, FileError> {
    let to_json = if compact { to_compact_json } else { to_json };
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
                // The caller may try another folder, in which the first name may be free.
                result.run.id = id;
                return Err(FileError::Io { doing: "write", path, source });
            }
        }
    }
}

/// Returns the JSON Schema of a result file, as `hubstorm schema result` prints it.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(RunResult);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}

#[cfg(test)]
mod tests;
