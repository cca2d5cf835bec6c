//! Why a result file could not be read or written. Created by `file`, printed by `app`.

use super::model::SCHEMA;
use crate::measure::hdr::DecodeError;
use crate::text_file::EncodingError;
use std::path::PathBuf;

/// Far more than a run of the largest permitted scenario writes.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

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
