//! Why results cannot be compared. Created by this room, printed by `app`.

use crate::result::metric::MetricError;

/// The reason why results cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A metric cannot be parsed.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A tolerance cannot be parsed.
    #[error(
        "tolerance {0:?} is not valid; write a share for all metrics, such as 10%, or a metric and a share, such as \"telemetry p(99) 15%\""
    )]
    Tolerance(String),
    /// The run has no such phase or fleet.
    #[error("{what} {name:?} is not in the results; allowed: {allowed}")]
    Selector {
        /// `phase` or `fleet`.
        what: &'static str,
        /// Name as written.
        name: String,
        /// Names in the results.
        allowed: String,
    },
    /// There is nothing to compare.
    #[error(
        "the results have no thresholds and no messages, so there is nothing to compare; choose metrics with --metric"
    )]
    NoMetrics,
    /// There is no new result.
    #[error("there are no new results")]
    NoResults,
    /// A run was interrupted or broke down.
    #[error(
        "{file} is incomplete: the run was interrupted or broke down. Run the scenario again, or leave this file out"
    )]
    Incomplete {
        /// Path of the file.
        file: String,
    },
    /// A rule of the scenario ended a run.
    #[error(
        "{file} covers only a part of the load: a threshold with `abort`, or `abort_when_unreachable`, ended the run. Run the scenario \
         again, or leave this file out"
    )]
    EndedEarly {
        /// Path of the file.
        file: String,
    },
    /// The results are of different loads.
    #[error(
        "{other} is not comparable with {file}: {what} differs. Compare runs of the same scenario, or record a new baseline"
    )]
    OtherLoad {
        /// Path of the new result.
        file: String,
        /// Path of the other result.
        other: String,
        /// The property that differs.
        what: &'static str,
    },
    /// A file from an earlier version has no plan hash.
    #[error(
        "{file} has no plan hash, because an earlier version of hubstorm wrote it. Run the scenario again with this version"
    )]
    NoPlan {
        /// Path of the file.
        file: String,
    },
    /// The same run is on both sides.
    #[error("{file} and {other} are the same run ({id}). Specify two different runs")]
    SameRun {
        /// Path of the new result.
        file: String,
        /// Path of the base result.
        other: String,
        /// `run.id`.
        id: String,
    },
}
