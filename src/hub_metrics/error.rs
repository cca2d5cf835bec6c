//! Why a file contains no metrics of an IoT hub. Created by `parse`; `app` prints it after the name of the file.

use crate::text_file::{Compression, EncodingError};

/// The largest file with metrics that is read, in bytes: a week of ten metrics per minute has about 25 MB.
pub const METRICS_BYTES_MAX: u64 = 64 << 20;

const SAVE: &str = "Save the output of `az monitor metrics list --output json`";

/// The reason why a file cannot be used. The text continues a sentence that starts with the name of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubMetricsError {
    /// The file is empty.
    #[error("is empty. {SAVE}")]
    Empty,
    /// The file is larger than [`METRICS_BYTES_MAX`].
    #[error("is larger than {} MiB. Query only the time of the run, with --start-time and --end-time", METRICS_BYTES_MAX >> 20)]
    TooLarge,
    /// The file is compressed.
    #[error("is compressed ({0}). Decompress it with {command}", command = .0.command())]
    Compressed(Compression),
    /// The file is not UTF-8.
    #[error("is {0}. In PowerShell:  az monitor metrics list .. | Out-File -Encoding utf8 metrics.json")]
    Encoding(EncodingError),
    /// The JSON is incomplete.
    #[error("is cut off: its JSON is incomplete. {SAVE} again")]
    CutOff,
    /// The file is not JSON.
    #[error("is not JSON at line {line} column {column}: {what}. {SAVE}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Problem.
        what: String,
    },
    /// The JSON has another structure than metrics have.
    #[error("contains no metrics as Azure prints them: {what} at line {line} column {column}. {SAVE}")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Problem.
        what: String,
    },
    /// The JSON is a file of hubstorm.
    #[error("is a file of hubstorm ({0}), not the metrics of a hub. {SAVE}")]
    OfHubstorm(String),
    /// The key `value` is missing.
    #[error("contains no metrics: the key \"value\" is missing. {SAVE}, without --query")]
    NoValue,
    /// The metrics are those of another kind of resource.
    #[error(
        "contains metrics of {0}, not of an IoT hub (Microsoft.Devices/IotHubs). Specify the hub with --resource"
    )]
    OtherResource(String),
    /// The metrics are those of several hubs.
    #[error("contains metrics of several hubs ({0} and {1}). Specify the metrics of one hub")]
    SeveralHubs(String, String),
    /// The length of the intervals is unknown.
    #[error("has no usable interval: {0}. Query with --interval PT1M")]
    Interval(String),
    /// A time is not a time with an offset from UTC.
    #[error(
        "has the time {time:?} in {metric}, which is not a time such as 2026-11-28T10:02:00Z. {SAVE} again, without changes"
    )]
    Time {
        /// Name of the metric.
        metric: String,
        /// Time in the file.
        time: String,
    },
    /// A value is negative or too large for a count.
    #[error(
        "has the value {value} in {metric} at {time}, which is not a count. {SAVE} again, without changes"
    )]
    Value {
        /// Name of the metric.
        metric: String,
        /// Time in the file.
        time: String,
        /// Value in the file.
        value: String,
    },
    /// Intervals of a metric overlap.
    #[error("has overlapping intervals of {metric}, at {time}. Specify outputs that do not overlap")]
    Overlap {
        /// Name of the metric.
        metric: String,
        /// Start of the second interval, in UTC.
        time: String,
    },
}
