//! The errors of reading and writing result files. Created by `file`, printed by `app`.

use super::journal_head::recover_command;
use super::model::SCHEMA;
use crate::measure::hdr::DecodeError;
use crate::text_file::{Compression, EncodingError};
use std::path::PathBuf;

/// The maximum size of a result file, far larger than the result of the largest permitted scenario.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

/// The reason why a result file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system reported an error.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is larger than any result.
    #[error(
        "{} is not a result file: it is larger than {} MiB. Specify the .json file that `hubstorm run` wrote",
        path.display(),
        FILE_BYTES_MAX >> 20
    )]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is empty.
    #[error("{} is empty. Specify the .json file that `hubstorm run` wrote", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is an HTML page, such as the one that `run` writes next to the result.
    #[error("{} is an HTML page, not a result. Specify the .json file next to it", path.display())]
    Page {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is XML, such as the one that `--export junit` writes.
    #[error("{} is an XML file, not a result. Specify the .json file that `hubstorm run` wrote", path.display())]
    Xml {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is the journal of a run.
    #[error(
        "{} is the journal of a run, not a result. To recover the result:  {}",
        path.display(),
        recover_command(&path.display().to_string())
    )]
    Journal {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is compressed.
    #[error("{0} is compressed ({compression}). Decompress it:  {1} {0}", path.display(), compression.command())]
    Compressed {
        /// Path of the file.
        path: PathBuf,
        /// Compression format.
        compression: Compression,
    },
    /// There is text after the result.
    #[error(
        "{} has more text after the end of its JSON, at line {line} column {column}. Specify a file with one result",
        path.display()
    )]
    Joined {
        /// Path of the file.
        path: PathBuf,
        /// Line of the text, from 1.
        line: usize,
        /// Column of the text, from 1.
        column: usize,
    },
    /// The JSON is incomplete. hubstorm writes complete files only.
    #[error(
        "{} is cut off: its JSON is incomplete. hubstorm writes complete files, so copy it again from its source",
        path.display()
    )]
    CutOff {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is not JSON, or lacks a required field.
    #[error("{} is not a result file: {source}. Specify the .json file that `hubstorm run` wrote", path.display())]
    Shape {
        /// Path of the file.
        path: PathBuf,
        /// Cause and position.
        source: serde_json::Error,
    },
    /// The file is not UTF-8.
    #[error("{} is not a result file: {source}, or specify the .json file that `hubstorm run` wrote", path.display())]
    Encoding {
        /// Path of the file.
        path: PathBuf,
        /// Cause: the file's encoding, or the position of the error.
        source: EncodingError,
    },
    /// A later version of hubstorm wrote the file.
    #[error(
        "{} is a result file of version {version}, but this hubstorm only reads version 1. Use a newer hubstorm",
        path.display()
    )]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Version in the schema.
        version: u32,
    },
    /// The file is JSON without a schema.
    #[error(
        "{} is not a result file: the key \"schema\" is missing. Specify the .json file that `hubstorm run` wrote",
        path.display()
    )]
    NoSchema {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is JSON with another schema.
    #[error(
        "{} is not a result file: its schema is {found}, not {SCHEMA:?}. Specify the .json file that `hubstorm run` wrote",
        path.display()
    )]
    Schema {
        /// Path of the file.
        path: PathBuf,
        /// Schema as JSON, shortened.
        found: String,
    },
    /// A count is larger than any run can produce, so sums could overflow.
    #[error("{} is damaged: {place} is {found}, which is more than any run can count. Copy it again from its source", path.display())]
    Count {
        /// Path of the file.
        path: PathBuf,
        /// Path of the field.
        place: String,
        /// Value of the field.
        found: u64,
    },
    /// The batches of an operation do not add up to its totals.
    #[error("{} is damaged: the batches of {place} do not add up to its totals. Copy it again from its source", path.display())]
    Batches {
        /// Path of the file.
        path: PathBuf,
        /// Operation, fleet and phase.
        place: String,
    },
    /// A histogram is damaged.
    #[error("{} is damaged: {place}: {source}. Copy it again from its source", path.display())]
    Histogram {
        /// Path of the file.
        path: PathBuf,
        /// The histogram: its operation, phase and fleet, or the path of the field.
        place: String,
        /// Cause.
        source: DecodeError,
    },
}
